// The work queue of a batch: who gets which market, what becomes of the markets of those who die, and who loads.
import assert from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { eventually } from "../support/program.ts";
import { holdStatement } from "../support/sessions.ts";
import { type Claimed, type MarketName, SqlFixture, WORKER } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const MARKETS: readonly MarketName[] = [
  "ARS/BTC BUY",
  "ARS/USDT SELL",
  "VES/USDT BUY",
  "VES/USDT SELL",
];
const BUY = "VES/USDT BUY";
const TWO = "worker-2";
const THREE = "worker-3";

const namesOf = (claimed: readonly Claimed[]): string[] => claimed.map(({ name }) => name);

/** A batch over these markets that workers 1 and 2 are at; nothing is claimed yet. */
async function opened(
  sql: SqlFixture,
  markets = MARKETS,
  workers = [WORKER, TWO],
  deadlineSeconds = 480,
): Promise<string> {
  await sql.listMarkets(markets);
  for (const worker of workers) await sql.beat({ worker });
  const { outcome, batch_id } = await sql.join({ deadlineSeconds });
  assert.equal(outcome, "opened");
  return String(batch_id);
}

/** As if the deadline had come so many seconds ago. */
async function pastDeadline(sql: SqlFixture, seconds: number): Promise<void> {
  await sql.rows(
    "update p2p.ops_batch_runs set fetch_until = clock_timestamp() - make_interval(secs => $1)",
    seconds,
  );
}

Deno.test("claims at once never share a market", async () => {
  await using sql = await SqlFixture.create();
  await using many = new Database(sql.url, { applicationName: "test", connections: 8 });
  const markets = Array.from({ length: 60 }, (_, i): MarketName => `F${i}/USDT BUY`);
  const workers = Array.from({ length: 8 }, (_, i) => `w${i}`);
  const batchId = await opened(sql, markets, [WORKER, ...workers]);
  const claims = await Promise.all(
    Array.from({ length: 24 }, (_, i) =>
      many.run(
        "select market_id from p2p.claim_markets($1, $2, 'binance', 3)",
        [batchId, workers[i % 8] ?? ""],
        20,
      )),
  );
  const claimed = claims.flat().map((row) => row["market_id"]);
  assert.ok(claimed.length > 24);
  assert.equal(new Set(claimed).size, claimed.length);
  // Whoever found a row locked passed it over; asking again gives the rest.
  const rest = await sql.claim(batchId);
  assert.equal(claimed.length + rest.length, markets.length);
  assert.deepEqual(await sql.claim(batchId, { worker: "w3" }), []);
});

Deno.test("claim_markets gives what was asked for, in the order of the plan", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql);
  assert.deepEqual(await sql.claim(batchId, { worker: "nobody" }), []);
  assert.deepEqual(await sql.claim(batchId, { exchange: "another" }), []);
  assert.deepEqual(namesOf(await sql.claim(batchId, { count: 1 })), ["ARS/USDT SELL"]);
  assert.deepEqual(namesOf(await sql.claim(batchId, { count: 2, worker: TWO })), [
    "VES/USDT BUY",
    "VES/USDT SELL",
  ]);
  assert.deepEqual(
    await sql.rows(
      `select status, worker_id, count(*)::integer, count(started_at)::integer as started
       from p2p.ops_batch_markets group by 1, 2 order by 1, 2`,
    ),
    [
      { status: "fetching", worker_id: WORKER, count: 1, started: 1 },
      { status: "fetching", worker_id: TWO, count: 2, started: 2 },
      { status: "pending", worker_id: null, count: 1, started: 0 },
    ],
  );
  await sql.rows("select p2p.load_batch($1)", batchId);
  assert.deepEqual(await sql.claim(batchId), [], "the batch is over");
});

Deno.test("a worker gets only markets that its own filter takes in", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql);
  await sql.beat({
    worker: TWO,
    filter: [{ fiat: "VES", asset: "*" }, { fiat: "*", asset: "BTC" }],
  });
  assert.deepEqual(namesOf(await sql.claim(batchId, { worker: TWO })).sort(), [
    "ARS/BTC BUY",
    "VES/USDT BUY",
    "VES/USDT SELL",
  ]);
  assert.deepEqual(namesOf(await sql.claim(batchId)), ["ARS/USDT SELL"]);
});

Deno.test("nothing is claimed after the deadline, nor while somebody loads", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql);
  await pastDeadline(sql, 1);
  assert.deepEqual(await sql.claim(batchId), []);
  await pastDeadline(sql, -60);
  await sql.rows("update p2p.ops_batch_runs set loader_id = $1", TWO);
  assert.deepEqual(await sql.claim(batchId), []);
  await sql.rows("update p2p.ops_batch_runs set loader_id = null");
  assert.equal((await sql.claim(batchId)).length, 4);
});

Deno.test("markets of a dead worker go on after the last page it stored; nobody's come first", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql);
  const three = await sql.claim(batchId, { worker: TWO, count: 3 });
  const dead = await sql.batch(batchId, TWO);
  await dead.page(BUY, [offer({ id: "1" })], { last: false, total: 55 });
  await dead.page(BUY, [offer({ id: "2" })], { page: 2, last: false, total: 57 });
  await dead.lose(BUY, { page: 3, last: false });
  await dead.page("ARS/USDT SELL", []);
  assert.deepEqual(namesOf(await sql.claim(batchId, { count: 1 })), ["ARS/BTC BUY"]);
  assert.deepEqual(await sql.claim(batchId), [], "its worker lives");

  await sql.kill(TWO);
  const taken = await sql.claim(batchId);
  assert.deepEqual(
    taken.map(({ name, nextPage, offersReported }) => [name, nextPage, offersReported]),
    [
      [BUY, 4, 57],
      ["VES/USDT SELL", 1, null],
    ],
    "what it had finished is not fetched again",
  );
  assert.equal(three.length, 3);

  // It was only slow: its page costs it the market, not the batch.
  assert.equal(await dead.page(BUY, [offer({ id: "4" })], { page: 4 }), "not_ours");
  assert.equal(await dead.page(BUY, [offer({ id: "1" })], { page: 1 }), "not_ours");
  await dead.lose(BUY, { page: 4 });
  const heir = await sql.batch(batchId);
  assert.equal(await heir.page(BUY, [offer({ id: "4" })], { page: 4 }), "stored");
  const { status, pages_stored, lost_pages } = await heir.ledger(BUY);
  assert.deepEqual([status, pages_stored, lost_pages], ["incomplete", 3, [3]]);
});

Deno.test("a page that is missing between stored ones is fetched by the heir", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, [BUY]);
  await sql.claim(batchId, { worker: TWO });
  const dead = await sql.batch(batchId, TWO);
  await dead.page(BUY, [offer({ id: "1" })], { last: false });
  await dead.page(BUY, [offer({ id: "3" })], { page: 3, last: false });
  await sql.kill(TWO);
  assert.deepEqual((await sql.claim(batchId)).map(({ nextPage }) => nextPage), [2]);
});

Deno.test("whether a worker lives: its lease, unless it has left or the server was down", async (t) => {
  await using sql = await SqlFixture.create();
  for (
    const [what, lease, doing, started, lives] of [
      ["its lease holds", "1 second", "fetching", "-1 day", true],
      ["its lease has run out", "-1 second", "fetching", "-1 day", false],
      ["its lease is of a clock that was ahead", "90 seconds", "fetching", "-1 day", false],
      ["it has left", "1 second", "gone", "-1 day", false],
      ["the server has just started", "-5 minutes", "fetching", "-1 second", true],
      ["it had left before the server started", "-5 minutes", "gone", "-1 second", false],
      [
        "the server started, and it did not come back",
        "-5 minutes",
        "fetching",
        "-11 seconds",
        false,
      ],
      ["it was dead long before the server started", "-2 hours", "fetching", "-1 second", false],
    ] as const
  ) {
    await t.step(what, async () => {
      assert.equal(
        await sql.value(
          "select p2p.is_alive(clock_timestamp() + $1::interval, $2, clock_timestamp() + $3::interval)",
          lease,
          doing,
          started,
        ),
        lives,
      );
    });
  }
});

Deno.test("give_back: the markets of one exchange, or all, are anybody's, with their pages", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql);
  await sql.claim(batchId);
  const batch = await sql.batch(batchId);
  await batch.page(BUY, [offer()], { last: false });
  await batch.page("ARS/USDT SELL", []);
  const giveBack = async (exchange: string | null) =>
    (await sql.work("select p2p.give_back($1, $2, $3) as markets", batchId, WORKER, exchange))[
      "markets"
    ];
  assert.equal(await giveBack("another"), 0);
  assert.equal(await giveBack("binance"), 3);
  const before = await sql.dump();
  assert.equal(await giveBack(null), 0);
  assert.deepEqual(await sql.dump(), before);
  assert.equal(await batch.page(BUY, [offer()], { page: 2 }), "not_ours");
  const claimed = await sql.claim(batchId, { worker: TWO });
  assert.deepEqual(claimed.map(({ name, nextPage }) => [name, nextPage]), [
    [BUY, 2],
    ["VES/USDT SELL", 1],
    ["ARS/BTC BUY", 1],
  ]);
});

Deno.test("who leaves gives its markets back, and is no longer waited for", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql);
  await sql.claim(batchId, { worker: TWO, count: 2 });
  await sql.work("select p2p.leave($1)", TWO);
  await sql.work("select p2p.leave($1)", TWO);
  assert.equal((await sql.claim(batchId)).length, 4);
  assert.deepEqual(
    await sql.row(
      "select doing, p2p.is_alive(lease_expires_at, doing) as alive from p2p.ops_workers where worker_id = $1",
      TWO,
    ),
    { doing: "gone", alive: false },
  );
});

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

Deno.test("a claim whose answer was lost goes back into the queue", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, [BUY]);
  await sql.claim(batchId);
  assert.deepEqual(await sql.claim(batchId), []);
  assert.equal(await sql.takeLoad(batchId), "fetch", "it has nothing in hand, or it would not ask");
  assert.equal((await sql.claim(batchId)).length, 1);
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

Deno.test("what a worker could not give back that is at no batch any more is claimed by others", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, [BUY]);
  await sql.claim(batchId, { worker: TWO });
  await sql.beat({ worker: TWO, doing: "idle" });
  assert.equal(await sql.takeLoad(batchId), "fetch");
  assert.deepEqual(namesOf(await sql.claim(batchId)), [BUY]);
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

Deno.test("many workers that claim, store, give back, die and ask at once: every page once, one load, no deadlock", async () => {
  await using sql = await SqlFixture.create();
  const PAGES = 3;
  const markets = Array.from({ length: 80 }, (_, i): MarketName => `F${i}/USDT BUY`);
  const batchId = await opened(sql, markets, [WORKER]);
  await using many = new Database(sql.url, { applicationName: "test", connections: 8 });
  const call = async (
    statement: string,
    ...parameters: (string | number)[]
  ) => [...await many.run(statement, parameters, 30)];
  let stored = 0;
  let loads = 0;
  let random = 7;
  const chance = (share: number) => {
    random = (random * 16807) % 2147483647;
    return random / 2147483647 < share;
  };

  const storePages = async (worker: string, pages: readonly (readonly [number, number])[]) => {
    const calls = pages.map(([market, page], i) =>
      `p2p.store_page('${batchId}', '${worker}', ${market}, ${page}, ${
        page === PAGES
      }, 60, 'binance_search_v1', now(), 1, 200, 250, 2, '', null, null, '{"data": []}') as r${i}`
    );
    const [row = {}] = await call(`select ${calls.join(", ")}`);
    stored += Object.values(row).filter((outcome) => outcome === "stored").length;
  };

  const life = async (name: string): Promise<void> => {
    for (let number = 0;; number++) {
      const worker = `${name}.${number}`;
      await sql.beat({ worker });
      for (let isAlive = true; isAlive;) {
        const claimed = await call(
          "select market_id, next_page from p2p.claim_markets($1, $2, 'binance', 5)",
          batchId,
          worker,
        );
        const pages = claimed.map((row) =>
          [Number(row["market_id"]), Number(row["next_page"])] as const
        );
        // Each statement twice at once, as a call that is repeated while the first still runs.
        for (let step = 0; step < PAGES && isAlive; step++) {
          const now = pages.map(([market, page]) => [market, page + step] as const)
            .filter(([, page]) => page <= PAGES);
          if (now.length === 0) break;
          await Promise.all([
            storePages(worker, now),
            storePages(worker, now),
            chance(0.1) ? call("select p2p.give_back($1, $2, null)", batchId, worker) : undefined,
          ]);
          if (chance(0.05)) {
            await sql.kill(worker);
            isAlive = false;
          }
        }
        if (!isAlive || claimed.length > 0) continue;
        const [row] = await call("select p2p.take_load($1, $2, null) as told", batchId, worker);
        if (row?.["told"] === "load") {
          loads++;
          await call("select p2p.load_batch($1)", batchId);
        }
        if (row?.["told"] === "closed") return;
      }
    }
  };
  await Promise.all(["a", "b", "c", "d", "e", "f"].map(life));
  assert.deepEqual([loads, stored], [1, markets.length * PAGES]);
  assert.deepEqual(
    await sql.rows("select status, markets_completed from p2p.ops_batch_runs"),
    [{ status: "completed", markets_completed: markets.length }],
  );
});

Deno.test("fetching is ended while pages of many markets are being stored, in whatever order", async () => {
  await using sql = await SqlFixture.create();
  await using many = new Database(sql.url, { applicationName: "test", connections: 3 });
  const markets = Array.from({ length: 40 }, (_, i): MarketName => `F${i}/USDT BUY`);
  const batchId = await opened(sql, markets, [WORKER]);
  const claimed = await sql.claim(batchId);
  // The first statement holds its first market until the other waits for something.
  await sql.holdFirst("insert", "stg_responses");
  const calls = claimed.toReversed().map(({ id }, i) =>
    `p2p.store_page('${batchId}', '${WORKER}', ${id}, 1, true, 0, 'binance_search_v1', now(), 1, 200, 250, 2, '', null, null, '{}') as r${i}`
  );
  const storing = many.run(`select ${calls.join(", ")}`, [], 30);
  await eventually(
    "the first page",
    async () => await sql.value("select is_called from public.holders") === true || undefined,
  );
  const [, ended] = await Promise.all([
    storing,
    many.run("select p2p.end_fetching($1, 'stop')", [batchId], 30),
  ]);
  assert.deepEqual(ended.map((row) => Object.values(row)), [[0]], "all were stored first");
});
