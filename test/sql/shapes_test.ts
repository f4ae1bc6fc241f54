import assert from "node:assert/strict";
import { type MarketName, SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { type Item, offer, type OfferOptions } from "../support/sql_offer.ts";

const A: MarketName = "VES/A BUY";
const PARSER = "binance_search_v1";

/** A batch of one book: pages of two offers each, made by `make` from the number of the page. */
async function load(
  sql: SqlFixture,
  minute: number,
  make: (page: number) => OfferOptions = () => ({}),
  pages = 25,
): Promise<TestBatch> {
  const book: Item[][] = Array.from({ length: pages }, (_, page) => [
    offer(make(page)),
    offer(make(page)),
  ]);
  return await sql.loadBatch(
    new Date(Date.UTC(2026, 2, 1, 10, minute)).toISOString(),
    { [A]: book },
  );
}

const events = (sql: SqlFixture) =>
  sql.values(
    `select concat_ws(' ', to_char(event_at at time zone 'UTC', 'MI'), event, path, json_type,
       case when is_needed then 'needed' end, sample)
     from p2p.ops_shape_events order by event_id`,
  );

async function neededKeys(sql: SqlFixture, batch: TestBatch): Promise<Record<string, unknown>> {
  return await sql.row(
    `select metric_value::integer as value, result, details from p2p.ops_data_quality
     where batch_id = $1 and metric_name = 'needed_keys'`,
    batch.id,
  );
}

Deno.test("a key that appears, changes its type, disappears and comes back: one event each", async () => {
  await using sql = await SqlFixture.create();
  await load(sql, 0);
  assert.deepEqual(await events(sql), [], "the first batch teaches");
  await load(sql, 1, () => ({ adv: { label: null } }));
  await load(sql, 2, () => ({ adv: { label: null } }));
  await load(sql, 3, (page) => ({ adv: { label: page === 7 ? "hot" : null } }));
  await load(sql, 4, () => ({ adv: { label: null } }));
  const appeared = ["01 appeared data[].adv.label null", "03 new type data[].adv.label string hot"];
  assert.deepEqual(await events(sql), appeared);
  await load(sql, 5, undefined, 20);
  assert.deepEqual(await events(sql), appeared, "14 of the pages it was expected on");
  await load(sql, 6, undefined, 20);
  await load(sql, 7);
  const gone = [...appeared, "06 disappeared data[].adv.label"];
  assert.deepEqual(await events(sql), gone);
  const key =
    `select to_jsonb(k) - 'parser' - 'path' as key from p2p.response_keys k where path = 'data[].adv.label'`;
  assert.deepEqual(await sql.value(key), {
    json_types: ["null", "string"],
    null_percent: 99,
    present_percent: 60.61,
    values_seen: 200,
    pages_seen: 100,
    first_seen_at: "2026-03-01T10:01:00+00:00",
    last_seen_at: "2026-03-01T10:04:00+00:00",
    is_gone: true,
    is_needed: false,
  });
  await load(sql, 8, (page) => ({ adv: page === 3 ? { label: "warm" } : {} }));
  await load(sql, 9);
  assert.deepEqual(await events(sql), [...gone, "08 came back data[].adv.label string warm"]);
});

Deno.test("an object that appears is one event, whatever is in it; so is a list", async () => {
  await using sql = await SqlFixture.create();
  await load(sql, 0, () => ({ adv: { labels: [] } }));
  const label = { name: "x", of: { a: 1, b: [true] } };
  await load(sql, 1, () => ({ adv: { extra: label, labels: [] } }));
  await load(sql, 2, () => ({ adv: { extra: label, labels: [label] } }));
  assert.deepEqual(await events(sql), [
    "01 appeared data[].adv.extra object",
    "02 appeared data[].adv.labels[] object",
  ]);
  for (const minute of [3, 4]) await load(sql, minute);
  assert.deepEqual((await events(sql)).slice(2), [
    "04 disappeared data[].adv.extra",
    "04 disappeared data[].adv.labels",
  ]);
});

Deno.test("a needed key that is missing or unreadable fails the rule, and is one event", async (t) => {
  const changes: Record<string, [OfferOptions, path: string, events: string[]]> = {
    missing: [
      { adv: { surplusAmount: undefined } },
      "data[].adv.surplusAmount",
      ["05 disappeared data[].adv.surplusAmount needed"],
    ],
    unreadable: [
      { adv: { price: { value: "1" } } },
      "data[].adv.price",
      ["04 new type data[].adv.price object needed"],
    ],
    "below a list": [
      { adv: { tradeMethods: [{ id: 5 }] } },
      "data[].adv.tradeMethods[].identifier",
      [
        "04 appeared data[].adv.tradeMethods[].id number 5",
        "05 disappeared data[].adv.tradeMethods[].identifier needed",
        "05 disappeared data[].adv.tradeMethods[].payType",
        "05 disappeared data[].adv.tradeMethods[].tradeMethodName",
      ],
    ],
  };
  for (const [name, [change, path, expected]] of Object.entries(changes)) {
    await t.step(name, async () => {
      await using sql = await SqlFixture.create();
      for (const minute of [0, 1, 2, 3]) {
        assert.equal((await neededKeys(sql, await load(sql, minute)))["result"], "ok");
      }
      const changed = await load(sql, 4, () => change);
      const { value, result, details } = await neededKeys(sql, changed);
      assert.deepEqual([value, result], [1, "error"]);
      const { samples } = details as { samples: Record<string, unknown>[] };
      assert.deepEqual(samples.map((sample) => [sample["path"], sample["readable"]]), [[path, 0]]);
      await load(sql, 5, () => change);
      await load(sql, 6, () => change);
      assert.deepEqual(await events(sql), expected);
    });
  }
});

Deno.test("a few odd offers do not fail rule needed_keys, a quarter of them does", async () => {
  await using sql = await SqlFixture.create();
  const one = { adv: { price: null } };
  const resultOf = async (minute: number, make: (page: number) => OfferOptions, pages: number) =>
    (await neededKeys(sql, await load(sql, minute, make, pages)))["result"];
  assert.equal(await resultOf(0, (page) => page % 5 === 0 ? one : {}, 25), "ok");
  assert.equal(await resultOf(1, (page) => page % 4 === 0 ? one : {}, 25), "error");
  assert.equal(await resultOf(2, (page) => page === 0 ? one : {}, 2), "ok", "two of four");
  assert.equal(await resultOf(3, () => one, 1), "error", "all there is");
});

Deno.test("a rare key is not missed after one lucky sight, nor what clusters in one market", async () => {
  await using sql = await SqlFixture.create();
  await load(sql, 0);
  await load(sql, 1, (page) => page < 2 ? { adv: { rare: 1 } } : {});
  for (let minute = 2; minute < 14; minute++) await load(sql, minute);
  assert.deepEqual(await events(sql), ["01 appeared data[].adv.rare number 1"]);
});

Deno.test("loading again counts nothing twice; a late batch only widens first and last times", async () => {
  await using sql = await SqlFixture.create();
  const first = await load(sql, 10);
  await load(sql, 20);
  const before = await sql.dump();
  await first.load();
  assert.deepEqual(await sql.dump(), before);

  const counts =
    `select pages_possible, pages_seen, pages_missed, is_gone from p2p.response_paths where path = 'data[].adv.price'`;
  const known = await sql.row(counts);
  const late = await load(sql, 5, () => ({ adv: { former: "x", price: 3, asset: undefined } }));
  assert.deepEqual(await events(sql), []);
  assert.deepEqual(await sql.row(counts), known);
  assert.deepEqual(
    await sql.rows(
      `select to_char(first_seen_at, 'MI') as first, to_char(last_seen_at, 'MI') as last, is_gone
       from p2p.response_paths where path in ('data[].adv.price', 'data[].adv.former', 'data[].adv.classify') order by path`,
    ),
    [
      { first: "05", last: "20", is_gone: false },
      { first: "05", last: "05", is_gone: true },
      { first: "05", last: "20", is_gone: false },
    ],
  );
  await sql.rows("select p2p.load_batch($1)", late.id);
  await load(sql, 30, () => ({ adv: { former: "x" } }));
  assert.deepEqual(await events(sql), ["30 came back data[].adv.former string x"]);
});

Deno.test("keys without end do not fill the table: a cap, and one event that says so", async () => {
  await using sql = await SqlFixture.create();
  await load(sql, 0);
  const garbage = (minute: number) => (page: number): OfferOptions => ({
    adv: Object.fromEntries(
      Array.from({ length: 60 }, (_, i) => [`k${minute}-${page}-${i}`, i]),
    ),
  });
  for (const minute of [1, 2]) await load(sql, minute, garbage(minute));
  assert.equal(await sql.value("select count(*)::integer from p2p.response_paths"), 1000);
  assert.equal(
    await sql.value(
      "select count(*)::integer from p2p.ops_shape_events where event = 'too many keys'",
    ),
    1,
  );
  const deep = "[".repeat(500) + "1" + "]".repeat(500);
  const batch = await sql.openBatch({ markets: [A], at: "2026-03-01 12:00+00" });
  await batch.body(A, `{"code":"000000","data":[],"nested":${deep},"${"n".repeat(5000)}":1}`);
  assert.equal((await batch.load())["status"], "completed");
  assert.ok(Number(await sql.value("select max(length(path)) from p2p.response_paths")) <= 200);
});

Deno.test("25 pages of a batch are watched, those with offers first, always the same ones", async () => {
  await using sql = await SqlFixture.create();
  const markets: Record<MarketName, Item[]> = {};
  for (let i = 0; i < 60; i++) markets[`VES/E${i} BUY`] = [];
  for (let i = 0; i < 20; i++) markets[`VES/F${i} BUY`] = [offer()];
  const batch = await sql.loadBatch(undefined, markets);
  assert.deepEqual(await sql.rows("select parser, pages from p2p.ops_shape_watches"), [
    { parser: PARSER, pages: 25 },
  ]);
  assert.equal(
    await sql.value(
      "select count(distinct page_id)::integer from p2p.watched_values($1, false) where path = 'data[].adv'",
      batch.id,
    ),
    20,
  );
});

Deno.test("keys with dots, brackets or no characters do not stop the watch", async () => {
  await using sql = await SqlFixture.create();
  const odd = { "x.y": 1, x: { y: 1, "": { "": 2 } }, "x[]": 1, "": 1, ".": 1, "..": { "..": 1 } };
  await sql.loadBatch(undefined, { [A]: [offer({ adv: odd } as OfferOptions), offer()] });
  assert.deepEqual(
    await sql.values("select error from p2p.ops_batch_steps where status = 'failed'"),
    [],
  );
});

Deno.test("a batch without pages is watched in peace", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, {});
  assert.deepEqual(await neededKeys(sql, batch), {
    value: null,
    result: "ok",
    details: { offenders: 0, samples: [], note: "nothing to judge" },
  });
});
