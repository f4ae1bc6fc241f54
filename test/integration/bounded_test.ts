// What others hold up is not collected in memory: the worker waits for them.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { startSimulator } from "../../src/simulator/server.ts";
import { valueOf } from "../support/batches.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { eventually, FAST, Program } from "../support/program.ts";
import { pagesStored } from "../support/sessions.ts";
import { expectedOffers, storedOffers } from "../support/truth.ts";

/** Pages that wait for the database, and those that fetchers hold in hand. */
const WAITING_PAGES = 60;
const FETCHERS = 20;

Deno.test("a database that stalls: the exchange is asked for no more than fits in hand, and for no page twice", async () => {
  await using test = await testDatabase();
  const asked = new Map<string, number>();
  // Slow until the database stalls: a good part of the market is still to be asked for then, however slow the machine.
  let latencyMs = 200;
  const simulator = await startSimulator({
    offers: 5000,
    now: () => Date.UTC(2026, 8, 1, 9),
    faultFor: ({ search, body }) => {
      if (search === undefined) return undefined;
      asked.set(body, (asked.get(body) ?? 0) + 1);
      return { kind: "slow", overMs: latencyMs };
    },
  });
  try {
    await using proxy = await HalfOpenProxy.before(test.url);
    await using worker = new Program(["once", "--json"], {
      DATABASE_URL: proxy.through(urlAs("worker", test.url)),
      BINANCE_BASE_URL: simulator.url,
      MARKETS: "*/USDT",
      MAX_WORKERS: String(FETCHERS),
      LOG_LEVEL: "warning",
      ...FAST,
    });
    await pagesStored(test.database, 40);
    proxy.freeze();
    latencyMs = 20;
    let before = 0;
    await eventually("the exchange left alone", async () => {
      before = simulator.stats.requests;
      await new Promise((resolve) => setTimeout(resolve, 500));
      return simulator.stats.requests === before ? true : undefined;
    });
    const stored = Number(await valueOf(test.database, "select count(*) from p2p.stg_responses"));
    const inHand = asked.size - stored;
    ok(inHand > 0 && inHand <= WAITING_PAGES + FETCHERS, `${inHand} pages in hand`);
    ok(asked.size < 260, "a good part of the market was still to be asked for");
    proxy.pass();

    const { code, stdout, stderr } = await worker.ended;
    strictEqual(code, 0, stderr);
    deepStrictEqual([...asked].filter(([, times]) => times > 1), [], "asked for twice");
    deepStrictEqual(
      await storedOffers(test.database, JSON.parse(stdout).batch_id),
      expectedOffers(simulator.market).filter(({ market }) => market.includes("/USDT ")),
    );
  } finally {
    await simulator.close();
  }
});
