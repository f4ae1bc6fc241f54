import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";
import { type Item, offer } from "../support/sql_offer.ts";

const MARKET = "VES/USDT BUY";
const adv = (values: Record<string, unknown>): Item => offer({ adv: values });

/** Items, and why they are no offers; null where they are. */
const CASES: readonly (readonly [unknown, string | null])[] = [
  [offer(), null],
  [adv({ advNo: null }), "no offer id"],
  [adv({ advNo: "" }), "no offer id"],
  [adv({ advNo: undefined }), "no offer id"],
  [null, "no offer id"],
  ["text", "no offer id"],
  [7, "no offer id"],
  [{}, "no offer id"],
  [adv({ advNo: "1".repeat(101) }), "offer id is too long"],
  [adv({ advNo: "1".repeat(100) }), null],
  [adv({ advNo: {} }), "offer id is no text"],
  [adv({ advNo: [1] }), "offer id is no text"],
  [adv({ advNo: true }), "offer id is no text"],
  [adv({ advNo: 12 }), null],
  [offer({ advertiser: { userNo: null } }), "no advertiser"],
  [offer({ advertiser: { userNo: {} } }), "advertiser id is no text"],
  [offer({ advertiser: { userNo: false } }), "advertiser id is no text"],
  [offer({ user: "" }), "no advertiser"],
  [{ ...offer(), advertiser: null }, "no advertiser"],
  [offer({ user: "s".repeat(101) }), "advertiser id is too long"],
  [offer({ user: "s".repeat(100) }), null],
  [offer({ price: "cheap" }), "price is not a number"],
  [offer({ price: "1".repeat(61) }), "price is not a number"],
  [adv({ price: null }), "no price"],
  [adv({ price: undefined }), "no price"],
  [offer({ price: "0" }), "price is not positive"],
  [offer({ price: "-1" }), "price is not positive"],
  [offer({ amount: "Infinity" }), "amount is not a number"],
  [adv({ surplusAmount: null }), "no amount"],
  [offer({ amount: "-0.1" }), "amount is negative"],
  [offer({ amount: "0" }), null],
  [adv({ minSingleTransAmount: "x" }), "limit is not a number"],
  [adv({ maxSingleTransAmount: "x" }), "limit is not a number"],
  [adv({ minSingleTransAmount: "-1" }), "limit is negative"],
  [adv({ maxSingleTransAmount: "-1", minSingleTransAmount: null }), "limit is negative"],
  [adv({ minSingleTransAmount: "11", maxSingleTransAmount: "10" }), "limits are crossed"],
  [adv({ minSingleTransAmount: "10", maxSingleTransAmount: "10" }), null],
  [adv({ minSingleTransAmount: null, maxSingleTransAmount: undefined }), null],
  [adv({ tradableQuantity: "x" }), null],
  [adv({ asset: "BTC" }), "belongs to another market"],
  [adv({ fiatUnit: "ARS" }), "belongs to another market"],
  [adv({ asset: null, fiatUnit: null }), null],
  // It stands in the book of the side that was asked for, whatever side it names.
  [adv({ tradeType: "BUY" }), null],
  [adv({ tradeMethods: null, isTradable: null }), null],
];

Deno.test("reject_offers", async (t) => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [MARKET] });
  await batch.page(MARKET, CASES.map(([item]) => item), { last: false });
  await batch.page(MARKET, [adv({ price: null })], { page: 2 });
  const run = await batch.load();

  const rejected = await sql.rows(
    "select page_number, item_number, reason, payload from p2p.ops_rejected_offers order by 1, 2",
  );
  const reasons = new Map(
    rejected.filter((row) => row["page_number"] === 1).map((row) => [row["item_number"], row]),
  );
  for (const [number, [item, reason]] of CASES.entries()) {
    await t.step(`${number}: ${reason ?? "an offer"}`, () => {
      assert.equal(reasons.get(number)?.["reason"] ?? null, reason);
      if (reason === null || typeof item !== "object" || item === null) return;
      const payload = reasons.get(number)?.["payload"] as Item;
      if ("adv" in item) assert.deepEqual(payload.adv["advNo"], (item as Item).adv["advNo"]);
    });
  }
  assert.deepEqual(rejected.at(-1)?.["page_number"], 2);
  const bad = CASES.filter(([, reason]) => reason !== null).length + 1;
  assert.deepEqual(
    [run["total_offers_extracted"], run["total_offers_inserted"], run["total_offers_rejected"]],
    [CASES.length + 1, CASES.length + 1 - bad, bad],
  );
  assert.equal(rejected.length, bad);
});

Deno.test("a page full of rubbish leaves an empty book and one failed check", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [MARKET] });
  await batch.page(MARKET, [null, 1, "x"]);
  assert.equal((await batch.load())["status"], "completed");
  assert.equal(await sql.value("select total_offers_count from p2p.fact_market_depth"), 0);
  assert.deepEqual(
    await sql.values("select metric_name from p2p.ops_data_quality where not passed"),
    ["rejected_share"],
  );
});
