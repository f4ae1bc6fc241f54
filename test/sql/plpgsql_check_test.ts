// plpgsql_check (Debian's postgresql-15-plpgsql-check) reads every PL/pgSQL function against the schema: names of
// columns that are not there, types that do not fit, variables nobody uses.
import assert from "node:assert/strict";
import postgres from "postgres";
import { serverVersion } from "../support/database.ts";
import { skipLoudly } from "../support/embedded.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";

/**
 * The load of one batch that passes through every step and leaves the temporary tables of all of them: later steps
 * read those of earlier ones. Done by taking the `drop table` out of each function, in this database only.
 */
const LOAD_AND_KEEP_TABLES = `
  do $keep$
  declare
    v_function record;
  begin
    for v_function in
      select pg_get_functiondef(p.oid) as text
      from pg_proc p
      join pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
      where p.pronamespace = 'p2p'::regnamespace
        and p.prosrc ~ 'drop table\\s+pg_temp'
    loop
      execute regexp_replace(v_function.text, 'drop table\\s+pg_temp[^;]*;', 'null;', 'g');
    end loop;

    create or replace function p2p.drop_temporary_tables(p_keep oid[]) returns void language sql as 'select';

    delete from p2p.ops_shape_watches; -- a batch is watched once

    perform p2p.load_batch(batch_id)
    from p2p.ops_batch_runs
    order by batch_start_time
    limit 1;

    -- Those of an import, which a plain load has not: the same columns, made of its functions' own text.
    create temp table import_verdicts on commit drop as
    select j.* from p2p.judge_import_pages(gen_random_uuid(), now()) j;

    create temp table import_books (exchange_id smallint, fiat text, asset text, trade_type text) on commit drop;

    create temp table import_choices on commit drop as
    select s.file_number, s.line_number, 0 as market_id, s.page_number, s.page_size, s.filtered_by, s.observed_at
    from p2p.stg_import_pages s;

    create temp table import_book_pages on commit drop as
    select s.market_id, s.page_number, s.observed_at, 0 as items, 0 as total
    from p2p.stg_responses s;

    -- What functions outside the load make by a plain list of columns.
    for v_function in
      select made[1] || ')' as text
      from pg_proc p
      cross join regexp_matches(p.prosrc, '(create temp table \\w+ \\([^;]*)\\) on commit drop;', 'g') as made
      where p.pronamespace = 'p2p'::regnamespace
    loop
      execute v_function.text;
    end loop;

    for v_function in select body from p2p.schema_objects where name like 'functions/%' loop
      execute v_function.body;
    end loop;
  end
  $keep$`;

/** A trigger function is read once for each table that it serves. */
const FINDINGS = `
  select
    p.oid::regprocedure::text as function,
    f.lineno as line,
    f.level,
    f.sqlstate,
    f.message,
    f.detail
  from pg_proc p
  join pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
  left join (select distinct tgfoid, tgrelid from pg_trigger where not tgisinternal) t on t.tgfoid = p.oid
  cross join lateral plpgsql_check_function_tb(p.oid, coalesce(t.tgrelid, 0), fatal_errors := false, extra_warnings := true) as f
  where p.pronamespace = 'p2p'::regnamespace
    and (p.prorettype <> 'trigger'::regtype or t.tgrelid is not null)
  order by 1, 2`;

Deno.test("plpgsql_check finds nothing", async (t) => {
  await using sql = await SqlFixture.create();
  if (await serverVersion(sql.database) !== 15) return; // the package is for Debian's own PostgreSQL
  const isInstalled = await sql.value(
    "select count(*)::integer from pg_available_extensions where name = 'plpgsql_check'",
  );
  if (isInstalled === 0) {
    return skipLoudly(
      "plpgsql_check: apt-get install postgresql-15-plpgsql-check, then run this again",
    );
  }
  await sql.rows("create extension plpgsql_check schema public");
  // An advertiser whose name changes: loading the first batch again, with another name, rewrites the history.
  const batch = await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer({ nick: "A" })] });
  await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: [offer({ nick: "B" })] });
  await sql.rows(
    `update p2p.stg_responses set body = replace(body::text, '"A"', '"C"')::jsonb where batch_id = $1`,
    batch.id,
  );
  const session = postgres(sql.url, { max: 1, onnotice: () => {} });
  try {
    await session.unsafe("begin").simple();
    await session.unsafe(LOAD_AND_KEEP_TABLES).simple();
    const tables = await session.unsafe(
      "select relname from pg_class where relpersistence = 't' and relkind = 'r'",
    );
    await t.step("the temporary tables of all steps are there", () => {
      const names = new Set(tables.map(({ relname }) => relname));
      for (const name of ["parsed_offers", "refused_items", "new_history", "preview_differences"]) {
        assert.ok(names.has(name), name);
      }
    });
    await t.step("no finding", async () => {
      assert.deepEqual((await session.unsafe(FINDINGS)).map((row) => ({ ...row })), []);
    });
    await t.step("it does find something where there is something", async () => {
      await session.unsafe(
        `create function p2p.wrong() returns void language plpgsql as $$
         begin perform no_such_column from p2p.fact_offers; end $$`,
      ).simple();
      assert.deepEqual((await session.unsafe(FINDINGS)).map((row) => row["function"]), ["wrong()"]);
    });
  } finally {
    await session.end({ timeout: 1 });
  }
});
