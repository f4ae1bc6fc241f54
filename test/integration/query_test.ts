// `query`: for machines without psql. Shows data as it is, and never changes any.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { rowsOf, valueOf } from "../support/batches.ts";
import { testDatabase } from "../support/database.ts";
import { type Ended, eventually, Program, runProgram } from "../support/program.ts";

Deno.test("what query prints", async (t) => {
  await using test = await testDatabase();
  const query = (args: string[], stdin?: string): Promise<Ended> =>
    runProgram(["query", ...args], { DATABASE_URL: test.url }, stdin);
  const printed = async (...args: string[]) => {
    const { code, stdout, stderr } = await query(args);
    strictEqual(code, 0, stderr);
    return stdout;
  };

  await t.step("an aligned table, numbers to the right", async () => {
    const { stdout, stderr } = await query([
      "select 'a' as name, 1.50::numeric as price, null::text as none union all select 'bcd', 12345.678, 'x'",
    ]);
    strictEqual(
      stdout,
      "name      price  none\n────  ─────────  ────\na          1.50\nbcd   12345.678  x\n",
    );
    strictEqual(stderr, "(2 rows)\n");
  });

  await t.step("wide characters and emoji keep the columns straight", async () => {
    const stdout = await printed(
      "select * from (values ('人民币', 1), ('ab', 2), ('🚀x', 3), (e'e\\u0301', 4)) as t (name, n)",
    );
    deepStrictEqual(stdout.split("\n").slice(2, 6), [
      "人民币  1",
      "ab      2",
      "🚀x     3",
      "e\u0301       4",
    ]);
  });

  await t.step("control characters do not reach the terminal, in cells or names", async () => {
    const stdout = await printed(
      `select e'\\x1b[31mred\\u009b\\x07\\nnext\\ttab' as "a\x1b]0;title\x07"`,
    );
    // deno-lint-ignore no-control-regex
    ok(!/[\x00-\x09\x0b-\x1f\x7f-\x9f]/.test(stdout), JSON.stringify(stdout));
    match(stdout, /\\x1b\[31mred\\x9b\\x07\\nnext\\ttab/);
  });

  await t.step("--json: all digits, arrays, NULL, nothing of JavaScript's", async () => {
    const stdout = await printed(
      "--json",
      "select 13908303176808550400::numeric as id, 0.10000000000000000001::numeric as price, " +
        "array['a', null, 'b\"c'] as list, null as none, '{\"k\": 1.50}'::jsonb as doc, true as yes;",
    );
    strictEqual(
      stdout,
      '[{"id":13908303176808550400,"price":0.10000000000000000001,"list":["a",null,"b\\"c"],"none":null,"doc":{"k": 1.50},"yes":true}]\n',
    );
    strictEqual(await printed("--json", "select 1 where false"), "[]\n");
    strictEqual(await printed("--json", "select 1 as a -- a remark"), '[{"a":1}]\n');
  });

  await t.step("--csv: quoting, NULL and the empty text", async () => {
    strictEqual(
      await printed(
        "--csv",
        `select 'a,b' as "x,y", 'say "hi"' as q, e'two\\nlines' as l, null::text as n, '' as e, 1.10 as d`,
      ),
      '"x,y",q,l,n,e,d\r\n"a,b","say ""hi""","two\nlines",,"",1.10\r\n',
    );
  });

  await t.step("types come as the server writes them", async () => {
    strictEqual(
      await printed(
        "--csv",
        "select 1e400::numeric > 0 as t, '2026-01-02 03:04:05.123456+00'::timestamptz at time zone 'UTC' as ts, " +
          "9223372036854775807 as big, array[1,2] as a, '\\x00ff'::bytea as b, interval '1 day' as i",
      ),
      't,ts,big,a,b,i\r\nt,2026-01-02 03:04:05.123456,9223372036854775807,"{1,2}",\\x00ff,1 day\r\n',
    );
  });

  await t.step("- reads the statement from standard input", async () => {
    const { code, stdout } = await query(["--csv", "-"], "select 7 as n\n");
    deepStrictEqual([code, stdout], [0, "n\r\n7\r\n"]);
  });

  await t.step("it has an end, and the server notices a client that is killed", async () => {
    const settings = ["statement_timeout", "client_connection_check_interval"];
    const shown = settings.map((name) => `current_setting('${name}') as ${name}`).join(", ");
    strictEqual(await printed("--csv", `select ${shown}`), `${settings}\r\n5min,10s\r\n`);
  });

  await t.step("a reader that has seen enough ends it quietly", async () => {
    const { code, stdout, stderr } = await new Deno.Command("bash", {
      args: [
        "-c",
        `set -o pipefail; "$0" run -A main.ts query "select repeat('x', 1000) from generate_series(1, 20000)" | head -1 | wc -l`,
        Deno.execPath(),
      ],
      env: { DATABASE_URL: test.url, NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder();
    deepStrictEqual([code, text.decode(stdout).trim(), text.decode(stderr)], [0, "1", ""]);
  });

  await t.step("what takes too long says where it may", async () => {
    const url = new URL(test.url);
    url.searchParams.set("statement_timeout", "50");
    const { code, stderr } = await runProgram(["query", "select pg_sleep(60)"], {
      DATABASE_URL: url.href,
    });
    match(stderr, /^error: .* it took too long\nhint: p2p-ingest query gives it 300 s, or /);
    strictEqual(code, 69);
  });

  await t.step("whatever the server has against it is one line, exit 64", async () => {
    for (
      const [statement, line] of [
        ["selec 1", /syntax error at or near "selec"/],
        ["select * from p2p.nothing", /relation "p2p.nothing" does not exist/],
        ["select 1/0", /division by zero/],
        ["select 1; select 2", /multiple commands/],
        ["select $1::text", /parameter|bind/],
        ["copy (select 1) to stdout", /COPY gives no rows/],
      ] as const
    ) {
      const { code, stdout, stderr } = await query([statement]);
      strictEqual(code, 64, stderr);
      match(stderr, line);
      match(stderr, /^error: [^\n]+\n(hint: [^\n]+\n)?$/);
      strictEqual(stdout, "");
    }
  });
});

Deno.test("query changes nothing, however it is asked", async (t) => {
  await using test = await testDatabase();
  const { database } = test;
  await valueOf(
    database,
    "create procedure public.sneak() language plpgsql as $$ begin commit; " +
      "set transaction read write; insert into p2p.dim_exchanges (code, name) values ('sneak', 'x'); commit; end $$",
  );
  const state = () =>
    valueOf(
      database,
      `select (select jsonb_agg(e order by exchange_id) from p2p.dim_exchanges e)::text
         || (select count(*) from pg_class) || (select count(*) from pg_proc) || (select count(*) from pg_namespace)
         || (select count(*) from pg_largeobject_metadata)`,
    );
  const before = await state();
  const insert = "insert into p2p.dim_exchanges (code, name) values ('bad', 'x')";
  const ways = [
    insert,
    `with i as (${insert} returning 1) select * from i`,
    "update p2p.dim_exchanges set name = 'bad'",
    "truncate p2p.stg_responses",
    "drop schema p2p cascade",
    "create table public.bad (a integer)",
    "select 1 as a into public.bad",
    "select p2p.store_payment_methods('binance', '[{\"code\": \"bad\"}]')",
    "select nextval(pg_get_serial_sequence('p2p.dim_exchanges', 'exchange_id'))",
    `explain analyze ${insert}`,
    `begin read write; ${insert}; commit`,
    `set transaction read write; ${insert}`,
    `commit; ${insert}`,
    "select set_config('transaction_read_only', 'off', false), p2p.store_payment_methods('binance', '[{\"code\": \"bad\"}]')",
    `do $$ begin ${insert}; end $$`,
    `do $$ begin set transaction read write; ${insert}; end $$`,
    `do $$ begin commit; set transaction read write; ${insert}; commit; end $$`,
    `do $$ begin set default_transaction_read_only = off; commit; ${insert}; commit; end $$`,
    "call public.sneak()",
    "alter system set work_mem = '1MB'",
    "vacuum p2p.dim_exchanges",
  ];
  for (const statement of ways) {
    await t.step(statement.slice(0, 60), async () => {
      const { code, stderr } = await runProgram(["query", statement], { DATABASE_URL: test.url });
      strictEqual(await state(), before, "something was written");
      match(stderr, /^error: [^\n]+\n(hint: [^\n]+\n)?$/);
      strictEqual(code, 64, stderr);
    });
  }
  await t.step("alone these do no harm", async () => {
    for (const statement of ["begin read write", "set transaction read write", "commit"]) {
      await runProgram(["query", statement], { DATABASE_URL: test.url });
    }
    strictEqual(await state(), before);
    strictEqual((await rowsOf(database, "select 1 from pg_prepared_xacts")).length, 0);
  });
});

Deno.test("Ctrl-C ends the statement at the server, too", async () => {
  await using test = await testDatabase();
  const underWay = () =>
    rowsOf(
      test.database,
      `select a.query
       from pg_stat_activity a
       where a.datname = current_database()
         and a.application_name = 'p2p-ingest query'
         and a.state = 'active'
         and a.query ~ 'pg_sleep'`,
    );
  await using program = new Program(["query", "select pg_sleep(100)"], { DATABASE_URL: test.url });
  await eventually("the statement", async () => (await underWay())[0]);
  program.kill("SIGINT");
  const { code, stdout, stderr } = await program.ended;
  deepStrictEqual([code, stdout], [75, ""], stderr);
  match(stderr, /^stopped$/m);
  await eventually("its end", async () => (await underWay()).length === 0 || undefined, 8);
});
