// Each thing that doctor finds: it says so, exits 1 if it wants mending, and the command that it names mends it.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { startSimulator } from "../../src/simulator/server.ts";
import { VERSION } from "../../src/version.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { freePort } from "../support/ports.ts";
import { type Ended, runProgram, type Variables } from "../support/program.ts";
import { SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";

interface Finding {
  readonly topic: string;
  readonly state: string;
  readonly finding: string;
  readonly mend: string | null;
}

/** A database with one batch that was loaded just now: nothing is wrong with it. */
async function healthy(): Promise<SqlFixture & { batch: TestBatch }> {
  const sql = await SqlFixture.create();
  const batch = await sql.loadBatch(undefined, { [BUY]: [offer({ id: "1" })] });
  return Object.assign(sql, { batch });
}

/** A lease lasts 55 s, which the processes of a test may take; a worker that lives renews it. */
const renewLease = (sql: SqlFixture) => sql.beat({ doing: "idle" });

/** What the database itself has to say, with the rights of a worker; `ok` is left out. */
async function diagnose(sql: SqlFixture, topic?: string): Promise<Finding[]> {
  const rows = await sql.worker.run("select * from p2p.diagnose(10)", [], 20);
  return rows.map((row) => ({ ...row }) as unknown as Finding)
    .filter((row) => row.state !== "ok" && (topic === undefined || row.topic === topic));
}

/** The one thing that is wrong. */
async function only(sql: SqlFixture): Promise<Finding> {
  const findings = await diagnose(sql);
  strictEqual(findings.length, 1, JSON.stringify(findings));
  return findings[0] as Finding;
}

/** doctor, as people run it; the exchange answers unless the test says otherwise. */
async function doctor(
  url: string,
  more: Variables = {},
): Promise<Ended & { findings: Finding[]; wrong: Finding[] }> {
  const simulator = await startSimulator({ offers: 100 });
  try {
    const variables = {
      DATABASE_URL: url,
      BINANCE_BASE_URL: simulator.url,
      PROMETHEUS_PORT: String(freePort()),
      ...more,
    };
    const ended = await runProgram(["doctor", "--json"], variables);
    const findings = JSON.parse(ended.stdout || "[]") as Finding[];
    return { ...ended, findings, wrong: findings.filter(({ state }) => state !== "ok") };
  } finally {
    await simulator.close();
  }
}

Deno.test("where nothing is wrong, doctor says what it looked at and ends with 0, for owner and worker", async () => {
  await using sql = await healthy();
  for (const url of [sql.url, urlAs("worker", sql.url)]) {
    const { code, findings, wrong } = await doctor(url);
    deepStrictEqual([code, wrong], [0, []]);
    deepStrictEqual(findings.map(({ topic }) => topic), [
      "configuration",
      "alerts",
      "database",
      "clock",
      "schema",
      "server",
      "policies",
      "rights",
      "sql",
      "batches",
      "markets",
      "service",
      "exchange",
    ]);
    match(
      findings.find(({ topic }) => topic === "rights")?.finding ?? "",
      url === sql.url ? /owns the schema/ : /^test_worker works with the role p2p_worker$/,
    );
  }
});

Deno.test("the report for people: a mark a finding, its mend, and the sum", async () => {
  await using sql = await healthy();
  await sql.rows("update p2p.settings set value = 'on' where name = 'paused'");
  const { code, stdout, stderr } = await runProgram(["doctor"], {
    DATABASE_URL: sql.url,
    BINANCE_BASE_URL: "http://127.0.0.1:1",
  });
  strictEqual(code, 1);
  match(stdout, /^✓ configuration {2}version \S+, every variable is valid$/m);
  match(stdout, /^! settings {7}paused: no batch is begun \(since 20.*\)\n {17}mend: update /m);
  match(
    stdout,
    /^✗ exchange {7}binance at 127\.0\.0\.1:\d+ gives no usable answer: .*\n {17}mend: check /m,
  );
  match(stderr, /^1 to mend, 1 worth a look$/m);
});

Deno.test("the port of metrics: taken by somebody, or by a service that is well, ill or silent", async () => {
  await using sql = await healthy();
  let status = 200;
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    ({ url }) =>
      new Response("the loop hangs", { status: url.endsWith("/healthz") ? status : 404 }),
  );
  const ask = async (more: Variables = {}) => {
    const variables = { PROMETHEUS_PORT: `${server.addr.port}`, WORKER_NAME: "here", ...more };
    const { findings } = await doctor(sql.url, variables);
    const found = findings.find(({ topic }) => topic === "service");
    return [found?.state, found?.finding];
  };
  const [taken, why] = await ask();
  strictEqual(taken, "warning");
  match(why ?? "", /^port \d+ cannot be had for metrics and page: .*in use/);
  deepStrictEqual(await ask({ ENABLE_METRICS: "false" }), [undefined, undefined]);

  await sql.beat({ worker: "here:1:1", name: "here" });
  match((await ask()).join(" "), /^ok the service of this machine is well: /);
  status = 503;
  match((await ask()).join(" "), /^bad .*healthz says HTTP 503: the loop hangs$/);
  match(
    (await ask({ PROMETHEUS_PORT: `${freePort()}` })).join(" "),
    /^warning a worker of this machine runs, and .* does not answer: /,
  );
});

Deno.test("a variable that is not valid: nothing else can be looked at", async () => {
  const { code, findings } = await doctor("postgres://127.0.0.1:1/x", { LOG_LEVEL: "loud" });
  strictEqual(code, 1);
  deepStrictEqual(findings.map(({ topic, state }) => [topic, state]), [["configuration", "bad"]]);
  match(findings[0]?.finding ?? "", /LOG_LEVEL/);
});

Deno.test("a database that cannot be reached does not keep doctor from asking the exchange", async () => {
  const { code, findings } = await doctor("postgres://127.0.0.1:1/x");
  strictEqual(code, 1);
  deepStrictEqual(findings.map(({ topic, state }) => [topic, state]), [
    ["configuration", "ok"],
    ["alerts", "ok"],
    ["database", "bad"],
    ["exchange", "ok"],
  ]);
  match(findings[2]?.finding ?? "", /^the database at 127\.0\.0\.1:1\/x cannot be reached/);
});

Deno.test("an empty database: migrate, as it says, mends it; a newer one wants a newer program", async () => {
  await using test = await testDatabase("empty");
  const before = await doctor(test.url);
  strictEqual(before.code, 1);
  deepStrictEqual(before.wrong.map(({ topic, state }) => [topic, state]), [["schema", "bad"]]);
  match(before.wrong[0]?.finding ?? "", /^p2p is not at version .* to be applied$/);
  match(before.wrong[0]?.mend ?? "", /^p2p-ingest migrate /);
  strictEqual((await runProgram(["migrate"], { DATABASE_URL: test.url })).code, 0);

  const after = await doctor(test.url);
  strictEqual(after.code, 0, "that there is no batch yet is only worth a look");
  deepStrictEqual(after.wrong.map(({ topic, state, finding }) => [topic, state, finding]), [
    ["batches", "warning", "no batch has been loaded yet"],
  ]);

  await test.database.run("update p2p.schema_migrations set program_version = '99.0.0'", [], 20);
  const newer = await doctor(test.url);
  strictEqual(newer.code, 1);
  match(newer.wrong[0]?.finding ?? "", new RegExp(`newer than this program \\(${VERSION}\\)`));
  match(newer.wrong[0]?.mend ?? "", /use the newer program/);
});

Deno.test("PostgreSQL was upgraded, or the backup is of another one: migrate reads the functions again", async () => {
  await using sql = await healthy();
  await sql.rows("update p2p.schema_objects set server_major = server_major - 1");
  const { code, wrong } = await doctor(sql.url);
  deepStrictEqual([code, wrong.map(({ topic, state }) => [topic, state])], [0, [[
    "schema",
    "warning",
  ]]]);
  match(wrong[0]?.mend ?? "", /^p2p-ingest migrate /);
  strictEqual((await runProgram(["migrate"], { DATABASE_URL: sql.url })).code, 0);
  deepStrictEqual((await doctor(sql.url)).wrong, []);
});

Deno.test("a user without the role of a worker, and one who may not make temporary tables", async () => {
  await using sql = await healthy();
  const reader = await doctor(urlAs("reader", sql.url));
  strictEqual(reader.code, 1);
  match(reader.wrong[0]?.finding ?? "", /lacks a privilege/);
  match(reader.wrong[0]?.mend ?? "", /grant p2p_worker to/);

  const name = await sql.value("select quote_ident(current_database())");
  await sql.rows(`revoke temporary on database ${name} from public`);
  const finding = await only(sql);
  deepStrictEqual([finding.topic, finding.state], ["rights", "bad"]);
  match(finding.finding, /test_worker may not make temporary tables/);
  const command = (finding.mend ?? "").replace(/^as the owner of the database: /, "");
  await sql.rows(command);
  deepStrictEqual(await diagnose(sql), []);
});

Deno.test("a function that was changed, or dropped, and what the release did to it", async (t) => {
  await using sql = await healthy();
  const program = async (...args: string[]) => {
    const { code, stderr } = await runProgram(args, { DATABASE_URL: sql.url });
    strictEqual(code, 0, stderr);
    await renewLease(sql);
  };
  const change = () => sql.rows("alter function p2p.known_fiats(text) cost 77");
  const ownFinding = async () => {
    const { topic, state, finding, mend } = await only(sql);
    strictEqual(topic, "sql");
    return { state, finding, mend: mend ?? "" };
  };

  await t.step("drifted is bad: restore mends it", async () => {
    await change();
    const { state, finding, mend } = await ownFinding();
    strictEqual(state, "bad");
    match(finding, /: function p2p\.known_fiats\(text\)$/);
    match(mend, /sql diff, then sql adopt .* or sql restore/);
    strictEqual((await doctor(sql.url)).code, 1);
    await program("sql", "restore", "known_fiats");
    deepStrictEqual(await diagnose(sql), []);
  });

  await t.step("adopted is fine, until the release moves on underneath", async () => {
    await change();
    await program("sql", "adopt", "known_fiats", "--note", "a test");
    deepStrictEqual(await diagnose(sql), []);
    strictEqual(
      await sql.value("select finding from p2p.diagnose() where topic = 'sql'"),
      "1 tuned, all others as shipped",
    );
    await sql.rows(
      "update p2p.schema_objects set definition = definition || '-- newer' where name like '%/known_fiats.sql'",
    );
    const { state, finding, mend } = await ownFinding();
    deepStrictEqual([state, finding], [
      "warning",
      "tuned objects whose shipped text has moved on: 1",
    ]);
    match(mend, /merge by hand/);
    await program("sql", "adopt", "known_fiats", "--note", "merged");
    deepStrictEqual(await diagnose(sql), []);
  });

  await t.step("missing is bad: migrate makes it again", async () => {
    await sql.rows("drop view p2p.gaps");
    const { state, finding, mend } = await ownFinding();
    deepStrictEqual([state, /view p2p\.gaps$/.test(finding)], ["bad", true]);
    match(mend, /^p2p-ingest migrate/);
    await program("migrate");
    deepStrictEqual(await diagnose(sql), []);
  });
});

Deno.test("what doctor itself stands on was dropped: it says so, and migrate makes it again", async (t) => {
  await using sql = await healthy();
  for (
    const object of [
      "view p2p.object_states",
      "function p2p.diagnose(integer)",
      "function p2p.load_batch(uuid)",
    ]
  ) {
    await t.step(object, async () => {
      await sql.rows(`drop ${object} cascade`);
      await renewLease(sql);
      const { code, wrong, stderr } = await doctor(urlAs("worker", sql.url));
      deepStrictEqual([code, wrong.length], [1, 1], stderr);
      ok(/missing/.test(wrong[0]?.finding ?? ""), JSON.stringify(wrong));
      match(wrong[0]?.mend ?? "", /^p2p-ingest migrate makes /);
      const migrated = await runProgram(["migrate"], { DATABASE_URL: sql.url });
      match(migrated.stdout, /^made again what was missing: /, migrated.stderr);
      await renewLease(sql);
      deepStrictEqual((await doctor(urlAs("worker", sql.url))).wrong, []);
    });
  }
});

Deno.test("batches: too old, failed, and abandoned", async (t) => {
  await using sql = await healthy();

  await t.step("no good batch for three intervals", async () => {
    await sql.rows(
      "update p2p.ops_batch_runs set batch_end_time = clock_timestamp() - interval '31 minutes'",
    );
    const { topic, state, finding, mend } = await only(sql);
    deepStrictEqual([topic, state], ["batches", "bad"]);
    strictEqual(finding, "the last good batch ended 31 minutes ago");
    match(mend ?? "", /p2p-ingest once/);
    deepStrictEqual(
      await sql.rows("select * from p2p.diagnose(11) where state <> 'ok'"),
      [],
      "with longer intervals it is not late",
    );
    strictEqual((await doctor(sql.url, { EXTRACTION_INTERVAL_MINUTES: "10" })).code, 1);
    await sql.rows("update p2p.ops_batch_runs set batch_end_time = clock_timestamp()");
    deepStrictEqual(await diagnose(sql), []);
  });

  await t.step("a required step fails: replay after mending is enough", async () => {
    const body = "select p2p.live_definition('function p2p.load_depth(uuid)')";
    const shipped = String(await sql.value(body));
    await sql.rows(
      `create or replace function p2p.load_depth(p_batch_id uuid) returns void language plpgsql as $$
         begin raise exception 'no depth today'; end $$`,
    );
    await sql.loadBatch(undefined, { [BUY]: [offer({ id: "2" })] });
    const findings = await diagnose(sql);
    deepStrictEqual(findings.map(({ topic, state }) => [topic, state]), [
      ["sql", "bad"],
      ["batches", "bad"],
      ["steps", "bad"],
    ]);
    strictEqual(
      findings[1]?.finding,
      "the last batch failed: step load_depth failed: no depth today",
    );
    match(findings[1]?.mend ?? "", /p2p-ingest replay --last 1$/);
    strictEqual(findings[2]?.finding, "failed in the last load: load_depth (no depth today)");
    await sql.database.runScript(shipped, 20);
    const replay = await runProgram(["replay", "--last", "1"], {
      DATABASE_URL: urlAs("worker", sql.url),
    });
    strictEqual(replay.code, 0, replay.stderr);
    deepStrictEqual(await diagnose(sql), []);
  });

  await t.step("a worker died: the next one takes over", async () => {
    const batch = await sql.openBatch({ markets: [BUY], worker: "dead-1" });
    deepStrictEqual(await diagnose(sql), [], "a batch under way is nothing");
    await sql.rows(
      "update p2p.ops_workers set lease_expires_at = '2026-01-01' where worker_id in ($1, 'worker-1')",
      batch.worker,
    );
    const { topic, state, finding, mend } = await only(sql);
    deepStrictEqual([topic, state], ["batches", "warning"]);
    strictEqual(finding, `nobody is at batch ${batch.id}, which dead-1 began`);
    match(mend ?? "", /p2p-ingest once/);
  });
});

Deno.test("an optional step that fails is bad, a required one that is switched off is worth a look", async () => {
  await using sql = await healthy();
  await sql.database.runScript(
    `create function public.moody(p_batch_id uuid) returns void language plpgsql as $$ begin raise 'not today'; end $$;
     insert into p2p.pipeline_steps (name, position, function, is_required, comment)
     values ('moody', 500, 'public.moody', false, 'a test')`,
    20,
  );
  await sql.loadBatch(undefined, { [BUY]: [offer({ id: "2" })] });
  const { topic, state, finding, mend } = await only(sql);
  deepStrictEqual([topic, state, finding], [
    "steps",
    "bad",
    "failed in the last load: moody (not today)",
  ]);
  strictEqual((await sql.rows(String(mend))).length, 1);
  strictEqual((await doctor(sql.url)).code, 1);

  await sql.rows("delete from p2p.pipeline_steps where name = 'moody'");
  await sql.loadBatch(undefined, { [BUY]: [offer({ id: "3" })] });
  deepStrictEqual(await diagnose(sql), []);
  await sql.rows("update p2p.pipeline_steps set is_enabled = false where name = 'load_depth'");
  const off = await only(sql);
  deepStrictEqual([off.topic, off.state, off.finding], [
    "steps",
    "warning",
    "required steps that are switched off: load_depth",
  ]);
  await sql.rows(String(off.mend).replace("…", "'load_depth'"));
  deepStrictEqual(await diagnose(sql), []);
});

Deno.test("rejected offers wait, and batches are paused: worth a look, with what ends it", async () => {
  await using sql = await healthy();
  await sql.loadBatch(undefined, { [BUY]: [offer({ id: "1" }), offer({ id: "2", price: "-1" })] });
  const [quarantine] = await diagnose(sql, "quarantine");
  deepStrictEqual([quarantine?.state, quarantine?.finding], ["warning", "1 rejected offers"]);
  await sql.rows(
    "update p2p.ops_rejected_offers set discarded_at = clock_timestamp(), discarded_by = 'me', discard_note = 'a test'",
  );
  deepStrictEqual(await diagnose(sql, "quarantine"), []);

  await sql.rows("update p2p.settings set value = 'on' where name = 'paused'");
  const [paused] = await diagnose(sql, "settings");
  strictEqual(paused?.state, "warning");
  match(paused?.finding ?? "", /^paused: no batch is begun \(since 20\d\d-.*\)$/);
  strictEqual((await doctor(sql.url)).code, 0, "warnings alone");
  await sql.rows(String(paused?.mend));
  deepStrictEqual(await diagnose(sql, "settings"), []);
});
