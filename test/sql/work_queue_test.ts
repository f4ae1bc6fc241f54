// The work queue of a batch: who gets which market, and what becomes of the markets of those who die or leave.
import assert from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { eventually } from "../support/program.ts";
import { type MarketName, SqlFixture, WORKER } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";
import { BUY, namesOf, opened, pastDeadline, TWO } from "../support/work_queue.ts";

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

Deno.test("a claim whose answer was lost goes back into the queue", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, [BUY]);
  await sql.claim(batchId);
  assert.deepEqual(await sql.claim(batchId), []);
  assert.equal(await sql.takeLoad(batchId), "fetch", "it has nothing in hand, or it would not ask");
  assert.equal((await sql.claim(batchId)).length, 1);
});

Deno.test("what a worker could not give back that is at no batch any more is claimed by others", async () => {
  await using sql = await SqlFixture.create();
  const batchId = await opened(sql, [BUY]);
  await sql.claim(batchId, { worker: TWO });
  await sql.beat({ worker: TWO, doing: "idle" });
  assert.equal(await sql.takeLoad(batchId), "fetch");
  assert.deepEqual(namesOf(await sql.claim(batchId)), [BUY]);
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
