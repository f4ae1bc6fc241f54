// Policies follow the settings, and policy_audit names every rule that is violated, with the statement that mends it:
// each rule is broken for real, and mended by running what it says.
import assert from "node:assert/strict";
import { migrate } from "../../src/database/migrate.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";

/** A converted database with a batch of now, and policies. */
async function withPolicies(): Promise<SqlFixture> {
  const sql = await SqlFixture.create();
  await sql.loadBatch(undefined, { [BUY]: [offer({ id: "1" })] });
  await migrate(sql.database);
  return sql;
}

/** Windows of all jobs, in days, e.g. `merchant_hours_v1 9`. */
async function jobs(sql: SqlFixture): Promise<string[]> {
  return (await sql.values(
    `select format('%s %s', hypertable_name,
       trim_scale(extract(epoch from coalesce(config ->> 'start_offset', config ->> 'compress_after')::interval) / 86400))
     from timescaledb_information.jobs
     where hypertable_schema = 'p2p'
     order by proc_name desc, 1`,
  )).map(String);
}

async function set(sql: SqlFixture, name: string, value: number): Promise<void> {
  await sql.rows("update p2p.settings set value = $2 where name = $1", name, `${value}`);
}

interface Violation {
  readonly subject: string;
  readonly rule: string;
  readonly finding: string;
  readonly mends: string;
}

async function violations(sql: SqlFixture): Promise<Violation[]> {
  return await sql.rows(
    "select * from p2p.policy_audit where status = 'violated' order by subject, rule",
  ) as unknown as Violation[];
}

Deno.test("policies are made from the settings, and made anew when a DBA changes them", async (t) => {
  await using sql = await withPolicies();
  await t.step("as migrate leaves them", async () => {
    assert.deepEqual(await jobs(sql), [
      "market_days_v1 11",
      "market_hours_v1 9",
      "merchant_days_v1 11",
      "merchant_hours_v1 9",
      "fact_market_depth 8",
      "fact_offers 8",
      "market_days_v1 18",
      "market_hours_v1 16",
      "merchant_days_v1 18",
      "merchant_hours_v1 16",
    ]);
    assert.deepEqual(await violations(sql), []);
  });
  await t.step("a second call touches none", async () => {
    const ids = () => sql.values("select job_id from timescaledb_information.jobs order by 1");
    const before = await ids();
    assert.deepEqual(
      await sql.values("select distinct outcome from p2p.apply_policies()"),
      ["unchanged"],
    );
    assert.deepEqual(await ids(), before);
  });
  await t.step("whoever may change a setting, and owns nothing", async () => {
    await sql.rows("grant select, update (value) on p2p.settings to p2p_worker");
    await sql.work("update p2p.settings set value = '12' where name = 'raw_retention_days'");
    await sql.work("update p2p.settings set value = '14' where name = 'columnstore_after_days'");
    assert.deepEqual((await jobs(sql)).slice(0, 6), [
      "market_days_v1 16",
      "market_hours_v1 14",
      "merchant_days_v1 16",
      "merchant_hours_v1 14",
      "fact_market_depth 14",
      "fact_offers 14",
    ]);
    assert.deepEqual(await violations(sql), []);
  });
  await t.step("another setting makes no job anew, and a paused job stays paused", async () => {
    await sql.rows(
      "select public.alter_job(job_id, scheduled => false) from timescaledb_information.jobs where hypertable_name = 'fact_offers'",
    );
    await set(sql, "price_history_hours", 4);
    await sql.rows("select * from p2p.apply_policies()");
    assert.deepEqual((await violations(sql)).map(({ rule }) => rule), [
      "old chunks are packed by a policy",
    ]);
  });
});

Deno.test("no refresh looks back to facts that retention drops, or dropped", async () => {
  await using sql = await withPolicies();
  await set(sql, "columnstore_after_days", 90);
  await set(sql, "raw_retention_days", 60);
  await set(sql, "offers_retention_days", 40);
  assert.match((await jobs(sql)).join(), /merchant_hours_v1 39,/, "less than offers are kept");
  const rules = (await violations(sql)).map(({ subject, rule }) => `${subject}: ${rule}`);
  assert.deepEqual(rules, [
    "merchant_hours_v1: its refresh sees every batch that can be loaded again",
    "raw_retention_days: pages are not kept longer than the facts made of them",
  ]);
  await sql.rows(
    "insert into p2p.dropped_facts (table_name, dropped_before) values ('fact_offers', date_trunc('day', now()) - interval '30 days')",
  );
  assert.match(
    (await violations(sql)).map(({ rule }) => rule).join(),
    /its refresh never reaches facts that were dropped/,
  );
  await sql.rows("select * from p2p.apply_policies()");
  assert.match((await jobs(sql)).join(), /merchant_hours_v1 30,/);
  assert.doesNotMatch(
    (await violations(sql)).map(({ rule }) => rule).join(),
    /its refresh never reaches/,
  );
});

/** How a rule is broken, as a DBA would; `mends` of the audit has to be enough. */
const BROKEN: Readonly<Record<string, string>> = {
  "it is refreshed by a policy":
    "select public.remove_continuous_aggregate_policy('p2p.market_hours_v1')",
  "its refresh looks back less far than what it reads is kept":
    `select public.remove_continuous_aggregate_policy('p2p.market_hours_v1');
     select public.remove_continuous_aggregate_policy('p2p.market_days_v1');
     select public.add_continuous_aggregate_policy('p2p.market_days_v1', null, interval '1 day', interval '1 hour');
     select public.add_continuous_aggregate_policy('p2p.market_hours_v1', null, interval '1 hour', interval '1 hour')`,
  "its refresh sees every batch that can be loaded again":
    `select public.remove_continuous_aggregate_policy('p2p.market_hours_v1');
     select public.add_continuous_aggregate_policy('p2p.market_hours_v1', interval '3 days', interval '1 hour', interval '1 hour')`,
  "its refresh looks back as far as that of the aggregate it reads":
    `select public.remove_continuous_aggregate_policy('p2p.market_days_v1');
     select public.add_continuous_aggregate_policy('p2p.market_days_v1', interval '3 days', interval '1 day', interval '1 hour')`,
  "its refresh never reaches facts that were dropped":
    "insert into p2p.dropped_facts (table_name, dropped_before) values ('fact_market_depth', date_trunc('day', now()) - interval '5 days')",
  "it shows the newest batch before it is refreshed":
    "alter materialized view p2p.merchant_days_v1 set (timescaledb.materialized_only = true)",
  "old chunks are packed by a policy": "call public.remove_columnstore_policy('p2p.fact_offers')",
  "chunks are packed when no batch in them can be loaded again":
    "update p2p.settings set value = '3' where name = 'columnstore_after_days'",
  "no retention policy of TimescaleDB is on it: such drops are not recorded, and ask no aggregate":
    "select public.add_retention_policy('p2p.fact_offers', interval '30 days')",
  "offers are kept for 30 days or more":
    "update p2p.settings set minimum = 1, value = '20' where name = 'offers_retention_days'",
  "pages are not kept longer than the facts made of them":
    "update p2p.settings set value = '500' where name = 'raw_retention_days'",
  "the owner of the tables may log in: jobs run as them": `create role nologin_owner nologin;
     grant nologin_owner to current_user;
     grant create on schema p2p to nologin_owner;
     select public.remove_continuous_aggregate_policy('p2p.merchant_hours_v1');
     select public.remove_continuous_aggregate_policy('p2p.merchant_days_v1');
     call public.remove_columnstore_policy('p2p.merchant_hours_v1');
     call public.remove_columnstore_policy('p2p.merchant_days_v1');
     call public.remove_columnstore_policy('p2p.fact_offers');
     alter table p2p.fact_offers owner to nologin_owner`,
};

for (const [rule, breaking] of Object.entries(BROKEN)) {
  Deno.test(`policy_audit: ${rule}`, async () => {
    await using sql = await withPolicies();
    try {
      assert.deepEqual(await violations(sql), []);
      await sql.database.runScript(breaking, 60);
      const found = (await violations(sql)).filter((violation) => violation.rule === rule);
      assert.ok(found.length > 0, "it is named");
      for (const { subject, finding, mends } of found) {
        assert.ok(subject !== "" && finding !== "" && mends !== "");
        const [said] = await sql.rows(
          "select * from p2p.diagnose() where topic = 'policies' and mend = $1",
          mends,
        );
        assert.equal(said?.["state"], "bad", "doctor says it too");
      }
      for (const { mends } of found) await sql.database.runScript(mends, 60);
      assert.deepEqual((await violations(sql)).filter((violation) => violation.rule === rule), []);
    } finally {
      await sql.rows(
        "do $$ begin if to_regrole('nologin_owner') is not null then alter table p2p.fact_offers owner to p2p; drop owned by nologin_owner; drop role nologin_owner; end if; end $$",
      );
    }
  });
}

Deno.test("policy_audit: a job that fails is named, with how to read why and to run it again", async () => {
  await using sql = await withPolicies();
  const id = await sql.value(
    "select job_id from timescaledb_information.jobs where hypertable_name = 'fact_offers'",
  );
  // As the scheduler notes it; there is none on the test server.
  await sql.rows(
    `insert into _timescaledb_internal.bgw_job_stat
       (job_id, last_start, last_finish, next_start, last_successful_finish, last_run_success, total_runs, total_duration,
        total_duration_failures, total_successes, total_failures, total_crashes, consecutive_failures, consecutive_crashes, flags)
     values ($1, now(), now(), now(), '-infinity', false, 1, interval '1 s', interval '1 s', 0, 1, 0, 1, 0, 0)`,
    Number(id),
  );
  const [violation] = await violations(sql);
  assert.equal(violation?.rule, "its jobs succeed");
  assert.match(
    violation?.mends ?? "",
    new RegExp(`job_id = ${id} .*call public.run_job\\(${id}\\)`),
  );
});

Deno.test("policy_audit: jobs that never run are noticed when batches have come for hours", async () => {
  await using sql = await withPolicies();
  await sql.rows(
    "update p2p.ops_batch_runs set batch_start_time = now() - interval '5 hours', batch_end_time = now() - interval '4 hours'",
  );
  assert.deepEqual((await violations(sql)).map(({ rule }) => rule), ["jobs run when they are due"]);
});

Deno.test("policy_audit: facts that no policy looks at, and no aggregate holds, are named with the refresh that mends it", async () => {
  await using sql = await withPolicies();
  await sql.loadBatch("2026-03-01 10:20+00", { [BUY]: [offer({ id: "1" })] });
  const found = await violations(sql);
  assert.deepEqual(
    found.map(({ subject, rule }) => `${subject} ${rule}`),
    [
      "market_hours_v1 it holds all facts that no policy looks at any more",
      "merchant_hours_v1 it holds all facts that no policy looks at any more",
    ],
  );
  for (const { mends } of found) await sql.database.runScript(mends, 60);
  for (const { mends } of await violations(sql)) await sql.database.runScript(mends, 60);
  assert.deepEqual(await violations(sql), []);
});
