import assert from "node:assert/strict";
import { isTimescale } from "../support/database.ts";
import { SqlFixture } from "../support/sql_fixture.ts";

/** What breaks a rule of the house; all must be empty. */
const RULES: Readonly<Record<string, string>> = {
  "every table and view has a comment": `
    select c.relname from pg_class c
    where c.relnamespace = 'p2p'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
      and coalesce(obj_description(c.oid, 'pg_class'), '') = ''`,
  "every type has a comment": `
    select t.typname from pg_type t
    left join pg_class c on c.oid = t.typrelid
    where t.typnamespace = 'p2p'::regnamespace
      and (c.relkind = 'c' or t.typtype in ('d', 'e', 'r'))
      and coalesce(obj_description(t.oid, 'pg_type'), '') = ''`,
  "every function has a comment": `
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = 'p2p'::regnamespace and coalesce(obj_description(p.oid, 'pg_proc'), '') = ''`,
  "every index that holds no constraint has a comment": `
    select i.indexrelid::regclass from pg_index i
    join pg_class c on c.oid = i.indexrelid
    where c.relnamespace = 'p2p'::regnamespace
      and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
      and coalesce(obj_description(i.indexrelid, 'pg_class'), '') = ''`,
  "every function sets its search_path, pg_temp last": `
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = 'p2p'::regnamespace
      and not (array['search_path=p2p, pg_temp', 'search_path=pg_catalog, pg_temp'] && coalesce(p.proconfig, '{}'))`,
  "nothing is granted to public": `
    select format('%s on %s', a.privilege_type, object.name)
    from (
      select p.oid::regprocedure::text as name, coalesce(p.proacl, acldefault('f', p.proowner)) as acl
      from pg_proc p where p.pronamespace = 'p2p'::regnamespace
      union all
      select c.oid::regclass::text, coalesce(c.relacl, acldefault('r', c.relowner))
      from pg_class c where c.relnamespace = 'p2p'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
      union all
      select t.oid::regtype::text, coalesce(t.typacl, acldefault('T', t.typowner))
      from pg_type t join pg_class c on c.oid = t.typrelid and c.relkind = 'c'
      where t.typnamespace = 'p2p'::regnamespace
      union all
      select 'schema p2p', nspacl from pg_namespace where nspname = 'p2p'
    ) as object
    cross join aclexplode(object.acl) as a
    where a.grantee = 0`,
  // make_room: a batch, whoever opens it, needs tables that only the owner may make. log_change: who may change a setting must not be able to write the log. apply_retention: the worker deletes what
  // the settings say, and no other page.
  "no function runs with the rights of its owner, but for those that say why": `
    select p.oid::regprocedure from pg_proc p where p.pronamespace = 'p2p'::regnamespace and p.prosecdef
      and p.proname not in ('follow_settings', 'holds_history', 'log_change', 'apply_retention', 'make_room')`,
  "what runs with the rights of its owner is not for everybody": `
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = 'p2p'::regnamespace and p.prosecdef and has_function_privilege('p2p_reader', p.oid, 'execute')`,
  "every table has a primary key": `
    select c.relname from pg_class c
    where c.relnamespace = 'p2p'::regnamespace and c.relkind in ('r', 'p')
      and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')`,
  "nothing stands outside schema p2p": `
    select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname not in ('p2p', 'p2p_partitions', 'pg_catalog', 'information_schema') and n.nspname not like 'pg\\_toast%' and n.nspname not like 'pg\\_temp%'
      and n.nspname !~ '^_timescaledb_'
      and not exists (select from pg_depend e where e.objid = c.oid and e.deptype = 'e')
    union all
    select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname not in ('p2p', 'pg_catalog', 'information_schema')
      and not exists (select from pg_depend e where e.objid = p.oid and e.deptype = 'e')`,
  "schema p2p_partitions has partitions of tables of schema p2p, and nothing is granted on them": `
    select c.relname from pg_class c
    where c.relnamespace = 'p2p_partitions'::regnamespace
      and (
        c.relacl is not null
        or c.relkind = 'r' and not exists (
          select from pg_inherits i join pg_class p on p.oid = i.inhparent
          where i.inhrelid = c.oid and p.relnamespace = 'p2p'::regnamespace
        )
        or c.relkind not in ('r', 'i')
      )
    union all
    select 'schema' from pg_namespace cross join aclexplode(nspacl) as a
    where nspname = 'p2p_partitions' and a.grantee not in (nspowner, ${
    isTimescale() ? "'p2p_worker'::regrole" : "nspowner"
  })`,
  "no other schema was made": `
    select nspname from pg_namespace
    where nspname not in ('p2p', 'p2p_partitions', 'public', 'pg_catalog', 'information_schema', 'pg_toast') and nspname not like 'pg\\_t%'
      and nspname !~ '^_?timescaledb_'`,
};

Deno.test("house rules", async (t) => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", { "VES/USDT BUY": [] });
  for (const [rule, statement] of Object.entries(RULES)) {
    await t.step(rule, async () => {
      assert.deepEqual((await sql.rows(statement)).map((row) => Object.values(row)[0]), []);
    });
  }
});

Deno.test("several batches can be loaded in one statement; no temporary table is left", async () => {
  await using sql = await SqlFixture.create();
  for (const time of ["10:00", "10:10"]) {
    await sql.loadBatch(`2026-03-01 ${time}+00`, { "VES/USDT BUY": [] });
  }
  assert.deepEqual(
    await sql.values(
      "select (p2p.load_batch(batch_id)).status from p2p.ops_batch_runs order by batch_start_time",
    ),
    ["completed", "completed"],
  );
  assert.deepEqual(
    await sql.values("select relname from pg_class where relpersistence = 't'"),
    [],
  );
});

Deno.test("functions work for a session with another search_path and a table of the same name", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("create table public.ops_batch_runs (trap integer)");
  await sql.rows("create table public.fact_offers (trap integer)");
  const batch = await sql.openBatch({ markets: ["VES/USDT BUY"] });
  await batch.page("VES/USDT BUY", []);
  assert.equal((await batch.load())["status"], "completed");
});
