// TLS to a real PostgreSQL with certificates of an authority made here: who is trusted, who is refused, what is said.
import assert from "node:assert/strict";
import { join } from "node:path";
import postgres from "postgres";
import { Database } from "../../src/database/connection.ts";
import { queryReadOnly } from "../../src/database/read_only.ts";
import { DatabaseError } from "../../src/errors.ts";
import { Authority, type Certificate, hasOpenssl } from "../support/certificates.ts";
import { findRunning } from "../../src/embedded/cluster.ts";
import { adminUrl } from "../support/database.ts";
import { open, skipLoudly, withDataDir } from "../support/embedded.ts";
import { eventually, runProgram } from "../support/program.ts";
import { startManInTheMiddle } from "../support/man_in_the_middle.ts";

const LOGIN = "shows_certificate";

/** A cluster with ssl on; over TCP only TLS gets in, and one login only by certificate. */
async function withTls(dataDir: string, server: Certificate, authority: Authority): Promise<URL> {
  const cluster = await open(dataDir);
  const folder = join(dataDir, "cluster");
  const { uid, gid } = await Deno.stat(folder);
  for (
    const [from, to] of [
      [server.certificate, "server.crt"],
      [server.key, "server.key"],
      [authority.certificate, "root.crt"],
    ] as const
  ) {
    await Deno.copyFile(from, join(folder, to));
    await Deno.chown(join(folder, to), uid, gid);
    await Deno.chmod(join(folder, to), 0o600);
  }
  const rules = join(folder, "pg_hba.conf");
  await Deno.writeTextFile(
    rules,
    (await Deno.readTextFile(rules)).replace(
      "host  all         all",
      `hostssl all ${LOGIN} 127.0.0.1/32 cert\nhostssl all all`,
    ),
  );
  const [, host = "", , port = ""] = (await findRunning(dataDir))?.psqlArguments ?? [];
  const superuser = postgres({ host, port: Number(port), user: "postgres", database: "p2p" });
  try {
    await superuser.unsafe(`create role ${LOGIN} login`);
    await superuser.unsafe("alter system set ssl = on");
    await superuser.unsafe("alter system set ssl_ca_file = 'root.crt'");
    await superuser.unsafe("select pg_reload_conf()");
    await eventually("ssl is on", async () => {
      const [row] = await superuser.unsafe("show ssl");
      return row?.["ssl"] === "on" ? true : undefined;
    });
  } finally {
    await superuser.end();
  }
  const url = new URL(cluster.url);
  url.hostname = "localhost";
  return url;
}

function withParameters(
  url: URL,
  parameters: Record<string, string>,
  change: Partial<URL> = {},
): string {
  const other = new URL(url);
  for (const [name, value] of Object.entries(parameters)) other.searchParams.set(name, value);
  return Object.assign(other, change).href;
}

async function encryption(url: string): Promise<string> {
  await using database = new Database(url, { applicationName: "test", connections: 1 });
  const [row] = await database.run(
    "select ssl, version, session_user as login from pg_stat_ssl where pid = pg_backend_pid()",
    [],
    10,
  );
  return row?.["ssl"] ? `${row["login"]} by ${row["version"]}` : "plain";
}

Deno.test("TLS to the database", async (t) => {
  if (!await hasOpenssl()) return skipLoudly("TLS to the database (needs openssl)");
  await withDataDir(async (dataDir) => {
    const folder = await Deno.makeTempDir({ prefix: "p2p-tls-" });
    await using _tidy = {
      [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
    };
    const [ours, foreign] = await Promise.all([
      Authority.make(folder, "ours"),
      Authority.make(folder, "foreign"),
    ]);
    const named = await ours.issue("server", { names: "DNS:localhost" });
    const url = await withTls(dataDir, named, ours);
    const ca = { sslrootcert: ours.certificate };
    const refused = async (to: string, pattern: RegExp, hint: RegExp) => {
      await assert.rejects(encryption(to), (error: unknown) => {
        assert.ok(error instanceof DatabaseError, String(error));
        assert.match(error.message, pattern);
        assert.match(error.hint ?? "", hint);
        return true;
      });
    };

    await t.step("verified, and encrypted: verify-full, verify-ca, require", async () => {
      for (const sslmode of ["verify-full", "verify-ca", "require"]) {
        assert.match(
          await encryption(withParameters(url, { ...ca, sslmode })),
          /^p2p by TLSv1\.3$/,
        );
      }
      const { rows } = await queryReadOnly(
        withParameters(url, { ...ca, sslmode: "verify-full" }),
        "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
        false,
      );
      assert.deepEqual(rows, [["t"]], "query as well");
    });

    await t.step("encrypted, not verified: require, prefer; not encrypted: disable", async () => {
      for (const sslmode of ["require", "prefer", "allow"]) {
        assert.match(await encryption(withParameters(url, { sslmode })), /TLSv1\.3/, sslmode);
      }
      const plain = encryption(withParameters(url, { sslmode: "disable" }));
      await assert.rejects(plain, /no pg_hba\.conf entry .* no encryption/);
    });

    await t.step("an authority that is not ours, or none: refused", async () => {
      const other = { sslrootcert: foreign.certificate };
      for (const sslmode of ["verify-full", "verify-ca", "require"]) {
        const to = withParameters(url, { ...other, sslmode });
        await refused(to, /certificate of the database .* proves nothing/, /sslrootcert=/);
      }
      const to = withParameters(url, { sslmode: "verify-full" });
      await refused(
        to,
        /proves nothing: self-signed certificate in certificate chain/,
        /sslrootcert=/,
      );
    });

    await t.step(
      "another name in the certificate: an address does not pass for localhost",
      async () => {
        const address = { hostname: "127.0.0.1" };
        const full = withParameters(url, { ...ca, sslmode: "verify-full" }, address);
        await refused(full, /proves nothing: .*IP: 127\.0\.0\.1 is not in/, /name the host/);
        assert.match(
          await encryption(withParameters(url, { ...ca, sslmode: "verify-ca" }, address)),
          /TLS/,
          "verify-ca looks at no name",
        );
      },
    );

    await t.step("a man in the middle with a certificate of their own hears nothing", async () => {
      const theirs = await foreign.issue("thief", { names: "DNS:localhost,IP:127.0.0.1" });
      await using thief = await startManInTheMiddle(Number(url.port), theirs);
      const port = String(thief.port);
      for (const sslmode of ["verify-full", "verify-ca", "require"]) {
        const to = withParameters(url, { ...ca, sslmode }, { port });
        await refused(to, /proves nothing/, /sslrootcert=/);
      }
      assert.equal(thief.heard, "");
      // What sslmode=require alone is worth.
      await encryption(withParameters(url, { sslmode: "require" }, { port })).catch(() => {});
      assert.match(thief.heard, /application_name\0test/);
    });

    await t.step("an expired certificate; one for another name; one for the address", async () => {
      const expired = await ours.issue("expired", { names: "DNS:localhost", days: -1 });
      const elsewhere = await ours.issue("elsewhere", { names: "DNS:db.example" });
      const address = await ours.issue("address", { names: "IP:127.0.0.1" });
      const through = async (
        certificate: Certificate,
        hostname: string,
        work: (to: string) => Promise<void>,
      ) => {
        await using proxy = await startManInTheMiddle(Number(url.port), certificate);
        const port = String(proxy.port);
        await work(withParameters(url, { ...ca, sslmode: "verify-full" }, { port, hostname }));
      };
      await through(
        expired,
        "localhost",
        (to) => refused(to, /proves nothing: certificate has expired/, /must be valid/),
      );
      await through(
        elsewhere,
        "localhost",
        (to) => refused(to, /proves nothing: .*localhost.* DNS:db\.example/, /name the host/),
      );
      // Beyond the handshake it is the proxy's plain way that the server refuses.
      await through(
        address,
        "127.0.0.1",
        (to) => assert.rejects(encryption(to), /no pg_hba\.conf entry/),
      );
    });

    await t.step("a certificate of the client's", async () => {
      const client = await ours.issue(LOGIN, { names: `DNS:${LOGIN}` });
      const login = { username: LOGIN, password: "" };
      const sslmode = "verify-full";
      const files = { sslcert: client.certificate, sslkey: client.key };
      const to = withParameters(url, { ...ca, sslmode, ...files }, login);
      assert.match(await encryption(to), new RegExp(`^${LOGIN} by TLS`));
      const without = withParameters(url, { ...ca, sslmode }, login);
      await assert.rejects(encryption(without), /refuses this user: .*certificate/);
    });

    await t.step("a server without TLS: refused where it was asked for", async () => {
      const plain = new URL(adminUrl());
      for (const sslmode of ["require", "verify-full"]) {
        const to = withParameters(plain, { ...ca, sslmode });
        await refused(to, /cannot be reached/, /offers no TLS .* sslmode=prefer/);
      }
      assert.equal(await encryption(withParameters(plain, { sslmode: "prefer" })), "plain");
    });

    await t.step("as a program: what doctor says, exit codes, libpq's variables", async () => {
      const variables = { PGSSLROOTCERT: ours.certificate, MARKETS: "VES/USDT" };
      const BINANCE_BASE_URL = "http://127.0.0.1:1";
      const [well, wrong, unreadable, nonsense] = await Promise.all([
        runProgram(["doctor"], {
          ...variables,
          BINANCE_BASE_URL,
          DATABASE_URL: url.href,
          PGSSLMODE: "verify-full",
        }),
        runProgram(["status"], {
          DATABASE_URL: withParameters(url, {
            sslmode: "verify-full",
            sslrootcert: foreign.certificate,
          }),
        }),
        runProgram(["status"], {
          DATABASE_URL: withParameters(url, { sslmode: "verify-full", sslrootcert: "/nowhere" }),
        }),
        runProgram(["status"], { DATABASE_URL: url.href, PGSSLMODE: "verify_full" }),
      ]);
      assert.match(
        well.stdout,
        /database +localhost:\d+\/p2p, TLSv1\.3, certificate verified, ans/,
      );
      assert.equal(wrong.code, 69);
      assert.match(
        wrong.stderr,
        /^error: the certificate .* proves nothing.*\nhint: .*sslrootcert=/,
      );
      assert.equal(unreadable.code, 78);
      assert.match(unreadable.stderr, /^error: sslrootcert=\/nowhere cannot be read \(NotFound\)/);
      assert.equal(nonsense.code, 78);
      assert.match(nonsense.stderr, /PGSSLMODE, is none that there is\nhint: .*verify-full/);
    });
  });
});
