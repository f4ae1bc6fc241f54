// What a worker is to do at a due time, or by hand; and the record of due times that got no batch.
import assert from "node:assert/strict";
import { Database, type Row } from "../../src/database/connection.ts";
import { type MarketName, SqlFixture, WORKER } from "../support/sql_fixture.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";
const TWO = "worker-2";

/** The same in all of this file, also where the clock passes the next one meanwhile. */
const LAST_DUE = Math.floor(Date.now() / 600_000) * 600_000;

/** A due time, in minutes from the last whole ten minutes. */
function due(minutes: number): Date {
  return new Date(LAST_DUE + minutes * 60_000);
}

const outcomeOf = async (joined: Promise<Row>): Promise<unknown> => (await joined)["outcome"];

async function schedule(sql: SqlFixture): Promise<unknown[][]> {
  const rows = await sql.rows("select due_at, outcome, why from p2p.schedule order by 1");
  return rows.map(({ due_at, outcome, why }) => [(due_at as Date).toISOString(), outcome, why]);
}

async function fixture(markets: readonly MarketName[] = [BUY, SELL]): Promise<SqlFixture> {
  const sql = await SqlFixture.create();
  await sql.listMarkets(markets);
  await sql.beat({ doing: "idle" });
  return sql;
}

/** As if it had all been so many minutes ago. */
async function age(sql: SqlFixture, minutes: number): Promise<void> {
  await sql.rows(
    `update p2p.ops_batch_runs
     set batch_start_time = batch_start_time - make_interval(mins => $1), due_at = due_at - make_interval(mins => $1),
       batch_end_time = batch_end_time - make_interval(mins => $1)`,
    minutes,
  );
}

Deno.test("a clock that jumps while a batch is planned opens none that nobody serves", async () => {
  await using sql = await fixture();
  await sql.rows(
    `create function public.jump() returns trigger language plpgsql security definer as $$
     begin
       update p2p.ops_workers set lease_expires_at = now() - interval '1 day';
       return null;
     end $$`,
  );
  await sql.rows(
    "create trigger jump after insert on p2p.ops_batch_runs execute function public.jump()",
  );
  await assert.rejects(sql.join({ due: due(0) }), /the lease of worker .* has run out/);
  assert.deepEqual(await sql.rows("select from p2p.ops_batch_runs"), []);
});

Deno.test("who is told to stop opens no batch, and says nothing about due times", async () => {
  await using sql = await fixture();
  await sql.rows("update p2p.settings set value = '3600' where name = 'schedule_grace_seconds'");
  const at = due(0);
  const { batch_id } = await sql.join({ due: due(-20) });
  await sql.work("select p2p.load_batch($1)", String(batch_id));
  const before = await schedule(sql);
  await sql.beat({ doing: "stopping" });
  assert.equal(await outcomeOf(sql.join({ due: at })), "done");
  assert.deepEqual(await schedule(sql), before);
  assert.deepEqual(await sql.values("select status from p2p.ops_batch_runs"), ["failed"]);
  await sql.beat({ doing: "idle" });
  assert.equal(await outcomeOf(sql.join({ due: at })), "opened");
});

Deno.test("a batch is opened for a due time, joined by others, and done when it is loaded", async () => {
  await using sql = await fixture();
  const at = due(0);
  const first = await sql.join({ due: at, deadlineSeconds: 300 });
  assert.equal(first["outcome"], "opened");
  assert.equal(first["markets_expected"], 2);
  assert.equal(first["detail"], null);
  const left = Number(first["seconds_left"]);
  assert.ok(left > 290 && left <= 300, `${left}`);
  assert.deepEqual(
    await sql.row("select due_at, worker_id, loader_id from p2p.ops_batch_runs"),
    { due_at: at, worker_id: WORKER, loader_id: null },
  );
  assert.equal(await sql.value("select doing from p2p.ops_workers"), "fetching");

  const again = await sql.join({ due: at });
  assert.deepEqual([again["outcome"], again["batch_id"]], ["joined", first["batch_id"]]);
  await sql.beat({ worker: TWO, doing: "idle" });
  const second = await sql.join({ worker: TWO, due: at });
  assert.deepEqual([second["outcome"], second["batch_id"], second["markets_expected"]], [
    "joined",
    first["batch_id"],
    2,
  ]);
  await sql.rows("update p2p.ops_batch_runs set loader_id = $1", WORKER);
  assert.ok(Number((await sql.join({ worker: TWO, due: at }))["seconds_left"]) <= 0);
  await sql.work("select p2p.load_batch($1)", String(first["batch_id"]));
  assert.equal(await outcomeOf(sql.join({ worker: TWO, due: at })), "done");
  assert.equal(await outcomeOf(sql.join({ due: due(-10) })), "done", "an older one is past");
  assert.equal(await sql.value("select count(*)::integer from p2p.ops_batch_runs"), 1);
});

Deno.test("ten workers that join the same due time in the same instant have one batch", async () => {
  await using sql = await fixture();
  const workers = Array.from({ length: 10 }, (_, i) => `w${i}`);
  for (const worker of workers) await sql.beat({ worker, doing: "idle" });
  await using many = new Database(sql.url, { applicationName: "test", connections: 10 });
  const at = due(0);
  const joined = await Promise.all(workers.map(async (worker) => {
    const [row] = await many.run(
      "select * from p2p.join_batch($1, $2, 600, 480)",
      [worker, at],
      20,
    );
    return { ...row };
  }));
  assert.equal(joined.filter(({ outcome }) => outcome === "opened").length, 1);
  assert.equal(joined.filter(({ outcome }) => outcome === "joined").length, 9);
  assert.equal(new Set(joined.map((row) => row["batch_id"])).size, 1);
  assert.deepEqual(new Set(joined.map((row) => row["markets_expected"])), new Set([2]));
});

Deno.test("no two batches share a time, and one from the far future does not matter", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2999-01-01 00:00+00", {});
  const near = await sql.openBatch({ markets: [] });
  await sql.rows(
    "update p2p.ops_batch_runs set batch_start_time = now() + interval '30 seconds' where status = 'running'",
  );
  await near.load();
  const next = await sql.join();
  assert.equal(
    await sql.value(
      `select n.batch_start_time - b.batch_start_time = interval '1 millisecond'
       from p2p.ops_batch_runs n, p2p.ops_batch_runs b where n.batch_id = $1 and b.batch_id = $2`,
      String(next["batch_id"]),
      near.id,
    ),
    true,
  );
});

Deno.test("begun by hand: held while others are at a batch, who are named; taken up when they are dead", async () => {
  await using sql = await fixture();
  const { batch_id } = await sql.join({ due: due(0) });
  await sql.claim(batch_id, { count: 1 });
  await sql.beat({ worker: TWO, purpose: "once", doing: "idle" });
  const held = await sql.join({ worker: TWO });
  assert.deepEqual([held["outcome"], held["batch_id"], held["detail"]], [
    "held",
    batch_id,
    "worker-1 (fetching)",
  ]);
  await sql.kill(WORKER);
  const taken = await sql.join({ worker: TWO });
  assert.deepEqual([taken["outcome"], taken["batch_id"]], ["joined", batch_id]);
  assert.ok(Number(taken["seconds_left"]) > 0, "inside its window: it is fetched to its end");
  assert.equal((await sql.claim(batch_id, { worker: TWO })).length, 2);

  await sql.rows("update p2p.ops_batch_runs set fetch_until = now() - interval '1 minute'");
  assert.ok(Number((await sql.join({ worker: TWO }))["seconds_left"]) < 0, "only to be loaded");
  assert.equal(await sql.takeLoad(batch_id, TWO), "load");
});

Deno.test("begun by hand beside a service that waits for its next time: a batch of its own", async () => {
  await using sql = await fixture();
  await sql.beat({
    worker: TWO,
    purpose: "once",
    doing: "idle",
    filter: [{ fiat: "VES", asset: "USDT" }],
  });
  await sql.listMarkets([BUY, "ARS/BTC SELL"]);
  const opened = await sql.join({ worker: TWO });
  assert.deepEqual([opened["outcome"], opened["markets_expected"]], ["opened", 1]);
  assert.equal(await sql.value("select due_at from p2p.ops_batch_runs"), null);
  assert.equal(await outcomeOf(sql.join({ due: due(0) })), "joined", "the service helps");
});

Deno.test("a start inside the grace time runs, a later one is skipped and written down", async () => {
  await using sql = await fixture();
  const { batch_id } = await sql.join({ due: due(-30) });
  await sql.work("select p2p.load_batch($1)", String(batch_id));
  await age(sql, 30);
  await sql.rows("update p2p.settings set value = '60' where name = 'schedule_grace_seconds'");
  const lateBy = (seconds: number) => new Date(Date.now() - seconds * 1000);
  const tooLate = lateBy(62);
  const late = await sql.join({ due: tooLate, intervalSeconds: 86_400 });
  assert.equal(late["outcome"], "late");
  assert.match(String(late["detail"]), /^no worker was running; 6\d s late$/);
  assert.equal(late["batch_id"], null);
  assert.deepEqual(
    await sql.rows(
      "select due_at, reason = $1 as told, worker_id from p2p.ops_skipped_batches",
      String(late["detail"]),
    ),
    [{ due_at: tooLate, told: true, worker_id: WORKER }],
  );
  assert.equal(await outcomeOf(sql.join({ due: tooLate })), "done", "it is skipped for good");
  assert.equal(
    await outcomeOf(sql.join({ due: lateBy(50), intervalSeconds: 86_400 })),
    "opened",
  );
});

Deno.test("the first batch of a schedule is never late", async () => {
  await using sql = await fixture();
  const byHand = await sql.join();
  await sql.work("select p2p.load_batch($1)", String(byHand["batch_id"]));
  assert.equal(await outcomeOf(sql.join({ due: new Date(Date.now() - 3_600_000) })), "opened");
  assert.deepEqual(await sql.values("select due_at from p2p.ops_skipped_batches"), []);
});

Deno.test("every due time without a batch is written down, with why", async () => {
  await using sql = await fixture();
  const start = due(0).getTime();
  const at = (tick: number) => new Date(start + tick * 600_000);
  const { batch_id } = await sql.join({ due: at(-8) });
  await sql.work("select p2p.load_batch($1)", String(batch_id));
  // It began at its time, and took 25 minutes.
  await sql.rows(
    "update p2p.ops_batch_runs set batch_start_time = due_at, batch_end_time = due_at + interval '25 minutes'",
  );
  await sql.rows("update p2p.settings set value = '86400' where name = 'schedule_grace_seconds'");
  assert.equal(await outcomeOf(sql.join({ due: at(-4) })), "opened");
  const skipped = await schedule(sql);
  assert.deepEqual(skipped.slice(1, 4), [
    [at(-7).toISOString(), "skipped", "the batch before was still running"],
    [at(-6).toISOString(), "skipped", "the batch before was still running"],
    [at(-5).toISOString(), "skipped", "no worker was running"],
  ]);
  assert.deepEqual(
    [skipped[0], skipped[4]].map((row) => row?.[0]),
    [at(-8).toISOString(), at(-4).toISOString()],
  );
});

Deno.test("a due time that comes while a batch runs is joined; afterwards it is its turn, or too late", async () => {
  await using sql = await fixture();
  const before = await sql.join({ due: new Date(Date.now() - 700_000) });
  const at = new Date(Date.now() - 100_000);
  assert.equal(await outcomeOf(sql.join({ due: at })), "joined");
  await sql.work("select p2p.load_batch($1)", String(before["batch_id"]));
  await sql.rows("update p2p.ops_batch_runs set batch_start_time = due_at");
  await sql.rows("update p2p.settings set value = '60' where name = 'schedule_grace_seconds'");
  const late = await sql.join({ due: at });
  assert.equal(late["outcome"], "late");
  assert.match(String(late["detail"]), /^the batch before was still running; 10\d s late$/);
  await sql.rows("delete from p2p.ops_skipped_batches");
  await sql.rows("update p2p.settings set value = '300' where name = 'schedule_grace_seconds'");
  assert.equal(await outcomeOf(sql.join({ due: at })), "opened");
});

Deno.test("after a year's silence the last thousand due times are written down, not all", async () => {
  await using sql = await fixture();
  const { batch_id } = await sql.join({ due: new Date(Date.now() - 365 * 86_400_000) });
  await sql.work("select p2p.load_batch($1)", String(batch_id));
  await age(sql, 365 * 1440);
  const at = new Date(Date.now() - 1000);
  assert.equal(await outcomeOf(sql.join({ due: at })), "opened");
  assert.deepEqual(
    await sql.row(
      `select count(*)::integer, max(due_at) = $1::timestamptz - interval '10 minutes' as newest,
         min(due_at) = $1::timestamptz - interval '10000 minutes' as oldest, min(reason) as reason
       from p2p.ops_skipped_batches`,
      at,
    ),
    { count: 1000, newest: true, oldest: true, reason: "no worker was running" },
  );
});

Deno.test("paused: nothing is opened, the due time is written down; a batch that runs is joined", async () => {
  await using sql = await fixture();
  const running = await sql.join({ due: due(-10) });
  await sql.rows("update p2p.settings set value = 'on' where name = 'paused'");
  assert.equal(await outcomeOf(sql.join({ due: due(0) })), "joined");
  await sql.work("select p2p.load_batch($1)", String(running["batch_id"]));
  const paused = await sql.join({ due: due(0) });
  assert.equal(paused["outcome"], "paused");
  assert.match(String(paused["detail"]), /^paused since \d{4}-\d\d-\d\d \d\d:\d\dZ by \w+$/);
  assert.deepEqual(await sql.values("select reason from p2p.ops_skipped_batches"), [
    paused["detail"],
  ]);
  assert.equal(await outcomeOf(sql.join()), "paused");
  await sql.beat({ worker: TWO, doing: "idle" });
  assert.equal(await outcomeOf(sql.join({ worker: TWO, due: due(0) })), "paused", "for all");
  assert.equal(await outcomeOf(sql.join({ due: due(-10) })), "paused");
  assert.equal(await sql.value("select count(*)::integer from p2p.ops_skipped_batches"), 1);
  await sql.rows("update p2p.settings set value = 'off' where name = 'paused'");
  assert.equal(await outcomeOf(sql.join({ due: due(0) })), "done");
  assert.equal(await outcomeOf(sql.join()), "opened");
});

Deno.test("a worker that is not known, or silent for too long, beats before it joins", async () => {
  await using sql = await fixture();
  await assert.rejects(sql.join({ worker: "nobody" }), /worker nobody is not known, or its lease/);
  await sql.kill(WORKER);
  await assert.rejects(sql.join(), /worker worker-1 is not known, or its lease has run out/);
});

Deno.test("a clock that is ahead a little is no matter; further ahead it would end the schedule for all", async () => {
  await using sql = await fixture();
  const ahead = (seconds: number) => new Date(Date.now() + seconds * 1000);
  await assert.rejects(
    sql.join({ due: ahead(400) }),
    /the clock of worker worker-1 is at least (39\d|400) s ahead of the database/,
  );
  // Within the grace time, but past another due time.
  await assert.rejects(
    sql.join({ due: ahead(100), intervalSeconds: 60 }),
    /the clock of worker worker-1 is at least (99|100) s ahead of the database/,
  );
  await sql.rows("update p2p.settings set value = '0' where name = 'schedule_grace_seconds'");
  assert.equal(await outcomeOf(sql.join({ due: ahead(50), intervalSeconds: 60 })), "opened");
  assert.deepEqual(await sql.values("select due_at from p2p.ops_skipped_batches"), []);
});

Deno.test("a clock that jumps back while a worker joins: the batch of its due time is still known", async () => {
  await using sql = await fixture();
  const at = due(0);
  const { batch_id } = await sql.join({ due: at });
  await sql.work("select p2p.load_batch($1)", String(batch_id));
  const [definition] = await sql.values(
    "select pg_get_functiondef(oid) from pg_proc where proname = 'join_batch'",
  );
  // As if it jumped once the call has begun.
  const [head, body] = String(definition).split("\nbegin\n");
  const jumped = body?.replaceAll("clock_timestamp()", "(clock_timestamp() - interval '1 hour')");
  await sql.database.runScript(`${head}\nbegin\n${jumped}`, 10);
  assert.equal(await outcomeOf(sql.join({ due: at })), "done");
});

Deno.test("a batch of a time when all clocks were ahead holds up none that is due", async () => {
  await using sql = await fixture();
  await sql.rows("update p2p.settings set value = '3600' where name = 'schedule_grace_seconds'");
  const before = await sql.join({ due: due(-10) });
  await sql.work("select p2p.load_batch($1)", String(before["batch_id"]));
  await sql.rows(
    `insert into p2p.ops_batch_runs (batch_start_time, batch_end_time, due_at, status, worker_id)
     values ($1, $1, $1, 'completed', $2)`,
    due(240).toISOString(),
    WORKER,
  );
  await sql.rows(
    "insert into p2p.ops_skipped_batches (due_at, reason) values ($1, 'why')",
    due(250).toISOString(),
  );
  const joined = await sql.join({ due: due(0) });
  assert.equal(joined["outcome"], "opened");
  await sql.work("select p2p.load_batch($1)", String(joined["batch_id"]));
  assert.equal(await outcomeOf(sql.join({ due: due(0) })), "done");
  assert.equal((await schedule(sql)).length, 4, "nothing is missed between");
});

Deno.test("a due time without a batch while workers were running says so", async () => {
  await using sql = await fixture();
  const { batch_id } = await sql.join({ due: due(-30) });
  await sql.work("select p2p.load_batch($1)", String(batch_id));
  await age(sql, 10);
  await sql.rows(
    "update p2p.ops_workers set started_at = started_at - interval '25 minutes'",
  );
  const { detail } = await sql.join({ due: new Date(Date.now() - 400_000), intervalSeconds: 300 });
  assert.match(String(detail), /^workers could not begin it in time; 40\d s late$/);
  assert.deepEqual(
    new Set(await sql.values("select split_part(reason, ';', 1) from p2p.ops_skipped_batches")),
    new Set(["no worker was running", "workers could not begin it in time"]),
  );
});
