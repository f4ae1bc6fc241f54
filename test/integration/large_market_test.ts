// A market of many pages at a low rate: it gets as much of the rate as it can use, not a twentieth.
import { ok, strictEqual } from "node:assert/strict";
import { startSimulator } from "../../src/simulator/server.ts";
import { rowsOf } from "../support/batches.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { runProgram } from "../support/program.ts";

Deno.test("the largest market is read whole before the deadline, though there is time for a part of all only", async () => {
  await using test = await testDatabase();
  const simulator = await startSimulator({
    offers: 12_000,
    latencyMs: 30,
    now: () => Date.UTC(2026, 8, 1, 9),
  });
  const environment = {
    DATABASE_URL: urlAs("worker", test.url),
    BINANCE_BASE_URL: simulator.url,
    MARKETS: "CNY/*,UAH/*,VES/*",
    LOG_LEVEL: "warning",
    RATE_LIMIT_BURST: "20",
  };
  const at = (rate: string) => ({
    MIN_RATE_LIMIT: rate,
    INITIAL_RATE_LIMIT: rate,
    MAX_RATE_LIMIT: rate,
  });
  try {
    // The first batch learns how large the markets are.
    const first = await runProgram(["once", "--json"], { ...environment, ...at("1000000") });
    strictEqual(first.code, 0, first.stderr);
    const second = await runProgram(["once", "--json"], {
      ...environment,
      ...at("600"),
      WORKER_NAME: "slow",
      BATCH_DEADLINE_SECONDS: "8",
    });
    const { batch_id, status } = JSON.parse(second.stdout);
    strictEqual(status, "partial", "about 100 of more than 130 pages fit");
    const largest = await rowsOf(
      test.database,
      `select bm.status, bm.pages_stored::integer as pages
       from p2p.ops_batch_markets bm
       where bm.batch_id = $1
       order by bm.estimated_requests desc
       limit 2`,
      batch_id,
    );
    for (const { status, pages } of largest) {
      strictEqual(status, "complete", `${pages} pages`);
      ok(Number(pages) > 15, `${pages} pages`);
    }
  } finally {
    await simulator.close();
  }
});
