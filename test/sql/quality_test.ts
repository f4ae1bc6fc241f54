import assert from "node:assert/strict";
import { SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const A = "VES/A BUY";
const B = "VES/B BUY";

interface Check {
  readonly metric_name: string;
  readonly value: number | null;
  readonly threshold: number;
  readonly result: string;
  readonly passed: boolean;
  readonly details: unknown;
}

async function checks(sql: SqlFixture, batch: TestBatch): Promise<Map<string, Check>> {
  const rows = await sql.rows(
    `select metric_name, metric_value::float as value, threshold_value::float as threshold, result, passed, details
     from p2p.run_quality_checks($1)`,
    batch.id,
  ) as unknown as Check[];
  return new Map(rows.map((row) => [row.metric_name, row]));
}

Deno.test("a good first batch passes every rule, and every rule has its result", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, { [A]: [offer(), offer()], [B]: [] });
  const found = await checks(sql, batch);
  assert.deepEqual(
    [...found.keys()],
    await sql.values("select name from p2p.quality_rules where is_enabled order by 1"),
  );
  for (const { metric_name, result, passed, details } of found.values()) {
    assert.deepEqual([result, passed], ["ok", true], `${metric_name} ${JSON.stringify(details)}`);
  }
  assert.deepEqual(found.get("completeness"), {
    metric_name: "completeness",
    value: 1,
    threshold: 0.995,
    result: "ok",
    passed: true,
    details: { offenders: 0, samples: [] },
  });
  assert.deepEqual(
    [...found.values()].filter(({ value }) => value === null).map((check) => [
      check.metric_name,
      check.details,
    ]),
    ["crossed_median", "price_anomaly", "promoted_share", "volume_drop"].map((name) => [
      name,
      { note: "nothing to judge", offenders: 0, samples: [] },
    ]),
    "what needs history or larger books has nothing to judge",
  );
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
    {
      offenders: 3,
      samples: [
        {
          exchange: "binance",
          market: "VES/C BUY",
          status: "deferred",
          reason: "the deadline came",
        },
        {
          exchange: "binance",
          market: "VES/D BUY",
          status: "deferred",
          reason: "the deadline came",
        },
        { exchange: "binance", market: B, status: "failed", reason: "http: HTTP 500" },
      ],
    },
  ]);
});

Deno.test("a batch without markets is not complete", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, {});
  const { value, passed } = (await checks(sql, batch)).get("completeness") ?? {};
  assert.deepEqual([value, passed], [0, false]);
});

Deno.test("duplicate_offers", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, { [A]: [offer({ id: "1" }), offer({ id: "2" })] });
  await sql.rows(
    `insert into p2p.fact_offers
     select (jsonb_populate_record(f, '{"offer_id": 999}')).* from p2p.fact_offers f where offer_external_id = '2'`,
  );
  const { value, passed, details } = (await checks(sql, batch)).get("duplicate_offers") ?? {};
  assert.deepEqual([value, passed, details], [1, false, {
    offenders: 1,
    samples: [{ offer: "2", times: 2 }],
  }]);
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
      const { value, passed, details } = (await checks(sql, batch)).get("broken_references") ?? {};
      assert.deepEqual([value, passed], [2, false]);
      const { samples } = details as { samples: { missing: string[] }[] };
      assert.ok(
        samples.every(({ missing }) => missing.includes(name === "side" ? "market" : name)),
      );
      await batch.load();
      assert.equal((await checks(sql, batch)).get("broken_references")?.passed, true, "mended");
    });
  }
});

Deno.test("rejected_share", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, {
    [A]: [offer(), offer(), offer(), offer({ price: "0" }), null as never, offer({ price: "0" })],
  });
  const { value, passed, details } = (await checks(sql, batch)).get("rejected_share") ?? {};
  assert.deepEqual([value, passed, details], [
    0.5,
    false,
    {
      offenders: 2,
      samples: [
        {
          exchange: "binance",
          reason: "price is not positive",
          items: 2,
          market: A,
          page: 1,
          item: 3,
        },
        { exchange: "binance", reason: "no offer id", items: 1, market: A, page: 1, item: 4 },
      ],
    },
  ]);
});

Deno.test("one odd item in a tiny batch is nothing to judge, in a large one it is", async () => {
  await using sql = await SqlFixture.create();
  const rejected = async (good: number) => {
    const items = [...Array.from({ length: good }, () => offer()), offer({ price: "0" })];
    const batch = await sql.loadBatch(undefined, { [A]: items });
    const { value, result } = (await checks(sql, batch)).get("rejected_share") ?? {};
    return [value, result];
  };
  assert.deepEqual(await rejected(1), [null, "ok"]);
  assert.deepEqual(await rejected(148), [null, "ok"]);
  assert.deepEqual(await rejected(199), [0.005, "ok"]);
  await sql.rows(
    "update p2p.quality_rules set warning_threshold = 0.004 where name = 'rejected_share'",
  );
  assert.deepEqual(await rejected(199), [0.005, "warning"]);
});

Deno.test("limits are changed with UPDATE, and hold from the next check on", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [A, B] });
  await batch.page(A, [
    offer(),
    offer(),
    offer(),
    ..."000".split("").map((price) => offer({ price })),
  ]);
  await batch.endFetching();
  await batch.load();
  const results = async () =>
    Object.fromEntries(
      [...(await checks(sql, batch)).values()].filter(({ passed }) => !passed).map((each) => [
        each.metric_name,
        [each.result, each.threshold],
      ]),
    );
  assert.deepEqual(await results(), {
    completeness: ["error", 0.99],
    rejected_share: ["error", 0.05],
  });
  await sql.rows(
    `update p2p.quality_rules set warning_threshold = 0.5, error_threshold = 0.5
     where name in ('completeness', 'rejected_share')`,
  );
  assert.deepEqual(await results(), {}, "the threshold itself is still good");
  await sql.rows(
    "update p2p.quality_rules set warning_threshold = 0.51 where name = 'completeness'",
  );
  await sql.rows(
    "update p2p.quality_rules set warning_threshold = 0.49 where name = 'rejected_share'",
  );
  const warnings = { completeness: ["warning", 0.51], rejected_share: ["warning", 0.49] };
  assert.deepEqual(await results(), warnings);
  await sql.rows(
    "update p2p.quality_rules set severity = 'warning', error_threshold = null where name = 'completeness'",
  );
  await sql.rows(
    "update p2p.quality_rules set severity = 'warning', error_threshold = 0.49 where name = 'rejected_share'",
  );
  assert.deepEqual(await results(), warnings, "never an error");

  const before = await sql.dump();
  await checks(sql, batch);
  assert.deepEqual(await sql.dump(), before, "a second check changes no row");
});
