import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";
import { type Item, offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";

const quotes = (...pairs: readonly string[]): Item[] =>
  pairs.map((pair) => {
    const [price = "", amount = ""] = pair.split("×");
    return offer({ price, amount });
  });

/** Three snapshots in one hour (the second one empty), one in the next, one on the next day. */
async function fill(sql: SqlFixture): Promise<void> {
  await sql.loadBatch("2026-03-01 10:20+00", {
    [BUY]: quotes("12×10"),
    [SELL]: quotes("8×1", "6×1"),
  });
  await sql.loadBatch("2026-03-01 10:00+00", {
    [BUY]: quotes("10×30", "20×10"),
    [SELL]: quotes("9×5"),
  });
  await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: [] });
  await sql.loadBatch("2026-03-01 11:00+00", { [BUY]: quotes("40×0") });
  await sql.loadBatch("2026-03-02 00:00+00", { [BUY]: quotes("1×1") });
}

const numbers = (columns: string): string =>
  columns.split(" ").map((column) => `trim_scale(round(${column}, 6))::text as ${column}`).join(
    ", ",
  );

Deno.test("v_price_history", async () => {
  await using sql = await SqlFixture.create();
  await fill(sql);
  const rows = await sql.rows(
    `select trade_type || to_char(time_bucket at time zone 'UTC', ' DD HH24') as book, ${
      numbers("avg_price min_price max_price price_volatility total_volume")
    }, offer_count, exchange || crypto_symbol || fiat_code as market
     from p2p.v_price_history order by trade_type, time_bucket`,
  );
  const market = "binanceUSDTVES";
  assert.deepEqual(rows, [
    // (10 × 30 + 20 × 10 + 12 × 10) ÷ 50; medians 15 and 12; volumes 40, 0 and 10.
    {
      book: "BUY 01 10",
      avg_price: "12.4",
      min_price: "10",
      max_price: "20",
      price_volatility: "2.12132",
      total_volume: "16.666667",
      offer_count: 1,
      market,
    },
    {
      book: "BUY 01 11",
      avg_price: null,
      min_price: "40",
      max_price: "40",
      price_volatility: null,
      total_volume: "0",
      offer_count: 1,
      market,
    },
    {
      book: "BUY 02 00",
      avg_price: "1",
      min_price: "1",
      max_price: "1",
      price_volatility: null,
      total_volume: "1",
      offer_count: 1,
      market,
    },
    // (9 × 5 + 8 + 6) ÷ 7; medians 9 and 7.
    {
      book: "SELL 01 10",
      avg_price: "8.428571",
      min_price: "6",
      max_price: "9",
      price_volatility: "1.414214",
      total_volume: "3.5",
      offer_count: 2,
      market,
    },
  ]);
});

const OHLC =
  `trade_type || to_char(time_bucket at time zone 'UTC', ' DD HH24') as book, snapshots::integer,
  concat_ws(' ', best_open, best_high, best_low, best_close) as best,
  concat_ws(' ', trim_scale(median_open), trim_scale(median_high), trim_scale(median_low), trim_scale(median_close)) as median,
  ${numbers("weighted_avg_price avg_spread_percentage avg_volume avg_offers")}, max_offers`;

Deno.test("market_hourly", async () => {
  await using sql = await SqlFixture.create();
  await fill(sql);
  const rows = await sql.rows(
    `select ${OHLC} from p2p.market_hourly order by trade_type, time_bucket`,
  );
  assert.deepEqual(rows[0], {
    book: "BUY 01 10",
    snapshots: 3,
    // 10, none, 12; the empty one counts nowhere but in the averages of volume and offers.
    best: "10 12 10 12",
    median: "15 15 12 12",
    weighted_avg_price: "12.4",
    // (10 − 9) ÷ 9.5 and (12 − 8) ÷ 10
    avg_spread_percentage: "25.263158",
    avg_volume: "16.666667",
    avg_offers: "1",
    max_offers: 2,
  });
  assert.deepEqual(rows.at(-1), {
    book: "SELL 01 10",
    snapshots: 2,
    // The best price for who sells is the highest: 9, then 8.
    best: "9 9 8 8",
    median: "9 9 7 7",
    weighted_avg_price: "8.428571",
    avg_spread_percentage: "25.263158",
    avg_volume: "3.5",
    avg_offers: "1.5",
    max_offers: 2,
  });
  assert.equal(rows.length, 4);
});

Deno.test("market_daily", async () => {
  await using sql = await SqlFixture.create();
  await fill(sql);
  const rows = await sql.rows(
    `select ${OHLC} from p2p.market_daily order by trade_type, time_bucket`,
  );
  assert.deepEqual(rows[0], {
    book: "BUY 01 00",
    snapshots: 4,
    best: "10 40 10 40",
    median: "15 40 12 40",
    weighted_avg_price: "12.4",
    avg_spread_percentage: "25.263158",
    avg_volume: "12.5",
    avg_offers: "1",
    max_offers: 2,
  });
  assert.deepEqual(rows.map((row) => row["book"]), ["BUY 01 00", "BUY 02 00", "SELL 01 00"]);
});

Deno.test("a market whose books were all empty has no prices", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [] });
  const [row] = await sql.rows(`select ${OHLC} from p2p.market_daily`);
  assert.deepEqual([row?.["best"], row?.["median"], row?.["avg_offers"]], ["", "", "0"]);
});

Deno.test("days and hours are those of UTC, whatever the session's time zone", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 23:50+00", { [BUY]: [offer()] });
  await sql.rows(
    "alter database " + new URL(sql.url).pathname.slice(1) + " set timezone = 'Asia/Kathmandu'",
  );
  await using own = SqlFixture.connect(sql.url);
  for (
    const [view, bucket] of [["market_daily", "00:00"], ["market_hourly", "23:00"], [
      "v_price_history",
      "23:00",
    ], ["merchant_daily", "00:00"]]
  ) {
    assert.equal(
      await own.value(`select time_bucket = '2026-03-01 ${bucket}+00' from p2p.${view}`),
      true,
      view,
    );
  }
});

Deno.test("merchant_daily", async () => {
  await using sql = await SqlFixture.create();
  const of = (amount: string, nick: string, orders: number): Item =>
    offer({
      amount,
      user: "s1",
      nick,
      advertiser: { monthOrderCount: orders, userType: "merchant" },
    });
  await sql.loadBatch("2026-03-01 10:00+00", {
    [BUY]: [of("10", "old", 5), of("20", "old", 5), offer({ user: "s2", amount: "1" })],
    [SELL]: [of("7", "old", 5)],
  });
  await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: [offer({ user: "s2", amount: "4" })] });
  await sql.loadBatch("2026-03-01 10:20+00", { [BUY]: [of("60", "new", 9)] });
  await sql.loadBatch("2026-03-02 10:00+00", { [BUY]: [of("1", "new", 8)] });
  assert.deepEqual(
    await sql.rows(
      `select advertiser_id || ' ' || advertiser || ' ' || is_merchant as who, trade_type || to_char(time_bucket at time zone 'UTC', ' DD') as book,
         snapshots::integer, ${
        numbers("avg_offers avg_volume")
      }, orders_30_days, exchange || crypto_symbol || fiat_code as market
       from p2p.merchant_daily order by who, trade_type, time_bucket`,
    ),
    [
      // Two snapshots: 2 offers of 30 together, then 1 of 60; under the name they bear now.
      ["s1 new true", "BUY 01", 2, "1.5", "45", 9],
      ["s1 new true", "BUY 02", 1, "1", "1", 8],
      ["s1 new true", "SELL 01", 1, "1", "7", 5],
      ["s2 nick of s2 false", "BUY 01", 2, "1", "2.5", 4840],
    ].map(([who, book, snapshots, avg_offers, avg_volume, orders_30_days]) => ({
      who,
      book,
      snapshots,
      avg_offers,
      avg_volume,
      orders_30_days,
      market: "binanceUSDTVES",
    })),
  );
});
