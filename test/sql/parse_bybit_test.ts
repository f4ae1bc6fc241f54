import assert from "node:assert/strict";
import type { Row } from "../../src/database/connection.ts";
import { migrate } from "../../src/database/migrate.ts";
import { testDatabase } from "../support/database.ts";
import { skipLoudly } from "../support/embedded.ts";
import { formerRelease, installRelease } from "../support/releases.ts";
import { type BybitAd, bybitAd, bybitAnswer, openBoth } from "../support/sql_bybit.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const MARKET = "VES/USDT BUY";
const CAPTURES = Deno.env.get("CAPTURES_DIR") ??
  new URL("../../../shared/captures", import.meta.url).pathname;

/** A JSON number that JavaScript would not keep as it is written. */
function raw(digits: string): string {
  return `raw ${digits}`;
}

const LONG = "9".repeat(61);

async function parse(sql: SqlFixture, text: string): Promise<Row[]> {
  const { binance, bybit } = await openBoth(sql, [MARKET]);
  await binance.page(MARKET, []);
  assert.equal(
    await bybit.body(MARKET, text.replaceAll(/"raw ([^"]+)"/g, "$1"), {
      parser: "bybit_online_v1",
    }),
    "stored",
  );
  // Only numbers as text show all their digits.
  const rows = await sql.values(
    `select (select jsonb_object_agg(e.key, case jsonb_typeof(e.value) when 'number' then to_jsonb(e.value::text) else e.value end)
       from jsonb_each(to_jsonb(p)) e)
     from p2p.parse_bybit_online_v1($1) p order by p.item_number`,
    bybit.id,
  );
  await bybit.load();
  return rows as Row[];
}

const CASES: readonly (readonly [string, unknown, Row])[] = [
  ["an ad as it comes", bybitAd({ id: "1899658238346616832" }), {
    offer_external_id: "1899658238346616832",
    asset: "USDT",
    fiat: "VES",
    is_own_side: true,
    is_promoted: null,
    is_available: true,
    price: "36.50",
    available_amount: "100.00",
    tradable_quantity: "100.00",
    min_limit: "10",
    max_limit: "4000",
    unreadable: [],
    price_float_rate: null,
    completion_rate: "98",
    positive_rate: null,
    total_orders_count: "141",
    payment_time_limit_minutes: "15",
    terms_conditions: null,
    advertiser_id: "s1",
    nickname: "nick",
    is_merchant: false,
    user_type: "PERSONAL",
    user_grade: null,
    user_identity: "GA",
    vip_level: null,
    registration_days: null,
    payment_methods: [["14", null], ["377", null]],
  }],
  ["numbers", bybitAd({ price: raw("36.50"), lastQuantity: raw("7"), minAmount: raw("1E-8") }), {
    price: "36.50",
    available_amount: "7",
    min_limit: "0.00000001",
  }],
  ["30 digits after the point", bybitAd({ price: "0.123456789012345678901234567891" }), {
    price: "0.123456789012345678901234567891",
  }],
  ["id of 20 digits, as number", bybitAd({ id: raw("18446744073709551617") }), {
    offer_external_id: "18446744073709551617",
  }],
  [
    "unreadable numbers",
    bybitAd({ price: "1,5", lastQuantity: "NaN", minAmount: "", maxAmount: " 1" }),
    {
      price: null,
      available_amount: null,
      tradable_quantity: null,
      min_limit: null,
      max_limit: null,
      unreadable: ["price", "available_amount", "min_limit", "max_limit"],
    },
  ],
  ["too many digits", bybitAd({ price: LONG, lastQuantity: raw("1e400") }), {
    price: null,
    unreadable: ["price", "available_amount"],
  }],
  ["null and missing", bybitAd({ price: null, lastQuantity: undefined, id: undefined }), {
    price: null,
    available_amount: null,
    offer_external_id: null,
    unreadable: [],
  }],
  ["a rate as text", bybitAd({ recentExecuteRate: "99.5", recentOrderNum: "12" }), {
    completion_rate: "99.5",
    total_orders_count: "12",
  }],
  ["no rates", bybitAd({ recentExecuteRate: null, recentOrderNum: "many" }), {
    completion_rate: null,
    total_orders_count: null,
  }],
  ["a verified advertiser", bybitAd({ authTag: ["VA"], userType: "ORG" }), {
    is_merchant: true,
    user_identity: "VA",
    user_type: "ORG",
  }],
  ["a block advertiser", bybitAd({ authTag: ["VA", "BA", "VA"] }), {
    is_merchant: true,
    user_identity: "BA,VA",
  }],
  ["tags in another order", bybitAd({ authTag: ["BA", "VA"] }), { user_identity: "BA,VA" }],
  ["no tag", bybitAd({ authTag: [] }), { is_merchant: false, user_identity: "" }],
  ["tags are null", bybitAd({ authTag: null }), { is_merchant: null, user_identity: null }],
  ["tags are no list", bybitAd({ authTag: "VA" }), { is_merchant: null, user_identity: null }],
  ["with a key: userId", bybitAd({ userMaskId: undefined, userId: "290118" }), {
    advertiser_id: "290118",
  }],
  ["userId as number", bybitAd({ userMaskId: "", userId: 290118 }), { advertiser_id: "290118" }],
  ["nobody", bybitAd({ userMaskId: undefined, userId: "0" }), { advertiser_id: null }],
  ["nobody, as number", bybitAd({ userMaskId: null, userId: 0 }), { advertiser_id: null }],
  ["both", bybitAd({ userMaskId: "s2", userId: "290118" }), { advertiser_id: "s2" }],
  ["an ad that buys", bybitAd({ side: 0 }), { is_own_side: false }],
  ["an ad that sells, as text", bybitAd({ side: "1" }), { is_own_side: true }],
  ["no side", bybitAd({ side: null }), { is_own_side: null }],
  ["offline", bybitAd({ status: 20 }), { is_available: false }],
  ["online, as text", bybitAd({ status: "10" }), { is_available: true }],
  ["online or not", bybitAd({ status: undefined }), { is_available: null }],
  ["floating price", bybitAd({ priceType: 1, premium: "101.50", remark: "hola" }), {
    price_float_rate: "101.50",
    terms_conditions: "hola",
  }],
  ["a premium of a fixed price", bybitAd({ priceType: 0, premium: "101.5" }), {
    price_float_rate: null,
  }],
  ["payments as numbers, one twice", bybitAd({ payments: [90, "14", "90"] }), {
    payment_methods: [["90", null], ["14", null]],
  }],
  ["payments of odd forms", bybitAd({ payments: [null, "", { id: 14 }, [], true, "14"] }), {
    payment_methods: [["14", null]],
  }],
  ["payments are null", bybitAd({ payments: null }), { payment_methods: [] }],
  ["payments are missing", bybitAd({ payments: undefined }), { payment_methods: [] }],
  ["payments are no list", bybitAd({ payments: "14" }), { payment_methods: [] }],
  ["unknown keys", bybitAd({ newKey: { deep: [1] } }), { price: "36.50" }],
  ["null", null, { offer_external_id: null, payment_methods: [] }],
  ["a string", "ad", { offer_external_id: null }],
  ["a number", 7, { offer_external_id: null }],
  ["a list", [bybitAd()], { offer_external_id: null }],
];

Deno.test("parse_bybit_online_v1 reads", async (t) => {
  await using sql = await SqlFixture.create();
  const parsed = await parse(sql, bybitAnswer(MARKET, CASES.map(([, item]) => item)));
  assert.equal(parsed.length, CASES.length);
  for (const [index, [name, , expected]] of CASES.entries()) {
    await t.step(name, () => {
      const row = parsed[index] ?? {};
      assert.equal(row["item_number"], String(index));
      assert.deepEqual(row["item_path"], ["result", "items", String(index)]);
      const found = Object.fromEntries(Object.keys(expected).map((key) => [key, row[key]]));
      assert.deepEqual(found, expected);
    });
  }
});

Deno.test("pages without a list of ads have none", async () => {
  await using sql = await SqlFixture.create();
  for (
    const text of [
      "null",
      "[]",
      "{}",
      '{"result": null}',
      '{"result": []}',
      '{"result": {"items": null}}',
      '{"result": {"items": {"id": 1}}}',
      '{"data": [{"adv": {"advNo": "1"}}]}',
    ]
  ) {
    assert.deepEqual(await parse(sql, text), [], text);
  }
});

Deno.test("what cannot be an offer is rejected, with the JSON as it came", async () => {
  await using sql = await SqlFixture.create();
  await parse(
    sql,
    bybitAnswer(MARKET, [
      bybitAd({ userMaskId: "" }),
      bybitAd({ price: "0" }),
      bybitAd({ tokenId: "BTC" }),
      bybitAd({ lastQuantity: "1" }),
    ]),
  );
  assert.deepEqual(
    await sql.rows(
      "select item_number, reason, payload ->> 'price' as price, exchange from p2p.offers_in_quarantine order by 1",
    ),
    [
      { item_number: 0, reason: "no advertiser", price: "36.50", exchange: "bybit" },
      { item_number: 1, reason: "price is not positive", price: "0", exchange: "bybit" },
      { item_number: 2, reason: "belongs to another market", price: "36.50", exchange: "bybit" },
    ],
  );
});

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

Deno.test("the documented sample and the recorded ads are read to the digit", async () => {
  const file = (name: string) => Deno.readTextFile(`${CAPTURES}/other/${name}`);
  const sample = await file("bybit_v5_item_online_doc_sample.json").catch(() => undefined);
  if (sample === undefined) {
    return skipLoudly(`the recordings are not in ${CAPTURES}; set CAPTURES_DIR`);
  }
  for (const text of [sample, await file("trimmed/bybit_ads.json")]) {
    await using sql = await SqlFixture.create();
    const ads = JSON.parse(text).result.items as BybitAd[];
    const parsed = await parse(sql, text);
    assert.deepEqual(
      parsed.map((row) => [
        row["offer_external_id"],
        row["price"],
        row["available_amount"],
        row["min_limit"],
        row["max_limit"],
        row["advertiser_id"],
        row["nickname"],
        row["total_orders_count"],
        row["completion_rate"],
        (row["payment_methods"] as string[][]).map(([code]) => code),
      ]),
      ads.map((ad) => [
        ad["id"] ?? null,
        ad["price"],
        ad["lastQuantity"],
        ad["minAmount"],
        ad["maxAmount"],
        ad["userId"] ?? null,
        ad["nickName"],
        String(ad["recentOrderNum"]),
        String(ad["recentExecuteRate"]),
        ad["payments"],
      ]),
    );
  }
});
