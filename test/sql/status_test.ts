import assert from "node:assert/strict";
import { runProgram } from "../support/program.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const A = "VES/A BUY";
const B = "VES/B BUY";

async function report(sql: SqlFixture, batches = 10): Promise<Record<string, unknown>> {
  return await sql.value("select p2p.status_report($1)", batches) as Record<string, unknown>;
}

Deno.test("status of an empty database", async () => {
  await using sql = await SqlFixture.create();
  const before = await sql.dump();
  assert.deepEqual(await report(sql), {
    seconds_since_last_good_batch: null,
    running: null,
    batches: [],
    missing_markets: [],
    failed_checks: [],
    failed_steps: [],
    incidents: [],
    is_paused: false,
    workers: [],
    skipped_ticks: [],
    tier: await sql.value("select p2p.database_tier()"),
    violated_policies: 0,
  });
  assert.deepEqual(await sql.dump(), before);
});

Deno.test("status tells the newest batches, what is missing and which checks failed", async () => {
  await using sql = await SqlFixture.create();
  const first = await sql.loadBatch("2026-03-01 10:00+00", { [A]: [offer()] });
  const second = await sql.openBatch({ markets: [A, B], at: "2026-03-01 10:10+00" });
  await second.page(A, [offer(), ..."000".split("").map((price) => offer({ price }))]);
  await second.lose(B);
  await second.load();
  const third = await sql.openBatch({ markets: [A, B], at: "2026-03-01 10:20+00" });
  await third.page(A, [offer()]);

  const status = await report(sql);
  assert.ok(Number(status["seconds_since_last_good_batch"]) < 60);
  const running = status["running"] as Record<string, unknown>;
  assert.deepEqual([running["batch_id"], running["markets_ended"], running["markets_expected"]], [
    third.id,
    1,
    2,
  ]);
  const batches = status["batches"] as Record<string, unknown>[];
  assert.deepEqual(batches.map((batch) => batch["batch_id"]), [third.id, second.id, first.id]);
  const { seconds, ...rest } = batches[1] ?? {};
  assert.equal(typeof seconds, "number");
  assert.deepEqual(rest, {
    started: "2026-03-01 10:10:00Z",
    status: "partial",
    markets: 1,
    of: 2,
    percent: 50,
    offers: 1,
    rejected: 3,
    errors: 1,
    failed_checks: 2,
    imported_from: null,
    batch_id: second.id,
  });
  assert.deepEqual(status["missing_markets"], [{
    status: "failed",
    markets: 1,
    examples: "VES/B BUY",
  }]);
  assert.deepEqual(status["failed_checks"], [
    { check: "completeness", result: "error", value: 0.5, threshold: 0.99 },
    { check: "rejected_share", result: "error", value: 0.75, threshold: 0.05 },
  ]);
  assert.equal(((await report(sql, 1))["batches"] as unknown[]).length, 1);
});

Deno.test("batch_overview and missing_markets", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: [A, B, "VES/C SELL"], at: "2026-03-01 10:00+00" });
  await batch.page(A, [offer(), ..."000".split("").map((price) => offer({ price }))]);
  await batch.page(B, [offer()], { last: false });
  assert.deepEqual(await sql.rows("select * from p2p.missing_markets"), [], "it is still running");
  await batch.lose(B, { page: 2 });
  await batch.endFetching();
  await batch.load();
  assert.deepEqual(
    await sql.row(
      `select status, markets_completed, markets_expected, completeness_percent::text, offers, rejected, errors,
         seconds >= 0 as took, failed_checks::integer, error_summary from p2p.batch_overview`,
    ),
    {
      status: "partial",
      markets_completed: 1,
      markets_expected: 3,
      completeness_percent: "33.33",
      offers: 2,
      rejected: 3,
      errors: 1,
      took: true,
      failed_checks: 2,
      error_summary:
        "markets incomplete: 1; markets deferred: 1 (the deadline came); pages lost: http 1",
    },
  );
  assert.deepEqual(
    await sql.rows(
      `select fiat_code, crypto_symbol, trade_type, status, reason, to_jsonb(lost_pages) as lost, pages_stored, batch_id
       from p2p.missing_markets order by 2`,
    ),
    [
      ["B", "BUY", "incomplete", "http: HTTP 500", [2], 1],
      ["C", "SELL", "deferred", "the deadline came", [], 0],
    ].map(([crypto_symbol, trade_type, status, reason, lost, pages_stored]) => ({
      fiat_code: "VES",
      crypto_symbol,
      trade_type,
      status,
      reason,
      lost,
      pages_stored,
      batch_id: batch.id,
    })),
  );
  const empty = await sql.loadBatch("2026-03-01 11:00+00", {});
  assert.equal(
    await sql.value(
      "select completeness_percent from p2p.batch_overview where batch_id = $1",
      empty.id,
    ),
    null,
  );
});

Deno.test("table_sizes tells every table", async () => {
  await using sql = await SqlFixture.create();
  const rows = await sql.rows("select * from p2p.table_sizes");
  assert.deepEqual(
    rows.map((row) => row["table_name"]).sort(),
    [...(await sql.dump()).keys()].sort(),
  );
  for (const row of rows) {
    assert.match(String(row["rows_about"]), /^\d{1,3}(,\d{3})*$/);
    assert.match(String(row["size"]), /^\d+ (bytes|kB|MB)$/);
    assert.ok(String(row["holds"]).length > 10, String(row["table_name"]));
  }
});

Deno.test("status tells of failed steps, and that batches are paused", async () => {
  await using sql = await SqlFixture.create();
  await sql.database.runScript(
    `create function p2p.mine(p_batch_id uuid) returns void language plpgsql as 'begin perform 1 / 0; end';
     insert into p2p.pipeline_steps (name, position, function, comment) values ('mine', 100, 'p2p.mine', '')`,
    20,
  );
  await sql.loadBatch("2026-03-01 10:00+00", { [A]: [offer()] });
  await sql.rows("update p2p.settings set value = 'on' where name = 'paused'");
  const status = await report(sql);
  assert.deepEqual(status["failed_steps"], [{ step: "mine", error: "division by zero" }]);
  assert.equal(status["is_paused"], true);
  const { stdout } = await runProgram(["status"], { DATABASE_URL: sql.url });
  assert.match(stdout, /Failed steps of its load.*\n.*\n.*\nmine +division by zero/);
  assert.match(stdout, /^Paused: no new batch is begun until update p2p\.settings/m);
});
