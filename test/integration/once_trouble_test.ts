// Workers that are killed, stopped, or meet each other: nothing is lost, nothing is half visible.
import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { Database } from "../../src/database/connection.ts";
import { startSimulator } from "../../src/simulator/server.ts";
import { rowsOf, valueOf } from "../support/batches.ts";
import { type TestDatabase, testDatabase, urlAs } from "../support/database.ts";
import {
  eventually,
  FAST,
  MOST_STOPPING_MS,
  Program,
  runProgram,
  type Variables,
} from "../support/program.ts";
import { endLeases, endWindow, holdTable, pagesStored, someoneWaits } from "../support/sessions.ts";
import { expectedOffers, type KnownOffer, storedOffers } from "../support/truth.ts";

type Truth = (wasServed?: Parameters<typeof expectedOffers>[1]) => KnownOffer[];

interface SlowExchange {
  /** Pages as they were asked for, e.g. `VES/USDT BUY 1`. */
  readonly asked: readonly string[];
  /** Of each answer. */
  latencyMs: number;
}

/** A slow exchange, so that there is a middle. */
async function withSlowExchange(
  latencyMs: number,
  work: (
    test: TestDatabase,
    environment: Variables,
    truth: Truth,
    exchange: SlowExchange,
  ) => Promise<void>,
  offers = 1500,
): Promise<void> {
  await using test = await testDatabase();
  const asked: string[] = [];
  const simulator = await startSimulator({
    offers,
    now: () => Date.UTC(2026, 8, 1, 9),
    faultFor: ({ search }) => {
      if (search === undefined) return undefined;
      asked.push(`${search.fiat}/${search.asset} ${search.side} ${search.page}`);
      return { kind: "slow", overMs: exchange.latencyMs };
    },
  });
  const exchange: SlowExchange = { asked, latencyMs };
  const environment = {
    DATABASE_URL: urlAs("worker", test.url),
    BINANCE_BASE_URL: simulator.url,
    MARKETS: "*/USDT",
    MAX_WORKERS: "5",
    LOG_FORMAT: "text",
    ...FAST,
  };
  const truth: Truth = (wasServed) => expectedOffers(simulator.market, wasServed);
  try {
    await work(test, environment, truth, exchange);
  } finally {
    await simulator.close();
  }
}

function usdtOf(offers: readonly KnownOffer[]): KnownOffer[] {
  return offers.filter((offer) => offer.market.includes("/USDT "));
}

async function pagesOf(database: Database, batchId: string): Promise<Set<string>> {
  const rows = await rowsOf(
    database,
    `select f.currency_code || '/' || c.symbol || ' ' || m.trade_type || ' ' || s.page_number as page
     from p2p.stg_responses s join p2p.dim_markets m using (market_id)
     join p2p.dim_fiat_currencies f using (fiat_id) join p2p.dim_cryptocurrencies c using (crypto_id)
     where s.batch_id = $1`,
    batchId,
  );
  return new Set(rows.map((row) => String(row["page"])));
}

const offersOf = (database: Database, batchId: string) =>
  valueOf(database, "select count(*) from p2p.fact_offers where batch_id = $1", batchId);

Deno.test("kill -9 while it fetches: within the window the next worker goes on, and asks for no stored page again", async () => {
  await withSlowExchange(50, async ({ database }, usual, truth, simulator) => {
    const environment = { ...usual, MARKETS: "CNY/USDT,VES/USDT,UAH/USDT" }; // large ones
    await using victim = new Program(["once"], environment);
    const batchId = await pagesStored(database, 20);
    victim.kill("SIGKILL");
    await victim.ended;
    strictEqual(
      await valueOf(
        database,
        "select count(*) > 0 from p2p.ops_batch_markets where status = 'fetching' and pages_stored > 1",
      ),
      "true",
      "it was in the middle of a market",
    );
    strictEqual(await offersOf(database, batchId), "0", "nothing of an open batch is visible");
    strictEqual(
      await valueOf(database, "select count(*) from p2p.mv_latest_market_state"),
      "0",
    );
    const stored = await pagesOf(database, batchId);
    await endLeases(database);
    const asked = simulator.asked.length;
    const { code, stdout, stderr } = await runProgram(["once", "--json"], environment);
    strictEqual(code, 0, stderr);
    strictEqual(JSON.parse(stdout).batch_id, batchId);
    deepStrictEqual(
      await storedOffers(database, batchId),
      truth().filter(({ market }) => /^(CNY|VES|UAH)\/USDT /.test(market)),
    );
    deepStrictEqual(simulator.asked.slice(asked).filter((page) => stored.has(page)), []);
  }, 6000);
});

Deno.test("kill -9 while it fetches: after the window what was stored is loaded, and a new batch begun", async () => {
  await withSlowExchange(50, async ({ database }, environment, truth) => {
    await using victim = new Program(["once"], environment);
    const batchId = await pagesStored(database, 40);
    victim.kill("SIGKILL");
    await victim.ended;
    const stored = await pagesOf(database, batchId);
    await endLeases(database);
    await endWindow(database);
    const { code, stdout, stderr } = await runProgram(["once", "--json"], environment);
    strictEqual(code, 0, stderr);
    match(stderr, /loaded what a worker that died had stored/);
    notStrictEqual(JSON.parse(stdout).batch_id, batchId);
    deepStrictEqual(await pagesOf(database, batchId), stored, "its pages are all there");
    const [row] = await rowsOf(
      database,
      "select status, error_summary from p2p.ops_batch_runs where batch_id = $1",
      batchId,
    );
    strictEqual(row?.["status"], "partial");
    match(String(row?.["error_summary"]), /markets deferred: \d+/);
    deepStrictEqual(
      await storedOffers(database, batchId),
      usdtOf(truth(({ market, page }) => stored.has(`${market} ${page}`))),
    );
  });
});

Deno.test("kill -9 while it asks for the markets: the next worker asks for them, and has its batch", async () => {
  await using test = await testDatabase();
  const simulator = await startSimulator({ offers: 200, latencyMs: 20 });
  const variables = {
    DATABASE_URL: urlAs("worker", test.url),
    BINANCE_BASE_URL: simulator.url,
    MARKETS: "*/USDT",
    ...FAST,
  };
  try {
    await using victim = new Program(["once"], variables);
    await eventually("a request", () => simulator.stats.requests > 10 ? true : undefined);
    victim.kill("SIGKILL");
    await victim.ended;
    await endLeases(test.database);
    const { code, stderr } = await runProgram(["once"], variables);
    strictEqual(code, 0, stderr);
  } finally {
    await simulator.close();
  }
});

Deno.test("kill -9 while it loads: the batch becomes visible whole, and the next worker works", async () => {
  await withSlowExchange(500, async ({ url, database }, environment, truth, exchange) => {
    const usdt = usdtOf(truth());
    await using victim = new Program(["once"], environment);
    await pagesStored(database, 1);
    const lock = await holdTable(url, "p2p.fact_market_depth");
    exchange.latencyMs = 0; // the load comes only now
    await someoneWaits(database);
    victim.kill("SIGKILL");
    await victim.ended;
    const batchId = await valueOf(
      database,
      "select batch_id from p2p.ops_batch_runs where status = 'running'",
    );
    strictEqual(await offersOf(database, batchId), "0", "half of it is written, none is visible");
    await lock[Symbol.asyncDispose]();
    await endLeases(database);

    const { code, stderr } = await runProgram(["once", "--json"], environment);
    strictEqual(code, 0, stderr);
    deepStrictEqual(await storedOffers(database, batchId), usdt);
    deepStrictEqual(
      (await rowsOf(database, "select distinct status from p2p.ops_batch_runs")).map((row) => ({
        ...row,
      })),
      [{ status: "completed" }],
      "all pages had come",
    );
  });
});

/** A Ctrl-C reaches the program from the terminal, and again from `deno task` and npx, which pass it on. */
const STOPS: readonly (readonly Deno.Signal[])[] = [["SIGTERM"], ["SIGINT", "SIGINT", "SIGTERM"]];
for (const signals of STOPS) {
  Deno.test(`${signals.join(", ")}: what came is loaded, the rest deferred, and it ends with 75 within seconds`, async () => {
    await withSlowExchange(50, async ({ database }, environment) => {
      await using worker = new Program(["once", "--json"], environment);
      const batchId = await pagesStored(database, 40);
      const told = performance.now();
      for (const [index, signal] of signals.entries()) {
        worker.kill(signal);
        if (index === 0) {
          await eventually("word of it", () => /stopping/.exec(worker.stderr) ?? undefined);
        }
      }
      const { code, stdout } = await worker.ended;
      ok(performance.now() - told < MOST_STOPPING_MS);
      strictEqual(code, 75);
      const summary = JSON.parse(stdout);
      strictEqual(summary.batch_id, batchId);
      strictEqual(summary.status, "partial");
      match(summary.error_summary, /markets deferred: \d+/);
      strictEqual(await offersOf(database, batchId), String(summary.offers_inserted));
      ok(summary.offers_inserted > 0);
    });
  });
}

Deno.test("SIGTERM while it asks for the markets: it stops, and blames nobody", async () => {
  await using test = await testDatabase();
  const simulator = await startSimulator({ offers: 200, latencyMs: 200 });
  try {
    await using worker = new Program(["once", "--json"], {
      DATABASE_URL: urlAs("worker", test.url),
      BINANCE_BASE_URL: simulator.url,
      LOG_LEVEL: "warning",
      ...FAST,
    });
    await eventually("a request", () => simulator.stats.requests > 10 ? true : undefined);
    worker.kill("SIGTERM");
    const { code, stdout, stderr } = await worker.ended;
    deepStrictEqual({ code, stdout, stderr }, { code: 75, stdout: "", stderr: "stopped\n" });
    strictEqual(
      await valueOf(test.database, "select count(*) from p2p.ops_extraction_errors"),
      "0",
    );
    strictEqual(await valueOf(test.database, "select count(*) from p2p.ops_batch_runs"), "0");
  } finally {
    await simulator.close();
  }
});

Deno.test("two at once: the second waits, tells so, and runs when the first has ended", async () => {
  await withSlowExchange(500, async ({ database }, environment, _truth, exchange) => {
    await using first = new Program(["once", "--json"], environment);
    await pagesStored(database, 5);
    await using second = new Program(["once", "--json"], environment);
    const told = new RegExp(`other workers are at a batch; waiting a moment .*:${first.pid}:`);
    await eventually("word of it", () => told.exec(second.stderr) ?? undefined);
    exchange.latencyMs = 0; // the first ends only now
    const { code, stdout } = await first.ended;
    strictEqual(code, 0);
    const ended = await second.ended;
    strictEqual(ended.code, 0, ended.stderr);
    notStrictEqual(JSON.parse(stdout).batch_id, JSON.parse(ended.stdout).batch_id);
  });
});

Deno.test("a first that does not end: the second says who is at it, and ends with 75", async () => {
  await withSlowExchange(2000, async ({ database }, environment) => {
    await using first = new Program(["once"], { ...environment, MAX_WORKERS: "1" });
    await pagesStored(database, 1);
    await using second = new Program(["once"], {
      ...environment,
      LOG_LEVEL: "info",
      LOG_FORMAT: "text",
    });
    const { code, stdout, stderr } = await second.ended;
    strictEqual(code, 75);
    strictEqual(stdout, "");
    match(
      stderr,
      new RegExp(
        `^error: other workers are at a batch: \\S+:${first.pid}:\\w+ \\(fetching\\)\nhint: .*\n$`,
        "m",
      ),
    );
    match(stderr, / waiting …$/m, "a line now and then for whoever looks on");
    // deno-lint-ignore no-control-regex
    ok(!/[\r\x1b]/.test(stderr), "no terminal controls in a file");
  });
});
