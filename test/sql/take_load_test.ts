// When fetching ends, and who loads: one of those who are at the batch, also where others died or gave up.
import assert from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { holdStatement } from "../support/sessions.ts";
import { SqlFixture, WORKER } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";
import { BUY, MARKETS, namesOf, opened, pastDeadline, THREE, TWO } from "../support/work_queue.ts";

Deno.test("end_fetching defers what has no page and cuts off the rest", async () => {
  await using sql = await SqlFixture.create();
  await sql.listMarkets(MARKETS);
  const batch = await sql.openBatch({ markets: MARKETS });
  await batch.page("VES/USDT BUY", [offer()]);
  await batch.page("VES/USDT SELL", [offer()], { last: false });
  await batch.lose("ARS/USDT SELL");
  assert.equal(await batch.endFetching(), 2);
  const states = await Promise.all(MARKETS.map(async (market) => {
    const { status, reason, finished } = await batch.ledger(market);
    return [status, reason, finished];
  }));
  assert.deepEqual(states, [
    ["deferred", "the deadline came", true],
    ["failed", "http: HTTP 500", true],
    ["complete", null, true],
    ["incomplete", "the deadline came", true],
  ]);
  const before = await sql.dump();
  assert.equal(await batch.endFetching("again"), 0);
  assert.deepEqual(await sql.dump(), before);
});

Deno.test("take_load: fetch, wait, load, closed", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, [BUY, "VES/USDT SELL"]);
  assert.equal(await sql.takeLoad(batchId), "fetch");
  await sql.claim(batchId, { count: 1 });
  await sql.claim(batchId, { count: 1, worker: TWO });
  const [one, two] = [await sql.batch(batchId), await sql.batch(batchId, TWO)];
  await one.page(BUY, []);
  assert.equal(await sql.takeLoad(batchId), "wait", "the other fetches");
  await two.page("VES/USDT SELL", []);
  assert.equal(await sql.takeLoad(batchId, TWO), "load");
  assert.equal(await sql.takeLoad(batchId, TWO), "load", "asked again, because no answer came");
  assert.equal(await sql.takeLoad(batchId), "wait", "the other loads");
  const run = await two.load();
  assert.equal(run["status"], "completed");
  assert.equal(await sql.takeLoad(batchId), "closed");
  assert.equal(await sql.takeLoad("00000000-0000-0000-0000-000000000000"), "closed");
});

Deno.test("exactly one of many loads, and one who dies is replaced", async () => {
  await using sql = await SqlFixture.create();
  const workers = Array.from({ length: 10 }, (_, i) => `w${i}`);
  const batchId = await opened(sql, [BUY], [WORKER, ...workers]);
  await using many = new Database(sql.url, { applicationName: "test", connections: 10 });
  await sql.claim(batchId);
  await (await sql.batch(batchId)).page(BUY, []);
  /** Those of them that are told to load. */
  const loaders = async (asking: readonly string[]) => {
    const told = await Promise.all(asking.map(async (worker) => {
      const [row] = await many.run(
        "select p2p.take_load($1, $2, null) as told",
        [batchId, worker],
        20,
      );
      return row?.["told"];
    }));
    return asking.filter((_, i) => told[i] === "load");
  };
  const first = await loaders(workers);
  assert.equal(first.length, 1);

  await sql.kill(String(first));
  assert.deepEqual(await loaders(first), [], "who seems dead beats first");
  const others = workers.filter((worker) => !first.includes(worker));
  const second = await loaders(others);
  assert.equal(second.length, 1);
  // Nor is one waited for that could not load, and went on to do nothing.
  await sql.beat({ worker: String(second), doing: "idle" });
  const third = await loaders(others.filter((worker) => !second.includes(worker)));
  assert.equal(third.length, 1);
});

Deno.test("a load that goes on without its worker is not begun a second time beside it", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, [BUY]);
  await sql.claim(batchId);
  await (await sql.batch(batchId)).page(BUY, [offer()]);
  assert.equal(await sql.takeLoad(batchId), "load");
  const load = await holdStatement(sql.url, `select p2p.load_batch('${batchId}')`);
  await sql.kill(WORKER);
  assert.equal(await sql.takeLoad(batchId, TWO), "wait");
  await load.commit();
  assert.equal(await sql.takeLoad(batchId, TWO), "closed");
});

Deno.test("beats, joins, claims and questions do not wait for a load", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, MARKETS);
  await sql.claim(batchId);
  const batch = await sql.batch(batchId);
  await batch.page(BUY, [offer()]);
  assert.equal(await sql.takeLoad(batchId), "fetch", "what it did not say was lost is still there");
  await sql.beat({ worker: TWO, doing: "stopping" });
  assert.equal(await sql.takeLoad(batchId, TWO, "told to stop"), "others");
  await sql.beat({ worker: TWO, doing: "gone" });
  await sql.beat({ doing: "stopping" });
  assert.equal(await sql.takeLoad(batchId, WORKER, "told to stop"), "load");
  const load = await holdStatement(sql.url, `select p2p.load_batch('${batchId}')`);
  await using impatient = new Database(`${sql.url}`, { applicationName: "test", connections: 1 });
  const work = async (statement: string, ...parameters: string[]) =>
    Object.values((await impatient.run(`select ${statement}`, parameters, 3))[0] ?? {})[0];
  try {
    await sql.beat({ doing: "loading" });
    await sql.beat({ worker: THREE, doing: "idle" });
    assert.equal(await work("outcome from p2p.join_batch($1, now(), 600, 480)", THREE), "joined");
    assert.equal(
      await work("seconds_left <= 0 from p2p.join_batch($1, now(), 600, 480)", THREE),
      true,
    );
    assert.equal(
      await work("count(*)::integer from p2p.claim_markets($1, $2, 'binance', 5)", batchId, THREE),
      0,
    );
    assert.equal(await work("p2p.give_back($1, $2, null)", batchId, THREE), 0);
    assert.equal(await work("p2p.take_load($1, $2, null)", batchId, THREE), "wait");
    assert.equal(await work("p2p.take_load($1, $2, 'stop')", batchId, THREE), "others");
    await work("p2p.leave($1)", THREE);
    assert.equal(await work("count(*) > 0 from p2p.workers"), true);
  } finally {
    await load.commit();
  }
  const { status, error_summary } = await sql.row("select * from p2p.ops_batch_runs");
  assert.deepEqual([status, error_summary], ["partial", "markets deferred: 3 (told to stop)"]);
});

Deno.test("who gives up leaves the batch to others who can go on, and loads if there are none", async (t) => {
  const scene = async (other: Parameters<SqlFixture["beat"]>[0]) => {
    const sql = await SqlFixture.create();
    const batchId = await opened(sql, [BUY, "VES/USDT SELL"]);
    await sql.claim(batchId, { count: 1 });
    await sql.beat({ doing: "stopping" });
    await sql.beat({ worker: TWO, ...other });
    return { sql, batchId };
  };
  const cases = {
    "another fetches": [{}, "others"],
    "another is told to stop as well": [{ doing: "stopping" }, "load"],
    "another is at no batch": [{ doing: "idle" }, "load"],
    "another reads lists of markets": [{ doing: "discovering" }, "load"],
    "to another the exchange is closed too": [{ breaker: "open" }, "load"],
    "another was asked for a long pause": [{ pausedSeconds: 600 }, "load"],
    "another was asked for a short one": [{ pausedSeconds: 60 }, "others"],
    "another tries whether the exchange is back": [{ breaker: "half_open" }, "others"],
    "another pauses for a moment": [{ pausedSeconds: 10 }, "others"],
    "another is to pause for long": [{ pausedSeconds: 1800 }, "load"],
    "another serves other markets": [{ filter: [{ fiat: "EUR", asset: "*" }] }, "load"],
  } as const;
  for (const [name, [other, expected]] of Object.entries(cases)) {
    await t.step(name, async () => {
      const { sql, batchId } = await scene(other);
      await using _ = sql;
      assert.equal(await sql.takeLoad(batchId, WORKER, "the worker was told to stop"), expected);
      const reasons = await sql.values(
        "select distinct reason from p2p.ops_batch_markets where status = 'deferred'",
      );
      assert.deepEqual(reasons, expected === "load" ? ["the worker was told to stop"] : []);
      assert.equal(
        await sql.value("select is_cut_short from p2p.ops_batch_runs"),
        expected === "load",
      );
    });
  }
  await t.step("what others have in hand is theirs to finish", async () => {
    const { sql, batchId } = await scene({});
    await using _ = sql;
    await sql.claim(batchId, { worker: TWO });
    await sql.beat({ worker: TWO, breaker: "open" });
    assert.equal(await sql.takeLoad(batchId, WORKER, "stop"), "others");
  });
  await t.step(
    "who only counts as alive after a restart of the server is not relied on",
    async () => {
      const { sql, batchId } = await scene({});
      await using _ = sql;
      // As after a restart, whenever the server of this test was started.
      await sql.database.runScript(
        "create or replace function p2p.is_alive(p_lease_expires_at timestamptz, p_doing text, " +
          "p_server_started timestamptz default pg_postmaster_start_time()) returns boolean " +
          "language sql stable as $$ select p_doing <> 'gone' $$;" +
          "update p2p.ops_workers set lease_expires_at = clock_timestamp() - interval '1 minute' where worker_id = 'worker-2'",
        10,
      );
      assert.equal(await sql.takeLoad(batchId, WORKER, "the worker was told to stop"), "load");
    },
  );
  await t.step("nothing is left: whoever stays loads", async () => {
    const { sql, batchId } = await scene({});
    await using _ = sql;
    await sql.claim(batchId);
    const batch = await sql.batch(batchId);
    for (const market of [BUY, "VES/USDT SELL"] as const) await batch.page(market, []);
    await sql.beat({ doing: "stopping" });
    assert.equal(await sql.takeLoad(batchId, WORKER, "stop"), "others");
    assert.equal(await sql.takeLoad(batchId, TWO), "load");
  });
  await t.step("nothing is left, and all have given up: one of them loads", async () => {
    const { sql, batchId } = await scene({ breaker: "open", doing: "waiting" });
    await using _ = sql;
    await sql.claim(batchId);
    const batch = await sql.batch(batchId);
    for (const market of [BUY, "VES/USDT SELL"] as const) await batch.page(market, []);
    await sql.beat({ doing: "waiting" });
    assert.equal(await sql.takeLoad(batchId, WORKER, "HTTP 500"), "load");
    assert.equal(await sql.takeLoad(batchId, TWO, "HTTP 500"), "others");
  });
});

Deno.test("who was counted on from the batch before ends the next one, though told to stop as well", async () => {
  await using sql = await SqlFixture.create();
  const before = await opened(sql, [BUY]);
  await sql.claim(before);
  await (await sql.batch(before)).page(BUY, [offer()]);
  await sql.beat({ worker: TWO, doing: "waiting" });
  assert.equal(await sql.takeLoad(before), "load");
  await (await sql.batch(before)).load();
  await sql.beat({ doing: "idle" });
  const { outcome, batch_id } = await sql.join({ deadlineSeconds: 480 });
  assert.equal(outcome, "opened");
  const next = String(batch_id);

  // Both are told to stop while the other still waits for the load that is over.
  await sql.beat({ doing: "stopping" });
  assert.equal(await sql.takeLoad(next, WORKER, "told to stop"), "others");
  await sql.beat({ doing: "gone" });
  await sql.beat({ worker: TWO, doing: "stopping" });
  assert.equal(await sql.takeLoad(before, TWO, "told to stop"), "closed");
  const again = await sql.join({ worker: TWO });
  assert.deepEqual([again["outcome"], again["batch_id"]], ["joined", next]);
  assert.equal(await sql.takeLoad(next, TWO, "told to stop"), "load");
  await (await sql.batch(next, TWO)).load();
  const { outcome: last } = await sql.join({ worker: TWO });
  assert.equal(last, "done", "who stops opens none");
});

Deno.test("after the deadline one loads also where all have given up; who stops leaves it to the others", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, MARKETS, [WORKER, TWO, THREE]);
  await pastDeadline(sql, 1);
  await sql.beat({ doing: "stopping" });
  for (const worker of [TWO, THREE]) {
    await sql.beat({ worker, doing: "waiting", pausedSeconds: 1800 });
  }
  assert.equal(await sql.takeLoad(batchId, WORKER, "told to stop"), "others");
  assert.equal(await sql.takeLoad(batchId, TWO, "HTTP 429"), "load");
  assert.equal(await sql.takeLoad(batchId, THREE, "HTTP 429"), "others");
  assert.equal(await sql.value("select is_cut_short from p2p.ops_batch_runs"), false);
});

Deno.test("the deadline, not the stop after it, cut a batch short; nor does a stop that leaves nothing out", async () => {
  for (const isLate of [true, false]) {
    await using sql = await SqlFixture.create();
    const batchId = await opened(sql, [BUY], [WORKER]);
    await sql.claim(batchId);
    if (isLate) await pastDeadline(sql, 1);
    else await (await sql.batch(batchId)).page(BUY, []);
    await sql.beat({ doing: "stopping" });
    assert.equal(await sql.takeLoad(batchId, WORKER, "told to stop"), "load");
    assert.equal(await sql.value("select is_cut_short from p2p.ops_batch_runs"), false);
  }
});

Deno.test("who gives up one exchange goes on with what there is of another", async () => {
  await using sql = await SqlFixture.create();
  await sql.listMarkets([BUY]);
  await sql.listMarkets(["ARS/USDT SELL"], "bybit");
  await sql.beat({ exchanges: ["binance", "bybit"] });
  await sql.beat({ worker: TWO });
  const { batch_id } = await sql.join({ due: new Date() });
  await sql.claim(batch_id, { worker: TWO });
  const closed = "nothing is sent to bybit: it is down";
  const close = () =>
    sql.rows(
      "update p2p.ops_worker_exchanges set breaker = 'open' where exchange_id = (select exchange_id from p2p.dim_exchanges where code = 'bybit')",
    );
  await close();
  assert.equal(await sql.takeLoad(batch_id, WORKER, closed), "others", "the other fetches");
  await sql.kill(TWO);
  assert.equal(await sql.takeLoad(batch_id, WORKER, closed), "fetch", "what the other had in hand");
  assert.deepEqual(namesOf(await sql.claim(batch_id)), [BUY]);
  await (await sql.batch(batch_id)).page(BUY, []);
  assert.equal(await sql.takeLoad(batch_id, WORKER, closed), "load");
  assert.deepEqual(
    await sql.rows("select status, reason from p2p.ops_batch_markets order by 1"),
    [{ status: "complete", reason: null }, { status: "deferred", reason: closed }],
  );
});

Deno.test("what only a dead worker's filter took in is deferred, and says so", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, [BUY, "ARS/USDT SELL"]);
  await sql.beat({ filter: [{ fiat: "ARS", asset: "*" }] });
  await sql.claim(batchId);
  await (await sql.batch(batchId)).page("ARS/USDT SELL", []);
  assert.equal(await sql.takeLoad(batchId), "wait");
  await sql.kill(TWO);
  assert.equal(await sql.takeLoad(batchId), "load");
  assert.deepEqual(
    await sql.values("select reason from p2p.ops_batch_markets where status = 'deferred'"),
    ["no live worker serves this market"],
  );
});

Deno.test("after the deadline what live workers have in hand is waited for, ten seconds at most", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, [BUY, "VES/USDT SELL", "ARS/BTC BUY"], [WORKER, TWO], 100);
  await sql.claim(batchId, { worker: TWO, count: 1 });
  await (await sql.batch(batchId, TWO)).page(BUY, [offer()], { last: false });
  await pastDeadline(sql, 1);
  assert.equal(await sql.takeLoad(batchId), "wait");
  await pastDeadline(sql, 11);
  await sql.rows("update p2p.ops_batch_runs set batch_start_time = fetch_until - interval '100 s'");
  assert.equal(await sql.takeLoad(batchId), "load");
  assert.deepEqual(
    await sql.rows(
      "select status, reason, count(*)::integer from p2p.ops_batch_markets group by 1, 2 order by 1",
    ),
    [
      { status: "deferred", reason: "the deadline of 100 s came first", count: 2 },
      { status: "incomplete", reason: "the deadline of 100 s came first", count: 1 },
    ],
  );
});

Deno.test("after the deadline a dead worker's markets are not waited for", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, [BUY]);
  await sql.claim(batchId, { worker: TWO });
  await pastDeadline(sql, 1);
  await sql.kill(TWO);
  assert.equal(await sql.takeLoad(batchId), "load");
});

Deno.test("a batch that a former release left under way is loaded with what it has", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, [BUY]);
  await sql.rows("update p2p.ops_batch_runs set fetch_until = null");
  assert.deepEqual(await sql.claim(batchId), []);
  assert.ok(Number((await sql.join({ worker: TWO }))["seconds_left"]) <= 0);
  assert.equal(await sql.takeLoad(batchId, TWO), "load");
  assert.deepEqual(await sql.values("select reason from p2p.ops_batch_markets"), [
    "a former release left it under way",
  ]);
});

Deno.test("each exchange is ended for its own reason; one that nobody serves holds nobody up", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows(
    "insert into p2p.dim_exchanges (exchange_id, code, name) overriding system value values (2, 'bybit', 'Bybit') on conflict do nothing",
  );
  await sql.listMarkets([BUY]);
  await sql.listMarkets(["ARS/USDT SELL", "EUR/USDT SELL"], "bybit");
  await sql.beat();
  await sql.beat({ worker: TWO, exchanges: ["bybit"] });
  const { batch_id } = await sql.join({ due: new Date() });
  assert.deepEqual(await sql.claim(batch_id, { exchange: "bybit" }), []);
  assert.equal((await sql.claim(batch_id, { worker: TWO, exchange: "bybit", count: 1 })).length, 1);
  await sql.claim(batch_id);
  await (await sql.batch(batch_id)).page(BUY, []);
  assert.equal(await sql.takeLoad(batch_id), "wait", "the other serves what is left");
  await sql.beat({
    worker: TWO,
    exchanges: ["bybit"],
    breaker: "open",
    breakerReason: "8 requests failed",
    doing: "idle",
  });
  await sql.rows("select p2p.give_back($1, $2, 'bybit')", String(batch_id), TWO);
  assert.equal(await sql.takeLoad(batch_id), "load");
  assert.deepEqual(
    await sql.values("select distinct reason from p2p.ops_batch_markets where status = 'deferred'"),
    ["8 requests failed"],
  );

  await sql.rows("update p2p.ops_batch_runs set loader_id = null");
  await sql.rows(
    "update p2p.ops_batch_markets set status = 'pending', finished_at = null where status = 'deferred'",
  );
  await sql.kill(TWO);
  assert.equal(await sql.takeLoad(batch_id), "load");
  assert.deepEqual(
    await sql.values("select distinct reason from p2p.ops_batch_markets where status = 'deferred'"),
    ["no live worker serves this exchange"],
  );
});
