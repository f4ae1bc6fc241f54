// Everything that a person can get wrong: one clear line, a hint, the documented exit code, no secret, no stack.
import { match, ok, strictEqual } from "node:assert/strict";
import { valueOf } from "../support/batches.ts";
import { adminUrl, testDatabase } from "../support/database.ts";
import { type Ended, runProgram, type Variables } from "../support/program.ts";

const SECRET = "s3cr3t-Pa55";

/** The error is one line, with at most a hint below it. */
function clearLine(ended: Ended, code: number, line: RegExp): void {
  const { stdout, stderr } = ended;
  match(stderr, line);
  match(stderr, /^error: [^\n]+\n(hint: [^\n]+\n)?$/, "one line and a hint");
  strictEqual(ended.code, code, stderr);
  strictEqual(stdout, "");
  ok(!stderr.includes(SECRET), "a secret was printed");
  ok(!/^\s+at /m.test(stderr), "a stack trace was printed");
}

Deno.test("bad configuration: each variable by its name, exit 78", async (t) => {
  const cases: [string, Variables, RegExp][] = [
    ["no number", { MAX_WORKERS: "many" }, /MAX_WORKERS="many" is not a whole number/],
    ["out of range", { MAX_WORKERS: "0" }, /MAX_WORKERS="0" must be between 1 and 100/],
    ["no decimal", { REQUEST_TIMEOUT_SECONDS: "1e3" }, /REQUEST_TIMEOUT_SECONDS="1e3" is not a/],
    [
      "no URL",
      { BINANCE_BASE_URL: "p2p.binance.com" },
      /BINANCE_BASE_URL="p2p.binance.com" is not/,
    ],
    ["no path", { BINANCE_SEARCH_ENDPOINT: "bapi" }, /BINANCE_SEARCH_ENDPOINT="bapi" must begin/],
    ["no market", { MARKETS: "VES-USDT" }, /MARKETS="VES-USDT" must be like VES\/USDT,ARS\/\*/],
    ["no truth value", { ENABLE_METRICS: "yes" }, /ENABLE_METRICS="yes" must be true or false/],
    ["no level", { LOG_LEVEL: "loud" }, /LOG_LEVEL="loud" must be debug, info, warning or error/],
    ["no format", { LOG_FORMAT: "xml" }, /LOG_FORMAT="xml" must be text or json/],
    [
      "crossed limits",
      { MIN_RATE_LIMIT: "200" },
      /INITIAL_RATE_LIMIT \(100\) must lie between MIN_RATE_LIMIT \(200\)/,
    ],
    [
      "no database URL",
      { DATABASE_URL: `mysql://u:${SECRET}@h/d` },
      /DATABASE_URL is not a postgres/,
    ],
    ["no URL at all", { DATABASE_URL: SECRET }, /DATABASE_URL is not a postgres/],
    ["secret URL", { SLACK_WEBHOOK_URL: `hooks/${SECRET}` }, /SLACK_WEBHOOK_URL is not an http/],
    [
      "several",
      { MAX_WORKERS: "x", LOG_LEVEL: "y", DATABASE_URL: SECRET },
      /(?=.*DATABASE_URL is)(?=.*MAX_WORKERS="x" is)(?=.*LOG_LEVEL="y" must)/,
    ],
    [
      "no such file",
      { DATABASE_URL_FILE: "/nowhere" },
      /DATABASE_URL_FILE="\/nowhere" cannot be read/,
    ],
    [
      "both",
      { DATABASE_URL: `postgres://${SECRET}@h/d`, DATABASE_URL_FILE: "/x" },
      /both DATABASE_URL and DATABASE_URL_FILE are set/,
    ],
  ];
  for (const [name, variables, line] of cases) {
    await t.step(name, async () => {
      clearLine(await runProgram(["once"], variables), 78, line);
    });
  }
});

Deno.test("DATABASE_URL_FILE is read, its line break is not part of it, empty variables are unset", async () => {
  await using test = await testDatabase();
  const file = await Deno.makeTempFile({ prefix: "p2p-url-" });
  try {
    await Deno.writeTextFile(file, `${test.url}\n`);
    const { code, stdout, stderr } = await runProgram(["query", "--csv", "select 1 as one"], {
      DATABASE_URL: "",
      MAX_WORKERS: " ",
      DATABASE_URL_FILE: file,
    });
    strictEqual(code, 0, stderr);
    strictEqual(stdout, "one\r\n1\r\n");
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("a command line that cannot be understood: exit 64", async (t) => {
  const cases: [string[], RegExp][] = [
    [["onec"], /onec/],
    [["once", "--jsno"], /--jsno/],
    [["status", "-n", "0"], /0/],
    [["demo", "--batches", "lots"], /lots/],
    [["query", "--json", "--csv", "select 1"], /exclude each other/],
    [["query", "  "], /no statement/],
    [["simulate", "--faults", "resett=1"], /There is no fault "resett"/],
  ];
  for (const [args, line] of cases) {
    await t.step(args.join(" "), async () => {
      const { code, stdout, stderr } = await runProgram(args);
      strictEqual(code, 64, stderr);
      match(stderr, line);
      strictEqual(stdout, "");
      ok(!/^\s+at /m.test(stderr));
    });
  }
});

Deno.test("databases that cannot be used", async (t) => {
  const withUrl = (change: (url: URL) => void) => {
    const url = new URL(adminUrl());
    change(url);
    return { DATABASE_URL: url.href };
  };
  const runs = (command: string) => (variables: Variables) => runProgram([command], variables);
  const [status, migrate] = [runs("status"), runs("migrate")];

  await t.step("nobody listens", async () => {
    const variables = { DATABASE_URL: `postgres://worker:${SECRET}@127.0.0.1:1/p2p` };
    for (const command of ["once", "status", "migrate"]) {
      clearLine(
        await runProgram([command], variables),
        69,
        /the database at 127\.0\.0\.1:1\/p2p cannot be reached: .*REFUSED/,
      );
    }
  });
  await t.step("no such host", async () => {
    clearLine(
      await status({ DATABASE_URL: `postgres://worker:${SECRET}@no-such-host.invalid/p2p` }),
      69,
      /no-such-host\.invalid:5432\/p2p cannot be reached/,
    );
  });
  await t.step("wrong password", async () => {
    const variables = withUrl((url) => url.password = SECRET);
    clearLine(await status(variables), 69, /refuses this user: password authentication failed/);
    clearLine(
      await runProgram(["query", "select 1"], variables),
      69,
      /refuses this user: password authentication failed/,
    );
  });
  await t.step("no such database", async () => {
    clearLine(
      await status(withUrl((url) => url.pathname = "/nowhere")),
      69,
      /database "nowhere" does not exist[^]*hint: create it/,
    );
  });
  await t.step("a schema that was never migrated", async () => {
    await using test = await testDatabase("empty");
    for (const command of ["once", "status"]) {
      clearLine(
        await runProgram([command], { DATABASE_URL: test.url }),
        78,
        /is not at version \S+: \d+ migrations[^]*hint: run `p2p-ingest migrate`/,
      );
    }
  });
  await t.step("a user without rights", async () => {
    await using test = await testDatabase();
    await using empty = await testDatabase("empty");
    // The test's user may create no other: it takes its own rights away, and those of the roles that it has.
    const user = new URL(test.url).username;
    await valueOf(
      test.database,
      `do $$ begin
         execute 'revoke all on schema p2p from ${user}, p2p_reader, p2p_worker';
       end $$`,
    );
    await valueOf(
      empty.database,
      `do $$ begin
         execute format('revoke all on database %I from ${user}, public', current_database());
         execute format('grant connect on database %I to ${user}', current_database());
       end $$`,
    );
    const refused = /the database user lacks a privilege: permission denied for/;
    clearLine(await status({ DATABASE_URL: test.url }), 69, refused);
    clearLine(
      await migrate({ DATABASE_URL: empty.url }),
      78,
      /schema p2p is missing, and this user may not create schemas\nhint: .*create schema p2p_partitions authorization/,
    );
    clearLine(
      await runProgram(["query", "table p2p.dim_offers"], { DATABASE_URL: test.url }),
      69,
      refused,
    );
  });
  await t.step("a server that accepts and never answers", async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const taken: Deno.Conn[] = [];
    const accepting = (async () => {
      for await (const connection of listener) taken.push(connection);
    })();
    const url = `postgres://worker:${SECRET}@127.0.0.1:${listener.addr.port}/p2p`;
    const began = performance.now();
    const [first, second] = await Promise.all([
      status({ DATABASE_URL: url }),
      runProgram(["query", "select 1"], { DATABASE_URL: url }),
    ]);
    clearLine(first, 69, /cannot be reached: .*TIMEOUT/i);
    clearLine(second, 69, /cannot be reached: .*TIMEOUT/i);
    ok(performance.now() - began < 20_000);
    listener.close();
    for (const connection of taken) connection.close();
    await accepting;
  });
});

Deno.test("LOG_LEVEL=debug shows where an error comes from, still without the secret", async () => {
  const { code, stderr } = await runProgram(["status"], {
    DATABASE_URL: `postgres://worker:${SECRET}@127.0.0.1:1/p2p`,
    LOG_LEVEL: "debug",
  });
  strictEqual(code, 69);
  match(stderr, /^\s+at /m);
  ok(!stderr.includes(SECRET));
});
