import assert from "node:assert/strict";
import { tlsOf } from "../../src/database/tls.ts";
import { ConfigurationError } from "../../src/errors.ts";

const CERTIFICATE = "-----BEGIN CERTIFICATE-----";
const KEY = "-----BEGIN EC PRIVATE KEY-----";

function tls(url: string, env: Record<string, string> = {}): ReturnType<typeof tlsOf> {
  const text = (path: string) => `${path === "/k" ? KEY : CERTIFICATE} of ${path}`;
  return tlsOf(url, (name) => env[name], text);
}

Deno.test("unasked: none on this machine, else what the server offers", () => {
  for (const host of ["localhost", "127.0.0.1:5433", "[::1]", "", "%2Frun%2Fpostgresql"]) {
    assert.equal(tls(`postgres://${host}/db`).mode, "disable", host);
  }
  for (const host of ["db.example", "10.0.0.1", "localhost.example", "127.example", "a,b"]) {
    assert.deepEqual(tls(`postgres://u:p@${host}/db`).ssl, "prefer", host);
  }
  assert.equal(tls("postgres:///db", { PGHOST: "db.example" }).mode, "prefer");
  assert.equal(tls("postgres:///db", { PGHOST: "/run/postgresql" }).mode, "disable");
});

Deno.test("what libpq reads is read: of the URL first, then of the environment; and not sent to the server", () => {
  const env = { PGSSLMODE: "verify-full", PGSSLROOTCERT: "/ca" };
  assert.deepEqual(tls("postgres://u:p@db/x?sslrootcert=/own&application_name=me", env), {
    url: "postgres://u:p@db/x?application_name=me",
    mode: "verify-full",
    ssl: { ca: `${CERTIFICATE} of /own` },
  });
  assert.equal(tls("postgres://db/x?sslmode=disable", env).ssl, false);
  assert.deepEqual(tls("postgres://10.1.2.3/x?sslmode=verify-full").ssl, { host: "10.1.2.3" });
  assert.deepEqual(tls("postgres://[fe80::1]/x?sslmode=verify-full").ssl, { host: "fe80::1" });
  assert.deepEqual(
    tls("postgres://db/x?sslmode=verify-full&sslcert=/c&sslkey=/k").ssl,
    { cert: `${CERTIFICATE} of /c`, key: `${KEY} of /k` },
  );
});

Deno.test("nothing weakens what was asked for", () => {
  assert.equal(tls("postgres://db/x?sslmode=require&sslrootcert=/ca").mode, "verify-ca");
  assert.equal(tls("postgres://db/x?sslrootcert=system").mode, "verify-full");
  assert.equal(tls("postgres://db/x?ssl=true").mode, "verify-full", "the driver's own word");
  for (
    const url of [
      "postgres://u:hunter2@db/x?sslmode=verify_full",
      "postgres://u:hunter2@db/x?sslmode=VERIFY-FULL",
      "postgres://u:hunter2@db/x?ssl=1",
      "postgres://u:hunter2@db/x?sslrootcert=system&sslmode=require",
      "postgres://u:hunter2@db/x?sslmode=require&sslcert=/c",
      "postgres://u:hunter2@db/x?sslcert=/c&sslkey=/k",
    ]
  ) {
    assert.throws(() => tls(url), (error: unknown) => {
      assert.ok(error instanceof ConfigurationError, url);
      assert.ok(error.hint !== undefined && !Deno.inspect(error).includes("hunter2"));
      return true;
    });
  }
});

Deno.test("a file without a certificate trusts nobody and shows nobody, and one without an end is not waited for", async () => {
  const folder = await Deno.makeTempDir({ prefix: "p2p-tls-" });
  const [empty, pem, pipe] = ["empty", "pem", "pipe"].map((name) => `${folder}/${name}`);
  await Deno.writeTextFile(`${empty}`, "");
  await Deno.writeTextFile(`${pem}`, CERTIFICATE);
  await new Deno.Command("mkfifo", { args: [`${pipe}`] }).output();
  const cases: [parameters: string, message: string][] = [
    [`sslrootcert=${empty}`, `in sslrootcert=${empty} is no certificate`],
    [`sslrootcert=${pipe}`, `sslrootcert=${pipe} cannot be read (it is a pipe)`],
    ["sslrootcert=/dev/zero", "sslrootcert=/dev/zero cannot be read (it is too large)"],
    [`sslrootcert=${folder}`, `sslrootcert=${folder} cannot be read (IsADirectory)`],
    [`sslcert=${empty}&sslkey=${pem}`, `in sslcert=${empty} is no certificate`],
    [`sslcert=${pem}&sslkey=${pem}`, `in sslkey=${pem} is no private key`],
  ];
  for (const [parameters, message] of cases) {
    const url = `postgres://db/x?sslmode=verify-full&${parameters}`;
    assert.throws(() => tlsOf(url), (error: unknown) => {
      assert.ok(error instanceof ConfigurationError && error.hint !== undefined, String(error));
      assert.equal(error.message, message);
      return true;
    });
  }
  await Deno.remove(folder, { recursive: true });
});
