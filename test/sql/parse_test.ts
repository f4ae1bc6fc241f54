import assert from "node:assert/strict";
import type { Row } from "../../src/database/connection.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { type Item, offer } from "../support/sql_offer.ts";

const MARKET = "VES/USDT BUY";

/** A JSON number that JavaScript would not keep as it is written. */
class Raw {
  constructor(readonly digits: string) {}
}

function raw(digits: string): Raw {
  return new Raw(digits);
}

/** JSON text in which `raw` values are numbers with just these digits. */
function write(items: readonly unknown[]): string {
  const text = JSON.stringify(
    { data: items },
    (_, value) => value instanceof Raw ? `raw ${value.digits}` : value,
  );
  return text.replaceAll(/"raw ([^"]+)"/g, "$1");
}

async function parse(sql: SqlFixture, text: string): Promise<Row[]> {
  const batch = await sql.openBatch({ markets: [MARKET] });
  assert.equal(await batch.body(MARKET, text), "stored");
  // Only numbers as text show all their digits.
  const rows = await sql.values(
    `select (select jsonb_object_agg(e.key, case jsonb_typeof(e.value) when 'number' then to_jsonb(e.value::text) else e.value end)
       from jsonb_each(to_jsonb(p)) e)
     from p2p.parse_binance_search_v1($1) p order by p.item_number`,
    batch.id,
  );
  await batch.load();
  return rows as Row[];
}

const adv = (values: Record<string, unknown>): Item => offer({ adv: values });
const advertiser = (values: Record<string, unknown>): Item => offer({ advertiser: values });
const LONG = "9".repeat(61);

/** So many days and a half, so that no test comes too late for it. */
const daysAgo = (days: number): number =>
  Date.now() - (days + (days < 0 ? -0.5 : 0.5)) * 86_400_000;

/** An item, and what the parser is to make of some of its fields. */
type Case = readonly [name: string, item: unknown, parsed: Row];

const CASES: readonly Case[] = [
  ["strings", adv({ price: "36.50", surplusAmount: "0.10" }), {
    price: "36.50",
    available_amount: "0.10",
    unreadable: [],
  }],
  ["numbers", adv({ price: raw("36.50"), surplusAmount: raw("7") }), {
    price: "36.50",
    available_amount: "7",
  }],
  [
    "exponents",
    adv({ price: "1E-8", surplusAmount: "2.5e+3", minSingleTransAmount: raw("1E-8") }),
    {
      price: "0.00000001",
      available_amount: "2500",
      min_limit: "0.00000001",
    },
  ],
  ["30 digits after the point", adv({ price: "0.123456789012345678901234567891" }), {
    price: "0.123456789012345678901234567891",
  }],
  [
    "30 digits after the point, as number",
    adv({ price: raw("1.123456789012345678901234567891") }),
    {
      price: "1.123456789012345678901234567891",
    },
  ],
  ["id of 20 digits", adv({ advNo: "18446744073709551616" }), {
    offer_external_id: "18446744073709551616",
  }],
  ["id of 20 digits, as number", adv({ advNo: raw("18446744073709551617") }), {
    offer_external_id: "18446744073709551617",
  }],
  [
    "unreadable numbers",
    adv({
      price: "1,5",
      surplusAmount: "NaN",
      minSingleTransAmount: "",
      maxSingleTransAmount: " 1",
      tradableQuantity: "x",
    }),
    {
      price: null,
      available_amount: null,
      min_limit: null,
      max_limit: null,
      tradable_quantity: null,
      unreadable: ["price", "available_amount", "min_limit", "max_limit"],
    },
  ],
  // All else is a plain number: joined to it, these would pass.
  ...["1,2", "1}", "{1", "NULL", '1","2', "1|2", ""].map((price): Case => [
    `one odd price: ${price}`,
    adv({ price, surplusAmount: "5" }),
    { price: null, available_amount: "5", unreadable: ["price"] },
  ]),
  [
    "numbers beside one that is odd",
    adv({ price: "-1e2", surplusAmount: "5", payTimeLimit: "1.5" }),
    {
      price: "-100",
      available_amount: "5",
      payment_time_limit_minutes: null,
      unreadable: [],
    },
  ],
  [
    "no whole numbers, and one too long",
    adv({ payTimeLimit: "1.5", monthOrderCount: 1234567890 }),
    {
      payment_time_limit_minutes: null,
      unreadable: [],
    },
  ],
  ["other types", adv({ price: true, surplusAmount: {}, minSingleTransAmount: [1] }), {
    price: null,
    unreadable: ["price", "available_amount", "min_limit"],
  }],
  ["too many digits", adv({ price: LONG, surplusAmount: raw("1e400") }), {
    price: null,
    available_amount: null,
    unreadable: ["price", "available_amount"],
  }],
  ["null and missing", adv({ price: null, surplusAmount: undefined, advNo: undefined }), {
    price: null,
    available_amount: null,
    offer_external_id: null,
    unreadable: [],
  }],
  ["rates are percentages", advertiser({ monthFinishRate: 0.988, positiveRate: "1" }), {
    completion_rate: "98.800",
    positive_rate: "100",
  }],
  ["no rates", advertiser({ monthFinishRate: null, positiveRate: undefined }), {
    completion_rate: null,
    positive_rate: null,
  }],
  ["whole numbers", advertiser({ monthOrderCount: "12", userGrade: 3, vipLevel: 2 }), {
    total_orders_count: "12",
    user_grade: "3",
    vip_level: "2",
  }],
  [
    "no whole numbers",
    advertiser({ monthOrderCount: 1.5, userGrade: 99999999999, vipLevel: "x" }),
    {
      total_orders_count: null,
      user_grade: null,
      vip_level: null,
    },
  ],
  ["a merchant", advertiser({ userType: "merchant", userIdentity: "BLOCK_MERCHANT" }), {
    is_merchant: true,
    user_type: "merchant",
    user_identity: "BLOCK_MERCHANT",
  }],
  ["a user", advertiser({ userType: "user" }), { is_merchant: false, user_identity: "" }],
  ["of unknown kind", advertiser({ userType: undefined }), { is_merchant: null, user_type: null }],
  ["registered long ago", advertiser({ registrationTime: daysAgo(1000) }), {
    registration_days: "1000",
  }],
  ["registered never", advertiser({ registrationTime: String(daysAgo(-1_000_000)) }), {
    registration_days: "-1000001",
  }],
  ["promoted", offer({ promoted: true }), { is_promoted: true }],
  ["best price", { ...offer(), privilegeType: 1 }, { is_promoted: false }],
  ["tradable", adv({ isTradable: true }), { is_available: true }],
  ["not tradable", adv({ isTradable: false }), { is_available: false }],
  ["tradable or not", adv({ isTradable: undefined }), { is_available: null }],
  ["the owner's side", adv({ tradeType: "SELL" }), { is_own_side: true }],
  ["the taker's side", adv({ tradeType: "BUY" }), { is_own_side: false }],
  ["no side", adv({ tradeType: null }), { is_own_side: null }],
  [
    "floating price, remarks, time",
    adv({ priceFloatingRatio: "1.02", remarks: "hola", payTimeLimit: 30 }),
    {
      price_float_rate: "1.02",
      terms_conditions: "hola",
      payment_time_limit_minutes: "30",
    },
  ],
  ["none of these", adv({ priceFloatingRatio: null, remarks: "", payTimeLimit: null }), {
    price_float_rate: null,
    terms_conditions: null,
    payment_time_limit_minutes: null,
  }],
  ["methods in the order of the ad", offer({ methods: ["Zelle", "Bizum"] }), {
    payment_methods: [["Zelle", "Name of Zelle"], ["Bizum", "Name of Bizum"]],
  }],
  [
    "the same method twice",
    adv({
      tradeMethods: [
        { identifier: "B", tradeMethodName: null },
        { identifier: "A", tradeMethodName: "a" },
        { identifier: "B", tradeMethodName: "b" },
      ],
    }),
    { payment_methods: [["B", "b"], ["A", "a"]] },
  ],
  [
    "methods without identifier",
    adv({
      tradeMethods: [{ tradeMethodName: "x" }, { identifier: null }, { identifier: "" }, "x", null],
    }),
    { payment_methods: [] },
  ],
  ["methods are null", adv({ tradeMethods: null }), { payment_methods: [] }],
  ["methods are missing", adv({ tradeMethods: undefined }), { payment_methods: [] }],
  ["methods are []", adv({ tradeMethods: [] }), { payment_methods: [] }],
  ["methods are no list", adv({ tradeMethods: { identifier: "A" } }), { payment_methods: [] }],
  ["unknown keys", { ...adv({ newKey: { deep: [1] } }), another: 1 }, { price: "36.50" }],
  ["null", null, { offer_external_id: null, payment_methods: [] }],
  ["a string", "adv", { offer_external_id: null }],
  ["a number", 7, { offer_external_id: null }],
  ["a list", [offer()], { offer_external_id: null }],
  ["adv is a string", { adv: "x", advertiser: null }, { offer_external_id: null, nickname: null }],
];

Deno.test("parse_binance_search_v1 reads", async (t) => {
  await using sql = await SqlFixture.create();
  const parsed = await parse(sql, write(CASES.map(([, item]) => item)));
  assert.equal(parsed.length, CASES.length);
  for (const [index, [name, , expected]] of CASES.entries()) {
    await t.step(name, () => {
      const row = parsed[index] ?? {};
      assert.equal(row["item_number"], String(index));
      assert.deepEqual(row["item_path"], ["data", String(index)]);
      const found = Object.fromEntries(Object.keys(expected).map((key) => [key, row[key]]));
      assert.deepEqual(found, expected);
    });
  }
});

Deno.test("pages without a list of items have none", async () => {
  await using sql = await SqlFixture.create();
  for (
    const text of [
      "null",
      "[]",
      "7",
      '"x"',
      "{}",
      '{"data": null}',
      '{"data": {"adv": 1}}',
      '{"data": "x"}',
    ]
  ) {
    assert.deepEqual(await parse(sql, text), [], text);
  }
});

Deno.test("numbers reach the facts with the digits as sent", async () => {
  await using sql = await SqlFixture.create();
  const long = "x".repeat(5000);
  const item = offer({
    id: "18446744073709551616",
    price: "36.500000000000000000000000000001",
    nick: `😀${long}`,
    adv: { surplusAmount: raw("100.00"), remarks: long, priceFloatingRatio: "1.10" },
  });
  await parse(sql, write([item]));
  assert.deepEqual(
    await sql.row(
      `select f.offer_external_id, price::text, available_amount::text, tradable_quantity::text, min_limit::text,
         max_limit::text, completion_rate::text, positive_rate::text, price_float_rate::text, total_orders_count,
         payment_time_limit_minutes, is_available, is_promoted, trade_type, length(terms_conditions) as terms,
         length(a.nickname) as nick
       from p2p.fact_offers f join p2p.dim_advertisers a using (advertiser_sk)`,
    ),
    {
      offer_external_id: "18446744073709551616",
      price: "36.500000000000000000000000000001",
      available_amount: "100.00",
      tradable_quantity: "100.00",
      min_limit: "10",
      max_limit: "4000",
      completion_rate: "98.800",
      positive_rate: "98.89188800",
      price_float_rate: "1.10",
      total_orders_count: 4840,
      payment_time_limit_minutes: 15,
      is_available: true,
      is_promoted: false,
      trade_type: "BUY",
      terms: 5000,
      nick: 500,
    },
  );
});
