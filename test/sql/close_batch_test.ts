import assert from "node:assert/strict";
import { heardDuring } from "../support/listener.ts";
import { type MarketName, SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const A = "VES/A BUY";
const B = "VES/B BUY";
const C = "ARS/C BUY";

type Fate = "complete" | "incomplete" | "failed" | "deferred";

async function meet(batch: TestBatch, market: MarketName, fate: Fate): Promise<void> {
  if (fate === "complete") await batch.page(market, [offer()]);
  if (fate === "failed") await batch.lose(market, {}, "refused", "no");
  if (fate === "incomplete") {
    await batch.page(market, [offer()], { last: false });
    await batch.lose(market, { page: 2 });
  }
}

/** What became of the markets A, B and C, and what is said of the batch. */
const CASES:
  readonly (readonly [readonly Fate[], string, string | null, Record<string, number>])[] = [
    [["complete", "complete", "complete"], "completed", null, { complete: 3, fiats: 2, errors: 0 }],
    [
      ["complete", "incomplete", "failed"],
      "partial",
      "markets failed: 1; markets incomplete: 1; pages lost: http 1, refused 1",
      {
        complete: 1,
        fiats: 1,
        errors: 2,
      },
    ],
    [["complete", "deferred", "deferred"], "partial", "markets deferred: 2 (the deadline came)", {
      complete: 1,
      fiats: 1,
      errors: 0,
    }],
    [
      ["incomplete", "incomplete", "failed"],
      "partial",
      "markets failed: 1; markets incomplete: 2; pages lost: http 2, refused 1",
      {
        complete: 0,
        fiats: 1,
        errors: 3,
      },
    ],
    [
      ["failed", "failed", "deferred"],
      "failed",
      "markets failed: 2; markets deferred: 1 (the deadline came); pages lost: refused 2",
      {
        complete: 0,
        fiats: 0,
        errors: 2,
      },
    ],
    [["deferred", "deferred", "deferred"], "failed", "markets deferred: 3 (the deadline came)", {
      complete: 0,
      fiats: 0,
      errors: 0,
    }],
  ];

for (const [fates, status, summary, counts] of CASES) {
  Deno.test(`a batch with markets ${fates.join(", ")} is ${status}`, async () => {
    await using sql = await SqlFixture.create();
    const batch = await sql.openBatch({ markets: [A, B, C] });
    for (const [i, market] of ([A, B, C] as const).entries()) {
      await meet(batch, market, fates[i] ?? "deferred");
    }
    await batch.endFetching();
    const run = await batch.load();
    assert.equal(run["status"], status);
    assert.equal(run["error_summary"], summary);
    assert.deepEqual(
      {
        complete: run["markets_completed"],
        fiats: run["total_fiats_processed"],
        errors: run["total_errors"],
      },
      counts,
    );
    assert.equal(run["markets_expected"], 3);
    assert.ok((run["batch_end_time"] as Date) >= batch.start);
    assert.ok(Number(run["execution_time_seconds"]) >= 0);
  });
}

Deno.test("a batch without any market has failed, and says so", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [] });
  const run = await batch.load();
  assert.deepEqual([run["status"], run["error_summary"]], ["failed", "no market was planned"]);
});

Deno.test("errors of a market are resolved when a later batch has it whole", async () => {
  await using sql = await SqlFixture.create();
  // The times of errors are the clock's: the batch that lost pages began before them.
  const lost = await sql.openBatch({ markets: [A, B, C], at: "2026-03-01 10:00+00" });
  for (const market of [A, B, C] as const) await lost.lose(market);
  await lost.endFetching();
  await lost.load();
  const state =
    `select string_agg(crypto_symbol || is_resolved, ' ' order by crypto_symbol) from p2p.ops_extraction_errors`;

  await sql.loadBatch("2026-03-01 09:00+00", { [A]: [offer()], [B]: [offer()], [C]: [offer()] });
  assert.equal(await sql.value(state), "Afalse Bfalse Cfalse", "an earlier batch says nothing");

  const later = await sql.openBatch({ markets: [A, B, C] });
  await meet(later, A, "complete");
  await meet(later, B, "incomplete");
  await later.endFetching();
  await later.load();
  assert.equal(await sql.value(state + " where batch_id = $1", lost.id), "Atrue Bfalse Cfalse");
});

Deno.test("listeners hear of a batch once, when it closes", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [A], at: "2026-03-01 10:00+00" });
  const heard = await heardDuring(sql, async () => {
    await batch.page(A, [offer(), offer()]);
    await batch.load();
    await batch.load();
  });
  assert.deepEqual(heard.map((payload) => JSON.parse(payload)), [{
    batch_id: batch.id,
    batch_start_time: "2026-03-01T10:00:00+00:00",
    load_number: 1,
    status: "completed",
    markets_expected: 1,
    markets_completed: 1,
    offers: 2,
    offers_changed: 2,
    rejected: 0,
    failed_steps: 0,
    failed_checks: 0,
  }]);
});

Deno.test("closing again keeps the time of the first end", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [A] });
  await batch.page(A, [offer()]);
  const first = await batch.load();
  await sql.rows("delete from p2p.fact_offers");
  await sql.rows("update p2p.stg_responses set body = '{}'");
  const second = await batch.load();
  assert.equal(second["total_offers_inserted"], 0);
  assert.deepEqual(second["batch_end_time"], first["batch_end_time"]);
  assert.equal(second["execution_time_seconds"], first["execution_time_seconds"]);
});
