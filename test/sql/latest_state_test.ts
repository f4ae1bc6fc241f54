import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";
const STATE =
  `select offer_external_id || ' ' || trade_type || ' ' || to_char(extraction_timestamp at time zone 'UTC', 'HH24:MI')
  from p2p.mv_latest_market_state order by 1`;

Deno.test("an offer is shown with everything that belongs to it", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", {
    [BUY]: [offer({
      id: "1",
      price: "36.50",
      amount: "7.0",
      nick: "Ana",
      methods: ["Zinli", "Zelle"],
      advertiser: { userType: "merchant" },
      adv: { minSingleTransAmount: "10.5" },
      promoted: true,
    })],
    [SELL]: [offer({ id: "2", methods: [], nick: null, user: "s2" })],
  });
  const [first, second] = await sql.rows(
    `select offer_external_id, crypto_symbol, fiat_code, trade_type, advertiser, is_merchant, price::text, available_amount::text,
       min_limit::text, max_limit::text, completion_rate::text, total_orders_count, to_jsonb(payment_methods) as payment_methods,
       is_promoted, exchange
     from p2p.mv_latest_market_state order by 1`,
  );
  assert.deepEqual(first, {
    offer_external_id: "1",
    crypto_symbol: "USDT",
    fiat_code: "VES",
    trade_type: "BUY",
    advertiser: "Ana",
    is_merchant: true,
    price: "36.50",
    available_amount: "7.0",
    min_limit: "10.5",
    max_limit: "4000",
    completion_rate: "98.800",
    total_orders_count: 4840,
    payment_methods: ["Name of Zinli", "Name of Zelle"],
    is_promoted: true,
    exchange: "binance",
  });
  assert.deepEqual([second?.["advertiser"], second?.["payment_methods"]], [null, []]);
});

Deno.test("each market shows its newest loaded snapshot, whichever batch that was", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", {
    [BUY]: [offer({ id: "1" })],
    [SELL]: [offer({ id: "2" })],
  });
  await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: [offer({ id: "3" }), offer({ id: "1" })] });
  assert.deepEqual(await sql.values(STATE), ["1 BUY 10:10", "2 SELL 10:00", "3 BUY 10:10"]);

  await sql.loadBatch("2026-03-01 09:00+00", { [BUY]: [offer({ id: "4" })], [SELL]: [] });
  assert.deepEqual(
    await sql.values(STATE),
    ["1 BUY 10:10", "2 SELL 10:00", "3 BUY 10:10"],
    "a late one",
  );

  const running = await sql.openBatch({ markets: [BUY, SELL], at: "2026-03-01 10:20+00" });
  await running.page(SELL, [offer({ id: "5" })]);
  assert.deepEqual(
    await sql.values(STATE),
    ["1 BUY 10:10", "2 SELL 10:00", "3 BUY 10:10"],
    "not loaded yet",
  );
  await running.lose(BUY);
  await running.load();
  assert.deepEqual(
    await sql.values(STATE),
    ["1 BUY 10:10", "3 BUY 10:10", "5 SELL 10:20"],
    "BUY failed",
  );
});

Deno.test("a market that was found empty shows nothing", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", {
    [BUY]: [offer({ id: "1" })],
    [SELL]: [offer({ id: "2" })],
  });
  await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: [], [SELL]: [offer({ id: "2" })] });
  assert.deepEqual(await sql.values(STATE), ["2 SELL 10:10"]);
});

Deno.test("an ad that moved to another market stands in its new place only once that is loaded", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer({ id: "1" })], "VES/BTC BUY": [] });
  await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: [], "VES/BTC BUY": [offer({ id: "1" })] });
  assert.deepEqual(
    await sql.rows("select offer_external_id as id, crypto_symbol from p2p.mv_latest_market_state"),
    [{ id: "1", crypto_symbol: "BTC" }],
  );
});
