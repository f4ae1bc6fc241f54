// A database that gains TimescaleDB later: migrate converts it, says before what it will do, loses nothing, and can be
// killed at any moment. One that lost TimescaleDB is refused, with what mends it.
import assert from "node:assert/strict";
import { migrate } from "../../src/database/migrate.ts";
import { planMigration } from "../../src/database/migration_plan.ts";
import { Database } from "../../src/database/connection.ts";
import { ConfigurationError } from "../../src/errors.ts";
import { isTimescale, type TestDatabase, testDatabase } from "../support/database.ts";
import { skipLoudly } from "../support/embedded.ts";
import { runProgram } from "../support/program.ts";
import { formerRelease, installRelease } from "../support/releases.ts";
import { debianServer } from "../support/servers.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const TABLES = ["fact_offers", "fact_market_depth", "stg_responses"];

/** Migrated where there is no extension. */
async function plainDatabase(): Promise<AsyncDisposable & { own: TestDatabase; sql: SqlFixture }> {
  const own = await testDatabase("bare");
  await migrate(own.database);
  const sql = SqlFixture.connect(own.url);
  const dispose = async () => {
    await sql[Symbol.asyncDispose]();
    await own[Symbol.asyncDispose]();
  };
  return { own, sql, [Symbol.asyncDispose]: dispose };
}

/** Batches of several days and months, the way they come. */
async function fill(sql: SqlFixture): Promise<void> {
  await sql.rows(
    "update p2p.settings set value = '200' where name in ('raw_retention_days', 'offers_retention_days')",
  );
  for (const day of ["2026-01-30", "2026-02-01", "2026-03-05"]) {
    for (const time of ["23:40", "23:50"]) {
      await sql.loadBatch(`${day} ${time}+00`, {
        "VES/USDT BUY": [1, 2, 3].map((id) => offer({ id: `${id}`, price: `4${id}.50` })),
        "VES/USDT SELL": [offer({ id: "9", price: "40.00" })],
      });
    }
  }
}

/** Rows of the facts as text, digits included, and of what people read. */
async function everything(sql: SqlFixture): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const relation of [...TABLES, "market_hourly", "market_daily", "merchant_daily"]) {
    found[relation] = await sql.values(`select t::text from p2p.${relation} t order by 1`);
  }
  return found;
}

Deno.test("a database that gains TimescaleDB is converted: every row, key, grant, trigger and view of a DBA is there after it", async () => {
  await using plain = await plainDatabase();
  const { sql, own } = plain;
  const { database } = own;
  await fill(sql);
  await database.runScript(
    `create view public.dba_prices as select offer_id, price from p2p.fact_offers where price > 41;
     create view public.dba_best as select min(price) as best from public.dba_prices;
     comment on view public.dba_prices is 'ours';
     grant select on public.dba_prices to p2p_reader;
     create function public.dba_notes() returns trigger language plpgsql as 'begin return null; end';
     create trigger dba_notes after insert on p2p.fact_offers for each row execute function public.dba_notes();
     comment on column p2p.fact_offers.price is 'a DBA''s words';
     grant select on p2p.stg_responses to p2p_reader;`,
    60,
  );
  const before = await everything(sql);
  const shape = () =>
    sql.values(
      `select format('%s %s', c.relname, pg_get_constraintdef(k.oid))
         from pg_constraint k join pg_class c on c.oid = k.conrelid
         where c.oid in ('p2p.fact_offers'::regclass, 'p2p.fact_market_depth'::regclass, 'p2p.stg_responses'::regclass)
       union all
       select replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') from pg_index i
         where i.indrelid in ('p2p.fact_offers'::regclass, 'p2p.fact_market_depth'::regclass, 'p2p.stg_responses'::regclass)
       union all
       select format('%s.%s %s %s', a.attrelid::regclass, a.attname, pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum))
         from pg_attribute a left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
         where a.attrelid in ('p2p.fact_offers'::regclass, 'p2p.fact_market_depth'::regclass, 'p2p.stg_responses'::regclass) and a.attnum > 0
       union all
       select format('%s %s %s', c.relname, array(select unnest(c.relacl)::text order by 1), obj_description(c.oid))
         from pg_class c
         where c.relname in ('fact_offers', 'fact_market_depth', 'stg_responses', 'dba_prices', 'dba_best')
       union all
       select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal and tgrelid = 'p2p.fact_offers'::regclass and tgname like 'dba%'
       order by 1`,
    );
  const shapeBefore = await shape();
  // As user p2p, in whose search_path schema p2p comes first: it may stand in any schema.
  await database.run("create extension timescaledb schema public", [], 60);

  const plan = await planMigration(database);
  assert.equal(plan.tier, "timescaledb");
  assert.deepEqual(
    plan.converted.map(({ table, bytes }) => [table, bytes > 0]),
    [["fact_market_depth", true], ["fact_offers", true], ["stg_responses", true]],
  );
  const { stdout } = await runProgram(["migrate", "--dry-run"], { DATABASE_URL: own.url });
  assert.match(stdout, /would run sql\/timescaledb\/migrations\/0001_hypertables\.sql/);
  assert.match(stdout, /fact_offers +│? *[\d,]+/);
  assert.match(stdout, /nobody reads or writes these tables for about \d+ s/);
  assert.deepEqual(await everything(sql), before, "a dry run changes nothing");

  const { migrations, policies, refreshed } = await migrate(database);
  assert.ok(migrations.includes("timescaledb/migrations/0001_hypertables.sql"));
  assert.ok(policies.some((line) => line === "columnstore of fact_offers: made"), policies.join());
  assert.equal(refreshed?.left, 0, refreshed?.reason);
  assert.deepEqual(
    await sql.values(
      "select hypertable_name::text from timescaledb_information.hypertables where hypertable_schema = 'p2p' order by 1",
    ),
    ["fact_market_depth", "fact_offers", "stg_responses"],
  );
  assert.deepEqual(await everything(sql), before);
  assert.deepEqual(await shape(), shapeBefore);
  assert.equal(Number(await sql.value("select best from public.dba_best")), 41.5);
  assert.deepEqual(
    await sql.values(
      "select relname from pg_class where relname like '%replaced%' or relname like '%hypertable' and relnamespace = 'p2p'::regnamespace",
    ),
    [],
  );
  assert.equal(await sql.value("select p2p.database_tier()"), "timescaledb");

  // It goes on: old batches again, later ones, older ones.
  for (const id of await sql.values("select batch_id from p2p.ops_batch_runs")) {
    await sql.work("select p2p.load_batch($1)", String(id));
  }
  assert.deepEqual(await everything(sql), before);
  await sql.loadBatch("2026-03-06 10:00+00", { "VES/USDT BUY": [offer({ id: "1" })] });
  await sql.loadBatch("2026-01-01 10:00+00", { "VES/USDT BUY": [offer({ id: "1" })] });
  await sql.loadBatch("2026-02-28 10:00+00", { "VES/USDT BUY": [offer({ id: "1" })] });
  assert.equal(
    await sql.value("select count(*) from p2p.fact_offers"),
    String((before["fact_offers"] as unknown[]).length + 3),
  );
  assert.deepEqual((await migrate(database)).migrations, [], "a second call has nothing to do");
});

Deno.test("a database of release 0.2.0 goes to TimescaleDB in one call; its heap is a chunk of its own", async () => {
  await using own = await testDatabase("bare");
  const release = formerRelease("0.2.0");
  await installRelease(own.database, release);
  await own.database.runScript(release.batches, 60);
  await using sql = SqlFixture.connect(own.url);
  const rows = () =>
    sql.values(
      "select to_jsonb(f)::text from p2p.fact_offers f union all select to_jsonb(d)::text from p2p.fact_market_depth d order by 1",
    );
  const before = await rows();
  assert.ok(before.length > 0);
  await own.database.run("create extension timescaledb schema public", [], 60);
  await migrate(own.database);
  assert.deepEqual(await rows(), before);
  for (const id of await sql.values("select batch_id from p2p.ops_batch_runs order by 1")) {
    // The first time brings observed_at to the minute.
    await sql.work("select * from p2p.replay_batch($1)", String(id));
    const { rows_written } = await sql.work("select * from p2p.replay_batch($1)", String(id));
    assert.equal(rows_written, "0");
  }
});

Deno.test("killed in the middle of converting, migrate finishes when it is called again", async () => {
  await using plain = await plainDatabase();
  const { sql, own } = plain;
  const { database } = own;
  await fill(sql);
  const before = await everything(sql);
  await database.run("create extension timescaledb schema public", [], 60);
  // The conversion takes the tables in turn: it has made a hypertable of offers when it waits for this one.
  await using reader = SqlFixture.connect(own.url);
  const reading = reader.database.runScript(
    "begin; lock table p2p.stg_responses in access share mode; select pg_sleep(60)",
    90,
  ).catch(() => {});
  const waiting = async (pattern: string): Promise<string> => {
    for (;;) {
      const pid = await sql.value(
        `select pid::text from pg_stat_activity
         where datname = current_database() and query like $1 and pid <> pg_backend_pid()
           and (wait_event_type = 'Lock' or wait_event = 'PgSleep')`,
        pattern,
      );
      if (pid !== undefined) return String(pid);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const holder = await waiting("%pg_sleep(60)%");
  const converting = migrate(database).then(() => "done", () => "killed");
  const pid = await waiting("%apply_migration%");
  await sql.value("select pg_terminate_backend($1::integer)", pid);
  assert.equal(await converting, "killed");
  assert.equal(await sql.value("select p2p.database_tier()"), "plain");
  assert.deepEqual(await everything(sql), before);
  await sql.value("select pg_terminate_backend($1::integer)", holder);
  await reading;
  await migrate(database);
  assert.equal(await sql.value("select p2p.database_tier()"), "timescaledb");
  assert.deepEqual(await everything(sql), before);
});

Deno.test("a table that an object of a DBA stands on, which cannot be made anew, is refused with its name", async () => {
  await using plain = await plainDatabase();
  const { own } = plain;
  await plain.sql.rows(
    "create materialized view public.dba_daily as select count(*) from p2p.fact_offers",
  );
  await own.database.run("create extension timescaledb schema public", [], 60);
  await assert.rejects(migrate(own.database), (error: Error) => {
    assert.ok(error instanceof ConfigurationError);
    assert.match(error.message, /dba_daily/);
    return true;
  });
  assert.equal(await plain.sql.value("select p2p.database_tier()"), "plain");
});

Deno.test("a TimescaleDB that is too old: plain tables for a new database, refused where facts are in it", async () => {
  await using converted = await testDatabase();
  await using fresh = await testDatabase("bare");
  await fresh.database.run("create extension timescaledb schema public", [], 60);
  for (const { database } of [converted, fresh]) {
    await database.run(
      "alter procedure public.attach_chunk rename to attach_chunk_of_a_later_version",
      [],
      60,
    );
  }
  const plan = await planMigration(fresh.database);
  assert.equal(plan.tier, "plain");
  assert.match(plan.tierReason, /has no attach_chunk/);
  assert.match(plan.tierHint ?? "", /alter extension timescaledb update/);
  await migrate(fresh.database);
  const [row] = await fresh.database.run("select p2p.database_tier() as tier", [], 60);
  assert.equal(row?.["tier"], "plain");
  await refused(converted.url, /has no attach_chunk/, /alter extension timescaledb update/);
});

Deno.test("the Apache edition is plain PostgreSQL, and refused where facts are in TimescaleDB", async () => {
  const folder = await Deno.makeTempDir({ prefix: "p2p-apache-" });
  await Deno.chmod(folder, 0o755);
  try {
    const apache = await debianServer(
      folder,
      "-c shared_preload_libraries=timescaledb -c timescaledb.license=apache -c timescaledb.max_background_workers=0",
    ).catch(() => undefined);
    if (apache === undefined) {
      return skipLoudly("the Apache edition (no TimescaleDB for PostgreSQL 15 here)");
    }
    await using server = apache;
    await using admin = new Database(server.adminUrl, { applicationName: "test", connections: 1 });
    await admin.run("create extension timescaledb schema public", [], 60);
    const plan = await planMigration(admin);
    assert.equal(plan.tier, "plain");
    assert.match(plan.tierReason, /timescaledb\.license = apache/);
    await migrate(admin);
    // As if a database of the Community edition had been moved here.
    await admin.run(
      "insert into p2p.schema_migrations values ('timescaledb/migrations/0001_hypertables.sql', '', '', '0.3.0')",
      [],
      60,
    );
    await refused(
      server.adminUrl,
      /timescaledb\.license = apache/,
      /set timescaledb\.license = 'timescale'/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Whatever the command, it says why, and what mends it. */
async function refused(url: string, reason: RegExp, hint: RegExp): Promise<void> {
  for (const command of [["migrate"], ["migrate", "--dry-run"], ["status"]]) {
    const { code, stderr } = await runProgram(command, { DATABASE_URL: url });
    assert.equal(code, 78, stderr);
    assert.match(stderr, /there is no way back to plain tables/);
    assert.match(stderr, reason);
    assert.match(stderr, hint);
  }
}

Deno.test("an extension that was dropped took the facts along: refused, and only a backup mends it", async () => {
  await using own = await testDatabase();
  await own.database.run("drop extension timescaledb cascade", [], 60);
  await using sql = SqlFixture.connect(own.url);
  const { code, stderr } = await runProgram(["migrate"], { DATABASE_URL: own.url });
  assert.equal(code, 78, stderr);
  assert.match(stderr, /not in this database/);
  assert.match(stderr, /backup/);
  assert.equal(await sql.value("select p2p.database_tier()"), "timescaledb");
});

Deno.test("where TimescaleDB could be had, migrate and doctor name the statement", async () => {
  await using plain = await plainDatabase();
  const { own } = plain;
  const { stderr } = await runProgram(["migrate", "--dry-run"], { DATABASE_URL: own.url });
  assert.match(stderr, /on this server, but not in this database.*create extension timescaledb/);
  const [server] = await plain.sql.rows("select * from p2p.diagnose() where topic = 'server'");
  assert.equal(server?.["state"], "ok");
  assert.match(String(server?.["finding"]), /plain tables/);
  assert.match(
    String(server?.["mend"]),
    /^create extension timescaledb schema public, then p2p-ingest migrate$/,
  );
  await own.database.run("create extension timescaledb schema public", [], 60);
  const [after] = await plain.sql.rows("select * from p2p.diagnose() where topic = 'server'");
  assert.equal(after?.["state"], "warning");
  assert.match(String(after?.["mend"]), /p2p-ingest migrate/);
});

Deno.test("these tests ran on TimescaleDB", () => {
  assert.ok(isTimescale());
});
