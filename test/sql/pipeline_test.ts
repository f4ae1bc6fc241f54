import assert from "node:assert/strict";
import { isTimescale } from "../support/database.ts";
import { heardDuring } from "../support/listener.ts";
import { SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SHIPPED = [
  "parse_pages",
  "reject_offers",
  "choose_offers",
  "load_dimensions",
  "load_advertisers",
  "load_offers",
  "load_depth",
  // TimescaleDB does it by itself.
  ...(isTimescale() ? [] : ["summarise_hours"]),
  "watch_shapes",
  "run_quality_checks",
  "apply_retention",
];

/** A schema of a DBA with a table of notes; a step of theirs writes what it found there. */
async function dbaSchema(sql: SqlFixture): Promise<void> {
  await sql.database.runScript(
    `create schema my;
     create table my.notes (note_id integer generated always as identity, note text not null);
     grant usage on schema my to p2p_worker;
     grant select, insert on my.notes to p2p_worker`,
    20,
  );
}

/** @param body in PL/pgSQL, with the batch id as p_batch_id */
async function addStep(
  sql: SqlFixture,
  name: string,
  position: number,
  body: string,
  isRequired = false,
): Promise<void> {
  await sql.database.runScript(
    `create or replace function my.${name}(p_batch_id uuid) returns void language plpgsql as $step$ begin ${body}; end $step$`,
    20,
  );
  await sql.rows(
    `insert into p2p.pipeline_steps (name, position, function, is_required, comment) values ($1, $2, $3, $4, 'a test')`,
    name,
    position,
    `my.${name}`,
    isRequired,
  );
}

async function batchOf(sql: SqlFixture, at: string, ...ids: string[]): Promise<TestBatch> {
  const batch = await sql.openBatch({ at, markets: [BUY] });
  await batch.page(BUY, ids.map((id) => offer({ id })));
  return batch;
}

const STEPS =
  "select step, status, error from p2p.ops_batch_steps where batch_id = $1 and load_number = $2 order by position";
const notes = (sql: SqlFixture) => sql.values("select note from my.notes order by note_id");
const loads = (sql: SqlFixture, batch: TestBatch) =>
  sql.rows(
    "select load_number, status, offers_changed from p2p.ops_batch_loads where batch_id = $1 order by 1",
    batch.id,
  );
const facts = (sql: SqlFixture) =>
  sql.values("select offer_external_id from p2p.fact_offers order by 1");

Deno.test("the shipped steps run in order, and their times are recorded", async () => {
  await using sql = await SqlFixture.create();
  const batch = await batchOf(sql, "2026-03-01 10:00+00", "1", "2");
  const run = await batch.load();
  assert.equal(run["status"], "completed");
  const steps = await sql.rows(STEPS, batch.id, 1);
  assert.deepEqual(
    steps,
    SHIPPED.map((step) => ({ step, status: "ok", error: null })),
  );
  assert.deepEqual(await loads(sql, batch), [
    { load_number: 1, status: "completed", offers_changed: 2 },
  ]);
  assert.deepEqual(
    await sql.row(
      `select min(s.seconds) >= 0 as are_times, sum(s.seconds) > 0 and sum(s.seconds) <= max(l.seconds) + 0.01 as are_of_the_load
       from p2p.ops_batch_steps s join p2p.ops_batch_loads l using (batch_id, load_number)`,
    ),
    { are_times: true, are_of_the_load: true },
  );
  const before = await sql.dump();
  await batch.load();
  assert.deepEqual(await sql.dump(), before, "a second call changes no row");
});

Deno.test("a DBA's step is one row: it runs at the next load, where its position says, and sees the load's tables", async () => {
  await using sql = await SqlFixture.create();
  await dbaSchema(sql);
  await batchOf(sql, "2026-03-01 09:50+00", "0").then((batch) => batch.load());
  await addStep(
    sql,
    "early",
    25,
    "insert into my.notes (note) select 'read ' || count(*) from pg_temp.parsed_offers",
  );
  await addStep(
    sql,
    "late",
    75.5,
    "insert into my.notes (note) select 'loaded ' || count(*) from p2p.fact_offers where batch_id = p_batch_id",
  );
  const batch = await batchOf(sql, "2026-03-01 10:00+00", "1", "1", "2");
  await batch.load();
  assert.deepEqual(await notes(sql), ["read 3", "loaded 2"]);

  await sql.rows(
    "update p2p.pipeline_steps set position = case name when 'early' then 75.5 else 25 end where name in ('early', 'late')",
  );
  await batchOf(sql, "2026-03-01 10:10+00", "1").then((next) => next.load());
  assert.deepEqual((await notes(sql)).slice(2), ["loaded 0", "read 1"], "swapped by one UPDATE");

  await sql.rows("update p2p.pipeline_steps set is_enabled = false where name = 'early'");
  await sql.rows("delete from p2p.pipeline_steps where name = 'late'");
  const last = await batchOf(sql, "2026-03-01 10:20+00", "1");
  await last.load();
  assert.equal((await notes(sql)).length, 4, "one is off, the other gone");
  assert.equal((await sql.rows(STEPS, last.id, 1)).length, SHIPPED.length);
});

Deno.test("a failing optional step loses its own work only, and is seen", async () => {
  await using sql = await SqlFixture.create();
  await dbaSchema(sql);
  await addStep(
    sql,
    "score",
    75,
    `create temp table scores on commit drop as select 1 as score;
     insert into my.notes (note) values ('half');
     delete from p2p.fact_offers;
     perform 1 / 0`,
  );
  await addStep(
    sql,
    "after_score",
    76,
    `create temp table scores on commit drop as select 2 as score;
     insert into my.notes (note) select 'score ' || score from pg_temp.scores`,
  );
  await addStep(sql, "claim", 77, "assert false, 'this is not so'");
  const batch = await batchOf(sql, "2026-03-01 10:00+00", "1", "2");
  const run = await batch.load();
  assert.deepEqual([run["status"], run["error_summary"]], ["completed", null]);
  assert.deepEqual(await facts(sql), ["1", "2"]);
  assert.deepEqual(await notes(sql), ["score 2"]);
  assert.deepEqual(
    await sql.rows(
      "select step, load_number, is_required, error, error_context ~ ('my.' || step || '.* line \\d+ ') and error_context !~ 'run_step' as has_line, is_still_so from p2p.failed_steps order by step desc",
    ),
    [["score", "division by zero"], ["claim", "this is not so"]].map(([step, error]) => ({
      step,
      load_number: 1,
      is_required: false,
      error,
      has_line: true,
      is_still_so: true,
    })),
  );
  const failed = "select failed_steps::integer from p2p.batch_overview";
  assert.equal(await sql.value(failed), 2);
  const before = await sql.dump();
  await batch.load();
  assert.deepEqual(await sql.dump(), before, "the same failure again is nothing new");

  await sql.rows("update p2p.pipeline_steps set is_enabled = false where function like 'my.%'");
  await batch.load();
  assert.equal(await sql.value(failed), 0);
  assert.deepEqual(await loads(sql, batch), [
    { load_number: 1, status: "completed", offers_changed: 2 },
    { load_number: 2, status: "completed", offers_changed: 0 },
  ]);
  assert.deepEqual(await sql.values("select distinct is_still_so from p2p.failed_steps"), [false]);
});

Deno.test("a constraint that waits for the commit fails the step, not the load", async () => {
  await using sql = await SqlFixture.create();
  await dbaSchema(sql);
  await sql.rows("create table my.places (place integer primary key)");
  await sql.rows(
    "alter table my.notes add place integer default 7 references my.places deferrable initially deferred",
  );
  await addStep(sql, "note", 75, "insert into my.notes (note) values ('nowhere')");
  const batch = await batchOf(sql, "2026-03-01 10:00+00", "1");
  assert.equal((await batch.load())["status"], "completed");
  assert.match(
    String(await sql.value("select error from p2p.failed_steps")),
    /violates foreign key constraint/,
  );
});

Deno.test("a required step that fails at the first load: the batch failed, says why, and is mended by loading again", async () => {
  await using sql = await SqlFixture.create();
  await dbaSchema(sql);
  await addStep(sql, "must", 75, "raise exception 'not today'", true);
  const batch = await sql.openBatch({ at: "2026-03-01 10:00+00", markets: [BUY, "VES/B BUY"] });
  await batch.page(BUY, [offer({ id: "1" }), offer({ id: "2", price: "0" })]);
  await batch.lose("VES/B BUY");

  const failed = await batch.load();
  assert.deepEqual(
    [
      "status",
      "error_summary",
      "total_offers_inserted",
      "total_offers_extracted",
      "markets_completed",
      "total_errors",
    ]
      .map((name) => failed[name]),
    ["failed", "step must failed: not today", 0, 0, 1, 1],
  );
  for (
    const table of [
      "fact_offers",
      "fact_market_depth",
      "dim_advertisers",
      "dim_offers",
      "ops_rejected_offers",
      "ops_data_quality",
    ]
  ) assert.equal(await sql.value(`select count(*)::integer from p2p.${table}`), 0, table);
  assert.equal(await sql.value("select count(*)::integer from p2p.stg_responses"), 1);
  assert.equal((await batch.ledger(BUY))["status"], "complete");
  assert.deepEqual(await sql.rows(STEPS, batch.id, 1), [
    ...SHIPPED.slice(0, SHIPPED.indexOf("watch_shapes")).map((step) => ({
      step,
      status: "undone",
      error: null,
    })),
    { step: "must", status: "failed", error: "not today" },
  ]);
  const before = await sql.dump();
  assert.equal((await batch.load())["status"], "failed");
  assert.deepEqual(await sql.dump(), before, "failing again changes nothing");

  await addMended(sql);
  const mended = await batch.load();
  assert.deepEqual(
    [
      "status",
      "error_summary",
      "total_offers_inserted",
      "total_offers_rejected",
      "total_offers_updated",
    ]
      .map((name) => mended[name]),
    ["partial", "markets failed: 1; pages lost: http 1", 1, 1, 0],
  );
  assert.deepEqual(mended["batch_end_time"], failed["batch_end_time"]);
  assert.deepEqual(await loads(sql, batch), [
    { load_number: 1, status: "failed", offers_changed: 0 },
    { load_number: 2, status: "partial", offers_changed: 1 },
  ]);
});

const addMended = (sql: SqlFixture) =>
  sql.rows(
    "create or replace function my.must(p_batch_id uuid) returns void language sql as 'insert into my.notes (note) values (1)'",
  );

Deno.test("a required step that fails when a batch is loaded again: the error is raised, the facts stay", async () => {
  await using sql = await SqlFixture.create();
  await dbaSchema(sql);
  const batch = await batchOf(sql, "2026-03-01 10:00+00", "1");
  await batch.load();
  await addStep(sql, "must", 75, "delete from p2p.fact_offers; perform 1 / 0", true);
  const before = await sql.dump();
  await assert.rejects(batch.load(), /step must failed: division by zero/);
  assert.deepEqual(await sql.dump(), before);
});

Deno.test("listeners hear what became of the batch, how many steps and checks failed, and of changed facts", async () => {
  await using sql = await SqlFixture.create();
  await dbaSchema(sql);
  await addStep(sql, "must", 75, "raise exception '%', repeat('long', 5000)", true);
  await addStep(sql, "may", 80, "perform 1 / 0");
  const batch = await sql.openBatch({ at: "2026-03-01 10:00+00", markets: [BUY] });
  const heard = await heardDuring(sql, async () => {
    await batch.page(BUY, [offer({ id: "1" }), offer({ price: "0" }), offer({ id: "2" })]);
    await batch.load();
    await batch.load();
    await addMended(sql);
    await batch.load();
    await sql.rows("comment on function p2p.load_depth(uuid) is 'Other SQL, the same facts'");
    await batch.load();
    await sql.rows("delete from p2p.fact_offers where offer_external_id = '2'");
    await batch.load();
  });
  assert.ok(heard.every((payload) => payload.length < 500));
  assert.deepEqual(
    heard.map((payload) => JSON.parse(payload)).map((said) => [
      said.load_number,
      said.status,
      said.offers,
      said.offers_changed,
      said.rejected,
      said.failed_steps,
      said.failed_checks,
    ]),
    [
      [1, "failed", 0, 0, 0, 1, 0],
      [2, "completed", 2, 2, 1, 1, 0],
      [4, "completed", 2, 1, 1, 1, 1], // the comment is drift
    ],
  );
});

Deno.test("what is not the step's fault is raised, and the batch stays as it was", async () => {
  await using sql = await SqlFixture.create();
  await dbaSchema(sql);
  await addStep(sql, "full", 75, "raise exception 'no space left' using errcode = 'disk_full'");
  const batch = await batchOf(sql, "2026-03-01 10:00+00", "1");
  const before = await sql.dump();
  for (const isRequired of [false, true]) {
    await sql.rows(
      "update p2p.pipeline_steps set is_required = $1 where name = 'full'",
      isRequired,
    );
    await assert.rejects(batch.load(), /no space left|disk is full/);
  }
  await sql.rows("delete from p2p.pipeline_steps where name = 'full'");
  const after = await sql.dump();
  for (const table of ["pipeline_steps", "change_log"]) {
    before.delete(table);
    after.delete(table);
  }
  assert.deepEqual(after, before);
});

Deno.test("a step whose function is gone or may not be run says so by name", async () => {
  await using sql = await SqlFixture.create();
  await dbaSchema(sql);
  await sql.rows("create schema hidden");
  await sql.rows("create function hidden.h(uuid) returns void language sql as ''");
  await sql.rows("create function my.closed(uuid) returns void language sql as ''");
  await sql.rows("revoke execute on function my.closed from public");
  await addStep(sql, "gone", 71, "null");
  await sql.rows("drop function my.gone");
  await sql.rows("create function my.gone(text) returns void language sql as ''");
  await sql.rows(
    `insert into p2p.pipeline_steps (name, position, function, comment)
     values ('closed', 72, 'my.closed', ''), ('hidden', 73, 'hidden.h', '')`,
  );
  const batch = await batchOf(sql, "2026-03-01 10:00+00", "1");
  assert.equal((await batch.load())["status"], "completed");
  assert.deepEqual((await sql.rows(STEPS, batch.id, 1)).filter(({ status }) => status !== "ok"), [
    { step: "gone", status: "failed", error: "there is no function my.gone(uuid) any more" },
    {
      step: "closed",
      status: "failed",
      error: "test_worker may not run it: grant execute on function my.closed(uuid) to p2p_worker",
    },
    {
      step: "hidden",
      status: "failed",
      error: "test_worker may not use schema hidden: grant usage on schema hidden to p2p_worker",
    },
  ]);
});

Deno.test("a row that names no step's function is refused, with what is wanted", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("create procedure public.proc(uuid) language sql as ''");
  await sql.rows("create function public.two(uuid, integer) returns void language sql as ''");
  const insert =
    "insert into p2p.pipeline_steps (name, position, function, comment) values ('x', $2, $1, '')";
  for (
    const name of [
      "nonsense",
      "my.nothing",
      "p2p.parse_pages(uuid)",
      "p2p.known_fiats",
      "public.two",
      "public.proc",
      "",
      "a.b.c.d",
      "x'; drop table p2p.fact_offers; --",
    ]
  ) {
    await assert.rejects(sql.rows(insert, name, 75), (error: Error & { hint?: string }) => {
      assert.equal(error.message, `step x: there is no function ${name}(uuid)`);
      assert.match(String(error.hint), /the batch id as its only argument/);
      return true;
    }, name);
  }
  await assert.rejects(sql.rows(insert, "p2p.load_depth", 70), /pipeline_steps_one_a_position/);
  await assert.rejects(sql.rows(insert, "p2p.load_depth", 0), /check constraint/);
  await assert.rejects(sql.rows(insert, "p2p.load_depth", "NaN"), /check constraint/);
  await assert.rejects(
    sql.rows("update p2p.pipeline_steps set function = 'gone' where name = 'load_depth'"),
    /there is no function gone\(uuid\)/,
  );

  await sql.rows(`create function public."Odd Name"(uuid) returns void language sql as ''`);
  await sql.rows(insert, ` PUBLIC . "Odd Name" `, 75);
  assert.equal(
    await sql.value("select function from p2p.pipeline_steps where name = 'x'"),
    'public."Odd Name"',
  );
  const batch = await batchOf(sql, "2026-03-01 10:00+00", "1");
  await batch.load();
  assert.equal(await sql.value("select count(*)::integer from p2p.failed_steps"), 0);
});

Deno.test("steps that make temporary tables can be run again in one transaction, a session keeps its own", async () => {
  await using sql = await SqlFixture.create();
  await dbaSchema(sql);
  await addStep(sql, "tables", 75, "create temp table mine on commit drop as select 1 as x");
  const ids: string[] = [];
  for (const time of ["10:00", "10:10"]) {
    const batch = await batchOf(sql, `2026-03-01 ${time}+00`, "1");
    await batch.load();
    ids.push(batch.id);
  }
  await sql.database.runScript(
    `create temp table kept as select 1 as x;
     do $$ begin
       perform p2p.load_batch('${ids[0]}'), p2p.load_batch('${ids[1]}');
       if to_regclass('pg_temp.kept') is null or to_regclass('pg_temp.mine') is not null then
         raise exception 'the wrong tables were dropped';
       end if;
     end $$`,
    20,
  );
  assert.equal(await sql.value("select count(*)::integer from p2p.failed_steps"), 0);
});

Deno.test("the worker may read the steps, not change them", async () => {
  await using sql = await SqlFixture.create();
  await sql.work("select * from p2p.pipeline_steps");
  await assert.rejects(sql.work("delete from p2p.pipeline_steps"), /privilege/);
  await assert.rejects(sql.work("delete from p2p.ops_batch_steps"), /privilege/);
  await assert.rejects(sql.work("update p2p.sql_versions set definition = ''"), /privilege/);
});

Deno.test("a step that takes another role changes nothing for those after it", async () => {
  await using sql = await SqlFixture.create();
  await dbaSchema(sql);
  await addStep(sql, "other", 75, "perform set_config('role', 'p2p_worker', true)");
  const batch = await batchOf(sql, "2026-03-01 10:00+00", "1");
  assert.equal((await batch.load())["status"], "completed");
  assert.deepEqual(
    (await sql.rows(STEPS, batch.id, 1)).filter(({ status }) => status !== "ok"),
    [],
  );
});
