import assert from "node:assert/strict";
import postgres from "postgres";
import { SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";

async function oneBatch(sql: SqlFixture, at = "2026-03-01 10:00+00"): Promise<TestBatch> {
  return await sql.loadBatch(at, {
    [BUY]: [
      offer({ id: "1", price: "461.50" }),
      offer({ id: "2", price: "470" }),
      offer({ id: "3", price: "0" }),
    ],
    [SELL]: [offer({ id: "4", price: "455.1", user: "s2" })],
  });
}

/** The text of an installed function with one thing changed. */
async function changed(
  sql: SqlFixture,
  name: string,
  from: string,
  to: string,
): Promise<string> {
  const text = String(await sql.value(`select pg_get_functiondef('p2p.${name}'::regproc)`));
  assert.ok(text.includes(from), `${name} has no ${from}`);
  return text.replaceAll(from, to) + ";";
}

const PRICE = "i.adv ->> 'price' as price";

interface Shown {
  readonly effect: string;
  readonly rows: number;
  readonly examples: readonly Record<string, unknown>[];
}

/** The report by `table` or `table.column`, and its effect. */
async function preview(
  sql: SqlFixture,
  batches: readonly TestBatch[],
  candidate: string | null = null,
): Promise<Map<string, Shown>> {
  const rows = await sql.rows(
    "select * from p2p.preview_load($1::text::uuid[], $2)",
    `{${batches.map(({ id }) => id)}}`,
    candidate,
  );
  return new Map(rows.map((row) => [
    [row["table_name"], row["column_name"]].filter((name) => name !== null).join(".") + " " +
    row["effect"],
    {
      effect: String(row["effect"]),
      rows: Number(row["row_count"]),
      examples: row["examples"] as Record<string, unknown>[],
    },
  ]));
}

const counts = (report: Map<string, Shown>) =>
  Object.fromEntries([...report].map(([name, { rows }]) => [name, rows]));

/** Whatever a dry run could leave behind. */
async function traces(sql: SqlFixture): Promise<unknown> {
  return [
    [...await sql.dump()],
    await sql.values(
      "select xmin::text || pg_get_functiondef(oid) from pg_proc where pronamespace = 'p2p'::regnamespace order by oid",
    ),
    await sql.values(
      "select oid::text || xmin::text || relname from pg_class where relnamespace = 'p2p'::regnamespace or relpersistence = 't' order by oid",
    ),
  ];
}

Deno.test("nothing changes where the SQL is the same", async () => {
  await using sql = await SqlFixture.create();
  const batches = [await oneBatch(sql), await oneBatch(sql, "2026-03-01 10:10+00")];
  assert.deepEqual(counts(await preview(sql, batches)), {});
  assert.deepEqual(counts(await preview(sql, batches, "-- nothing\n")), {});
});

Deno.test("what a candidate sets for its session makes no row look different", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  const settings = `set timezone = 'Asia/Kolkata';
    set datestyle = 'German';
    set bytea_output = 'escape';
    set work_mem = '64kB';`;
  assert.deepEqual(counts(await preview(sql, [batch], settings)), {});
});

Deno.test("a candidate: rows that appear, vanish and change, with examples, digit by digit", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  const candidate = await changed(
    sql,
    "parse_binance_search_v1",
    PRICE,
    // 461.50 loses a digit and no value; 470 is no price any more; 0 becomes one.
    "case i.adv ->> 'price' when '461.50' then '461.5' when '470' then 'x' when '0' then '7' else i.adv ->> 'price' end as price",
  );
  const before = await traces(sql);
  const report = await preview(sql, [batch], candidate);
  assert.deepEqual(
    Object.fromEntries(
      Object.entries(counts(report)).filter(([name]) => !/depth|quality/.test(name)),
    ),
    {
      "fact_offers appears": 1,
      "fact_offers changes": 1,
      "fact_offers.price changes": 1,
      "fact_offers vanishes": 1,
      "ops_batch_runs changes": 1,
      "ops_batch_runs.total_offers_updated changes": 1,
      "ops_rejected_offers appears": 1,
      "ops_rejected_offers vanishes": 1,
    },
  );
  const [example] = report.get("fact_offers.price changes")?.examples ?? [];
  assert.deepEqual([example?.["market"], example?.["before"], example?.["after"]], [
    BUY,
    "461.50",
    "461.5",
  ]);
  assert.equal(report.get("fact_market_depth.best_ask changes")?.rows, 2);
  const [gone] = report.get("fact_offers vanishes")?.examples ?? [];
  assert.equal((gone?.["before"] as Record<string, string>)["price"], "470");
  const [come] = report.get("fact_offers appears")?.examples ?? [];
  assert.equal((come?.["after"] as Record<string, string>)["price"], "7");
  assert.deepEqual(await traces(sql), before, "nothing stays");

  // The dry run tells the truth: what it says is what a load then does.
  await sql.database.runScript(candidate, 20);
  assert.deepEqual(counts(await preview(sql, [batch])), counts(report));
  await batch.load();
  assert.deepEqual(
    await sql.values("select price::text from p2p.fact_offers where trade_type = 'BUY' order by 1"),
    ["461.5", "7"],
  );
  assert.deepEqual(counts(await preview(sql, [batch])), {});
});

Deno.test("all rows are counted, five are shown", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, {
    [BUY]: Array.from({ length: 12 }, (_, i) => offer({ id: String(i), price: String(10 + i) })),
  });
  const report = await preview(
    sql,
    [batch],
    await changed(sql, "parse_binance_search_v1", PRICE, "'9' as price"),
  );
  const change = report.get("fact_offers.price changes");
  assert.deepEqual([change?.rows, change?.examples.length], [12, 5]);
  assert.equal(report.get("fact_offers changes")?.rows, 12);
});

Deno.test("advertisers are compared as wholes, by who they are and not by number", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  const report = await preview(
    sql,
    [batch],
    await changed(sql, "parse_binance_search_v1", "i.advertiser ->> 'nickName'", "'somebody'"),
  );
  const example = report.get("dim_advertisers.nickname changes")?.examples[0];
  assert.equal(example?.["after"], "somebody");
  assert.ok(!("advertiser_sk" in (example?.["key"] as Record<string, unknown>)));
});

Deno.test("a DBA's own tables take part, also those that the candidate makes", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  await sql.database.runScript(
    `create table p2p.my_notes (batch_id uuid, note numeric, before text default 'x', after text, row_key text, made_at timestamptz default clock_timestamp());
     insert into p2p.my_notes select '${batch.id}', 1.0 from generate_series(1, 2);
     insert into p2p.my_notes values (gen_random_uuid(), 1.0)`,
    20,
  );
  const body = await changed(
    sql,
    "load_depth",
    "declare",
    "declare v_none integer;",
  );
  const candidate = body.replace(
    /begin\n/,
    `begin
       insert into p2p.my_scores select p_batch_id, offer_id, price / 2 from p2p.fact_offers;
       update p2p.my_notes set note = 1.00 where ctid = (select min(ctid) from p2p.my_notes where batch_id = p_batch_id);
     `,
  );
  const report = counts(
    await preview(
      sql,
      [batch],
      `create table p2p.my_scores (batch_id uuid, offer_id bigint, score numeric, primary key (batch_id, offer_id)); ${candidate}`,
    ),
  );
  assert.deepEqual(report, {
    // Without a key rows are told apart by what they hold.
    "my_notes appears": 1,
    "my_notes vanishes": 1,
    "my_scores appears": 3,
  });
  assert.equal(await sql.value("select to_regclass('p2p.my_scores')"), null);
});

Deno.test("a candidate may add a column, or drop a table", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  await sql.database.runScript(
    `create table p2p.my_notes (batch_id uuid primary key); insert into p2p.my_notes values ('${batch.id}')`,
    20,
  );
  assert.deepEqual(
    counts(
      await preview(
        sql,
        [batch],
        "alter table p2p.ops_batch_markets add column mood text, add column rank integer default 7; drop table p2p.my_notes",
      ),
    ),
    {
      "my_notes vanishes": 1,
      "ops_batch_markets changes": 2,
      "ops_batch_markets.rank changes": 2,
    },
  );
});

Deno.test("several batches in order, given in any order; later ones see what earlier ones did", async () => {
  await using sql = await SqlFixture.create();
  const batches = [await oneBatch(sql), await oneBatch(sql, "2026-03-01 10:10+00")];
  const report = counts(
    await preview(
      sql,
      batches.toReversed(),
      await changed(sql, "parse_binance_search_v1", PRICE, "'9' as price"),
    ),
  );
  assert.equal(report["fact_offers changes"], 6);
  assert.equal(report["fact_offers appears"], 2, "the ads with price 0");
});

Deno.test("errors of a candidate come as they are, and nothing stays", async (t) => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  const before = await traces(sql);
  const attempt = async (candidate: string): Promise<postgres.PostgresError> => {
    const error = await preview(sql, [batch], candidate).then(() => undefined, (e) => e);
    assert.ok(error instanceof postgres.PostgresError, String(error));
    return error;
  };
  const text = (error: postgres.PostgresError, name: string) =>
    String(error[name as keyof postgres.PostgresError]);

  await t.step("syntax: with its position", async () => {
    const candidate = "select 1;\ncreate or replae function f() returns integer";
    const error = await attempt(candidate);
    assert.equal(error.code, "42601");
    assert.equal(text(error, "internal_query"), candidate);
    assert.equal(text(error, "internal_position"), "21");
  });
  await t.step("a required step that raises: with its context", async () => {
    const candidate = await changed(sql, "load_depth", "begin\n", "begin perform 1 / 0;\n");
    await assert.rejects(
      preview(sql, [batch], candidate),
      /step load_depth failed: division by zero; in load_depth\(uuid\) line \d+ at PERFORM/,
    );
  });
  await t.step("an optional step that raises is part of the report", async () => {
    const candidate = await changed(sql, "watch_shapes", "begin\n", "begin perform 1 / 0;\n");
    const report = await preview(sql, [batch], candidate);
    assert.deepEqual(counts(report), { "ops_batch_steps appears": 1 });
    assert.match(JSON.stringify([...report.values()]), /division by zero/);
  });
  await t.step("transaction control", async () => {
    for (const candidate of ["commit", "begin; select 1", "rollback", "savepoint s"]) {
      assert.equal((await attempt(candidate)).code, "0A000");
    }
    assert.equal((await attempt("do $$ begin commit; end $$")).code, "2D000");
  });
  await t.step("setval, which no rollback takes back", async () => {
    await assert.rejects(
      preview(sql, [batch], "select pg_catalog.SETVAL ('p2p.ops_data_quality_quality_id_seq', 1)"),
      /setval\(\) stays although a dry run is undone/,
    );
  });
  await t.step("even the code that ends the dry run itself", async () => {
    assert.match(
      (await attempt("do $$ begin raise 'mine' using errcode = 'P2P09'; end $$")).message,
      /mine/,
    );
  });
  assert.deepEqual(await traces(sql), before);
});

Deno.test("names without a schema are those of the caller, as when the file is installed with psql", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  const shipped = String(
    await sql.value(
      "select body from p2p.schema_objects where name = 'functions/parse_binance_search_v1.sql'",
    ),
  );
  const candidate = shipped.replace(PRICE, "'9' as price");
  const unqualified = candidate.replaceAll("function p2p.parse_", "function parse_");
  const session = postgres(sql.url, { max: 1, connection: { search_path: "public" } });
  try {
    const ask = (text: string) =>
      session`select * from p2p.preview_load(array[${batch.id}::uuid], ${text})`;
    assert.equal((await ask(unqualified)).length, 0);
    assert.ok((await ask(candidate)).length > 0);
    assert.equal((await session`show search_path`)[0]?.["search_path"], "public");
  } finally {
    await session.end({ timeout: 1 });
  }
});

Deno.test("nobody is told of a load that did not happen", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  const listener = postgres(sql.url, { max: 1, fetch_types: false });
  const heard: string[] = [];
  try {
    await listener.listen("p2p_batch", (text) => heard.push(text));
    await preview(
      sql,
      [batch],
      await changed(sql, "announce_batch", "'p2p_batch',", "'p2p_batch', 'from a dry run ' ||"),
    );
    await sql.rows("select pg_notify('p2p_batch', 'the end')");
    while (!heard.includes("the end")) await listener`select 1`;
  } finally {
    await listener.end({ timeout: 1 });
  }
  assert.deepEqual(heard, ["the end"]);
});

Deno.test("a running, an unknown and an emptied batch are refused", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  await assert.rejects(
    sql.rows("select * from p2p.preview_load(array[gen_random_uuid()])"),
    /there is no batch/,
  );
  await sql.rows("delete from p2p.stg_responses");
  await assert.rejects(preview(sql, [batch]), /raw pages of batch .* are gone: 0 of 2 are left/);
  const running = await sql.openBatch({ markets: [BUY] });
  await assert.rejects(preview(sql, [running]), /batch .* is running/);
  assert.equal((await running.ledger(BUY))["status"], "fetching");
});

Deno.test("a worker may ask, but not with a candidate that replaces a function", async () => {
  await using sql = await SqlFixture.create();
  const batch = await oneBatch(sql);
  const ask = (candidate: string | null) =>
    sql.work("select count(*) from p2p.preview_load(array[$1::uuid], $2)", batch.id, candidate);
  assert.equal((await ask(null))["count"], "0");
  const candidate = await changed(sql, "load_depth", "begin\n", "begin null;\n");
  await assert.rejects(ask(candidate), /must be owner of function load_depth|permission denied/);
});

type Facts = Map<string, Map<string, Record<string, string>>>;

/** Rows of these batches, and the advertisers, by key, as text: found apart from compared_tables. */
async function facts(sql: SqlFixture, batches: readonly TestBatch[]): Promise<Facts> {
  const tables: Record<string, string> = {
    fact_offers: "offer_id, extraction_timestamp",
    fact_market_depth: "exchange_id, fiat_id, crypto_id, trade_type, extraction_timestamp",
    ops_rejected_offers: "batch_id, market_id, page_number, item_number",
    ops_data_quality: "batch_id, metric_name",
    dim_advertisers: "exchange_id, advertiser_id, effective_date",
    dim_payment_methods: "exchange_id, method_code",
  };
  const numbers = ["depth_id", "rejected_at", "quality_id", "check_timestamp", "advertiser_sk"];
  const found: Facts = new Map();
  for (const [table, key] of Object.entries(tables)) {
    const rows = await sql.rows(
      `select concat_ws(' ', ${key}) as key,
         (select jsonb_object_agg(c.key, c.value) from jsonb_each_text(to_jsonb(t)) as c) as row
       from p2p.${table} t
       cross join to_jsonb(t) as j
       where coalesce(j ->> 'batch_id' = any ($1::text::text[]), true)
         and j ->> 'metric_name' is distinct from 'sql_drift'`,
      `{${batches.map(({ id }) => id)}}`,
    );
    const own = table === "fact_offers" ? [] : numbers;
    found.set(
      table,
      new Map(rows.map((row) => {
        const values = row["row"] as Record<string, string>;
        for (const name of [...own, "payment_method_id"]) delete values[name];
        return [String(row["key"]), values];
      })),
    );
  }
  return found;
}

/** What became of the rows between two moments, as a dry run counts it. */
function differences(
  before: Facts,
  after: Facts,
): Record<string, number> {
  const counted: Record<string, number> = {};
  const count = (name: string) => counted[name] = (counted[name] ?? 0) + 1;
  for (const [table, then] of before) {
    const now = after.get(table) ?? new Map<string, Record<string, string>>();
    for (const key of now.keys()) if (!then.has(key)) count(`${table} appears`);
    for (const [key, row] of then) {
      const other = now.get(key);
      if (other === undefined) {
        count(`${table} vanishes`);
        continue;
      }
      const columns = Object.keys(row).filter((column) => row[column] !== other[column]);
      if (columns.length > 0) count(`${table} changes`);
      for (const column of columns) count(`${table}.${column} changes`);
    }
  }
  return counted;
}

Deno.test("what a dry run counts is what loading then does, whatever was changed", async (t) => {
  await using sql = await SqlFixture.create();
  const at = (minute: string) => `2026-03-01 10:${minute}+00`;
  const book = (shift: number) => ({
    [BUY]: Array.from({ length: 30 }, (_, i) =>
      offer({
        id: String(i + shift),
        price: i % 9 === 0 ? "0" : `${460 + i}.50`,
        user: `s${i % 7}`,
        nick: `n${i % 7} ${i % 7 === shift % 7 ? shift : ""}`,
      })),
    [SELL]: [offer({ id: "900", price: "455.1", user: "s2", nick: `n2 ${shift % 2}` })],
  });
  // The last one comes late, between the others.
  const batches: TestBatch[] = [];
  for (const [index, minute] of ["00", "20", "30", "10"].entries()) {
    batches.push(await sql.loadBatch(at(minute), book(index)));
  }
  const parser = "parse_binance_search_v1";
  const changes: [name: string, from: string, to: string][] = [
    [parser, PRICE, "trim_scale((i.adv ->> 'price')::numeric)::text as price"],
    [parser, PRICE, "nullif(i.adv ->> 'price', '461.50') as price"],
    [
      parser,
      "i.advertiser ->> 'nickName' as nick_name",
      "upper(i.advertiser ->> 'nickName') as nick_name",
    ],
    [parser, "i.advertiser ->> 'nickName' as nick_name", "'same' as nick_name"],
    [
      parser,
      "i.advertiser ->> 'userNo' as user_no",
      "nullif(i.advertiser ->> 'userNo', 's2') as user_no",
    ],
    [
      parser,
      "i.advertiser ->> 'userNo' as user_no",
      "'x' || (i.advertiser ->> 'userNo') as user_no",
    ],
    [parser, "i.adv ->> 'advNo' as adv_no", "'x' || (i.adv ->> 'advNo') as adv_no"],
    [
      parser,
      "method.value ->> 'identifier' as code",
      "method.value ->> 'identifier' || '2' as code",
    ],
    ["reject_offers", "p.price <= 0", "p.price in (0, 465.5)"],
    ["reject_offers", "p.price <= 0", "p.price <= 470"],
    ["rule_completeness", "0)", "0) - 0.5"],
  ];
  const choices = [[batches[3]], [batches[1], batches[3]], batches];
  for (const [index, [name, from, to]] of changes.entries()) {
    await t.step(`${name}: ${to}`, async () => {
      const shipped = String(await sql.value(`select pg_get_functiondef('p2p.${name}'::regproc)`));
      const candidate = await changed(sql, name, from, to);
      const chosen = (choices[index % choices.length] ?? []).filter((batch) => batch !== undefined);
      const before = await facts(sql, chosen);
      const told = counts(await preview(sql, chosen, candidate));
      assert.deepEqual(differences(before, await facts(sql, chosen)), {}, "nothing stays");
      await sql.database.runScript(candidate, 60);
      const inOrder = [...chosen].sort((a, b) => a.start.getTime() - b.start.getTime());
      for (const batch of inOrder) await batch.load();
      const happened = differences(before, await facts(sql, chosen));
      for (const key of Object.keys(told)) {
        if (!before.has(key.split(/[ .]/)[0] ?? "")) delete told[key];
      }
      assert.deepEqual(told, happened);
      assert.ok(Object.keys(happened).length > 0, "the change has an effect");
      await sql.database.runScript(shipped, 60);
      for (const batch of [...batches].sort((a, b) => a.start.getTime() - b.start.getTime())) {
        await batch.load();
      }
    });
  }
});
