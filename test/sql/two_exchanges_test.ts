// What one exchange's markets, errors, rules and keys are to those of another.
import assert from "node:assert/strict";
import { migrate } from "../../src/database/migrate.ts";
import { testDatabase } from "../support/database.ts";
import { formerRelease, installRelease } from "../support/releases.ts";
import { type BybitAd, bybitAd, openBoth } from "../support/sql_bybit.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const MARKET = "VES/USDT BUY";

Deno.test("two exchanges stand side by side: the same ad, person and market are two", async () => {
  await using sql = await SqlFixture.create();
  const { binance, bybit } = await openBoth(sql, [MARKET, "VES/USDT SELL"], "2026-03-01 10:00+00");
  await binance.page(MARKET, [offer({ id: "1", user: "s1", nick: "Ana", price: "40" })]);
  await binance.page("VES/USDT SELL", [offer({ id: "2", user: "s1", nick: "Ana", price: "30" })]);
  await bybit.page(MARKET, [
    bybitAd({ id: "1", userMaskId: "s1", nickName: "Bo", price: "38", payments: ["14"] }),
  ]);
  await bybit.lose("VES/USDT SELL");
  const loaded = await bybit.load();
  assert.deepEqual(
    [loaded["status"], loaded["total_offers_inserted"], loaded["total_errors"]],
    ["partial", 3, 1],
  );
  assert.deepEqual(
    await sql.rows(
      "select exchange, offer_external_id as id, advertiser, price::text from p2p.mv_latest_market_state order by exchange, id",
    ),
    [
      { exchange: "binance", id: "1", advertiser: "Ana", price: "40" },
      { exchange: "binance", id: "2", advertiser: "Ana", price: "30" },
      { exchange: "bybit", id: "1", advertiser: "Bo", price: "38" },
    ],
  );
  assert.deepEqual(
    await sql.rows(
      "select exchange, best_ask::text, best_bid::text from p2p.best_prices order by exchange",
    ),
    [
      { exchange: "binance", best_ask: "40", best_bid: "30" },
      { exchange: "bybit", best_ask: "38", best_bid: null },
    ],
  );
  for (const view of ["market_hourly", "market_daily", "v_price_history", "merchant_daily"]) {
    assert.deepEqual(
      await sql.values(`select exchange from p2p.${view} order by 1, trade_type`),
      ["binance", "binance", "bybit"],
      view,
    );
  }
  assert.deepEqual(
    await sql.rows(
      "select exchange, payment_method from p2p.prices_by_payment_method where market = 'VES/USDT BUY' order by 1",
    ),
    [
      { exchange: "binance", payment_method: "Name of Zelle" },
      { exchange: "bybit", payment_method: "14" },
    ],
  );
  assert.deepEqual(
    await sql.rows(
      "select exchange, planned::integer, complete::integer from p2p.coverage order by exchange",
    ),
    [
      { exchange: "binance", planned: 2, complete: 2 },
      { exchange: "bybit", planned: 2, complete: 1 },
    ],
  );
  assert.deepEqual(await sql.rows("select exchange, market from p2p.gaps"), [
    { exchange: "bybit", market: "VES/USDT SELL" },
  ]);
  assert.deepEqual(await sql.values("select exchange from p2p.missing_markets"), ["bybit"]);
  assert.deepEqual(
    await sql.value("select p2p.status_report(1) #> '{missing_markets,0}' ->> 'examples'"),
    "bybit VES/USDT SELL",
  );
  assert.deepEqual(await sql.values("select exchange from p2p.last_failures"), ["bybit"]);
  assert.deepEqual(
    await sql.values("select exchange from p2p.freshness order by 1"),
    ["binance", "bybit"],
  );
  assert.deepEqual(
    await sql.rows(
      "select exchange, parser from p2p.offer_origin where offer_external_id = '1' order by 1",
    ),
    [
      { exchange: "binance", parser: "binance_search_v1" },
      { exchange: "bybit", parser: "bybit_online_v1" },
    ],
  );
  assert.deepEqual(
    await sql.values("select exchange from p2p.depth_origin order by 1, trade_type"),
    ["binance", "binance", "bybit"],
  );

  const before = await sql.dump();
  await bybit.load();
  assert.deepEqual(await sql.dump(), before, "a second load changes no row");
});

Deno.test("an error is resolved by its own exchange only", async () => {
  await using sql = await SqlFixture.create();
  const resolved = () => sql.values("select is_resolved from p2p.ops_extraction_errors");
  const round = async (at: string, isLost: boolean) => {
    const { binance, bybit } = await openBoth(sql, [MARKET], at);
    await binance.page(MARKET, []);
    if (isLost) await bybit.lose(MARKET);
    else await bybit.page(MARKET, []);
    await bybit.load();
  };
  await round("2026-03-01 10:00+00", true);
  await sql.rows("update p2p.ops_extraction_errors set error_timestamp = '2026-03-01 10:00:30+00'");
  await sql.loadBatch("2026-03-01 10:10+00", { [MARKET]: [] });
  assert.deepEqual(await resolved(), [false], "Binance's market of the same name was whole");
  await round("2026-03-01 10:20+00", false);
  assert.deepEqual(await resolved(), [true]);
});

Deno.test("rules judge each exchange by itself, and say which", async () => {
  await using sql = await SqlFixture.create();
  const many = (ad: () => unknown, count: number) => Array.from({ length: count }, ad);
  const { binance, bybit } = await openBoth(sql, [MARKET]);
  await binance.page(MARKET, many(() => offer(), 200));
  await bybit.page(MARKET, many(() => bybitAd({ price: "no" }), 4));
  await bybit.load();
  const checks = await sql.rows(
    "select metric_name, metric_value::float as value, passed, details -> 'samples' as samples from p2p.ops_data_quality where batch_id = $1",
    bybit.id,
  );
  const of = (name: string) => checks.find((row) => row["metric_name"] === name) ?? {};
  assert.deepEqual([of("rejected_share")["value"], of("rejected_share")["passed"]], [1, false]);
  assert.deepEqual(
    (of("rejected_share")["samples"] as BybitAd[]).map(({ exchange, items }) => [exchange, items]),
    [["bybit", 4]],
  );
  assert.equal(of("needed_keys")["value"], 0, "the keys are there");
});

Deno.test("keys of both exchanges are watched, however many pages the other one has", async () => {
  await using sql = await SqlFixture.create();
  const { binance, bybit } = await openBoth(sql, [MARKET]);
  for (let page = 1; page <= 60; page++) {
    await binance.page(MARKET, [offer()], { page, last: page === 60, total: 60 });
  }
  const { price: _, ...priceless } = bybitAd();
  await bybit.page(MARKET, [priceless, priceless, priceless]);
  await bybit.load();
  assert.deepEqual(
    await sql.rows("select parser, pages from p2p.ops_shape_watches order by parser"),
    [{ parser: "binance_search_v1", pages: 25 }, { parser: "bybit_online_v1", pages: 1 }],
  );
  assert.deepEqual(
    await sql.values(
      "select sample ->> 'path' from p2p.ops_data_quality q cross join jsonb_array_elements(q.details -> 'samples') as sample where q.metric_name = 'needed_keys' and q.batch_id = $1",
      bybit.id,
    ),
    ["result.items[].price"],
  );
});

Deno.test("the second exchange finds its place among rows of a DBA", async (t) => {
  const release = formerRelease("0.1.0");
  for (
    const [name, rows, expected] of [
      ["numbers that the sequence does not know", "(2, 'okx', 'OKX'), (7, 'htx', 'HTX')", [
        "1 binance Binance P2P",
        "2 okx OKX",
        "7 htx HTX",
        "8 bybit Bybit P2P",
      ]],
      ["it is there already", "(5, 'bybit', 'our Bybit')", [
        "1 binance Binance P2P",
        "5 bybit our Bybit",
      ]],
    ] as const
  ) {
    await t.step(name, async () => {
      await using old = await testDatabase("empty");
      await installRelease(old.database, release);
      await old.database.runScript(release.batches, 60);
      await old.database.runScript(
        `insert into p2p.dim_exchanges (exchange_id, code, name) values ${rows}`,
        60,
      );
      await migrate(old.database);
      await using sql = SqlFixture.connect(old.url);
      assert.deepEqual(
        await sql.values(
          "select concat_ws(' ', exchange_id, code, name) from p2p.dim_exchanges order by exchange_id",
        ),
        expected,
      );
      assert.deepEqual(
        await sql.values("select distinct exchange_id from p2p.ops_extraction_errors"),
        [1],
        "whatever was lost before was Binance's",
      );
    });
  }
});
