import assert from "node:assert/strict";
import { changeFunction, PARSER } from "../support/live_functions.ts";
import { searchAnswer, SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";

/** Two batches with a bit of everything; the second one incomplete. */
async function twoBatches(sql: SqlFixture): Promise<readonly [TestBatch, TestBatch]> {
  const first = await sql.loadBatch("2026-03-01 10:00+00", {
    [BUY]: [
      [offer({ id: "1", price: "40", promoted: true }), offer({ id: "2", price: "36.5" })],
      [offer({ id: "1", price: "40" }), offer({ id: "3", price: "0" }), null as never],
    ],
    [SELL]: [offer({ id: "4", methods: ["Zinli", "Zelle"], nick: "A", user: "s2" })],
  });
  const second = await sql.openBatch({ markets: [BUY, SELL], at: "2026-03-01 10:10+00" });
  await second.page(BUY, [offer({ id: "1", nick: "B" }), offer({ id: "5" })], { last: false });
  await second.lose(BUY, { page: 2 });
  await second.lose(SELL);
  await second.load();
  return [first, second];
}

const dumpWithout = (dump: Map<string, string[]>, batch: TestBatch): Map<string, string[]> =>
  new Map([...dump].map(([table, rows]) => [
    table,
    rows.filter((row) => !row.includes(batch.id)),
  ]));

Deno.test("loading again changes no row of any table", async () => {
  await using sql = await SqlFixture.create();
  const batches = await twoBatches(sql);
  const before = await sql.dump();
  for (const batch of [...batches, ...batches.toReversed()]) {
    await batch.load();
    assert.deepEqual(await sql.dump(), before);
  }
  assert.ok([...before.keys()].length >= 18, "the dump covers every table");
});

Deno.test("after a changed parser the facts of the batch follow, those of others stay", async () => {
  await using sql = await SqlFixture.create();
  const [first, second] = await twoBatches(sql);
  const before = await sql.dump();
  await changeFunction(
    sql.database,
    PARSER,
    "i.adv ->> 'price' as price",
    "i.adv ->> 'minSingleTransAmount' as price",
  );
  const run = await first.load();

  assert.deepEqual(
    await sql.rows(
      "select offer_external_id as id, price::text from p2p.fact_offers where batch_id = $1 order by 1",
      first.id,
    ),
    // The ad with price 0 was rejected and is an offer now.
    ["1", "2", "3", "4"].map((id) => ({ id, price: "10" })),
  );
  assert.deepEqual(
    await sql.rows(
      "select item_number, reason from p2p.ops_rejected_offers where batch_id = $1",
      first.id,
    ),
    [{ item_number: 2, reason: "no offer id" }],
  );
  assert.deepEqual(
    ["inserted", "updated", "rejected", "duplicate", "extracted"]
      .map((name) => run[`total_offers_${name}`]),
    [4, 4, 1, 1, 6],
    "three changed and one new",
  );
  assert.deepEqual(
    await sql.values(
      "select distinct max_price::text from p2p.fact_market_depth where batch_id = $1",
      first.id,
    ),
    ["10"],
  );
  const after = await sql.dump();
  for (const table of ["fact_offers", "fact_market_depth", "ops_batch_runs", "ops_data_quality"]) {
    const rows = (dump: Map<string, string[]>) =>
      dump.get(table)?.filter((row) => row.includes(second.id));
    assert.deepEqual(rows(after), rows(before), table);
  }

  await first.load();
  assert.deepEqual(await sql.dump(), after, "and then nothing changes any more");
});

Deno.test("offers that the changed SQL rejects are taken out", async () => {
  await using sql = await SqlFixture.create();
  const [first] = await twoBatches(sql);
  const before = await sql.dump();
  await changeFunction(
    sql.database,
    PARSER,
    "i.adv ->> 'surplusAmount' as",
    "nullif(i.adv ->> 'price', '36.5') as",
  );
  const run = await first.load();
  assert.deepEqual(
    await sql.values(
      "select offer_external_id from p2p.fact_offers where batch_id = $1 order by 1",
      first.id,
    ),
    ["1", "4"],
  );
  assert.deepEqual(
    await sql.values(
      "select reason from p2p.ops_rejected_offers where batch_id = $1 order by 1",
      first.id,
    ),
    ["no amount", "no offer id", "price is not positive"],
  );
  assert.equal(run["total_offers_updated"], 3, "two changed and one deleted");
  assert.deepEqual(
    dumpWithout(await sql.dump(), first).get("fact_offers"),
    dumpWithout(before, first).get("fact_offers"),
  );
});

Deno.test("a batch is loaded from the pages alone", async () => {
  await using sql = await SqlFixture.create();
  const [first] = await twoBatches(sql);
  const facts =
    "select (to_jsonb(f) - 'depth_id')::text from p2p.fact_offers f where batch_id = $1 order by 1";
  const depth =
    "select (to_jsonb(d) - 'depth_id')::text from p2p.fact_market_depth d where batch_id = $1 order by 1";
  const before = [await sql.values(facts, first.id), await sql.values(depth, first.id)];
  for (
    const table of ["fact_offers", "fact_market_depth", "ops_rejected_offers", "ops_data_quality"]
  ) {
    await sql.rows(`delete from p2p.${table} where batch_id = $1`, first.id);
  }
  await first.load();
  assert.deepEqual([await sql.values(facts, first.id), await sql.values(depth, first.id)], before);
  assert.equal(await sql.value("select count(*)::integer from p2p.ops_rejected_offers"), 2);
});

Deno.test("a batch that is loaded while it is fetched is over: nothing can come after", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [BUY, SELL] });
  await batch.page(BUY, [offer()], { last: false });
  const run = await batch.load();
  assert.deepEqual([run["status"], run["total_offers_inserted"]], ["partial", 1]);
  const reason = "the batch was loaded before it was fetched";
  assert.equal((await batch.ledger(BUY))["status"], "incomplete");
  assert.equal((await batch.ledger(BUY))["reason"], reason);
  assert.equal((await batch.ledger(SELL))["status"], "deferred");
  assert.equal(await batch.page(BUY, [offer()], { page: 2 }), "not_ours");
});

Deno.test("each page is read by the parser that it names", async () => {
  await using sql = await SqlFixture.create();
  await sql.database.runScript(
    `create function p2p.parse_other_v1(p_batch_id uuid) returns setof p2p.parsed_offer language sql as $$
       select market_id, page_number, item_number, item_path, observed_at, 'other', asset, fiat, is_own_side, is_promoted,
         is_available, 1, 1, 1, 1, 1, '{}'::text[], null::numeric, null::numeric, null::numeric, null::integer, null::integer, null, 's', 'n', true, null, null::integer,
         null, null::integer, null::integer, '[]'::jsonb
       from p2p.parse_binance_search_v1($1) limit 1
     $$`,
    20,
  );
  const batch = await sql.openBatch({ markets: [BUY] });
  await batch.body(BUY, searchAnswer(BUY, [offer({ id: "1" })]), { last: false });
  await batch.page(BUY, [offer({ id: "2" })], { page: 2 });
  await sql.rows("update p2p.stg_responses set parser = 'other_v1' where page_number = 2");
  await batch.load();
  assert.deepEqual(
    await sql.values("select offer_external_id from p2p.fact_offers order by 1"),
    ["1", "other"],
  );
});

Deno.test("an unknown batch is refused", async () => {
  await using sql = await SqlFixture.create();
  await assert.rejects(
    sql.work("select p2p.load_batch('00000000-0000-0000-0000-000000000000')"),
    /there is no batch 00000000/,
  );
});

Deno.test("a page with a parser that nobody wrote fails the batch, which says so", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [BUY] });
  await batch.page(BUY, [offer()]);
  await sql.rows("update p2p.stg_responses set parser = 'nobody_wrote_this'");
  const run = await batch.load();
  assert.equal(run["status"], "failed");
  assert.match(String(run["error_summary"]), /^step parse_pages failed: .*parse_nobody_wrote_this/);
});

Deno.test("an empty batch can be loaded", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [] });
  assert.equal((await batch.load())["status"], "failed");
});

Deno.test("several loads at once wait for one another", async () => {
  await using sql = await SqlFixture.create();
  // Nothing in common but the advertiser: rows of payment methods would make them wait as well.
  const batches = [
    await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer({ methods: ["Zelle"] })] }),
    await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: [offer({ methods: ["Bizum"] })] }),
  ];
  await sql.rows("truncate p2p.fact_offers, p2p.dim_advertisers");
  await sql.holdFirst("insert", "dim_advertisers");
  await Promise.all(batches.map((batch) => batch.load()));
  assert.deepEqual(
    await sql.rows(
      `select a.effective_date = '2026-03-01 10:00+00' as from_the_first, count(*)::integer as facts
       from p2p.fact_offers join p2p.dim_advertisers a using (advertiser_sk) group by 1`,
    ),
    [{ from_the_first: true, facts: 2 }],
  );
});

Deno.test("an endless nickname and an ad with 3,000 ways to pay cost nobody an offer", async () => {
  await using sql = await SqlFixture.create();
  const noise = () => crypto.randomUUID();
  const batch = await sql.loadBatch(undefined, {
    "VES/USDT BUY": [
      offer({ user: "s1", nick: Array.from({ length: 300 }, noise).join("") }),
      offer({ user: "s2", methods: Array.from({ length: 3000 }, noise) }),
    ],
    "ARS/USDT BUY": [offer()],
  });
  assert.deepEqual(
    await sql.row(
      `select r.status, r.total_offers_inserted::integer as offers,
         (select max(length(nickname)) from p2p.dim_advertisers) as nickname,
         (select max(cardinality(payment_method_ids)) from p2p.dim_payment_sets) as methods
       from p2p.ops_batch_runs r where r.batch_id = $1`,
      batch.id,
    ),
    { status: "completed", offers: 3, nickname: 500, methods: 500 },
  );
});
