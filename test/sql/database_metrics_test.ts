import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const A = "VES/A BUY";
const B = "VES/B BUY";

/** Samples by name and labels, as the worker may read them. */
async function metrics(sql: SqlFixture): Promise<Map<string, number>> {
  const rows = await sql.worker.run(
    "select * from p2p.database_metrics() union all select * from p2p.audit_metrics()",
    [],
    60,
  );
  const found = new Map(rows.map(({ metric, labels, value }) => {
    const pairs = Object.entries(labels as Record<string, string>).toSorted();
    const name = pairs.map(([key, label]) => `${key}=${label}`).join(",");
    return [`${metric}${name && `{${name}}`}`, Number(value)];
  }));
  assert.equal(found.size, rows.length, "no sample is there twice");
  assert.ok([...found.values()].every(Number.isFinite));
  return found;
}

Deno.test("an empty database has metrics of what is, and none of batches", async () => {
  await using sql = await SqlFixture.create();
  const before = await sql.dump();
  const found = await metrics(sql);
  assert.deepEqual(
    Object.fromEntries([...found].filter(([name]) => !name.startsWith("p2p_queue_markets"))),
    {
      p2p_active_workers: 0,
      p2p_sql_drift_objects: 0,
      p2p_policy_violations: 0,
      p2p_skipped_batches: 0,
      p2p_failed_steps: 0,
      p2p_deferred_markets: 0,
      p2p_paused: 0,
    },
  );
  assert.deepEqual(await sql.dump(), before);
});

Deno.test("a partial batch, and one under way", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", { [A]: [offer()], [B]: [offer()] });
  const second = await sql.openBatch({ markets: [A, B], at: "2026-03-01 10:10+00" });
  await second.page(A, [offer(), ..."000".split("").map((price) => offer({ price }))]);
  await second.lose(B);
  await second.load();
  await sql.rows("update p2p.quality_rules set is_enabled = false where name = 'volume_drop'");
  const ended = await metrics(sql);
  assert.equal(ended.get("p2p_data_completeness_ratio"), 0.5);
  assert.equal(ended.get("p2p_batch_status{status=partial}"), 1);
  assert.equal(ended.get("p2p_batch_status{status=running}"), 0);
  assert.equal(ended.get("p2p_failed_batches_in_a_row"), 1);
  assert.ok(Number(ended.get("p2p_last_good_batch_age_seconds")) < 60);
  assert.equal(ended.get("p2p_active_workers"), 1);
  const failing = [...ended].filter(([name, value]) =>
    name.startsWith("p2p_quality") && value === 1
  );
  assert.deepEqual(failing.map(([name]) => name).toSorted(), [
    "p2p_quality_check_failed{rule=completeness,severity=error}",
    "p2p_quality_check_failed{rule=rejected_share,severity=error}",
  ]);
  assert.equal(ended.get("p2p_quality_check_failed{rule=completeness,severity=warning}"), 0);
  assert.ok(![...ended.keys()].some((name) => name.includes("rule=volume_drop")), "it is off");
  assert.ok(Number(ended.get("p2p_pipeline_step_seconds{step=load_offers}")) >= 0);

  const third = await sql.openBatch({ markets: [A, B], at: "2026-03-01 10:20+00" });
  await third.page(A, [offer()]);
  const running = await metrics(sql);
  assert.equal(running.get("p2p_batch_status{status=running}"), 1);
  assert.equal(running.get("p2p_queue_markets{status=complete}"), 1);
  assert.equal(running.get("p2p_queue_markets{status=fetching}"), 1);
  assert.equal(running.get("p2p_data_completeness_ratio"), 0.5, "of the one that ended");
  await third.load(); // before B was fetched
  const deferred = await metrics(sql);
  assert.equal(deferred.get("p2p_deferred_markets"), 1);
  assert.equal(deferred.get("p2p_failed_batches_in_a_row"), 2);
  await sql.rows("update p2p.ops_batch_runs set is_cut_short = true where batch_id = $1", third.id);
  await sql.rows("delete from p2p.ops_data_quality where batch_id = $1", second.id);
  const stopped = await metrics(sql);
  assert.equal(stopped.get("p2p_data_completeness_ratio"), 0.5, "of the one before the stop");
  assert.equal(stopped.get("p2p_quality_check_failed{rule=completeness,severity=error}"), 0);
  assert.equal(stopped.get("p2p_failed_batches_in_a_row"), 2);
});

Deno.test("pauses, skipped due times, live changes, failed steps, broken rules; imports are no news", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("update p2p.settings set value = 'on' where name = 'paused'");
  await sql.rows(
    `insert into p2p.ops_skipped_batches (due_at, reason)
     values (now() - interval '1 hour', 'x'), (now() - interval '2 days', 'x')`,
  );
  await sql.rows(
    `create function public.fails(uuid) returns void language plpgsql as $$ begin raise 'no'; end $$`,
  );
  await sql.rows(
    `insert into p2p.pipeline_steps (name, position, function, comment) values ('mine', 999, 'public.fails', 'x')`,
  );
  await sql.rows("drop view p2p.coverage");
  await sql.rows("drop function p2p.rule_stale_timestamps(uuid)");
  await sql.rows("update p2p.settings set value = 'off' where name = 'paused'");
  await sql.loadBatch("2026-03-01 10:00+00", { [A]: [offer()] });
  await sql.rows("update p2p.settings set value = 'on' where name = 'paused'");
  const found = await metrics(sql);
  assert.equal(found.get("p2p_paused"), 1);
  assert.equal(found.get("p2p_skipped_batches"), 1, "of the last day");
  assert.equal(found.get("p2p_sql_drift_objects"), 2);
  assert.equal(found.get("p2p_failed_steps"), 1);
  assert.equal(found.get("p2p_quality_check_failed{rule=stale_timestamps,severity=error}"), 1);
  await sql.rows("update p2p.ops_batch_runs set imported_from = '{x}'");
  const without = await metrics(sql);
  assert.equal(without.get("p2p_last_good_batch_age_seconds"), undefined);
});

Deno.test("both are planned without JIT: compiling the audit takes longer than the worker waits", async () => {
  await using sql = await SqlFixture.create();
  assert.deepEqual(
    await sql.values(
      `select p.proname::text from pg_proc p
       where p.proname like '%\\_metrics' and 'jit=off' = any (p.proconfig) order by 1`,
    ),
    ["audit_metrics", "database_metrics"],
  );
});
