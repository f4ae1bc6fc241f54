// What a dry run shows of a load.
import assert from "node:assert/strict";
import { changedFunction, PARSER, PRICE } from "../support/live_functions.ts";
import { BUY, counts, oneBatch, preview, traces } from "../support/preview.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

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
  const candidate = await changedFunction(
    sql.database,
    PARSER,
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
    await changedFunction(sql.database, PARSER, PRICE, "'9' as price"),
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
    await changedFunction(sql.database, PARSER, "i.advertiser ->> 'nickName'", "'somebody'"),
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
  const body = await changedFunction(
    sql.database,
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
      await changedFunction(sql.database, PARSER, PRICE, "'9' as price"),
    ),
  );
  assert.equal(report["fact_offers changes"], 6);
  assert.equal(report["fact_offers appears"], 2, "the ads with price 0");
});
