import assert from "node:assert/strict";
import { migrate } from "../../src/database/migrate.ts";
import { RELEASE } from "../../src/database/release.ts";
import { isTimescale } from "../support/database.ts";
import { rowsOf, valueOf } from "../support/batches.ts";
import { testDatabase } from "../support/database.ts";
import { SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const A = "VES/A BUY";
const B = "VES/B BUY";

/** Batches of one offer, one rejected offer and one lost market, on these days of 2026. */
async function batchesOn(sql: SqlFixture, days: readonly string[]): Promise<TestBatch[]> {
  const batches: TestBatch[] = [];
  for (const day of days) {
    const batch = await sql.openBatch({ markets: [A, B], at: `${day}T10:00:00Z` });
    await batch.page(A, [offer(), offer({ price: "0" })]);
    await batch.lose(B);
    await batch.load();
    batches.push(batch);
  }
  return batches;
}

/** Old rows are still there when a test looks: the step of the same name is off. All is kept until a test says less. */
async function fixture(): Promise<SqlFixture> {
  const sql = await SqlFixture.create();
  await sql.rows("update p2p.pipeline_steps set is_enabled = false where name = 'apply_retention'");
  await sql.rows("update p2p.settings set value = '3650' where name like '%retention_days'");
  return sql;
}

const set = (sql: SqlFixture, name: string, value: number): Promise<unknown> =>
  sql.rows("update p2p.settings set value = $2 where name = $1", name, String(value));

const apply = async (sql: SqlFixture, batch: string | null = null): Promise<unknown> =>
  (await sql.work("select p2p.apply_retention($1) as deleted", batch))["deleted"];

/** Days of which the table still has rows. */
const daysOf = (sql: SqlFixture, table: string): Promise<unknown[]> =>
  sql.values(
    `select distinct to_char(extraction_timestamp at time zone 'UTC', 'MM-DD') from p2p.${table} order by 1`,
  );
const ledgerDays = (sql: SqlFixture, table: string): Promise<unknown[]> =>
  sql.values(
    `select distinct to_char(batch_start_time at time zone 'UTC', 'MM-DD') from p2p.${table} join p2p.ops_batch_runs using (batch_id) order by 1`,
  );

// Months of books are chunks of a week there, which wait for the aggregates: test/timescale/truth_test.ts.
Deno.test("retention deletes what is older than the settings say, of each kind", {
  ignore: isTimescale(),
}, async () => {
  await using sql = await fixture();
  await batchesOn(sql, ["2026-01-01", "2026-02-01", "2026-03-01", "2026-03-11"]);
  const before = await sql.dump();
  assert.deepEqual(await apply(sql), {}, "nothing is old enough");
  assert.deepEqual((await sql.dump()).get("stg_responses"), before.get("stg_responses"));

  await set(sql, "raw_retention_days", 10);
  await set(sql, "offers_retention_days", 30);
  await set(sql, "depth_retention_days", 30);
  await set(sql, "ledger_retention_days", 30);
  // Partitions of pages and offers are days, of books months: all of February is not older than 30 days.
  assert.deepEqual(await apply(sql), {
    stg_responses: 2,
    stored_market_days: 1,
    stored_market_hours: 1,
    stored_merchant_days: 1,
    fact_offers: 2,
    fact_market_depth: 1,
    ops_batch_markets: 4,
    ops_extraction_errors: 2,
    ops_rejected_offers: 2,
  });
  // Exactly ten days is not older than ten days.
  assert.deepEqual(await daysOf(sql, "stg_responses"), ["03-01", "03-11"]);
  assert.deepEqual(await daysOf(sql, "fact_offers"), ["03-01", "03-11"]);
  assert.deepEqual(await daysOf(sql, "fact_market_depth"), ["02-01", "03-01", "03-11"]);
  for (const table of ["ops_batch_markets", "ops_extraction_errors", "ops_rejected_offers"]) {
    assert.deepEqual(await ledgerDays(sql, table), ["03-01", "03-11"], table);
  }
  assert.equal((await ledgerDays(sql, "ops_data_quality")).length, 4, "batches and checks stay");
  const after = await sql.dump();
  assert.deepEqual(await apply(sql), {}, "a second call finds nothing");
  assert.deepEqual(await sql.dump(), after);
});

Deno.test("each call clears the ledger of a few batches, the oldest first", async () => {
  await using sql = await fixture();
  await batchesOn(sql, ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "2026-03-11"]);
  await set(sql, "raw_retention_days", 1);
  await set(sql, "ledger_retention_days", 30);
  await set(sql, "retention_batches_per_load", 3);
  const ledger = { ops_batch_markets: 6, ops_extraction_errors: 3, ops_rejected_offers: 3 };
  assert.deepEqual(await apply(sql), { stg_responses: 4, ...ledger });
  assert.deepEqual(await ledgerDays(sql, "ops_batch_markets"), ["01-04", "03-11"]);
  assert.deepEqual(await apply(sql), {
    ops_batch_markets: 2,
    ops_extraction_errors: 1,
    ops_rejected_offers: 1,
  });
  assert.deepEqual(await apply(sql), {});
});

Deno.test("a ledger is kept as long as the pages it is needed to load", async () => {
  await using sql = await fixture();
  const [old] = await batchesOn(sql, ["2026-01-01", "2026-03-11"]);
  await set(sql, "ledger_retention_days", 30);
  await set(sql, "raw_retention_days", 100);
  assert.deepEqual(await apply(sql), {});
  const before = await sql.dump();
  await old?.load();
  assert.deepEqual(await sql.dump(), before);
});

Deno.test("as a step it acts in the first load only, and never on the batch itself", async () => {
  await using sql = await fixture();
  const [old] = await batchesOn(sql, ["2026-01-01", "2026-01-02", "2026-03-11"]);
  await set(sql, "raw_retention_days", 1);
  const before = await sql.dump();
  assert.deepEqual(await apply(sql, old?.id ?? null), {}, "a replay deletes nothing");
  assert.deepEqual(await sql.dump(), before);

  // A batch that comes late, itself old enough: neither it goes, nor what is newer.
  const late = await sql.openBatch({ markets: [A], at: "2026-01-02T20:00:00Z" });
  await late.page(A, [offer()]);
  assert.deepEqual(await apply(sql, late.id), { stg_responses: 1 });
  assert.deepEqual(await daysOf(sql, "stg_responses"), ["01-02", "03-11"]);
});

Deno.test("load_batch clears away as its last step", async () => {
  await using sql = await SqlFixture.create();
  await set(sql, "raw_retention_days", 1);
  await batchesOn(sql, ["2026-01-01", "2026-01-02", "2026-01-04"]);
  assert.deepEqual(await daysOf(sql, "stg_responses"), ["01-04"]);
  assert.deepEqual(await daysOf(sql, "fact_offers"), ["01-01", "01-02", "01-04"]);
});

Deno.test("a batch from a time to come makes nothing older than it is", async () => {
  await using sql = await fixture();
  await set(sql, "raw_retention_days", 30);
  const now = Date.now();
  const daysAgo = (days: number) => new Date(now - days * 86_400_000).toISOString().slice(0, 10);
  await batchesOn(sql, [daysAgo(20), daysAgo(1), daysAgo(-3650)]);
  assert.deepEqual(await apply(sql), {});
});

Deno.test("without its pages a batch keeps its facts, and loading it again is refused", async () => {
  await using sql = await fixture();
  await set(sql, "raw_retention_days", 30);
  const [old] = await batchesOn(sql, ["2026-01-01", "2026-03-11"]);
  await apply(sql);
  assert.deepEqual(await daysOf(sql, "stg_responses"), ["03-11"]);
  const before = await sql.dump();
  await assert.rejects(
    async () => await old?.load(),
    /pages of batch .* were deleted when they were old enough/,
  );
  assert.deepEqual(await sql.dump(), before);
  assert.deepEqual(await daysOf(sql, "fact_offers"), ["01-01", "03-11"]);
});

Deno.test("the worker deletes by the settings and not otherwise; a reader not at all", async () => {
  await using sql = await fixture();
  await set(sql, "raw_retention_days", 30);
  await batchesOn(sql, ["2026-01-01", "2026-03-11"]);
  await assert.rejects(sql.work("delete from p2p.stg_responses"), /lacks a privilege/);
  await assert.rejects(
    sql.work("update p2p.settings set value = '1' where name = 'raw_retention_days'"),
    /lacks a privilege/,
  );
  assert.deepEqual(await apply(sql), { stg_responses: 1 });
});

Deno.test("a database that has run for longer than the shipped times keeps all it has", async (t) => {
  const upTo = (number: string) => ({
    ...RELEASE,
    migrations: RELEASE.migrations.filter(({ name }) => name < `migrations/${number}`),
    objects: [],
  });
  for (
    const [days, raw, offers] of [[29, "30", "400"], [31, "36500", "400"], [401, "36500", "36500"]]
  ) {
    await t.step(`${days} days`, async () => {
      await using test = await testDatabase("empty");
      await migrate(test.database, upTo("0007"));
      await rowsOf(
        test.database,
        `insert into p2p.ops_batch_runs (batch_start_time, batch_end_time, status, worker_id, lease_expires_at)
         select now() - age * interval '1 day', now(), 'completed', '', now() from unnest(array[0, $1::integer]) as age`,
        Number(days),
      );
      await migrate(test.database);
      const value = (name: string) =>
        valueOf(test.database, "select value from p2p.settings where name = $1", name);
      assert.equal(await value("raw_retention_days"), raw);
      assert.equal(await value("offers_retention_days"), offers);
      assert.equal(await value("paused"), "off");
    });
  }
});
