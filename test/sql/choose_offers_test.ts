import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";
const ID = "13908303176808550400";
const FACTS = `select offer_external_id, trade_type, price::text, page_number, is_promoted
  from p2p.fact_offers order by offer_external_id, trade_type`;
const COUNTS = `select total_offers_extracted as extracted, total_offers_inserted as inserted,
  total_offers_rejected as rejected, total_offers_duplicate as duplicate from p2p.ops_batch_runs`;

Deno.test("a promoted copy and the ad at its own place are one promoted offer", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch(undefined, {
    [BUY]: [
      offer({ id: ID, price: "40", promoted: true }),
      offer({ id: ID, price: "40" }),
      offer(),
    ],
  });
  const [own, other] = await sql.rows(FACTS);
  assert.deepEqual(own, {
    offer_external_id: ID,
    trade_type: "BUY",
    price: "40",
    page_number: 1,
    is_promoted: true,
  });
  assert.equal(other?.["is_promoted"], false);
  assert.deepEqual(await sql.row(COUNTS), {
    extracted: 3,
    inserted: 2,
    rejected: 0,
    duplicate: 1,
  });
});

Deno.test("of an ad on two pages the newest reading counts", async (t) => {
  const pages = [
    { name: "in order", first: 1, second: 2, price: "37" },
    { name: "the lower page came later", first: 2, second: 1, price: "36" },
    { name: "at the same time: the higher page", first: 1, second: 1, price: "37" },
  ];
  await using sql = await SqlFixture.create();
  for (const { name, first, second, price } of pages) {
    await t.step(name, async () => {
      const batch = await sql.openBatch({ markets: [BUY] });
      const page = (price: string) => [offer({ id: ID, price })];
      await batch.page(BUY, page("36"), { page: 1, last: false, seenAfter: first });
      await batch.page(BUY, page("37"), { page: 2, seenAfter: second });
      await batch.load();
      assert.deepEqual(
        await sql.values("select price::text from p2p.fact_offers where batch_id = $1", batch.id),
        [price],
      );
    });
  }
});

Deno.test("a rejected reading does not replace a good one, nor make it promoted", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch(undefined, {
    [BUY]: [
      [offer({ id: ID, price: "36" })],
      [offer({ id: ID, price: "0", promoted: true })],
    ],
  });
  assert.deepEqual(await sql.rows(FACTS), [
    { offer_external_id: ID, trade_type: "BUY", price: "36", page_number: 1, is_promoted: false },
  ]);
  assert.deepEqual(await sql.row(COUNTS), {
    extracted: 2,
    inserted: 1,
    rejected: 1,
    duplicate: 0,
  });
});

Deno.test("an ad in both books belongs to the side that it names", async (t) => {
  // adv.tradeType is its owner's: SELL stands in the takers' BUY book.
  for (const [named, book] of [["SELL", "BUY"], ["BUY", "SELL"]] as const) {
    await t.step(`it names ${named}`, async () => {
      await using sql = await SqlFixture.create();
      const both = [offer({ id: ID, adv: { tradeType: named } })];
      const batch = await sql.openBatch({ markets: [BUY, SELL] });
      await batch.page(BUY, both, { seenAfter: book === "BUY" ? 1 : 9 });
      await batch.page(SELL, both, { seenAfter: book === "SELL" ? 1 : 9 });
      await batch.load();
      assert.deepEqual((await sql.rows(FACTS)).map((row) => row["trade_type"]), [book]);
    });
  }
  await t.step("it names none: the newest reading, the same each time", async () => {
    await using sql = await SqlFixture.create();
    const both = [offer({ id: ID, adv: { tradeType: null } })];
    const batch = await sql.openBatch({ markets: [BUY, SELL] });
    await batch.page(SELL, both);
    await batch.page(BUY, both);
    await batch.load();
    const before = await sql.dump();
    await batch.load();
    assert.deepEqual(await sql.dump(), before);
  });
});

Deno.test("extracted = inserted + rejected + duplicate", async () => {
  await using sql = await SqlFixture.create();
  const again = { id: ID, promoted: true };
  await sql.loadBatch(undefined, {
    [BUY]: [[offer(again), offer(), offer(again)], [offer(again), null as never, offer()]],
    [SELL]: [offer({ price: "x" }), offer()],
  });
  assert.deepEqual(await sql.row(COUNTS), {
    extracted: 8,
    inserted: 4,
    rejected: 2,
    duplicate: 2,
  });
});

Deno.test("payment methods: one row a list, names filled in once known", async () => {
  await using sql = await SqlFixture.create();
  const nameless = offer({
    adv: { tradeMethods: [{ identifier: "Bizum", tradeMethodName: null }] },
  });
  await sql.loadBatch(undefined, {
    [BUY]: [
      offer({ id: "1", methods: ["Zelle", "Zinli"] }),
      offer({ id: "2", methods: ["Zelle", "Zinli"] }),
      offer({ id: "3", methods: ["Zinli", "Zelle"] }),
      offer({ id: "4", methods: [] }),
      { ...nameless, adv: { ...nameless.adv, advNo: "5" } },
    ],
  });
  assert.equal(await sql.value("select count(*)::integer from p2p.dim_payment_sets"), 4);
  const listed = `select f.offer_external_id as ad, m.method_code, m.method_name, v.is_primary
    from p2p.fact_offer_payment_methods v
    join p2p.fact_offers f using (offer_id, extraction_timestamp)
    join p2p.dim_payment_methods m using (payment_method_id)
    order by ad, is_primary desc, method_code`;
  const line = (row: Record<string, unknown>) => Object.values(row).join(" ");
  assert.deepEqual((await sql.rows(listed)).map(line), [
    "1 Zelle Name of Zelle true",
    "1 Zinli Name of Zinli false",
    "2 Zelle Name of Zelle true",
    "2 Zinli Name of Zinli false",
    "3 Zinli Name of Zinli true",
    "3 Zelle Name of Zelle false",
    "5 Bizum  true",
  ]);
  await sql.loadBatch(undefined, { [BUY]: [offer({ methods: ["Bizum"] })] });
  const renamed = offer({ adv: { tradeMethods: [{ identifier: "Bizum", tradeMethodName: "x" }] } });
  await sql.loadBatch(undefined, { [BUY]: [renamed] });
  assert.equal(
    await sql.value("select method_name from p2p.dim_payment_methods where method_code = 'Bizum'"),
    "Name of Bizum",
  );
  assert.equal(await sql.value("select count(*)::integer from p2p.dim_payment_sets"), 4);
});

Deno.test("identifiers of payment methods that are too long are cut", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch(undefined, { [BUY]: [offer({ methods: ["m".repeat(10_000)] })] });
  assert.deepEqual(await sql.values("select length(method_code) from p2p.dim_payment_methods"), [
    200,
  ]);
  assert.equal(await sql.value("select count(*)::integer from p2p.fact_offer_payment_methods"), 1);
});

Deno.test("an ad keeps its number from batch to batch", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer({ id: ID })] });
  await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: [offer({ id: ID }), offer()] });
  assert.deepEqual(
    await sql.rows(
      `select count(distinct offer_id)::integer as numbers, count(*)::integer as facts
       from p2p.fact_offers where offer_external_id = $1`,
      ID,
    ),
    [{ numbers: 1, facts: 2 }],
  );
  assert.equal(
    await sql.value(
      "select first_seen_at = '2026-03-01 10:00+00' from p2p.dim_offers where offer_external_id = $1",
      ID,
    ),
    true,
  );
});
