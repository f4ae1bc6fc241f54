// Which markets a batch plans, in which order, and what it has room for.
import assert from "node:assert/strict";
import type { Row } from "../../src/database/connection.ts";
import { type Beat, type MarketName, SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const TWO = "worker-2";
const A = "VES/A BUY";
const B = "VES/B BUY";
const C = "VES/C BUY";
const D = "VES/D BUY";

async function fixture(markets: readonly MarketName[], beat: Beat = {}): Promise<SqlFixture> {
  const sql = await SqlFixture.create();
  await sql.listMarkets(markets);
  await sql.beat({ doing: "idle", ...beat });
  return sql;
}

/** The plan of a batch of the schedule that is opened now: names in their order, by status. */
async function planned(sql: SqlFixture): Promise<Record<string, string[]>> {
  const { outcome, batch_id } = await sql.join({ due: new Date() });
  assert.equal(outcome, "opened");
  return await planOf(sql, batch_id);
}

async function planOf(sql: SqlFixture, batchId: unknown): Promise<Record<string, string[]>> {
  const rows = await sql.rows(
    `select bm.status, format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as name
     from p2p.ops_batch_markets bm join p2p.dim_markets m using (market_id)
     join p2p.dim_fiat_currencies f using (fiat_id) join p2p.dim_cryptocurrencies c using (crypto_id)
     where bm.batch_id = $1 order by bm.plan_position`,
    String(batchId),
  );
  return Object.fromEntries(
    Object.entries(Object.groupBy(rows, (row) => String(row["status"])))
      .map(([status, list]) => [status, (list ?? []).map((row) => String(row["name"]))]),
  );
}

/** A whole batch: so many offers in each of these markets; the others are deferred. Ends as if it had been hours ago. */
async function visit(
  sql: SqlFixture,
  totals: Readonly<Record<MarketName, number>>,
  { hoursAgo = 0, pages = 1 } = {},
): Promise<void> {
  const { outcome, batch_id } = await sql.join({ due: new Date() });
  assert.equal(outcome, "opened");
  await sql.rows(
    "update p2p.ops_batch_runs set batch_start_time = batch_start_time - make_interval(secs => $2 * 3600.0), due_at = null where batch_id = $1",
    String(batch_id),
    hoursAgo,
  );
  await sql.claim(batch_id);
  const batch = await sql.batch(batch_id);
  for (const [market, total] of Object.entries(totals)) {
    for (let page = 1; page <= pages; page++) {
      await batch.page(
        market as MarketName,
        total === 0 ? [] : [offer({ id: `${market}${page}` })],
        {
          page,
          last: page === pages,
          total,
        },
      );
    }
  }
  await batch.endFetching("the deadline came");
  await batch.load();
}

Deno.test("planned are the active markets that the filter takes in", async (t) => {
  const markets: readonly MarketName[] = [
    "ARS/BTC BUY",
    "ARS/USDT SELL",
    "VES/USDT BUY",
    "VES/USDT SELL",
  ];
  const filters: Record<string, readonly string[]> = {
    '[{"fiat": "*", "asset": "*"}]': [
      "ARS/USDT SELL",
      "VES/USDT BUY",
      "VES/USDT SELL",
      "ARS/BTC BUY",
    ],
    '[{"fiat": "VES", "asset": "*"}]': ["VES/USDT BUY", "VES/USDT SELL"],
    '[{"fiat": "*", "asset": "BTC"}, {"fiat": "VES", "asset": "USDT"}, {"fiat": "VES", "asset": "*"}]':
      [
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
      await sql.listMarkets(["EUR/USDT BUY", ...markets]);
      await sql.listMarkets(markets);
      await sql.beat({ filter: JSON.parse(filter) });
      const { batch_id, markets_expected } = await sql.join();
      assert.equal(markets_expected, expected.length);
      assert.deepEqual((await planOf(sql, batch_id))["pending"] ?? [], expected);
      assert.deepEqual((await sql.claim(batch_id)).map(({ name }) => name), expected);
    });
  }
  await t.step("what a DBA switched off is left out", async () => {
    await using sql = await fixture(markets);
    await sql.rows(
      "update p2p.dim_fiat_currencies set is_active = false where currency_code = 'ARS'",
    );
    assert.deepEqual(await planned(sql), { pending: ["VES/USDT BUY", "VES/USDT SELL"] });
  });
});

Deno.test("a batch covers what all live workers serve, each of their exchanges", async () => {
  await using sql = await fixture([A, B, C], { filter: [{ fiat: "*", asset: "A" }] });
  await sql.rows(
    "insert into p2p.dim_exchanges (exchange_id, code, name) overriding system value values (2, 'bybit', 'Bybit') on conflict do nothing",
  );
  await sql.listMarkets([D], "bybit");
  await sql.beat({ worker: TWO, filter: [{ fiat: "*", asset: "B" }] });
  await sql.beat({ worker: "three", exchanges: ["bybit"] });
  await sql.beat({ worker: "dead" });
  await sql.kill("dead");
  await sql.beat({ worker: "left", doing: "gone" });
  await sql.beat({ worker: "leaving", doing: "stopping" });
  assert.deepEqual(await planned(sql), { pending: [A, B, D] });
});

Deno.test("order: priority, deferred, offers, share of the asset's volume, name", async () => {
  const markets: readonly MarketName[] = [A, B, C, D, "VES/USDT BUY", "ARS/C SELL", "EUR/C SELL"];
  await using sql = await fixture(markets);
  await visit(sql, { [A]: 5, [C]: 7, [D]: 900, "ARS/C SELL": 5, "EUR/C SELL": 5 });
  // Both have five offers: the one with more of what is traded of its asset comes first.
  await sql.rows(
    `update p2p.fact_market_depth d set total_available_volume = case f.currency_code when 'EUR' then 9 else 1 end
     from p2p.dim_fiat_currencies f where f.fiat_id = d.fiat_id`,
  );
  await sql.rows(
    "update p2p.dim_markets m set priority = 1 from p2p.dim_cryptocurrencies c where c.crypto_id = m.crypto_id and c.symbol = 'A'",
  );
  await sql.listMarkets([...markets, "XXX/USDT BUY", "XXX/AAA BUY"]);
  assert.deepEqual((await planned(sql))["pending"], [
    A, // its DBA says so
    "VES/USDT BUY", // deferred
    B, // deferred
    D, // 900 offers
    C, // 7
    "EUR/C SELL",
    "ARS/C SELL",
    "XXX/USDT BUY", // never visited
    "XXX/AAA BUY",
  ]);
});

Deno.test("a market that was empty for long is not due, every so many hours it is", async () => {
  await using sql = await fixture([A, B]);
  const ago = (hours: number) => visit(sql, { [A]: 0, [B]: 3 }, { hoursAgo: hours });
  await ago(40);
  await ago(30);
  assert.deepEqual(
    await sql.row(
      "select offers, extract(epoch from visited_at - empty_since)::integer / 3600 as hours from p2p.ops_market_visits where offers = 0",
    ),
    { offers: 0, hours: 10 },
  );
  await ago(2);
  const first = await sql.join({ due: new Date() });
  assert.deepEqual(await planOf(sql, first["batch_id"]), { pending: [B], not_due: [A] });
  assert.equal(first["markets_expected"], 1);
  assert.match(
    String(await sql.value("select reason from p2p.ops_batch_markets where status = 'not_due'")),
    /^empty since \d\d-\d\d \d\d:\d\d, due at \d\d:\d\dZ$/,
  );
  const batch = await sql.batch(first["batch_id"]);
  assert.deepEqual((await sql.claim(batch.id)).map(({ name }) => name), [B]);
  await batch.page(B, [offer()]);
  assert.equal(await sql.takeLoad(batch.id), "load", "nobody waits for it");
  const run = await batch.load();
  assert.deepEqual([run["status"], run["markets_completed"], run["error_summary"]], [
    "completed",
    1,
    null,
  ]);

  await sql.rows("update p2p.ops_batch_runs set due_at = null");
  await sql.rows("update p2p.settings set value = '2' where name = 'empty_market_every_hours'");
  assert.deepEqual(await planned(sql), { pending: [B, A] }, "two hours are over");
});

Deno.test("what is not due counts nowhere as planned, and is told from what was missed", async () => {
  await using sql = await fixture([A, B]);
  await visit(sql, { [A]: 0, [B]: 3 }, { hoursAgo: 30 });
  await visit(sql, { [A]: 0, [B]: 3 }, { hoursAgo: 1 });
  const { batch_id } = await sql.join({ due: new Date() });
  const batch = await sql.batch(batch_id);
  await sql.claim(batch_id);
  const { running } = await sql.value("select p2p.status_report(1)") as { running: Row };
  assert.deepEqual([running["markets_ended"], running["markets_expected"]], [0, 1]);
  await batch.page(B, [offer()]);
  await batch.load();
  assert.equal(
    await sql.value(
      "select metric_value::float from p2p.ops_data_quality where batch_id = $1 and metric_name = 'completeness'",
      batch.id,
    ),
    1,
  );
  assert.deepEqual(await sql.rows("select * from p2p.gaps"), []);
  assert.deepEqual(await sql.rows("select * from p2p.missing_markets"), []);
  assert.deepEqual(
    await sql.rows(
      "select planned::integer, complete::integer, complete_percent::float from p2p.coverage",
    ),
    [{ planned: 3, complete: 3, complete_percent: 100 }],
    "of two batches, the first of them more than a day ago",
  );
  assert.deepEqual(
    await sql.rows(
      "select market, outcome from p2p.ledger where batch_start_time = $1 order by 1",
      batch.start,
    ),
    [{ market: A, outcome: "not due" }, { market: B, outcome: "whole" }],
  );
  assert.equal(
    await sql.value(
      "select count(*)::integer from p2p.fact_market_depth where batch_id = $1",
      batch.id,
    ),
    1,
  );
  const before = await sql.dump();
  await batch.load();
  assert.deepEqual(await sql.dump(), before);
});

Deno.test("a batch of nothing but markets that are not due is complete", async () => {
  await using sql = await fixture([A]);
  await visit(sql, { [A]: 0 }, { hoursAgo: 30 });
  await visit(sql, { [A]: 0 }, { hoursAgo: 1 });
  const { batch_id, markets_expected } = await sql.join({ due: new Date() });
  assert.equal(markets_expected, 0);
  assert.equal(await sql.takeLoad(batch_id), "load");
  const run = await sql.work("select * from p2p.load_batch($1)", String(batch_id));
  assert.deepEqual([run["status"], run["error_summary"]], ["completed", null]);
});

Deno.test("a market with offers again, or of raised priority, is due in every batch", async () => {
  await using sql = await fixture([A, B]);
  await visit(sql, { [A]: 0, [B]: 0 }, { hoursAgo: 40 });
  await visit(sql, { [A]: 0, [B]: 1 }, { hoursAgo: 30 });
  await visit(sql, { [A]: 0, [B]: 0 }, { hoursAgo: 1 });
  await sql.rows(
    "update p2p.dim_markets m set priority = 1 from p2p.dim_cryptocurrencies c where c.crypto_id = m.crypto_id and c.symbol = 'A'",
  );
  assert.deepEqual(await planned(sql), { pending: [A, B] });
});

Deno.test("a market that failed keeps what its last visit found", async () => {
  await using sql = await fixture([A]);
  await visit(sql, { [A]: 70 }, { pages: 4, hoursAgo: 1 });
  const visits = () =>
    sql.rows("select pages, offers, empty_since, waiting_since from p2p.ops_market_visits");
  const found = [{ pages: 4, offers: 70, empty_since: null, waiting_since: null }];
  assert.deepEqual(await visits(), found);
  const { batch_id } = await sql.join({ due: new Date() });
  assert.equal(
    await sql.value(
      "select estimated_requests from p2p.ops_batch_markets where batch_id = $1",
      String(batch_id),
    ),
    4,
  );
  await sql.claim(batch_id);
  const batch = await sql.batch(batch_id);
  await batch.lose(A);
  await batch.load();
  assert.deepEqual(await visits(), found);
});

Deno.test("the plan fits the allowance; what does not is deferred, and fetched if time is left", async () => {
  // 10 requests a minute for a minute, 90 % of it: 9.
  await using sql = await fixture([A, B, C, D], { rate: 10 });
  await visit(sql, { [A]: 9, [B]: 8, [C]: 7, [D]: 6 }, { pages: 4 });
  const { batch_id } = await sql.join({ due: new Date(), deadlineSeconds: 60 });
  assert.deepEqual(await planOf(sql, batch_id), { pending: [A, B, C], deferred: [D] });
  assert.deepEqual(
    await sql.row(
      "select reason, finished_at, estimated_requests from p2p.ops_batch_markets where status = 'deferred'",
    ),
    { reason: "beyond the allowance of 9 requests", finished_at: null, estimated_requests: 4 },
  );
  const claimed = await sql.claim(batch_id);
  assert.deepEqual(claimed.map(({ name }) => name), [A, B, C, D]);
  const batch = await sql.batch(batch_id);
  for (const market of [A, B, C, D] as const) await batch.page(market, []);
  assert.equal((await batch.load())["status"], "completed");
});

Deno.test("what there was no time for keeps its reason, and is first in line", async () => {
  await using sql = await fixture([A, B, C, D], { rate: 10 });
  await visit(sql, { [A]: 9, [B]: 8, [C]: 7, [D]: 6 }, { pages: 4 });
  const { batch_id } = await sql.join({ due: new Date(), deadlineSeconds: 60 });
  await sql.claim(batch_id, { count: 3 });
  const batch = await sql.batch(batch_id);
  for (const market of [A, B] as const) await batch.page(market, []);
  await batch.endFetching("the deadline of 60 s came first");
  assert.deepEqual(
    [(await batch.ledger(C))["reason"], (await batch.ledger(D))["reason"]],
    ["the deadline of 60 s came first", "beyond the allowance of 9 requests"],
  );
  await batch.load();
  await sql.rows("update p2p.ops_batch_runs set due_at = null");
  assert.deepEqual((await planned(sql))["pending"]?.slice(0, 2), [C, D]);
});

Deno.test("allowance: what live workers may send until the deadline", async (t) => {
  const cases: Record<string, readonly [readonly Beat[], number]> = {
    "one worker": [[{ rate: 100 }], 720],
    "three workers": [
      [{ rate: 100 }, { worker: TWO, rate: 60 }, { worker: "three", rate: 40.5 }],
      1443,
    ],
    "of two the one whose breaker is closed": [[{ rate: 100 }, {
      worker: TWO,
      rate: 60,
      breaker: "open",
    }], 720],
    "both, where both are open": [[{ rate: 100, breaker: "open" }, {
      worker: TWO,
      rate: 60,
      breaker: "open",
    }], 1152],
    "half the time, where the exchange asked to wait for the other half": [[{
      rate: 100,
      pausedSeconds: 240,
    }], 360],
    "nothing at all is believed of nobody": [[{ rate: 100, pausedSeconds: 3600 }], 720],
  };
  for (const [name, [beats, expected]] of Object.entries(cases)) {
    await t.step(name, async () => {
      await using sql = await fixture([A, B]);
      for (const beat of beats) await sql.beat({ doing: "idle", ...beat });
      await sql.rows(
        "insert into p2p.ops_market_visits (market_id, pages) select market_id, 5000 from p2p.dim_markets",
      );
      assert.deepEqual(
        await planned(sql),
        { pending: [A], deferred: [B] },
        "the first is always begun",
      );
      const [, told] = /of (\d+) requests/.exec(
        String(
          await sql.value("select reason from p2p.ops_batch_markets where status = 'deferred'"),
        ),
      ) ?? [];
      assert.ok(Math.abs(Number(told) - expected) <= 1, `${told}`);
    });
  }
});

Deno.test("one exchange's allowance is not another's", async () => {
  await using sql = await fixture([A, B], { rate: 1 });
  await sql.rows(
    "insert into p2p.dim_exchanges (exchange_id, code, name) overriding system value values (2, 'bybit', 'Bybit') on conflict do nothing",
  );
  await sql.listMarkets([C, D], "bybit");
  await sql.beat({ worker: TWO, exchanges: ["bybit"], rate: 1000 });
  await sql.rows(
    "insert into p2p.ops_market_visits (market_id, pages) select market_id, 20 from p2p.dim_markets",
  );
  assert.deepEqual(await planned(sql), { pending: [A, C, D], deferred: [B] });
});

Deno.test("a plan that is made again adds what discovery has found, and changes nothing else", async () => {
  await using sql = await fixture([A, B]);
  const { batch_id } = await sql.join({ due: new Date() });
  const plan = async () =>
    (await sql.work("select p2p.plan_batch($1, 480) as planned", String(batch_id)))["planned"];
  const before = await sql.dump();
  assert.equal(await plan(), 2);
  assert.deepEqual(await sql.dump(), before);
  await sql.listMarkets([A, B, C]);
  assert.equal(await plan(), 3);
  assert.deepEqual(await planOf(sql, batch_id), { pending: [A, B, C] });
  assert.equal(await sql.value("select markets_expected from p2p.ops_batch_runs"), 3);
});

Deno.test("overload starves nobody: each market has its turn as soon as the allowance lets it", async () => {
  // 20 markets of one request each, room for 7 a batch; some are far busier than others.
  const markets = Array.from({ length: 20 }, (_, i): MarketName => `F${i}/USDT BUY`);
  await using sql = await fixture(markets, { rate: 7 / 0.9 });
  const waited = new Map(markets.map((market) => [String(market), 0]));
  let longest = 0;
  for (let round = 0; round < 12; round++) {
    const { batch_id } = await sql.join({ deadlineSeconds: 60 });
    const { pending = [] } = await planOf(sql, batch_id);
    assert.equal(pending.length, 7);
    const claimed = await sql.claim(batch_id, { count: 7 });
    const batch = await sql.batch(batch_id);
    for (const { name } of claimed) {
      await batch.page(name as MarketName, [offer({ id: name })], {
        total: Number(name.slice(1).split("/")[0]),
      });
    }
    await batch.endFetching();
    await batch.load();
    for (const [market, rounds] of waited) {
      const now = pending.includes(market) ? 0 : rounds + 1;
      waited.set(market, now);
      longest = Math.max(longest, now);
    }
  }
  assert.equal(longest, 2, "three batches take them all");
});
