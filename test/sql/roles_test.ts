// What the roles may not do. That the worker may do what it needs is shown by all other tests: they work as a worker.
import assert from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { urlAs } from "../support/database.ts";
import { SqlFixture } from "../support/sql_fixture.ts";

const REFUSED = /permission denied|must be owner|must have admin option|read-only/;

Deno.test("a worker cannot drop, alter, create, or change what is not its own to change", async (t) => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", { "VES/USDT BUY": [] });
  for (
    const statement of [
      "drop table p2p.fact_offers",
      "drop function p2p.load_batch(uuid)",
      "drop view p2p.batch_overview",
      "alter table p2p.fact_offers add column mine integer",
      "truncate p2p.fact_offers",
      "create table p2p.mine (a integer)",
      "create function p2p.mine() returns integer language sql as 'select 1'",
      "create or replace function p2p.known_fiats(text) returns table (fiat_code text, is_fresh boolean, active_markets bigint) language sql as 'select null, true, 1::bigint'",
      "update p2p.stg_responses set body = '{}'",
      "delete from p2p.stg_responses",
      "delete from p2p.ops_batch_runs",
      "update p2p.schema_migrations set sha256 = ''",
      "update p2p.schema_objects set body = ''",
      "select * from p2p.schema_object_history",
      "select p2p.restore_object('load_batch')",
      "select p2p.adopt_object('load_batch', 'x')",
      "select p2p.apply_migration('x', 'x', 'select 1', '0.0.0')",
      "select p2p.apply_objects('[]', '0.0.0')",
      "create role another",
      "grant p2p_worker to test_reader",
    ]
  ) {
    await t.step(statement, () => assert.rejects(sql.work(statement), REFUSED));
  }
});

Deno.test("a reader reads views, facts and their dimensions, and nothing else", async (t) => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", { "VES/USDT BUY": [] });
  await using reader = new Database(urlAs("reader", sql.url), { applicationName: "test reader" });
  const read = (name: string) => reader.run(`select * from p2p.${name} limit 1`, [], 60);
  const relations = await sql.rows(
    "select relname as name, relkind from pg_class where relnamespace = 'p2p'::regnamespace and relkind in ('r', 'p', 'v')",
  );
  // What went into the database and how is the owner's affair.
  const own = ["object_states"];
  for (const row of relations) {
    const name = String(row["name"]);
    const mayRead = (row["relkind"] === "v" || /^(fact|dim)_/.test(name)) && !own.includes(name);
    await t.step(`${mayRead ? "reads" : "does not read"} ${name}`, async () => {
      if (mayRead) await read(name);
      else await assert.rejects(read(name), REFUSED);
    });
  }
  for (
    const statement of [
      "insert into p2p.dim_exchanges (code, name) values ('x', 'x')",
      "update p2p.fact_offers set price = 1",
      "delete from p2p.fact_market_depth",
      "select p2p.load_batch(gen_random_uuid())",
      "create table p2p.mine (a integer)",
    ]
  ) {
    await t.step(
      `cannot: ${statement}`,
      () => assert.rejects(reader.run(statement, [], 60), REFUSED),
    );
  }
});

Deno.test("a login without a role of ours sees nothing of the schema", async () => {
  await using sql = await SqlFixture.create();
  assert.deepEqual(
    await sql.values(
      "select privilege from unnest(array['usage', 'create']) as privilege where has_schema_privilege('public', 'p2p', privilege)",
    ),
    [],
  );
});
