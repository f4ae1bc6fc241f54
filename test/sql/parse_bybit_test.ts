import assert from "node:assert/strict";
import type { Row } from "../../src/database/connection.ts";
import { skipLoudly } from "../support/embedded.ts";
import { type BybitAd, bybitAd, bybitAnswer, openBoth } from "../support/sql_bybit.ts";
import { SqlFixture } from "../support/sql_fixture.ts";

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
