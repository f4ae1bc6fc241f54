import assert from "node:assert/strict";
import type { Row } from "../../src/database/connection.ts";
import { bookNumbers, DIGITS, type Quote, spreadNumbers } from "../support/sql_book.ts";
import { type MarketName, SqlFixture } from "../support/sql_fixture.ts";
import { type Item, offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";

const rounded = (column: string, expression = column): string =>
  `case when ${expression} is not null then to_char(round(${expression}, ${DIGITS}), 'FM99999999999999990.0000000000') end as ${column}`;
const BOOK = `select total_offers_count::text, ${
  [
    "total_available_volume",
    "weighted_avg_price",
    "median_price",
    "min_price",
    "max_price",
    "top10_total_volume",
    "top10_avg_price",
    "best_bid",
    "best_ask",
    "spread_absolute",
    "spread_percentage",
  ].map((column) => rounded(column)).join(", ")
}, ${rounded("variance", "price_std_dev * price_std_dev")}
  from p2p.fact_market_depth d
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  where f.currency_code || '/' || c.symbol || ' ' || d.trade_type = $1`;

const items = (quotes: readonly Quote[]): Item[] => quotes.map((quote) => offer({ ...quote }));
const quotes = (...pairs: readonly string[]): Quote[] =>
  pairs.map((pair) => {
    const [price = "", amount = ""] = pair.split("×");
    return { price, amount };
  });

/** Prices with many ties, none in order. */
const LONG: readonly Quote[] = Array.from({ length: 23 }, (_, i) => ({
  price: `${36 + (i * 7 % 5)}.${(i * 13) % 3}0`,
  amount: `${(i * 37) % 101}.${i}1`,
}));

const BOOKS: Readonly<Record<string, readonly [buy: readonly Quote[], sell: readonly Quote[]]>> = {
  "one offer each": [quotes("36.5×100"), quotes("36.1×20")],
  "odd and even": [quotes("36×1", "38×5", "37×2"), quotes("35×1", "34×1", "33.5×9", "30×1")],
  "books that cross": [quotes("36×1", "37×1"), quotes("39.5×1", "30×2")],
  "nothing available": [quotes("36×0", "37×0.00"), quotes("35×0")],
  "some not available": [quotes("36×0", "37×10"), quotes("35×0", "34×0.00000001")],
  "one side is empty": [quotes("36×1"), []],
  "both sides are empty": [[], []],
  "exactly ten, and eleven": [LONG.slice(0, 10), LONG.slice(0, 11)],
  "ties at the tenth place": [
    Array.from({ length: 15 }, (_, i) => ({ price: i < 8 ? "36" : "37", amount: `${i + 1}` })),
    Array.from({ length: 15 }, (_, i) => ({ price: i < 8 ? "37" : "36", amount: `${15 - i}` })),
  ],
  "many": [LONG, LONG.map(({ price, amount }) => ({ price: `3${price}`, amount }))],
  "far digits": [
    quotes("0.000000123456789×123456789.12345678", "0.000000123456799×0.00000001"),
    quotes("123456789012.5×1", "123456789012.25×3"),
  ],
};

Deno.test("load_depth computes each book", async (t) => {
  await using sql = await SqlFixture.create();
  for (const [name, [buy, sell]] of Object.entries(BOOKS)) {
    await t.step(name, async () => {
      await sql.loadBatch(undefined, { [BUY]: items(buy), [SELL]: items(sell) });
      const spread = spreadNumbers(buy, sell);
      const newest = " order by extraction_timestamp desc limit 1";
      assert.deepEqual(await sql.row(BOOK + newest, BUY), {
        ...bookNumbers("BUY", buy),
        ...spread,
      });
      assert.deepEqual(await sql.row(BOOK + newest, SELL), {
        ...bookNumbers("SELL", sell),
        ...spread,
      });
    });
  }
});

Deno.test("books do not mix", async () => {
  await using sql = await SqlFixture.create();
  const books: Record<MarketName, Quote[]> = {
    [BUY]: quotes("36×1"),
    "VES/BTC BUY": quotes("99×2"),
    "ARS/USDT BUY": quotes("77×3"),
    "ARS/USDT SELL": quotes("70×4"),
  };
  await sql.loadBatch(
    undefined,
    Object.fromEntries(
      Object.entries(books).map(([market, each]) => [market, items(each)]),
    ),
  );
  for (const [market, each] of Object.entries(books)) {
    const side = market.endsWith("BUY") ? "BUY" : "SELL";
    const spread = market.startsWith("ARS")
      ? spreadNumbers(quotes("77×3"), quotes("70×4"))
      : spreadNumbers(each, []);
    assert.deepEqual(
      await sql.row(BOOK, market),
      { ...bookNumbers(side, each), ...spread },
      market,
    );
  }
});

const ROWS = `select c.symbol, d.trade_type, d.is_complete, d.total_offers_count
  from p2p.fact_market_depth d join p2p.dim_cryptocurrencies c using (crypto_id) order by 1, 2`;

Deno.test("each book that was fetched has a row, whole or not; a lost one has none", async () => {
  await using sql = await SqlFixture.create();
  const markets = ["VES/A BUY", "VES/B BUY", "VES/C BUY", "VES/D BUY", "VES/E BUY"] as const;
  const batch = await sql.openBatch({ markets });
  await batch.page("VES/A BUY", [offer()]);
  await batch.page("VES/B BUY", []);
  await batch.page("VES/C BUY", [offer()], { last: false });
  await batch.lose("VES/C BUY", { page: 2 });
  await batch.lose("VES/D BUY");
  await batch.endFetching();
  await batch.load();
  assert.deepEqual(await sql.rows(ROWS), [
    { symbol: "A", trade_type: "BUY", is_complete: true, total_offers_count: 1 },
    { symbol: "B", trade_type: "BUY", is_complete: true, total_offers_count: 0 },
    { symbol: "C", trade_type: "BUY", is_complete: false, total_offers_count: 1 },
  ]);
});

Deno.test("a book whose offers change is brought up to date, and taken away with its market", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, {
    [BUY]: items(quotes("36×1", "40×1")),
    [SELL]: [],
  });
  const read = async (): Promise<Row> =>
    await sql.row(
      "select depth_id, total_offers_count, median_price::float from p2p.fact_market_depth where trade_type = 'BUY'",
    );
  const { depth_id } = await read();
  await sql.rows(
    `update p2p.stg_responses set body = jsonb_set(body, '{data}', jsonb_build_array(body -> 'data' -> 1))
     where market_id = $1`,
    batch.market(BUY),
  );
  await batch.load();
  assert.deepEqual(await read(), { depth_id, total_offers_count: 1, median_price: 40 });

  await sql.rows(
    "update p2p.ops_batch_markets set status = 'incomplete' where market_id = $1",
    batch.market(BUY),
  );
  await batch.load();
  assert.deepEqual((await sql.rows(ROWS)).map((row) => row["is_complete"]), [false, true]);

  await sql.rows("delete from p2p.stg_responses where market_id = $1", batch.market(BUY));
  await sql.rows(
    "update p2p.ops_batch_markets set status = 'failed', pages_stored = 0 where market_id = $1",
    batch.market(BUY),
  );
  await batch.load();
  assert.deepEqual((await sql.rows(ROWS)).map((row) => row["trade_type"]), ["SELL"]);
});
