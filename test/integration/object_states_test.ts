// What a DBA changes in the live functions and views: migrate keeps it, `sql` shows it, nothing of it is lost.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { migrate } from "../../src/database/migrate.ts";
import { RELEASE, type Release, releaseFor } from "../../src/database/release.ts";
import { rowsOf, valueOf } from "../support/batches.ts";
import { isTimescale, type TestDatabase, testDatabase, tierOfTests } from "../support/database.ts";
import { runProgram } from "../support/program.ts";

/** What a database of this server gets of the release. */
const ours = releaseFor(tierOfTests(), RELEASE);

const FILE = "functions/known_fiats.sql";
const IDENTITY = "function p2p.known_fiats(text)";

/** As a DBA does it: the live text, edited, run again. */
async function edit(test: TestDatabase, object: string, from: string, to: string): Promise<void> {
  const [row] = await rowsOf(
    test.database,
    `select live_definition from p2p.object_states where name like '%/${object}.sql'`,
  );
  const live = String(row?.["live_definition"]);
  ok(live.includes(from), live);
  await test.database.runScript(live.replace(from, to), 60);
}

const tune = (test: TestDatabase) =>
  edit(test, "known_fiats", "coalesce(m.active_markets, 0)", "0::bigint");

async function stateOf(test: TestDatabase, file: string): Promise<unknown[]> {
  const [row] = await rowsOf(
    test.database,
    `select state, is_missing, has_moved_on from p2p.object_states where name = '${file}'`,
  );
  return Object.values(row ?? {});
}

/** The next release, with another text of one file. */
function next(change: (body: string) => string, file = FILE): Release {
  return {
    ...RELEASE,
    version: "0.9.0",
    objects: RELEASE.objects.map((object) =>
      object.name === file ? { ...object, body: change(object.body) } : object
    ),
  };
}

const sql = (test: TestDatabase, ...args: string[]) =>
  runProgram(["sql", ...args], { DATABASE_URL: test.url });

Deno.test("after migrate everything is as shipped, whatever the order of keywords in the files", async () => {
  await using test = await testDatabase();
  const states = await rowsOf(
    test.database,
    "select distinct state, is_missing, has_moved_on from p2p.object_states",
  );
  deepStrictEqual(states.map((row) => ({ ...row })), [
    { state: "shipped", is_missing: false, has_moved_on: false },
  ]);
  strictEqual(
    await valueOf(test.database, "select count(*) from p2p.object_states"),
    String(ours.objects.filter(({ name }) => !name.startsWith("bootstrap/")).length),
  );
});

Deno.test("writing the same object in other words is no change; one blank in a body is", async () => {
  await using test = await testDatabase();
  const body = RELEASE.objects.find(({ name }) => name === FILE)?.body ?? "";
  await test.database.runScript(
    `set search_path = p2p;\n${
      body.replace("create or replace function p2p.", "CREATE  OR REPLACE FUNCTION ")
    }`,
    60,
  );
  deepStrictEqual(await stateOf(test, FILE), ["shipped", false, false]);
  await edit(test, "batch_overview", "status,", "status /* the same */,");
  deepStrictEqual(await stateOf(test, "views/batch_overview.sql"), ["shipped", false, false]);
  await edit(test, "known_fiats", "0)", "0 )");
  deepStrictEqual(await stateOf(test, FILE), ["drifted", false, false]);
});

Deno.test("a changed function: diff shows it and exits 1, adopt makes it tuned, restore brings the shipped text back", async () => {
  await using test = await testDatabase();
  strictEqual((await sql(test, "diff")).code, 0);
  await tune(test);

  const drifted = await sql(test, "diff");
  strictEqual(drifted.code, 1, drifted.stderr);
  match(
    drifted.stdout,
    /^function p2p\.known_fiats\(text\)\ndrifted: changed live, not adopted\n--- /,
  );
  match(drifted.stdout, /^-.*coalesce\(m\.active_markets, 0\)$/m);
  match(drifted.stdout, /^\+.*0::bigint$/m);

  const noNote = await sql(test, "adopt", "known_fiats");
  strictEqual(noNote.code, 64);
  match(noNote.stderr, /--note is missing/);
  strictEqual((await sql(test, "adopt", "p2p.known_fiats", "--note", "no counting")).code, 0);
  const tuned = await sql(test, "diff", "known_fiats", "--json");
  strictEqual(tuned.code, 0, tuned.stderr);
  const [object] = JSON.parse(tuned.stdout);
  deepStrictEqual([object.identity, object.state, object.adoptedNote], [
    IDENTITY,
    "tuned",
    "no counting",
  ]);

  match((await sql(test, "show", FILE)).stdout, /0::bigint/);
  match((await sql(test, "show", FILE, "--shipped")).stdout, /coalesce\(m\.active_markets, 0\)/);
  match((await sql(test, "restore", "known_fiats", "--dry-run")).stdout, /0::bigint/);
  deepStrictEqual(await stateOf(test, FILE), ["tuned", false, false]);
  strictEqual((await sql(test, "restore", "known_fiats")).code, 0);
  deepStrictEqual(await stateOf(test, FILE), ["shipped", false, false]);
  const history = await rowsOf(
    test.database,
    "select action, note, definition from p2p.schema_object_history order by event_id",
  );
  deepStrictEqual(history.map((row) => [row["action"], row["note"]]), [
    ["adopted", "no counting"],
    ["restored", "no counting"],
  ]);
  for (const row of history) match(String(row["definition"]), /0::bigint/);
});

Deno.test("what sql show prints makes the object again, in a session with any search_path", async () => {
  await using test = await testDatabase();
  const files = ours.objects.map(({ name }) => name).filter((name) =>
    !name.startsWith("bootstrap/")
  );
  const scripts = await rowsOf(
    test.database,
    "select name, live_definition from p2p.object_states",
  );
  for (const { live_definition } of scripts) {
    await test.database.runScript(`set search_path = pg_catalog; ${live_definition}`, 60);
  }
  strictEqual(scripts.length, files.length);
  strictEqual(
    await valueOf(test.database, "select count(*) from p2p.object_states where state <> 'shipped'"),
    "0",
  );
});

Deno.test("migrate keeps a changed object, says so, and shows three ways when the release moved on", async () => {
  await using test = await testDatabase();
  await tune(test);
  const release = next((body) => body.replace("full join markets", "full outer join markets"));
  const { objects } = await migrate(test.database, release);
  deepStrictEqual(objects, [{ name: FILE, outcome: "kept" }]);
  deepStrictEqual(await stateOf(test, FILE), ["drifted", false, true]);
  const second = await migrate(test.database, release);
  deepStrictEqual([second.migrations, second.objects], [[], []]);
  const [object] = await rowsOf(
    test.database,
    `select * from p2p.object_states where name = '${FILE}'`,
  );
  match(String(object?.["base_definition"]), /full join markets[^]*/);
  match(String(object?.["shipped_definition"]), /full outer join markets/);
  match(String(object?.["live_definition"]), /0::bigint/);
  deepStrictEqual([object?.["base_version"], object?.["shipped_version"]], [
    RELEASE.version,
    "0.9.0",
  ]);

  // Taking notice of the new text is the end of the warning; the change stays.
  await valueOf(test.database, "select p2p.adopt_object('known_fiats', 'still wanted')");
  deepStrictEqual(await stateOf(test, FILE), ["tuned", false, false]);
  await valueOf(test.database, "select p2p.restore_object('known_fiats')");
  match(
    await valueOf(test.database, `select p2p.live_definition('${IDENTITY}')`),
    /full outer join markets/,
  );
});

Deno.test("a change that the next release ships as well counts as shipped", async () => {
  await using test = await testDatabase();
  await tune(test);
  const release = next((body) => body.replace("coalesce(m.active_markets, 0)", "0::bigint"));
  deepStrictEqual((await migrate(test.database, release)).objects, [
    { name: FILE, outcome: "applied" },
  ]);
  deepStrictEqual(await stateOf(test, FILE), ["shipped", false, false]);
});

Deno.test("an upgraded server that writes definitions differently is no drift after migrate; a change stays one", async () => {
  await using test = await testDatabase();
  await tune(test);
  await valueOf(test.database, "select p2p.adopt_object('known_fiats', 'wanted')");
  await edit(test, "finish_market", "pages_stored = 0", "pages_stored < 1");
  await test.database.runScript(
    `update p2p.schema_objects set server_major = 14, definition = lower(definition),
       base_definition = lower(base_definition), adopted_definition = replace(adopted_definition, 'CREATE OR', 'create  or')`,
    60,
  );
  strictEqual((await runProgram(["status"], { DATABASE_URL: test.url })).code, 0);
  strictEqual((await runProgram(["migrate"], { DATABASE_URL: test.url })).code, 0);
  const states = await rowsOf(
    test.database,
    "select name, state from p2p.object_states where state <> 'shipped' order by name",
  );
  deepStrictEqual(states.map((row) => Object.values(row)), [
    ["functions/finish_market.sql", "drifted"],
    [FILE, "tuned"],
  ]);
});

Deno.test("settings of a function or a view are part of it", async () => {
  await using test = await testDatabase();
  await test.database.runScript("alter function p2p.load_batch(uuid) set work_mem = '256MB'", 60);
  await test.database.runScript("alter view p2p.market_daily set (security_barrier = true)", 60);
  await test.database.runScript("comment on view p2p.table_sizes is 'sizes'", 60);
  const { stdout } = await sql(test, "diff");
  match(stdout, /^\+ SET work_mem TO '256MB'$/m);
  match(stdout, /^\+create or replace view p2p\.market_daily with \(security_barrier=true\) as$/m);
  match(stdout, /^\+comment on view p2p\.table_sizes is 'sizes';$/m);
});

Deno.test("a dropped object is made again; the worker does not mind a missing view", async () => {
  await using test = await testDatabase();
  await test.database.runScript("drop view p2p.merchant_daily", 60);
  deepStrictEqual(await stateOf(test, "views/merchant_daily.sql"), ["drifted", true, false]);
  strictEqual((await sql(test, "diff")).code, 1);
  strictEqual((await runProgram(["status"], { DATABASE_URL: test.url })).code, 0);
  const { code, stdout } = await runProgram(["migrate"], { DATABASE_URL: test.url });
  strictEqual(code, 0);
  strictEqual(stdout, "made again what was missing: sql/views/merchant_daily.sql\n");
  deepStrictEqual(await stateOf(test, "views/merchant_daily.sql"), ["shipped", false, false]);
});

/** The next release, whose view merchant_daily has a column less. */
const withoutAvgVolume = () =>
  next(
    (body) =>
      body.replace("  d.volume_sum / d.snapshots as avg_volume,\n", "").replace(
        /comment on column p2p\.merchant_daily\.avg_volume.*\n/,
        "",
      ),
    "views/merchant_daily.sql",
  );

Deno.test("a view that loses a column is made anew with its grants", async () => {
  await using test = await testDatabase();
  await test.database.runScript("grant select on p2p.merchant_daily to p2p_worker", 60);
  deepStrictEqual((await migrate(test.database, withoutAvgVolume())).objects, [
    { name: "views/merchant_daily.sql", outcome: "applied" },
  ]);
  strictEqual(
    await valueOf(
      test.database,
      "select has_table_privilege('p2p_worker', 'p2p.merchant_daily', 'select')",
    ),
    "true",
  );
});

Deno.test("what depends on a view is never dropped: migrate fails whole and names it", async () => {
  await using test = await testDatabase();
  await test.database.runScript("create view public.mine as select * from p2p.merchant_daily", 60);
  const error = await migrate(test.database, withoutAvgVolume()).then(
    () => undefined,
    (thrown) => thrown,
  );
  match(
    String(error),
    /sql\/views\/merchant_daily\.sql: .*depend[^]*view public\.mine depends on view p2p\.merchant_daily/,
  );
  deepStrictEqual(await stateOf(test, "views/merchant_daily.sql"), ["shipped", false, false]);
});

Deno.test("a function whose signature changes: the old one goes; if it was changed live, both stay", async () => {
  const release = next((body) =>
    body.replaceAll(
      "p2p.known_fiats(p_exchange text)",
      "p2p.known_fiats(p_exchange text, p_more integer)",
    )
      .replaceAll("p2p.known_fiats(text)", "p2p.known_fiats(text, integer)")
  );
  const overloads =
    "select string_agg(oid::regprocedure::text, ' ' order by pronargs) from pg_proc where proname = 'known_fiats'";
  {
    await using test = await testDatabase();
    deepStrictEqual((await migrate(test.database, release)).objects, [
      { name: FILE, outcome: "applied" },
    ]);
    strictEqual(await valueOf(test.database, overloads), "p2p.known_fiats(text,integer)");
  }
  await using test = await testDatabase();
  await tune(test);
  deepStrictEqual((await migrate(test.database, release)).objects, [
    { name: FILE, outcome: "left behind" },
  ]);
  strictEqual(
    await valueOf(test.database, overloads),
    "p2p.known_fiats(text) p2p.known_fiats(text,integer)",
  );
  deepStrictEqual(await stateOf(test, FILE), ["shipped", false, false]);
});

Deno.test("what a release no longer has is dropped if nobody changed it or needs it", async () => {
  await using test = await testDatabase();
  const views = ["market_daily", "market_hourly", "table_sizes"];
  const release = {
    ...RELEASE,
    version: "0.9.0",
    objects: RELEASE.objects.filter(({ name }) => !views.some((view) => name.includes(view))),
  };
  await edit(
    test,
    "market_hourly",
    "s.best_open,",
    "round(s.best_open) as best_open,",
  );
  await test.database.runScript("create view public.mine as select * from p2p.table_sizes", 60);
  const { objects } = await migrate(test.database, release);
  deepStrictEqual(objects, [
    { name: "views/table_sizes.sql", outcome: "left behind" },
    { name: "views/market_hourly.sql", outcome: "left behind" },
    { name: "views/market_daily.sql", outcome: "dropped" },
  ]);
  const left = await rowsOf(
    test.database,
    `select to_regclass('p2p.' || view) is not null as there from unnest(array['${
      views.join("','")
    }']) as view`,
  );
  deepStrictEqual(left.map((row) => row["there"]), [false, true, true]);
});

Deno.test("an object of a DBA that a new release has a name for is kept", async () => {
  await using test = await testDatabase();
  await test.database.runScript("create view p2p.brand_new as select 'mine' as whose", 60);
  const release = {
    ...RELEASE,
    version: "0.9.0",
    objects: [...RELEASE.objects, {
      name: "views/brand_new.sql",
      body:
        "create or replace view p2p.brand_new as select 1 as number, 2 as other; comment on view p2p.brand_new is 'ours'",
    }],
  };
  deepStrictEqual((await migrate(test.database, release)).objects, [
    { name: "views/brand_new.sql", outcome: "kept" },
  ]);
  strictEqual(await valueOf(test.database, "select whose from p2p.brand_new"), "mine");
  await valueOf(test.database, "select p2p.restore_object('brand_new')");
  strictEqual(await valueOf(test.database, "select other from p2p.brand_new"), "2");
});

Deno.test("names that are not ours are refused with a hint; a worker may look, not change", async () => {
  await using test = await testDatabase();
  for (const args of [["diff", "nothing"], ["show", "nothing"], ["restore", "nothing"]]) {
    const { code, stderr } = await sql(test, ...args);
    strictEqual(code, 64);
    match(
      stderr,
      /^error: there is no shipped function or view nothing\nhint: select name from p2p\.object_states/,
    );
  }
  const shipped = await sql(test, "adopt", "known_fiats", "--note", "x");
  strictEqual(shipped.code, 64);
  match(shipped.stderr, /is as shipped: there is nothing to adopt/);
});

Deno.test("a comment that the release does not have is drift, and restore takes it away", async () => {
  await using test = await testDatabase();
  const file = "views/freshness.sql";
  const changes = [
    ["freshness", file, "comment on column p2p.freshness.exchange is 'mine'"],
    ["freshness", file, "comment on column p2p.freshness.last_good_batch is null"],
    ["known_fiats", FILE, "comment on function p2p.known_fiats(text) is null"],
  ] as const;
  for (const [name, changed, statement] of changes) {
    await test.database.runScript(statement, 60);
    deepStrictEqual(await stateOf(test, changed), ["drifted", false, false], statement);
    strictEqual((await sql(test, "restore", name)).code, 0);
    deepStrictEqual(await stateOf(test, changed), ["shipped", false, false], statement);
  }

  // Nor is it taken for the text of the next release.
  await test.database.runScript(changes[0][2], 60);
  const release = next((body) => body.replace("How old", "Of which age"), file);
  deepStrictEqual((await migrate(test.database, release)).objects, [
    { name: file, outcome: "kept" },
  ]);
  deepStrictEqual(await stateOf(test, file), ["drifted", false, true]);
  ok(
    !String(
      await valueOf(
        test.database,
        `select shipped_definition from p2p.object_states where name = '${file}'`,
      ),
    ).includes("mine"),
  );
});

Deno.test("sql takes the names that it prints itself", async () => {
  await using test = await testDatabase();
  for (const name of [IDENTITY, "view p2p.freshness", "p2p.known_fiats(text)", FILE]) {
    strictEqual((await sql(test, "show", name)).code, 0, name);
  }
});

Deno.test("without the view that tells the states, migrate makes it again, and the rest with it", async () => {
  await using test = await testDatabase();
  await test.database.runScript("drop view p2p.object_states, p2p.gaps", 60);
  const diff = await sql(test, "diff");
  strictEqual(diff.code, 78, diff.stderr);
  match(diff.stderr, /^error: something is missing in schema p2p: relation "p2p.object_states"/m);
  match(diff.stderr, /^hint: p2p-ingest migrate makes dropped functions and views again/m);
  deepStrictEqual((await migrate(test.database)).objects, [
    { name: "views/gaps.sql", outcome: "made again" },
    { name: "views/object_states.sql", outcome: "made again" },
  ]);
  strictEqual((await sql(test, "diff")).code, 0);
});

// Giving all of it to another owner takes other statements for continuous aggregates.
Deno.test("whoever migrates or restores: objects belong to the owner of the schema", {
  ignore: isTimescale(),
}, async () => {
  await using test = await testDatabase();
  const dbas = `dbas_${crypto.randomUUID().slice(0, 8)}`;
  const me = String(await valueOf(test.database, "select quote_ident(current_user)"));
  const owners = () =>
    valueOf(
      test.database,
      `select string_agg(distinct owner::regrole::text, ',') from (
         select proowner as owner from pg_proc where pronamespace = 'p2p'::regnamespace
         union all select relowner from pg_class where relnamespace = 'p2p'::regnamespace) as objects`,
    );
  // Not `reassign owned`: the owner may be the superuser of the server.
  const giveTo = (role: string) =>
    test.database.runScript(
      `do $do$
       declare
         v_statement text;
       begin
         for v_statement in
           select format('alter %s %s owner to ${role}', case c.relkind when 'v' then 'view' else 'table' end, c.oid::regclass)
           from pg_class c where c.relnamespace = 'p2p'::regnamespace and c.relkind in ('r', 'p', 'v')
           union all
           select format('alter function %s owner to ${role}', p.oid::regprocedure) from pg_proc p where p.pronamespace = 'p2p'::regnamespace
           union all
           select format('alter type %s owner to ${role}', c.reltype::regtype)
           from pg_class c where c.relnamespace = 'p2p'::regnamespace and c.relkind = 'c'
           union all
           select 'alter schema p2p owner to ${role}'
         loop
           execute v_statement;
         end loop;
       end $do$`,
      60,
    );
  await test.database.runScript(
    `create role ${dbas}; grant ${dbas} to ${me}; grant all on schema p2p to ${dbas}`,
    60,
  );
  await giveTo(dbas);
  try {
    strictEqual(await owners(), dbas);
    await test.database.runScript(
      "drop view p2p.gaps; drop function p2p.known_fiats(text)",
      60,
    );
    const restored = await sql(test, "restore", "gaps");
    strictEqual(restored.code, 0, restored.stderr);
    const { objects } = await migrate(test.database);
    deepStrictEqual(objects, [{ name: FILE, outcome: "made again" }]);
    strictEqual(await owners(), dbas);
    strictEqual(
      await valueOf(test.database, "select changed_by from p2p.schema_object_history limit 1"),
      me,
    );
  } finally {
    await giveTo(me);
    await test.database.runScript(`drop owned by ${dbas}; drop role ${dbas}`, 60);
  }
});

Deno.test("something else under the name of a view: migrate names the file, changes nothing, and it is no bug", async () => {
  await using test = await testDatabase();
  await test.database.runScript(
    "drop view p2p.gaps; create materialized view p2p.gaps as select 1 as one",
    60,
  );
  const { code, stderr } = await runProgram(["migrate"], { DATABASE_URL: test.url });
  strictEqual(code, 78, stderr);
  match(stderr, /^error: sql\/views\/gaps\.sql: "gaps" is not a view\n$/);
});
