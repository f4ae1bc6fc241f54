import assert from "node:assert/strict";
import { Database, type Row } from "../../src/database/connection.ts";
import { type MarketName, SqlFixture, WORKER } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const MARKETS: readonly MarketName[] = [
  "ARS/BTC BUY",
  "ARS/USDT SELL",
  "VES/USDT BUY",
  "VES/USDT SELL",
];
const EVERYTHING = `[{"fiat": "*", "asset": "*"}]`;

async function open(sql: SqlFixture, filter = EVERYTHING, worker = WORKER): Promise<Row> {
  return await sql.row(
    "select * from p2p.open_batch('binance', $1, 60, $2::text::jsonb)",
    worker,
    filter,
  );
}

async function claim(
  sql: SqlFixture,
  batchId: unknown,
  count = 100,
  worker = WORKER,
): Promise<string[]> {
  const rows = await sql.rows(
    "select * from p2p.claim_markets($1, $2, $3)",
    String(batchId),
    worker,
    count,
  );
  return rows.map((row) => `${row["fiat"]}/${row["asset"]} ${row["side"]}`);
}

Deno.test("open_batch plans the active markets that the filter takes in", async (t) => {
  const filters: Record<string, readonly string[]> = {
    '[{"fiat": "*", "asset": "*"}]': [
      "ARS/USDT SELL",
      "VES/USDT BUY",
      "VES/USDT SELL",
      "ARS/BTC BUY",
    ],
    '[{"fiat": "VES", "asset": "*"}]': ["VES/USDT BUY", "VES/USDT SELL"],
    '[{"fiat": "*", "asset": "BTC"}, {"fiat": "VES", "asset": "USDT"}]': [
      "VES/USDT BUY",
      "VES/USDT SELL",
      "ARS/BTC BUY",
    ],
    '[{"fiat": "EUR", "asset": "*"}]': [],
    "[]": [],
  };
  for (const [filter, expected] of Object.entries(filters)) {
    await t.step(filter, async () => {
      await using sql = await SqlFixture.create();
      await sql.listMarkets(["EUR/USDT BUY", ...MARKETS]);
      await sql.listMarkets(MARKETS);
      const batch = await open(sql, filter);
      assert.equal(batch["markets_expected"], expected.length);
      assert.equal(batch["held_by"], null);
      assert.deepEqual(await claim(sql, batch["batch_id"]), expected);
    });
  }
  await t.step("what a DBA switched off is left out", async () => {
    await using sql = await SqlFixture.create();
    await sql.listMarkets(MARKETS);
    await sql.rows(
      "update p2p.dim_fiat_currencies set is_active = false where currency_code = 'ARS'",
    );
    const batch = await open(sql);
    assert.deepEqual(await claim(sql, batch["batch_id"]), ["VES/USDT BUY", "VES/USDT SELL"]);
  });
});

Deno.test("deferred markets come first, then the largest", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: MARKETS });
  await batch.page("VES/USDT SELL", [offer()], { total: 5 });
  await batch.page("VES/USDT BUY", [offer()], { total: 1400 });
  await batch.page("ARS/USDT SELL", [offer()], { total: 30 });
  await batch.endFetching();
  await batch.load();
  const next = await open(sql);
  assert.deepEqual(await claim(sql, next["batch_id"]), [
    "ARS/BTC BUY",
    "VES/USDT BUY",
    "ARS/USDT SELL",
    "VES/USDT SELL",
  ]);
});

Deno.test("one batch at a time: the second worker is told who holds it", async () => {
  await using sql = await SqlFixture.create();
  await sql.listMarkets(MARKETS);
  const first = await open(sql);
  const second = await open(sql, EVERYTHING, "worker-2");
  assert.equal(second["batch_id"], null);
  assert.equal(second["held_by"], WORKER);
  assert.deepEqual(second["batch_start_time"], first["batch_start_time"]);
  assert.equal(second["markets_expected"], 4);
  const left = Number(second["lease_ends_in_seconds"]);
  assert.ok(left > 50 && left <= 60, `${left}`);
});

Deno.test("ten workers at once open one batch", async () => {
  await using sql = await SqlFixture.create();
  await using many = new Database(sql.url, { applicationName: "test", connections: 10 });
  await sql.listMarkets(MARKETS);
  const opened = await Promise.all(
    Array.from(
      { length: 10 },
      (_, i) =>
        many.run("select * from p2p.open_batch('binance', $1, 60, $2::text::jsonb)", [
          `w${i}`,
          EVERYTHING,
        ], 20),
    ),
  );
  const ids = opened.map(([row]) => row?.["batch_id"]).filter((id) => id !== null);
  assert.equal(ids.length, 1);
  assert.deepEqual(await sql.values("select batch_id from p2p.ops_batch_runs"), ids);
  const holders = new Set(opened.map(([row]) => row?.["held_by"]).filter((by) => by !== null));
  assert.equal(holders.size, 1);
});

Deno.test("no two batches share a time, and one from the far future does not matter", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2999-01-01 00:00+00", {});
  const near = await sql.openBatch({ markets: [] });
  await sql.rows(
    "update p2p.ops_batch_runs set batch_start_time = now() + interval '30 seconds' where status = 'running'",
  );
  await near.load();
  const next = await open(sql, "[]");
  assert.equal(
    await sql.value(
      `select n.batch_start_time - b.batch_start_time = interval '1 millisecond'
       from p2p.ops_batch_runs n, p2p.ops_batch_runs b where n.batch_id = $1 and b.batch_id = $2`,
      String(next["batch_id"]),
      near.id,
    ),
    true,
  );
});

Deno.test("claims at once never share a market", async () => {
  await using sql = await SqlFixture.create();
  await using many = new Database(sql.url, { applicationName: "test", connections: 8 });
  const markets = Array.from({ length: 60 }, (_, i): MarketName => `F${i}/USDT BUY`);
  await sql.listMarkets(markets);
  const { batch_id } = await open(sql);
  const claims = await Promise.all(
    Array.from({ length: 24 }, () =>
      many.run(
        "select market_id from p2p.claim_markets($1, $2, 3)",
        [String(batch_id), WORKER],
        20,
      )),
  );
  const claimed = claims.flat().map((row) => row["market_id"]);
  assert.equal(new Set(claimed).size, claimed.length);
  // Whoever found a row locked passed it over; asking again gives the rest.
  const rest = await claim(sql, batch_id);
  assert.equal(claimed.length + rest.length, markets.length);
  assert.deepEqual(await claim(sql, batch_id), []);
});

Deno.test("claim_markets gives what was asked for, in the order of the plan, to the owner only", async () => {
  await using sql = await SqlFixture.create();
  await sql.listMarkets(MARKETS);
  const { batch_id } = await open(sql);
  assert.deepEqual(await claim(sql, batch_id, 10, "worker-2"), []);
  assert.deepEqual(await claim(sql, batch_id, 1), ["ARS/USDT SELL"]);
  assert.deepEqual(await claim(sql, batch_id, 2), ["VES/USDT BUY", "VES/USDT SELL"]);
  assert.deepEqual(
    await sql.rows(
      `select status, count(*)::integer, count(started_at)::integer as started, count(worker_id)::integer as owned
       from p2p.ops_batch_markets group by 1 order by 1`,
    ),
    [
      { status: "fetching", count: 3, started: 3, owned: 3 },
      { status: "pending", count: 1, started: 0, owned: 0 },
    ],
  );
  await sql.rows("select p2p.load_batch($1)", String(batch_id));
  assert.deepEqual(await claim(sql, batch_id), [], "the batch is over");
});

Deno.test("renew_lease prolongs the lease of the owner, while the batch runs", async () => {
  await using sql = await SqlFixture.create();
  const { batch_id } = await open(sql);
  const renew = (worker: string) =>
    sql.value("select p2p.renew_lease($1, $2, 7200)", String(batch_id), worker);
  const long = () =>
    sql.value("select lease_expires_at > now() + interval '1 hour' from p2p.ops_batch_runs");
  assert.equal(await renew("worker-2"), false);
  assert.equal(await long(), false);
  assert.equal(await renew(WORKER), true);
  assert.equal(await long(), true);
  await sql.rows("select p2p.load_batch($1)", String(batch_id));
  assert.equal(await renew(WORKER), false);
});

Deno.test("end_fetching defers what has no page and cuts off the rest", async () => {
  await using sql = await SqlFixture.create();
  await sql.listMarkets(MARKETS);
  const batch = await sql.openBatch({ markets: MARKETS });
  await batch.page("VES/USDT BUY", [offer()]);
  await batch.page("VES/USDT SELL", [offer()], { last: false });
  await batch.lose("ARS/USDT SELL");
  assert.equal(await batch.endFetching(), 2);
  const states = await Promise.all(MARKETS.map(async (market) => {
    const { status, reason, finished } = await batch.ledger(market);
    return [status, reason, finished];
  }));
  assert.deepEqual(states, [
    ["deferred", "the deadline came", true],
    ["failed", "http: HTTP 500", true],
    ["complete", null, true],
    ["incomplete", "the deadline came", true],
  ]);
  const before = await sql.dump();
  assert.equal(await batch.endFetching("again"), 0);
  assert.deepEqual(await sql.dump(), before);
});

Deno.test("the batch of a dead worker is adopted with its pages, by one", async () => {
  await using sql = await SqlFixture.create();
  const adopt = (worker: string) => sql.value("select p2p.adopt_abandoned_batch($1, 60)", worker);
  assert.equal(await adopt("worker-2"), null, "there is none");
  const batch = await sql.openBatch({ markets: MARKETS });
  await batch.page("VES/USDT BUY", [offer()], { last: false });
  assert.equal(await adopt("worker-2"), null, "its worker lives");

  await sql.rows("update p2p.ops_batch_runs set lease_expires_at = now() - interval '1 second'");
  const adopted = await Promise.all(["worker-2", "worker-3", "worker-4"].map(adopt));
  assert.deepEqual(adopted.filter((id) => id !== null), [batch.id]);
  assert.equal(await batch.page("VES/USDT BUY", [offer()], { page: 2 }), "not_ours");
  assert.equal(await sql.value("select p2p.renew_lease($1, $2, 60)", batch.id, WORKER), false);
  const { status, reason } = await batch.ledger("VES/USDT BUY");
  assert.deepEqual([status, reason], ["incomplete", "the worker died"]);
  const run = await batch.load();
  assert.deepEqual([run["status"], run["total_offers_inserted"]], ["partial", 1]);
  assert.equal(await adopt("worker-2"), null, "it is over");
});
