// `once` as a script sees it: what it prints, how it ends, what the deadline leaves for the next batch.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { SimulatedRequest, Simulator } from "../../src/simulator/server.ts";
import { startSimulator } from "../../src/simulator/server.ts";
import { batchOf, rowsOf, valueOf } from "../support/batches.ts";
import { Database } from "../../src/database/connection.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { FAST, Program, runProgram, type Variables } from "../support/program.ts";
import { killSessions, pagesStored } from "../support/sessions.ts";
import { expectedOffers, storedOffers } from "../support/truth.ts";

const MORNING = Date.UTC(2026, 8, 1, 9);

async function withSimulator(
  options: Parameters<typeof startSimulator>[0],
  work: (simulator: Simulator) => Promise<void>,
): Promise<void> {
  const simulator = await startSimulator({ now: () => MORNING, ...options });
  try {
    await work(simulator);
  } finally {
    await simulator.close();
  }
}

const environment = (url: string, simulator: Simulator, more: Variables = {}): Variables => ({
  DATABASE_URL: url,
  BINANCE_BASE_URL: simulator.url,
  LOG_LEVEL: "warning",
  ...FAST,
  ...more,
});

Deno.test("once --json prints the contract's summary and nothing else, and ends with 0", async () => {
  await using test = await testDatabase();
  await withSimulator({ offers: 1500 }, async (simulator) => {
    const { code, stdout, stderr } = await runProgram(
      ["once", "--json"],
      environment(urlAs("worker", test.url), simulator),
    );
    strictEqual(code, 0, stderr);
    strictEqual(stdout.trim().split("\n").length, 1);
    const summary = JSON.parse(stdout);
    for (
      const name of [
        "batch_id",
        "status",
        "markets_expected",
        "markets_completed",
        "offers_extracted",
        "offers_inserted",
        "offers_rejected",
        "errors",
        "completeness",
        "duration_seconds",
      ]
    ) ok(name in summary, name);
    strictEqual(summary.status, "completed");
    strictEqual(summary.completeness, 1);
    ok(summary.duration_seconds > 0);
    deepStrictEqual(
      await storedOffers(test.database, summary.batch_id),
      expectedOffers(simulator.market),
    );
    strictEqual(stderr, "", "nothing to tell");
  });
});

Deno.test("once without --json says it in a line; MARKETS picks", async () => {
  await using test = await testDatabase();
  await withSimulator({ offers: 1500 }, async (simulator) => {
    const { code, stdout } = await runProgram(
      ["once"],
      environment(urlAs("worker", test.url), simulator, { MARKETS: "VES/USDT,ars/*" }),
    );
    strictEqual(code, 0);
    match(
      stdout,
      /^batch [0-9a-f-]{36} completed · \d+ of \d+ markets · \d+ offers · \d+\.\d s\n$/,
    );
    const asked = await rowsOf(
      test.database,
      `select distinct f.currency_code || '/' || c.symbol as pair from p2p.ops_batch_markets
       join p2p.dim_markets using (market_id) join p2p.dim_fiat_currencies f using (fiat_id)
       join p2p.dim_cryptocurrencies c using (crypto_id) order by 1`,
    );
    const pairs = asked.map((row) => String(row["pair"]));
    strictEqual(pairs.filter((pair) => pair.startsWith("VES")).join(), "VES/USDT");
    ok(pairs.filter((pair) => pair.startsWith("ARS/")).length >= 5);
    ok(pairs.every((pair) => /^(ARS|VES)\//.test(pair)));
  });
});

Deno.test("a market that nobody lists ends with 75 and says why", async () => {
  await using test = await testDatabase();
  await withSimulator({ offers: 200 }, async (simulator) => {
    const { code, stdout } = await runProgram(
      ["once"],
      environment(urlAs("worker", test.url), simulator, { MARKETS: "VES/NOSUCH" }),
    );
    strictEqual(code, 75);
    match(stdout, /failed · 0 of 0 markets[^]*no market was planned/);
  });
});

Deno.test("the deadline defers markets, and the next batch begins with them", async () => {
  await using test = await testDatabase();
  const faultFor = ({ search }: SimulatedRequest) =>
    search === undefined ? undefined : { kind: "slow", overMs: 60 } as const;
  await withSimulator({ offers: 1500, faultFor }, async (simulator) => {
    const slow = environment(urlAs("worker", test.url), simulator, {
      MARKETS: "*/USDT",
      MAX_WORKERS: "1",
      BATCH_DEADLINE_SECONDS: "2.5",
    });
    const first = await runProgram(["once", "--json"], slow);
    strictEqual(first.code, 75, first.stderr);
    const summary = JSON.parse(first.stdout);
    strictEqual(summary.status, "partial");
    match(summary.error_summary, /markets deferred: \d+/);
    const ledger = await rowsOf(
      test.database,
      "select market_id, status, reason from p2p.ops_batch_markets where batch_id = $1",
      summary.batch_id,
    );
    const deferred = ledger.filter((row) => row["status"] === "deferred");
    ok(deferred.length > 50 && deferred.length < ledger.length);
    strictEqual(summary.markets_expected, ledger.length);
    ok(deferred.every((row) => /^the deadline of \d s came first$/.test(String(row["reason"]))));

    await runProgram(["once"], slow);
    const next = await rowsOf(
      test.database,
      `select market_id from p2p.ops_batch_markets bm join p2p.ops_batch_runs r using (batch_id)
       where r.batch_id <> $1 order by plan_position limit ${deferred.length}`,
      summary.batch_id,
    );
    const ids = (rows: typeof next) => rows.map((row) => Number(row["market_id"])).sort();
    deepStrictEqual(ids(next), ids(deferred));
  });
});

Deno.test("an exchange that dies in the middle ends the batch early; the rest is deferred", async () => {
  await using test = await testDatabase();
  let answers = 0;
  const faultFor = ({ search }: SimulatedRequest) =>
    search !== undefined && ++answers > 100 ? { kind: "reset" } as const : undefined;
  await withSimulator({ offers: 1500, faultFor }, async (simulator) => {
    const batch = await batchOf(test.database, simulator.url, { markets: "*/USDT" });
    strictEqual(batch.status, "partial");
    ok(batch.offersInserted > 0);
    ok(answers < 300, `${answers} requests`);
    match(
      await valueOf(
        test.database,
        "select string_agg(distinct reason, ' ') from p2p.ops_batch_markets where status = 'deferred'",
      ),
      /^nothing is sent to binance: /,
    );
  });
});

Deno.test("an exchange that is not there at all: 69 at the first start, a failed batch later", async () => {
  await using test = await testDatabase();
  await withSimulator({ offers: 200 }, async (simulator) => {
    const here = environment(urlAs("worker", test.url), simulator, {
      MARKETS: "VES/*",
      MAX_RETRIES: "0",
    });
    const gone = { ...here, BINANCE_BASE_URL: "http://127.0.0.1:1" };
    const first = await runProgram(["once", "--json"], { ...gone, LOG_LEVEL: "error" });
    strictEqual(first.code, 69);
    strictEqual(first.stdout, "");
    match(
      first.stderr,
      /^error: binance gives no list of markets, and none is known from before: [^\n]*\nhint: [^\n]*\n$/,
    );
    strictEqual((await runProgram(["once"], here)).code, 0);
    const later = await runProgram(["once", "--json"], { ...gone, BATCH_DEADLINE_SECONDS: "2" });
    strictEqual(later.code, 69, "nothing was heard");
    strictEqual(JSON.parse(later.stdout).status, "failed");
  });
});

Deno.test("sessions that are killed while it fetches cost nothing but time", async () => {
  await using test = await testDatabase();
  await withSimulator({ offers: 1500, latencyMs: 20 }, async (simulator) => {
    await using worker = new Program(
      ["once", "--json"],
      environment(urlAs("worker", test.url), simulator, { MARKETS: "*/USDT" }),
    );
    await using same = new Database(urlAs("worker", test.url), { applicationName: "test" }); // whose sessions it may end
    let killed = 0;
    for (const pages of [20, 60, 100]) {
      await pagesStored(test.database, pages);
      killed += await killSessions(same);
    }
    const { code, stdout, stderr } = await worker.ended;
    ok(killed >= 3, `${killed} sessions`);
    strictEqual(code, 0, stderr);
    const usdt = expectedOffers(simulator.market).filter((offer) =>
      offer.market.includes("/USDT ")
    );
    deepStrictEqual(await storedOffers(test.database, JSON.parse(stdout).batch_id), usdt);
    match(stderr, /lost the database, trying again/);
  });
});
