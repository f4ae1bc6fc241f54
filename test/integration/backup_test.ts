// A backup by pg_dump, restored by pg_restore: everything is as it was, and work goes on. docs/backup.md says how.
import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { isUpToDate, planMigration } from "../../src/database/migration_plan.ts";
import { startSimulator } from "../../src/simulator/server.ts";
import { canDump, contents, dump, restore } from "../support/backup.ts";
import { isTimescale, type TestDatabase, testDatabase, urlAs } from "../support/database.ts";
import { FAST, runProgram } from "../support/program.ts";
import { formerRelease, installRelease } from "../support/releases.ts";
import { schemaText } from "../support/schema_text.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";

// Hypertables want two calls more: test/timescale/backup_test.ts.
const ignore = isTimescale() || !await canDump();

/** Two batches, in which an advertiser changes name and an offer is refused; what a DBA did; a worker that died in a batch. */
async function someHistory(): Promise<SqlFixture> {
  const sql = await SqlFixture.create();
  const items = (nick: string) => [
    offer({ id: "1", nick }),
    offer({ id: "2", price: "-1" }),
  ];
  await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: items("before") });
  await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: items("after") });
  await sql.rows("update p2p.settings set value = '30' where name = 'raw_retention_days'");
  await sql.database.runScript(
    `do $$
     declare
       v_name text;
     begin
       foreach v_name in array array['p2p.failures_in_a_row', 'p2p.why_late'] loop
         execute regexp_replace(pg_get_functiondef(v_name::regproc), '(\\$function\\$)', E'\\\\1\\n  -- mine\\n');
       end loop;
     end
     $$;
     select p2p.adopt_object('why_late', 'a test')`,
    60,
  );
  const batch = await sql.openBatch({ markets: [BUY, SELL] });
  await batch.page(BUY, [offer({ id: "3" })]);
  return sql;
}

async function restored(file: string, ...more: string[]): Promise<TestDatabase> {
  const target = await testDatabase("bare");
  await restore(file, target.url, ...more);
  return target;
}

Deno.test({
  name:
    "a restored backup is the same database; its dead batch is ended at the next start, and batches go on",
  ignore,
  fn: async () => {
    await using source = await someHistory();
    const file = await Deno.makeTempFile({ suffix: ".dump" });
    await dump(source.url, file);
    await using target = await restored(file);
    await using sql = SqlFixture.connect(target.url);

    deepStrictEqual(await contents(target.database), await contents(source.database));
    strictEqual(await schemaText(target.database), await schemaText(source.database));
    const states = "select identity, state, is_missing from p2p.object_states order by 1";
    deepStrictEqual(await sql.rows(states), await source.rows(states), "drift is what it was");
    ok(isUpToDate(await planMigration(target.database)), "migrate finds nothing to do");
    const offers = await sql.value("select max(offer_id) from p2p.fact_offers");

    // Retention counts from the newest batch: of an old backup its history would go with the first one.
    await sql.rows(
      "update p2p.settings set value = '3650' where name in ('offers_retention_days', 'depth_retention_days')",
    );
    // The worker of the backup is not there any more.
    await sql.rows("update p2p.ops_workers set lease_expires_at = now() - interval '1 hour'");
    await sql.rows(
      "update p2p.ops_batch_runs set fetch_until = batch_start_time + interval '1 second' where status = 'running'",
    );
    const simulator = await startSimulator({ offers: 100 });
    try {
      const { code, stdout, stderr } = await runProgram(["once", "--json"], {
        DATABASE_URL: urlAs("worker", target.url),
        BINANCE_BASE_URL: simulator.url,
        ...FAST,
      });
      strictEqual(code, 0, stderr);
      match(stderr, /loaded what a worker that died had stored/);
      strictEqual(JSON.parse(stdout).status, "completed");
    } finally {
      await simulator.close();
    }
    strictEqual(
      await sql.value(
        "select count(*)::integer from p2p.fact_offers where extraction_timestamp < '2026-03-02'",
      ),
      2,
      "its history is kept",
    );
    const [ended] = await sql.rows(
      `select status, total_offers_inserted as offers, error_summary from p2p.ops_batch_runs
       where batch_start_time > '2026-03-02' order by batch_start_time limit 1`,
    );
    deepStrictEqual([ended?.["status"], ended?.["offers"]], ["partial", 1]);
    match(String(ended?.["error_summary"]), /the deadline of \d+ s came first/);
    ok(
      Number(
        await sql.value(
          "select min(offer_id) from p2p.fact_offers where extraction_timestamp > '2026-03-02'",
        ),
      ) >
        Number(offers),
      "numbers go on after those of the backup",
    );

    await Deno.remove(file);
  },
});

Deno.test({
  name: "a backup without the raw pages: facts stay, and nothing loads those batches again",
  ignore,
  fn: async () => {
    await using source = await someHistory();
    const file = await Deno.makeTempFile({ suffix: ".dump" });
    await dump(source.url, file, "--exclude-table-data=p2p_partitions.stg_responses*");
    await using target = await restored(file);
    await using sql = SqlFixture.connect(target.url);
    strictEqual(await sql.value("select count(*)::integer from p2p.stg_responses"), 0);
    const facts = "select * from p2p.fact_offers order by extraction_timestamp, offer_id";
    const before = await sql.rows(facts);
    strictEqual(before.length, 2);
    const loaded = "batch_start_time < '2026-03-02'";
    const ids = await sql.values(`select batch_id from p2p.ops_batch_runs where ${loaded}`);
    for (const id of ids) {
      await rejects(
        sql.work("select * from p2p.load_batch($1)", String(id)),
        /raw pages of batch .* are gone: 0 of 1 are left/,
      );
    }
    deepStrictEqual(
      await sql.rows("select obstacle from p2p.replayable_batches() where status <> 'running'"),
      ids.map(() => ({ obstacle: "its raw pages are gone" })),
    );
    deepStrictEqual(
      await sql.rows("select can_be_loaded from p2p.quarantine_batches()"),
      ids.map(() => ({ can_be_loaded: false })),
    );
    deepStrictEqual(await sql.rows(facts), before);
    await Deno.remove(file);
  },
});

Deno.test({
  name:
    "a backup of an older release, restored under another owner: migrate brings it to this one; a newer one is refused",
  ignore,
  fn: async () => {
    await using old = await testDatabase("empty");
    const release = formerRelease("0.4.0");
    await installRelease(old.database, release);
    await old.database.runScript(release.batches, 60);
    const file = await Deno.makeTempFile({ suffix: ".dump" });
    await dump(old.url, file);

    const owner = `test_owner_${crypto.randomUUID().slice(0, 8)}`;
    {
      await using target = await testDatabase("bare");
      const name = new URL(target.url).pathname.slice(1);
      await target.database.runScript(
        `create role ${owner} login; grant create on database ${name} to ${owner}`,
        60,
      );
      await restore(file, target.url, "--no-owner", `--role=${owner}`);
      await using sql = SqlFixture.connect(target.url);
      await sql.rows("update p2p.schema_migrations set program_version = '99.0.0'");
      await rejects(
        planMigration(target.database),
        /newer than this program/,
      );
      await sql.rows("update p2p.schema_migrations set program_version = '0.4.0'");
      ok(!isUpToDate(await planMigration(target.database)));
      const asOwner = new URL(target.url);
      asOwner.username = owner;
      const migrated = await runProgram(["migrate"], { DATABASE_URL: asOwner.href });
      strictEqual(migrated.code, 0, migrated.stderr);
      ok(isUpToDate(await planMigration(target.database)));
      deepStrictEqual(
        await sql.rows("select * from p2p.diagnose(10) where state = 'bad'"),
        [],
      );
      await sql.loadBatch(undefined, { [BUY]: [offer({ id: "9" })] });
      deepStrictEqual(
        await sql.rows(
          "select status, offers from p2p.batch_overview order by batch_start_time desc limit 1",
        ),
        [{ status: "completed", offers: 1 }],
      );
    }
    await using admin = await testDatabase("bare");
    await admin.database.run(`drop role ${owner}`, [], 60);
    await Deno.remove(file);
  },
});
