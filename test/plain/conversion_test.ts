// A database of 0.2.0 gets partitions; what its DBA built on the tables stays.
import assert from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { migrate } from "../../src/database/migrate.ts";
import { testDatabase } from "../support/database.ts";
import { formerRelease, installRelease } from "../support/releases.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BEFORE = formerRelease("0.2.0");

interface OldDatabase extends AsyncDisposable {
  readonly sql: SqlFixture;
}

/** Two batches of 0.2.0 on two days of March 2026, and on 0.2.0 what the statements make. */
async function oldDatabase(...statements: string[]): Promise<OldDatabase> {
  const test = await testDatabase("empty");
  await installRelease(test.database, BEFORE);
  await test.database.runScript(BEFORE.batches, 60);
  await test.database.runScript(
    `create temp table moves as
       select batch_id, batch_start_time as old_time, timestamptz '2026-03-30 23:50Z' + (row_number() over (order by batch_start_time)) * interval '20 minutes' as new_time
       from p2p.ops_batch_runs;
     update p2p.stg_responses t set extraction_timestamp = m.new_time from moves m where m.batch_id = t.batch_id;
     update p2p.fact_offers t set extraction_timestamp = m.new_time from moves m where m.batch_id = t.batch_id;
     update p2p.fact_market_depth t set extraction_timestamp = m.new_time from moves m where m.batch_id = t.batch_id;
     update p2p.ops_batch_runs t set batch_start_time = m.new_time from moves m where m.batch_id = t.batch_id;
     update p2p.dim_advertisers a set
       effective_date = coalesce((select m.new_time from moves m where m.old_time = a.effective_date), a.effective_date),
       expiration_date = coalesce((select m.new_time from moves m where m.old_time = a.expiration_date), a.expiration_date);
     drop table moves;
     create schema my;
     ${statements.join(";\n")}`,
    60,
  );
  const sql = SqlFixture.connect(test.url);
  return {
    sql,
    [Symbol.asyncDispose]: async () => {
      await sql.worker[Symbol.asyncDispose]();
      await sql.database[Symbol.asyncDispose]();
      await test[Symbol.asyncDispose]();
    },
  };
}

const COUNTS = `select jsonb_build_object(
  'offers', (select count(*) from p2p.fact_offers),
  'pages', (select count(*) from p2p.stg_responses),
  'books', (select count(*) from p2p.fact_market_depth),
  'numbers', (select max(depth_id) from p2p.fact_market_depth))`;

Deno.test("the heaps become a partition each, and new batches go on beside them", async () => {
  await using old = await oldDatabase("create index mine on p2p.fact_offers (batch_id)");
  const { sql } = old;
  const heaps = await sql.values(
    `select 'p2p.fact_offers'::regclass::oid union all select 'p2p.stg_responses'::regclass::oid
     union all select 'p2p.fact_market_depth'::regclass::oid order by 1`,
  );
  const before = await sql.value(COUNTS) as Record<string, number>;
  const raw = await sql.value("select value from p2p.settings where name = 'raw_retention_days'");
  await migrate(sql.database);
  assert.deepEqual(await sql.value(COUNTS), before);
  assert.equal(
    await sql.value("select value from p2p.settings where name = 'raw_retention_days'"),
    raw,
  );
  assert.deepEqual(
    await sql.values(
      "select p.partition_name from p2p.partitions p where p.starts_at = '-infinity' order by 1",
    ),
    [
      "p2p_partitions.fact_market_depth_before_20260401",
      "p2p_partitions.fact_offers_before_20260401",
      "p2p_partitions.stg_responses_before_20260401",
    ],
  );
  assert.deepEqual(
    await sql.values(
      "select p.partition_name::regclass::oid from p2p.partitions p where p.starts_at = '-infinity' order by 1",
    ),
    heaps,
    "not a row was copied",
  );
  for (const at of ["2026-03-31T23:50:00Z", "2026-04-01T00:00:00Z", "2026-02-01T00:00:00Z"]) {
    const batch = await sql.loadBatch(at, { "VES/USDT BUY": [offer()] });
    const { status, error_summary } = await batch.load();
    assert.deepEqual({ status, error_summary }, { status: "completed", error_summary: null });
  }
  assert.deepEqual(
    await sql.values("select distinct tableoid::regclass::text from p2p.fact_offers order by 1"),
    ["p2p_partitions.fact_offers_20260401", "p2p_partitions.fact_offers_before_20260401"],
  );
  assert.ok(
    Number(await sql.value("select max(depth_id) from p2p.fact_market_depth")) >
      Number(before["numbers"]),
  );
  assert.equal(
    await sql.value(
      "select count(*)::integer from pg_indexes where indexdef like '%(batch_id)' and (tablename, indexname) = ('fact_offers', 'mine')",
    ),
    1,
    "an index of the DBA's is on new days as well",
  );
  // The heap goes when all of it is old enough.
  for (const [at, heaps] of [["2026-04-07T10:00:00Z", 1], ["2026-04-09T10:00:00Z", 0]] as const) {
    await sql.rows("update p2p.settings set value = '7' where name = 'raw_retention_days'");
    await sql.loadBatch(at, { "VES/USDT BUY": [offer()] });
    assert.equal(
      await sql.value(
        "select count(*)::integer from p2p.partitions where table_name = 'stg_responses' and starts_at = '-infinity'",
      ),
      heaps,
    );
  }
});

Deno.test("views, functions, triggers and grants on the tables outlive the conversion", async () => {
  await using old = await oldDatabase(
    `create view my.prices with (security_barrier = true) as select offer_id, price, extraction_timestamp from p2p.fact_offers`,
    "comment on view my.prices is 'Prices of mine'",
    "comment on column my.prices.price is 'in fiat'",
    "grant select on my.prices to p2p_reader with grant option",
    "grant select (price) on my.prices to public",
    `create view my."Top ""Offers""" as
       select p.*, d.median_price from my.prices p
       join p2p.fact_market_depth d using (extraction_timestamp)
       where exists (select from p2p.best_prices)`,
    `create function my.count_offers() returns bigint language sql begin atomic select count(*) from my.prices; end`,
    "revoke execute on function my.count_offers() from public",
    `create function my.newest() returns setof p2p.fact_offers language sql stable as $$
       select * from p2p.fact_offers order by extraction_timestamp desc limit 1 $$`,
    `create function my.in_text() returns bigint language plpgsql as $$
       declare v p2p.fact_offers; begin select * into v from p2p.fact_offers limit 1; return (select count(*) from p2p.fact_offers); end $$`,
    "create table my.seen (offer_id bigint)",
    "grant usage on schema my to p2p_worker",
    "grant insert on my.seen to p2p_worker",
    `create function my.see() returns trigger language plpgsql as $$
       begin insert into my.seen values (new.offer_id); return null; end $$`,
    "create trigger see after insert on p2p.fact_offers for each row execute function my.see()",
    "comment on trigger see on p2p.fact_offers is 'mine'",
    "create trigger asleep after insert on p2p.fact_offers for each row execute function my.see()",
    "alter table p2p.fact_offers disable trigger asleep",
    // The server cuts these names, and numbers them at the end.
    "create index on p2p.fact_market_depth (exchange_id, fiat_id, crypto_id, trade_type, best_ask)",
    "create index on p2p.fact_market_depth (exchange_id, fiat_id, crypto_id, trade_type, best_bid)",
    "alter table p2p.fact_offers add column note text default 'none', add check (note <> '')",
    "comment on column p2p.fact_offers.note is 'mine'",
    "grant update (note) on p2p.fact_offers to p2p_reader",
  );
  const { sql } = old;
  const told = () =>
    sql.row(
      `select
         (select jsonb_agg(jsonb_build_array(c.relname, c.reloptions, c.relacl::text, pg_get_viewdef(c.oid), obj_description(c.oid)) order by c.relname)
          from pg_class c where c.relnamespace = 'my'::regnamespace and c.relkind = 'v') as views,
         (select jsonb_agg(jsonb_build_array(c.relname, a.attname, a.attacl::text, col_description(c.oid, a.attnum), a.atthasdef) order by 1)
          from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
          where c.oid in ('my.prices'::regclass, 'p2p.fact_offers'::regclass)
            and a.attname <> 'observed_at' /* a later migration says more of it */) as columns,
         (select jsonb_agg(pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '') order by p.proname)
          from pg_proc p where p.pronamespace = 'my'::regnamespace) as functions,
         (select jsonb_agg(jsonb_build_array(t.tgname, t.tgenabled, obj_description(t.oid, 'pg_trigger'), pg_get_triggerdef(t.oid)) order by t.tgname)
          from pg_trigger t where t.tgrelid = 'p2p.fact_offers'::regclass and not t.tgisinternal) as triggers,
         (select jsonb_agg(regexp_replace(i.indexdef, ' ON (ONLY )?', ' ON ') order by i.indexname)
          from pg_indexes i where i.schemaname = 'p2p' and i.indexdef ~ '\\mbest_(ask|bid)\\M') as indexes,
         (select relacl::text from pg_class where oid = 'p2p.fact_offers'::regclass) as grants`,
    );
  const before = await told();
  await migrate(sql.database);
  assert.deepEqual(await told(), before);

  await sql.loadBatch("2026-05-01T00:00:00Z", { "VES/USDT BUY": [offer(), offer()] });
  assert.deepEqual(
    await sql.row(
      `select
         (select count(*)::integer from my.prices) as view,
         (select count(*)::integer from my."Top ""Offers""") as views,
         my.count_offers()::integer as atomic,
         my.in_text()::integer as text,
         (select extraction_timestamp = '2026-05-01Z' and note = 'none' from my.newest()) as newest,
         (select count(*)::integer from my.seen) as triggered`,
    ),
    { view: 6, views: 6, atomic: 6, text: 6, newest: true, triggered: 2 },
  );
});

Deno.test("what cannot be carried over is named, and nothing is changed until it is gone", async (t) => {
  const obstacles = {
    "materialized view my.m": [
      "create materialized view my.m as select * from p2p.fact_offers",
      "drop materialized view my.m",
    ],
    "policy mine on table p2p.fact_offers": [
      "create policy mine on p2p.fact_offers using (true)",
      "drop policy mine on p2p.fact_offers",
    ],
    "rule mine on table p2p.stg_responses": [
      "create rule mine as on delete to p2p.stg_responses do also select 1",
      "drop rule mine on p2p.stg_responses",
    ],
    "row level security of table p2p.fact_offers": [
      "alter table p2p.fact_offers enable row level security",
      "alter table p2p.fact_offers disable row level security",
    ],
    "foreign": [
      "create table my.notes (t timestamptz, id bigint, foreign key (t, id) references p2p.fact_offers)",
      "drop table my.notes",
    ],
    "constraint cheap on table p2p.fact_offers (not valid)": [
      "alter table p2p.fact_offers add constraint cheap check (price < 1) not valid",
      "alter table p2p.fact_offers drop constraint cheap",
    ],
    "index once: unique constraint": [
      "create unique index once on p2p.fact_market_depth (depth_id)",
      "drop index p2p.once",
    ],
    "my.kept": ["create table my.kept (o p2p.fact_offers)", "drop table my.kept"],
  };
  for (const [name, [make = "", drop = ""]] of Object.entries(obstacles)) {
    await t.step(name, async () => {
      await using old = await oldDatabase(make);
      const { sql } = old;
      const before = await sql.value(COUNTS);
      await assert.rejects(migrate(sql.database), (error: Error & { hint?: string }) => {
        assert.match(
          error.message,
          /0014_partitions\.sql: table p2p\.\w+ cannot be converted while there is: /,
        );
        if (name !== "foreign") assert.ok(error.message.includes(name), error.message);
        assert.match(String(error.hint), /drop it, run migrate, and make it again/);
        return true;
      });
      assert.equal(
        await sql.value(
          "select relkind::text from pg_class where oid = 'p2p.fact_offers'::regclass",
        ),
        "r",
      );
      await sql.rows(drop);
      await migrate(sql.database);
      assert.deepEqual(await sql.value(COUNTS), before);
    });
  }
});

Deno.test("an owner who may not create schemas needs them from an administrator, and no more", async () => {
  await using test = await testDatabase("empty");
  const name = new URL(test.url).pathname.slice(1);
  const owner = `owner_${crypto.randomUUID().slice(0, 8)}`;
  const administrator = (statements: string) =>
    test.database.runScript(`set role none; ${statements}`, 20);
  await administrator(
    `create role ${owner}; grant ${owner} to current_user; alter database ${name} set role = ${owner}`,
  );
  try {
    await using database = new Database(test.url, { applicationName: "test" });
    for (const schema of ["p2p", "p2p_partitions"]) {
      const hint = `create schema ${schema} authorization ${owner}`;
      await assert.rejects(migrate(database), (error: Error & { hint?: string }) => {
        assert.match(error.message, new RegExp(`schema ${schema} is missing`));
        assert.ok(error.hint?.startsWith(`have an administrator run: ${hint}`), error.hint);
        return true;
      });
      await administrator(hint);
    }
    await migrate(database);
  } finally {
    await administrator(
      `alter database ${name} reset role; drop schema if exists p2p_partitions, p2p cascade; drop role ${owner}`,
    );
  }
});
