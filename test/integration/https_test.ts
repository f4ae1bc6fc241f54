// Certificates of the exchange and of alert destinations, of an authority made here: who is trusted, who is refused,
// what is said.
import assert from "node:assert/strict";
import { startSimulator } from "../../src/simulator/server.ts";
import { startAlertReceiver } from "../support/alert_receiver.ts";
import { Authority, type Certificate, hasOpenssl } from "../support/certificates.ts";
import { skipLoudly } from "../support/embedded.ts";
import { runProgram } from "../support/program.ts";

const isPossible = await hasOpenssl();
if (!isPossible) skipLoudly("certificates of HTTPS (needs openssl)");

/** https://localhost:…, with a certificate, in front of a server that speaks HTTP. */
function withTls(
  url: string,
  { certificate, key }: Certificate,
): AsyncDisposable & { url: string } {
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    cert: Deno.readTextFileSync(certificate),
    key: Deno.readTextFileSync(key),
    onListen: () => {},
  }, async (request) => {
    const { pathname, search } = new URL(request.url);
    const { method, headers } = request;
    const body = await request.text();
    return await fetch(`${url}${pathname}${search}`, {
      method,
      headers,
      ...(body === "" ? {} : { body }),
    });
  });
  return {
    url: `https://localhost:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test({
  name:
    "HTTPS with an unknown, expired or other one's certificate is refused, and says what to do; DENO_CERT adds an authority",
  ignore: !isPossible,
  async fn(): Promise<void> {
    const folder = await Deno.makeTempDir();
    const authority = await Authority.make(folder, "ours");
    const names = "DNS:localhost";
    const certificate = await authority.issue("good", { names });
    const trusting = { DENO_CERT: authority.certificate };
    await using receiver = startAlertReceiver();
    await using good = withTls(receiver.url, certificate);
    await using expired = withTls(
      receiver.url,
      await authority.issue("expired", { names, days: -1 }),
    );
    await using other = withTls(
      receiver.url,
      await authority.issue("other", { names: "DNS:other.example" }),
    );
    const simulator = await startSimulator({ offers: 100 });
    await using exchange = withTls(simulator.url, certificate);
    try {
      const at = (from: string | undefined, { url }: { url: string }): string =>
        (from ?? "").replace(receiver.url, url);
      const { variables } = receiver;
      const alerts = {
        ...variables,
        PAGERDUTY_EVENTS_URL: at(variables["PAGERDUTY_EVENTS_URL"], good),
        SLACK_WEBHOOK_URL: at(variables["SLACK_WEBHOOK_URL"], expired),
        ALERT_WEBHOOK_URL: at(variables["ALERT_WEBHOOK_URL"], other),
      };
      const sent = await runProgram(["alert", "test"], { ...alerts, ...trusting });
      assert.equal(sent.code, 69, sent.stderr);
      assert.match(sent.stdout, /pagerduty {2}delivered/);
      assert.match(sent.stdout, /slack .*: Expired \(its owner must renew it, unless the clock/);
      assert.match(sent.stdout, /webhook .*not valid for name "localhost".* \(the URL must name/);
      assert.equal(receiver.requests, 2, "refused before the URL, a secret, was sent");

      const unknown = await runProgram(["alert", "test"], alerts);
      assert.match(unknown.stdout, /pagerduty .*: UnknownIssuer \(.* DENO_CERT=<file/);
      assert.equal(receiver.requests, 2);

      const told = async (variables: Record<string, string>): Promise<string> => {
        const { stdout } = await runProgram(["doctor"], {
          DATABASE_URL: "postgres://nobody@127.0.0.1:1/none",
          BINANCE_BASE_URL: exchange.url,
          ...variables,
        });
        return stdout;
      };
      assert.match(await told({}), /✗ exchange .*UnknownIssuer \(.* DENO_CERT=<file/);
      assert.match(await told(trusting), /✓ exchange /);
    } finally {
      await simulator.close();
      await Deno.remove(folder, { recursive: true });
    }
  },
});
