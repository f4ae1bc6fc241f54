// What is an incident, when it is over, and that of all workers one hears of it.
import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";

/** What a worker is to tell: `+completeness …` where it begins, `-completeness …` where it is over. */
async function news(
  sql: SqlFixture,
  { worker = "a:1:x", interval = 10 as number | null, failures = 3, tells = true } = {},
): Promise<string[]> {
  const rows = await sql.worker.run("select * from p2p.watch_incidents($1, $2, $3)", [
    worker,
    interval,
    failures,
  ], 20);
  const ids = (isOpen: boolean) =>
    `{${
      rows.filter((row) => row["is_open"] === isOpen).map((row) => row["incident_id"]).join(",")
    }}`;
  if (tells) {
    await sql.worker.run("select p2p.incidents_told($1::text::bigint[], $2::text::bigint[])", [
      ids(true),
      ids(false),
    ], 20);
  }
  return rows.map((row) =>
    `${row["is_open"] ? "+" : "-"}${row["kind"]} ${row["subject"]} ${row["message"]}`
  );
}

/** A batch of two markets; of a bad one the second is lost. */
async function batchAt(sql: SqlFixture, minute: number, isGood: boolean): Promise<string> {
  const at = `2026-03-01 10:${String(minute).padStart(2, "0")}+00`;
  const batch = await sql.openBatch({ markets: [BUY, SELL], at });
  await batch.page(BUY, [offer()]);
  if (isGood) await batch.page(SELL, [offer({ id: "2" })]);
  else await batch.lose(SELL);
  await batch.load();
  return batch.id;
}

Deno.test("an incident is raised once and resolved once, whoever calls, however often", async () => {
  await using sql = await SqlFixture.create();
  const call = async (statement: string) => await sql.worker.run(statement, [], 20);
  const raise = "select p2p.raise_incident('disk_full', '', 'no space left', 'a:1:x', 90) as news";
  const resolve = "select p2p.resolve_incident('disk_full', '', 'room') as news";
  const told: unknown[] = [];
  for (const statement of [resolve, raise, raise, resolve, resolve, raise]) {
    told.push((await call(statement))[0]?.["news"]);
  }
  assert.deepEqual(told, [false, true, false, true, false, true]);
  assert.deepEqual(
    (await sql.rows("select state, kind, lasted::text, message from p2p.incidents"))
      .map((row) => Object.values(row)),
    [["open", "disk_full", "00:01:30", "no space left"], [
      "over",
      "disk_full",
      "00:01:30",
      "no space left",
    ]],
  );
  const many = await Promise.all(
    Array.from(
      { length: 8 },
      () => call("select p2p.raise_incident('mine', 'x', repeat('long ', 1000), 'a:1:x') as news"),
    ),
  );
  assert.equal(many.filter(([row]) => row?.["news"] === true).length, 1);
  // A kind that the database does not judge is its owner's, who ends it; people are told.
  assert.deepEqual((await news(sql)).map((line) => line.slice(0, 24)), [
    "+disk_full  no space lef",
    "-disk_full  room",
    "+disk_full  no space lef",
    "+mine x long long long l",
  ]);
  assert.deepEqual(await news(sql), []);
});

Deno.test("what a load found is told once; a later whole batch ends it, whoever loads it", async () => {
  await using sql = await SqlFixture.create();
  assert.deepEqual(await news(sql), [], "a new database");
  await batchAt(sql, 0, true);
  assert.deepEqual(await news(sql), []);
  await batchAt(sql, 10, false);
  assert.deepEqual(await news(sql), ["+completeness  completeness is 0.5000, limit 0.99"]);
  assert.deepEqual(await news(sql, { worker: "b:2:y" }), [], "the others hear nothing");
  await batchAt(sql, 20, false);
  assert.deepEqual(await news(sql), [], "it goes on");
  await batchAt(sql, 30, false);
  for (let i = 0; i < 6; i++) await sql.beat({ worker: `w${i}`, name: `w${i}` });
  const many = await Promise.all(
    Array.from({ length: 6 }, (_, i) => news(sql, { worker: `w${i}` })),
  );
  assert.deepEqual(many.flat(), [
    "+batch_failed  3 batches in a row were not completed: markets failed: 1; pages lost: http 1",
  ]);
  assert.deepEqual(await news(sql, { failures: 9 }), [], "who is more patient does not end it");
  await batchAt(sql, 40, true);
  assert.deepEqual(await news(sql, { worker: "b:2:y" }), [
    "-completeness  the newest batch gives no cause for it any more",
    "-batch_failed  a batch was completed",
  ]);
  assert.deepEqual(await news(sql), []);
});

Deno.test("what a worker left untold another one tells, the end as well, and never what a living one has in hand", async () => {
  await using sql = await SqlFixture.create();
  const a = { worker: "a:1:x", tells: false };
  const b = { worker: "b:2:y" };
  for (const { worker } of [a, b]) await sql.beat({ worker, name: worker.slice(0, 1) });
  await batchAt(sql, 0, false);
  const begins = ["+completeness  completeness is 0.5000, limit 0.99"];
  const ends = ["-completeness  the newest batch gives no cause for it any more"];
  assert.deepEqual(await news(sql, a), begins);
  assert.deepEqual(await news(sql, a), begins, "until it says that it has told it");
  assert.deepEqual(await news(sql, b), [], "a lives");
  await sql.worker.run("select p2p.leave('a:1:x')", [], 20);
  assert.deepEqual(await news(sql, b), [], "who takes leave may still be telling");
  await sql.rows(
    "update p2p.ops_workers set last_seen_at = now() - interval '2 hours', lease_expires_at = now() - interval '2 hours' where worker_id = 'a:1:x'",
  );
  await batchAt(sql, 10, true);
  assert.deepEqual(await news(sql, { ...b, tells: false }), [...begins, ...ends]);
  assert.deepEqual(await news(sql, a), [], "it is b's now");
  assert.deepEqual(await news(sql, b), [...begins, ...ends]);
  assert.deepEqual(await news(sql, b), []);
  await sql.rows("select p2p.raise_incident('mine', '', 'told by me', 'me', 0, true)");
  await sql.rows("select p2p.resolve_incident('mine', '', 'by me, too', true)");
  assert.deepEqual(await news(sql, b), []);
});

Deno.test("a batch that a stop cut short neither begins nor ends an incident of completeness; the next does", async () => {
  await using sql = await SqlFixture.create();
  const cutShort = async (minute: number): Promise<void> => {
    await batchAt(sql, minute, false);
    await sql.rows(
      "update p2p.ops_batch_runs set is_cut_short = true where batch_start_time = (select max(batch_start_time) from p2p.ops_batch_runs)",
    );
  };
  await cutShort(0);
  assert.deepEqual(await news(sql), []);
  await batchAt(sql, 10, false);
  assert.deepEqual(await news(sql), ["+completeness  completeness is 0.5000, limit 0.99"]);
  await cutShort(20);
  assert.deepEqual((await news(sql)).map((line) => line.split(" ")[0]), ["+batch_failed"]);
  await batchAt(sql, 30, true);
  assert.deepEqual((await news(sql)).map((line) => line.split(" ")[0]), [
    "-completeness",
    "-batch_failed",
  ]);
});

Deno.test("a step that fails: told, and over when it works; a load that checked nothing ends nothing else", async () => {
  await using sql = await SqlFixture.create();
  await batchAt(sql, 0, false);
  assert.deepEqual((await news(sql)).map((line) => line.split(" ")[0]), ["+completeness"]);
  await sql.database.runScript(
    `create function p2p.mine(p_batch_id uuid) returns void language plpgsql as 'begin perform 1 / 0; end';
     insert into p2p.pipeline_steps (name, position, function, is_required, comment) values ('mine', 5, 'p2p.mine', true, '')`,
    20,
  );
  await batchAt(sql, 10, true);
  assert.deepEqual(await news(sql), ["+step_failed  mine: division by zero"]);
  await sql.rows("delete from p2p.pipeline_steps where name = 'mine'");
  await batchAt(sql, 20, true);
  assert.deepEqual((await news(sql)).map((line) => line.split(" ")[0]), [
    "-completeness",
    "-step_failed",
  ]);
});

Deno.test("breaker_open: while any live worker is shut out, and no longer", async () => {
  await using sql = await SqlFixture.create();
  const open = { breaker: "open", breakerReason: "HTTP 403" } as const;
  await sql.beat({ worker: "a:1:x", name: "a" });
  await sql.beat({ worker: "b:2:y", name: "b", ...open });
  assert.deepEqual(await news(sql), [
    "+breaker_open binance nothing is sent to binance: HTTP 403 (b)",
  ]);
  await sql.beat({ worker: "a:1:x", name: "a", ...open });
  await sql.beat({ worker: "b:2:y", name: "b" });
  assert.deepEqual(await news(sql), [], "now the other");
  await sql.beat({ worker: "a:1:x", name: "a", breaker: "half_open", breakerReason: "HTTP 403" });
  assert.deepEqual(await news(sql), []);
  await sql.beat({ worker: "a:1:x", name: "a", pausedSeconds: 30 });
  assert.deepEqual(await news(sql), [], "not yet");
  await sql.beat({ worker: "a:1:x", name: "a" });
  assert.deepEqual(await news(sql), [
    "-breaker_open binance no worker is shut out by binance any more",
  ]);
  await sql.beat({ worker: "a:1:x", name: "a", pausedSeconds: 60 });
  assert.deepEqual(await news(sql), [], "a short pause is no incident");
  await sql.beat({ worker: "a:1:x", name: "a", pausedSeconds: 1800 });
  assert.deepEqual(await news(sql), [
    "+breaker_open binance nothing is sent to binance: it asked for a pause (a)",
  ]);
  await sql.rows("update p2p.ops_workers set lease_expires_at = now() - interval '2 hours'");
  assert.deepEqual((await news(sql)).map((line) => line.split(" ")[0]), ["-breaker_open"], "dead");
});

Deno.test("no_good_batch: three intervals of service without one; not for once, not while paused", async () => {
  await using sql = await SqlFixture.create();
  const served = async (minutes: number) =>
    await sql.rows(
      `update p2p.ops_workers set started_at = now() - make_interval(mins => $1::integer), last_seen_at = now()`,
      minutes,
    );
  await batchAt(sql, 0, true);
  await sql.rows("update p2p.ops_batch_runs set batch_end_time = batch_start_time"); // long ago
  await news(sql);
  await sql.beat({ worker: "a:1:x", purpose: "run" });
  assert.deepEqual(await news(sql), [], "the service has just begun");
  await served(31);
  assert.deepEqual(await news(sql, { interval: null }), [], "a batch by hand");
  await sql.rows("update p2p.settings set value = 'on' where name = 'paused'");
  assert.deepEqual(await news(sql), [], "paused");
  await sql.rows("update p2p.settings set value = 'off' where name = 'paused'");
  assert.deepEqual(await news(sql, { interval: 15 }), []);
  assert.deepEqual(await news(sql), ["+no_good_batch  no batch was loaded for 31 minutes"]);
  assert.deepEqual(await news(sql, { interval: null }), []);
  await sql.rows("select p2p.raise_incident('disk_full', '', 'no space left', 'a:1:x', 0, true)");
  const batch = await sql.openBatch({ markets: [BUY], at: new Date().toISOString() });
  await batch.page(BUY, [offer({ id: "9" })]);
  assert.deepEqual(await news(sql), []);
  await batch.load();
  assert.deepEqual(await news(sql, { interval: null }), [
    "-no_good_batch  a batch was loaded",
    "-disk_full  there is room again",
  ]);
});

Deno.test("what is dated in the future, from when the server's clock was ahead, keeps nobody told", async () => {
  await using sql = await SqlFixture.create();
  const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
  const good = await sql.openBatch({ markets: [BUY], at: inHours(-0.5) });
  await good.page(BUY, [offer()]);
  await good.load();
  const ahead = await sql.openBatch({ markets: [BUY, SELL], at: inHours(1) });
  await ahead.page(BUY, [offer({ id: "2" })]);
  await ahead.lose(SELL);
  await ahead.load();
  assert.deepEqual(await news(sql), [], "not the newest batch");
  await sql.rows("select p2p.raise_incident('no_good_batch', '', 'no batch', 'a:1:x', -3600)");
  assert.deepEqual(await news(sql), [
    "+no_good_batch  no batch",
    "-no_good_batch  a batch was loaded",
  ]);
});

Deno.test("retention clears away what is over, and a database has one name", async () => {
  await using sql = await SqlFixture.create();
  await batchAt(sql, 0, true);
  for (const kind of ["over_long_ago", "open_long_ago"]) {
    await sql.rows("select p2p.raise_incident($1, '', 'x', 'a', 86400.0 * 9999)", kind);
  }
  await sql.rows("select p2p.resolve_incident('over_long_ago', '', 'x')");
  await sql.rows("select p2p.apply_retention(null)");
  assert.deepEqual(await sql.values("select kind from p2p.ops_incidents"), ["open_long_ago"]);
  const key = String(await sql.value("select p2p.database_key()"));
  assert.match(key, /^[0-9a-f]{12}$/);
  assert.equal(await sql.value("select p2p.database_key()"), key);
});
