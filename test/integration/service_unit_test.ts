// The service as its systemd unit runs it, as far as that goes without systemd as PID 1.
import assert from "node:assert/strict";
import { startSimulator } from "../../src/simulator/server.ts";
import { valueOf } from "../support/batches.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { skipLoudly } from "../support/embedded.ts";
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { withNotifySocket } from "../support/notify_socket.ts";
import { freePort } from "../support/ports.ts";
import { eventually, FAST } from "../support/program.ts";
import { bundle, canSandbox, startSandboxed } from "../support/sandbox.ts";

const isPossible = await canSandbox();
if (!isPossible) skipLoudly("the systemd unit's surroundings (needs root and mount)");

Deno.test({
  name:
    "under the unit's environment, user, file system and permissions: ready, a batch, signs of life also while the database is away, an end in order; 78 for what stays wrong",
  ignore: !isPossible,
  async fn(): Promise<void> {
    await using test = await testDatabase();
    await using proxy = await HalfOpenProxy.before(test.url);
    const simulator = await startSimulator({ offers: 300 });
    try {
      await withNotifySocket(async (folder, { heard }) => {
        await Deno.chmod(folder, 0o755);
        await bundle(folder);
        const settings = {
          ...FAST,
          BINANCE_BASE_URL: simulator.url,
          EXTRACTION_INTERVAL_MINUTES: "1",
          MARKETS: "*/USDT",
          PROMETHEUS_PORT: String(freePort()),
        };
        const start = (args: readonly string[], more: Record<string, string> = {}) =>
          startSandboxed({ folder, args, settings: { ...settings, ...more }, watchdogSeconds: 1 });
        const end = async (child: Deno.ChildProcess): Promise<{ code: number; text: string }> => {
          const { code, stdout, stderr } = await child.output();
          const decoder = new TextDecoder();
          return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
        };

        const unread = await end(start(["run"]));
        assert.equal(unread.code, 78, unread.text);
        assert.match(unread.text, /DATABASE_URL_FILE=.* cannot be read \(NotFound\)/);

        const url = proxy.through(urlAs("worker", test.url));
        await Deno.writeTextFile(`${folder}/database_url`, `${url}\n`, { mode: 0o600 });
        const wrong = await end(start(["run"], { MAX_WORKERS: "many" }));
        assert.equal(wrong.code, 78, wrong.text);
        assert.match(wrong.text, /^error: MAX_WORKERS="many" is not a whole number$/m);
        assert.equal(heard.length, 0, heard.join("\n"));

        const service = start(["run"]);
        const ended = end(service);
        const say = async <T>(what: string, ask: () => T | undefined): Promise<T> =>
          await Promise.race([
            eventually(what, ask),
            ended.then(({ code, text }) => {
              throw new Error(`ended with ${code} before: ${what}\n${text}`);
            }),
          ]);
        const signs = (): number => heard.filter((text) => text.includes("WATCHDOG=1")).length;
        const saying = (text: RegExp) => () => heard.findLast((line) => text.test(line));
        await say("READY", saying(/^READY=1$/));
        assert.equal(heard[0], "READY=1");
        await say("a batch", saying(/^STATUS=.*batch [-0-9a-f]{36} completed · .* markets/));
        const offers = await valueOf(test.database, "select count(*) from p2p.fact_offers");
        assert.ok(Number(offers) > 0, String(offers));

        const scrape = await fetch(`http://127.0.0.1:${settings.PROMETHEUS_PORT}/metrics`);
        const metrics = await scrape.text();
        assert.match(metrics, /^p2p_database_up 1$/m);
        assert.match(metrics, /^process_resident_memory_bytes [1-9]\d{7,}$/m);

        // What else a person does with the executable, beside the service.
        const others = [["health"], ["status", "--json"], ["doctor", "--json"]];
        others.push(["migrate", "--dry-run"], ["query", "select 1"], ["--version"]);
        await Promise.all(others.map(async (args) => {
          const { code, text } = await end(start(args));
          assert.equal(code, 0, `${args.join(" ")}: ${text}`);
        }));

        proxy.refuse();
        await say("the loss", saying(/STATUS=the database is lost since \d{4}-\S+Z; /));
        const before = signs();
        await say("signs of life", () => signs() > before + 2 ? true : undefined);
        const length = heard.length;
        proxy.pass();
        await say(
          "the return",
          () => heard.slice(length).find((line) => /^STATUS=(?!the database is lost)/.test(line)),
        );

        service.kill("SIGTERM");
        const { code, text } = await ended;
        assert.equal(code, 0, text);
        assert.ok(heard.includes("STOPPING=1"), heard.join("\n"));
        assert.doesNotMatch(text, /NotCapable|PermissionDenied|systemd cannot be told/);
      });
    } finally {
      await simulator.close();
    }
  },
});
