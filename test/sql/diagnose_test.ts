// What diagnose finds in the database: each with what mends it, which is then done. test/integration/doctor_test.ts has what
// the program adds.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { LOGINS, urlAs } from "../support/database.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";
import { stranger } from "../support/stranger.ts";

const BUY = "VES/USDT BUY";

async function healthy(): Promise<SqlFixture> {
  const sql = await SqlFixture.create();
  await sql.loadBatch(undefined, { [BUY]: [offer({ id: "1" })] });
  return sql;
}

interface Finding {
  readonly topic: string;
  readonly state: string;
  readonly finding: string;
  readonly mend: string;
}

/** As a worker that connects now: settings of roles and databases are those of new sessions. */
async function diagnose(sql: SqlFixture, topic?: string): Promise<Finding[]> {
  await using fresh = SqlFixture.connect(sql.url);
  const rows = await fresh.worker.run(
    "select * from p2p.diagnose(10) where state <> 'ok'",
    [],
    20,
  );
  return rows.map((row) => ({ ...row }) as unknown as Finding)
    .filter((row) => topic === undefined || row.topic === topic);
}

async function only(sql: SqlFixture): Promise<Finding> {
  const findings = await diagnose(sql);
  strictEqual(findings.length, 1, JSON.stringify(findings));
  return findings[0] as Finding;
}

Deno.test("settings of the database that stop or break off a worker; the statement that is named mends each", async () => {
  await using sql = await healthy();
  const name = new URL(sql.url).pathname.slice(1);
  for (
    const [change, state, finding] of [
      [
        "set default_transaction_read_only = on",
        "bad",
        /^default_transaction_read_only is set for this database: nothing can be written$/,
      ],
      [
        "set statement_timeout = '5s'",
        "warning",
        /^statement_timeout is set for this database: what takes longer than 5000 ms/,
      ],
      [
        "set lock_timeout = '1min'",
        "warning",
        /^lock_timeout is set for this database: .* 60000 ms/,
      ],
      [
        "connection limit 5",
        "warning",
        new RegExp(`^database ${name} may have 5 connections; a worker takes up to 7$`),
      ],
    ] as const
  ) {
    // Past the setting that is tested, which holds for this session, too.
    await sql.database.runScript(`alter database ${name} ${change}`, 20);
    const found = await only(sql);
    deepStrictEqual([found.topic, found.state], ["server", state]);
    match(found.finding, finding);
    await sql.database.runScript(found.mend, 20);
    deepStrictEqual(await diagnose(sql), []);
  }
  await sql.database.runScript(
    `alter role ${LOGINS.worker} in database ${name} set statement_timeout = '7s'`,
    20,
  );
  const own = await only(sql);
  match(own.finding, new RegExp(`^statement_timeout is set for ${LOGINS.worker}: `));
  await sql.database.runScript(own.mend, 20);
  deepStrictEqual(await diagnose(sql), []);
});

Deno.test("settings of the database that change what SQL means do not reach a worker", async () => {
  await using sql = await healthy();
  const name = new URL(sql.url).pathname.slice(1);
  await sql.database.runScript(
    `alter database ${name} set standard_conforming_strings = off;
     alter database ${name} set quote_all_identifiers = on;
     alter database ${name} set datestyle = 'SQL, DMY';
     alter database ${name} set default_transaction_isolation = 'serializable'`,
    20,
  );
  deepStrictEqual(await diagnose(sql), []);
  await using fresh = SqlFixture.connect(sql.url);
  const [row] = await fresh.worker.run(
    "select current_setting('transaction_isolation') as level, timestamptz '2026-11-21 12:00+00' as noon",
    [],
    20,
  );
  strictEqual(row?.["level"], "read committed");
  deepStrictEqual(row["noon"], new Date("2026-11-21T12:00:00Z"));
  await fresh.loadBatch(undefined, { [BUY]: [offer({ id: "2" })] }); // pipeline_steps holds names without quotes
});

Deno.test("privileges on tables and sequences: what the migrations grant, and what of it is missing", async () => {
  await using sql = await healthy();
  const granted = `select c.relname::text as table_name, a.privilege_type as privilege
    from pg_class c cross join aclexplode(c.relacl) a
    where c.relnamespace = 'p2p'::regnamespace and a.grantee = 'p2p_worker'::regrole and c.relkind in ('r', 'p', 'S')
    order by 1, 2`;
  deepStrictEqual(
    await sql.rows("select * from p2p.worker_rights() order by 1, 2"),
    await sql.rows(granted),
  );
  await sql.database.runScript(
    `revoke insert, update on p2p.dim_offers from p2p_worker;
     revoke usage on sequence p2p.fact_market_depth_depth_id_seq from p2p_worker`,
    20,
  );
  const { topic, state, finding, mend } = await only(sql);
  deepStrictEqual([topic, state], ["rights", "bad"]);
  strictEqual(
    finding,
    "p2p_worker may not insert dim_offers, update dim_offers, usage fact_market_depth_depth_id_seq",
  );
  await sql.database.runScript(mend.replace("as the owner: ", ""), 20);
  deepStrictEqual(await diagnose(sql), []);
});

Deno.test("a login that may not read as the status page does; the grant that is named mends it", async () => {
  await using sql = await healthy();
  // Not a worker: to take p2p_reader from p2p_worker would take it from the tests beside this one.
  await using someone = await stranger(sql.database, sql.url);
  const ask = async (): Promise<unknown[]> => {
    await using own = SqlFixture.connect(someone.url);
    return await own.rows(
      "select state, finding, mend from p2p.diagnose_rights() where finding like '%status page%'",
    );
  };
  deepStrictEqual(await ask(), [{
    state: "warning",
    finding:
      `${someone.login} may not read as p2p_reader does, as the status page reads: it stays empty`,
    mend: "as who made the roles, or a superuser: grant p2p_reader to p2p_worker;",
  }]);
  await sql.database.runScript(`grant p2p_reader to ${someone.login}`, 20);
  deepStrictEqual(await ask(), []);
});

Deno.test("due times without a batch, and a service that is not there any more", async () => {
  await using sql = await healthy();
  await sql.rows(
    `insert into p2p.ops_skipped_batches (due_at, reason)
     values (now() - interval '1 hour', 'paused'), (now() - interval '2 days', 'long ago')`,
  );
  const skipped = await only(sql);
  deepStrictEqual([skipped.topic, skipped.state, skipped.finding], [
    "schedule",
    "warning",
    "1 due times of the last 24 hours had no batch: paused",
  ]);
  await sql.rows(skipped.mend);
  await sql.rows("delete from p2p.ops_skipped_batches");

  await sql.kill("worker-1");
  const gone = await only(sql);
  deepStrictEqual([gone.topic, gone.state], ["workers", "warning"]);
  match(gone.finding, /^no worker is running: worker-1 was last seen at 20\d\d-/);
  match(gone.mend, /systemctl start p2p-ingest/);
  await sql.work("select p2p.leave('worker-1')");
  match((await only(sql)).finding, /^no worker is running: worker-1 was stopped at /);
  await sql.beat({ worker: "worker-2" });
  deepStrictEqual(await diagnose(sql), []);
});

Deno.test("diagnose tells whoever may call it, and has not the role, which grant is missing", async () => {
  await using sql = await healthy();
  await sql.database.runScript(
    `grant execute on all functions in schema p2p to p2p_reader;
     grant select on all tables in schema p2p to p2p_reader`,
    20,
  );
  const reader = SqlFixture.connect(urlAs("reader", sql.url));
  await using _ = reader;
  const [finding] = await reader.rows("select * from p2p.diagnose() where topic = 'rights'");
  strictEqual(finding?.["state"], "bad");
  strictEqual(finding?.["finding"], "test_reader has not the role of a worker");
  match(String(finding?.["mend"]), /^as \w+: grant p2p_worker to test_reader;$/);
});

Deno.test("dropped and created again: the text is the shipped one, but the worker may not use it", async () => {
  await using sql = await healthy();
  for (const object of ["function p2p.load_depth(uuid)", "view p2p.object_states"]) {
    const text = String(await sql.value("select p2p.live_definition($1)", object));
    await sql.database.runScript(`drop ${object}; ${text}`, 20);
  }
  await sql.rows("revoke execute on function p2p.load_depth(uuid) from public");
  const findings = await sql.rows("select * from p2p.diagnose() where state <> 'ok'");
  deepStrictEqual(findings.map((row) => [row["topic"], row["state"], row["finding"]]), [
    [
      "rights",
      "bad",
      "p2p_worker may not use function p2p.load_depth(uuid), view p2p.object_states",
    ],
  ]);
  await sql.database.runScript(String(findings[0]?.["mend"]).replace("as the owner: ", ""), 20);
  deepStrictEqual(await diagnose(sql), []);
});

Deno.test("an exchange that is closed to a worker", async () => {
  await using sql = await healthy();
  await sql.beat({
    worker: "tired:7:1",
    name: "tired",
    breaker: "open",
    breakerReason: "8 requests failed",
  });
  const { topic, state, finding, mend } = await only(sql);
  deepStrictEqual([topic, state], ["workers", "warning"]);
  match(finding, /^tired sends nothing to binance since \d{4}-.*: 8 requests failed$/);
  await sql.beat({ worker: "tired:7:1", name: "tired", pausedSeconds: 1800 });
  match(
    (await only(sql)).finding,
    /^tired sends nothing to binance until \d{4}-.*: it asked for a pause \(Retry-After\)$/,
  );
  ok((await sql.rows((mend ?? "").replace("it tries by itself; ", ""))).length > 0);
  await sql.kill("tired:7:1");
  deepStrictEqual(await diagnose(sql), []);
});

Deno.test("markets that are not whole, and rules that fail", async () => {
  await using sql = await healthy();
  const batch = await sql.openBatch({ markets: [BUY, "VES/BTC BUY"] });
  await batch.page(BUY, [offer({ id: "1" })]);
  await batch.lose("VES/BTC BUY");
  await batch.load();
  const [markets] = await diagnose(sql, "markets");
  deepStrictEqual(markets, {
    topic: "markets",
    state: "warning",
    finding: "1 of 2 markets whole in the last batch",
    mend: "select * from p2p.gaps",
  });
  strictEqual((await sql.rows(String(markets?.mend))).length, 1);
  const [rules] = await diagnose(sql, "rules");
  match(rules?.finding ?? "", /^failing in the last batch: .*completeness/);
  ok((await sql.rows(String(rules?.mend))).length > 0);
});

Deno.test("triggers that guard rows and keep who changed them: disabled or dropped is bad", async () => {
  await using sql = await healthy();
  await sql.rows("alter table p2p.settings disable trigger log_change");
  const disabled = await only(sql);
  deepStrictEqual([disabled.topic, disabled.state, disabled.finding], [
    "triggers",
    "bad",
    "trigger log_change on p2p.settings is disabled",
  ]);
  await sql.rows(String(disabled.mend));
  deepStrictEqual(await diagnose(sql), []);

  await sql.rows("drop trigger check_function on p2p.pipeline_steps");
  const missing = await only(sql);
  strictEqual(missing.finding, "trigger check_function on p2p.pipeline_steps is missing");
  const [, statement = ""] = /^in psql: (.*) \\gexec$/.exec(String(missing.mend)) ?? [];
  await sql.database.runScript(String(await sql.value(statement)), 60);
  deepStrictEqual(await diagnose(sql), []);
});
