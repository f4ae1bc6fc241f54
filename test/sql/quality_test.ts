import assert from "node:assert/strict";
import { SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const A = "VES/A BUY";
const B = "VES/B BUY";

interface Check {
  readonly metric_name: string;
  readonly value: number | null;
  readonly threshold: number;
  readonly passed: boolean;
  readonly details: unknown;
}

async function checks(sql: SqlFixture, batch: TestBatch): Promise<Map<string, Check>> {
  const rows = await sql.rows(
    `select metric_name, metric_value::float as value, threshold_value::float as threshold, passed, details
     from p2p.run_quality_checks($1)`,
    batch.id,
  ) as unknown as Check[];
  return new Map(rows.map((row) => [row.metric_name, row]));
}

Deno.test("a good batch passes every check, and every threshold has its check", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, { [A]: [offer(), offer()], [B]: [] });
  const found = await checks(sql, batch);
  assert.deepEqual(
    [...found.keys()],
    await sql.values("select metric_name from p2p.quality_thresholds order by 1"),
  );
  assert.deepEqual([...found.values()], [
    { metric_name: "broken_references", value: 0, threshold: 0, passed: true, details: {} },
    {
      metric_name: "completeness",
      value: 1,
      threshold: 0.99,
      passed: true,
      details: { planned: 2, complete: 2, missing: {} },
    },
    {
      metric_name: "duplicate_offers",
      value: 0,
      threshold: 0,
      passed: true,
      details: { samples: [] },
    },
    {
      metric_name: "rejected_share",
      value: 0,
      threshold: 0.05,
      passed: true,
      details: { rejected: 0, reasons: {} },
    },
  ]);
});

Deno.test("completeness", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [A, B, "VES/C BUY", "VES/D BUY"] });
  await batch.page(A, [offer()]);
  await batch.lose(B);
  await batch.endFetching();
  await batch.load();
  const { value, passed, details } = (await checks(sql, batch)).get("completeness") ?? {};
  assert.deepEqual([value, passed, details], [
    0.25,
    false,
    { planned: 4, complete: 1, missing: { failed: 1, deferred: 2 } },
  ]);
});

Deno.test("a batch without markets is not complete", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, {});
  const { value, passed } = (await checks(sql, batch)).get("completeness") ?? {};
  assert.deepEqual([value, passed], [null, false]);
});

Deno.test("duplicate_offers", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, { [A]: [offer({ id: "1" }), offer({ id: "2" })] });
  await sql.rows(
    `insert into p2p.fact_offers
     select (jsonb_populate_record(f, '{"offer_id": 999}')).* from p2p.fact_offers f where offer_external_id = '2'`,
  );
  const { value, passed, details } = (await checks(sql, batch)).get("duplicate_offers") ?? {};
  assert.deepEqual([value, passed, details], [1, false, { samples: ["2"] }]);
});

Deno.test("broken_references", async (t) => {
  const breaks: Record<string, string> = {
    advertiser: "update p2p.fact_offers set advertiser_sk = -1",
    market: "update p2p.fact_offers set fiat_id = -1",
    side: "update p2p.fact_offers set trade_type = 'SELL'",
    "payment methods": "update p2p.fact_offers set payment_set_id = -1",
    ad: "update p2p.fact_offers set offer_id = -offer_id",
  };
  for (const [name, statement] of Object.entries(breaks)) {
    await t.step(name, async () => {
      await using sql = await SqlFixture.create();
      const batch = await sql.loadBatch(undefined, { [A]: [offer(), offer()] });
      await sql.rows(statement);
      const { value, passed } = (await checks(sql, batch)).get("broken_references") ?? {};
      assert.deepEqual([value, passed], [2, false]);
      await batch.load();
      assert.equal((await checks(sql, batch)).get("broken_references")?.passed, true, "mended");
    });
  }
});

Deno.test("rejected_share", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, {
    [A]: [offer(), offer(), offer({ price: "0" }), null as never],
  });
  const { value, passed, details } = (await checks(sql, batch)).get("rejected_share") ?? {};
  assert.deepEqual([value, passed, details], [
    0.5,
    false,
    { rejected: 2, reasons: { "price is not positive": 1, "no offer id": 1 } },
  ]);
});

Deno.test("thresholds are changed with UPDATE, and hold from the next check on", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [A, B] });
  await batch.page(A, [offer(), offer({ price: "0" })]);
  await batch.endFetching();
  await batch.load();
  const failed = async () =>
    [...(await checks(sql, batch)).values()].filter(({ passed }) => !passed).map((each) =>
      each.metric_name
    );
  assert.deepEqual(await failed(), ["completeness", "rejected_share"]);
  await sql.rows("update p2p.quality_thresholds set threshold_value = 0.5");
  assert.deepEqual(await failed(), []);
  assert.deepEqual(
    await sql.values("select distinct threshold_value::float from p2p.ops_data_quality"),
    [0.5],
  );
  await sql.rows(
    "update p2p.quality_thresholds set threshold_value = 0.51 where metric_name = 'completeness'",
  );
  await sql.rows(
    "update p2p.quality_thresholds set threshold_value = 0.49 where metric_name = 'rejected_share'",
  );
  assert.deepEqual(await failed(), ["completeness", "rejected_share"]);

  const before = await sql.dump();
  await checks(sql, batch);
  assert.deepEqual(await sql.dump(), before, "a second check changes no row");
});
