// Where the markets come from when parts of the discovery fail.
import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { PATH } from "../../src/simulator/answers.ts";
import type { Fault } from "../../src/simulator/fault.ts";
import { type SimulatedRequest, startSimulator } from "../../src/simulator/server.ts";
import { bybit } from "../../src/exchange/bybit.ts";
import { batchOf, exchangeAt, extractionOf, rowsOf, valueOf } from "../support/batches.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { FAST, runProgram } from "../support/program.ts";
import { answer, offer, pageOf, startStrangeExchange } from "../support/strange_exchange.ts";
import { expectedOffers, storedOffers } from "../support/truth.ts";

const MORNING = Date.UTC(2026, 8, 1, 9);
const DOWN: Fault = { kind: "serverError" };

async function fiatsOf(database: Database, batchId: string): Promise<string[]> {
  const rows = await rowsOf(
    database,
    `select distinct f.currency_code as code from p2p.ops_batch_markets
     join p2p.dim_markets using (market_id) join p2p.dim_fiat_currencies f using (fiat_id)
     where batch_id = $1 order by 1`,
    batchId,
  );
  return rows.map((row) => String(row["code"]));
}

/** As if a day had gone by. */
async function ageDiscovery(database: Database): Promise<void> {
  await rowsOf(
    database,
    "update p2p.ops_discoveries set discovered_at = discovered_at - interval '2 days'",
  );
  await rowsOf(
    database,
    "update p2p.dim_markets set last_listed_at = last_listed_at - interval '2 days'",
  );
}

Deno.test("a discovery that fails in parts keeps what was known", async (t) => {
  await using test = await testDatabase();
  const { database } = test;
  let faultFor: (request: SimulatedRequest) => Fault | undefined = () => undefined;
  const simulator = await startSimulator({
    offers: 300,
    now: () => MORNING,
    faultFor: (request) => faultFor(request),
  });
  const truth = expectedOffers(simulator.market);
  const everyFiat = [...new Set(simulator.market.markets.map((m) => m.fiat.code))].sort();
  try {
    await t.step("NGN and GHS are found though the list leaves them out", async () => {
      const batch = await batchOf(database, simulator.url);
      const fiats = await fiatsOf(database, batch.batchId);
      ok(fiats.includes("NGN") && fiats.includes("GHS"));
      deepStrictEqual(fiats, everyFiat);
    });

    await t.step("a list of today is not asked for again", async () => {
      const before = simulator.stats.byPath[PATH.fiats];
      await batchOf(database, simulator.url);
      strictEqual(simulator.stats.byPath[PATH.fiats], before);
    });

    await t.step("without the list, the fiats known from before are asked", async () => {
      await ageDiscovery(database);
      faultFor = ({ path }) => path === PATH.fiats ? DOWN : undefined;
      const asked = simulator.stats.byPath[PATH.config] ?? 0;
      const batch = await batchOf(database, simulator.url);
      strictEqual((simulator.stats.byPath[PATH.config] ?? 0) - asked, everyFiat.length);
      strictEqual(batch.status, "completed");
      deepStrictEqual(await storedOffers(database, batch.batchId), truth);
    });

    await t.step("fiats whose configuration fails keep their markets", async () => {
      await ageDiscovery(database);
      faultFor = ({ path, body }) =>
        path === PATH.config && /VES|ARS/.test(body) ? DOWN : undefined;
      const batch = await batchOf(database, simulator.url);
      strictEqual(batch.status, "completed");
      deepStrictEqual(await storedOffers(database, batch.batchId), truth);
      deepStrictEqual(
        (await rowsOf(
          database,
          `select fiat_code, error_type from p2p.ops_extraction_errors
           where batch_id is null and fiat_code is not null order by 1`,
        )).map((row) => Object.values(row)),
        [["ARS", "server_error"], ["VES", "server_error"]],
      );
    });

    await t.step("payment methods that fail cost nothing but their names", async () => {
      await ageDiscovery(database);
      faultFor = ({ path }) => path === PATH.filters ? DOWN : undefined;
      strictEqual((await batchOf(database, simulator.url)).status, "completed");
    });

    await t.step("when nothing of it can be had, all is as known last", async () => {
      await ageDiscovery(database);
      faultFor = ({ search }) => search === undefined ? DOWN : undefined;
      const batch = await batchOf(database, simulator.url);
      strictEqual(batch.status, "completed");
      deepStrictEqual(await storedOffers(database, batch.batchId), truth);
    });

    await t.step("an exchange that is gone is not asked for every fiat in vain", async () => {
      await ageDiscovery(database);
      faultFor = () => ({ kind: "timeout" });
      const asked = simulator.stats.byPath[PATH.config] ?? 0;
      const batch = await batchOf(database, simulator.url, { timeoutSeconds: 0.3, maxRetries: 0 });
      ok((simulator.stats.byPath[PATH.config] ?? 0) - asked <= 40);
      strictEqual(batch.status, "failed");
      strictEqual(batch.marketsExpected, simulator.market.markets.length, "all are in the ledger");
    });
  } finally {
    await simulator.close();
  }
});

Deno.test("a first discovery without its list, and with nothing known, finds what it can", async () => {
  await using test = await testDatabase();
  const simulator = await startSimulator({
    offers: 300,
    now: () => MORNING,
    faultFor: ({ path }) => path === PATH.fiats ? DOWN : undefined,
  });
  try {
    const batch = await batchOf(test.database, simulator.url);
    deepStrictEqual(await fiatsOf(test.database, batch.batchId), ["GHS", "NGN"]);
    const fresh = await valueOf(
      test.database,
      "select count(*) from p2p.ops_discoveries where fiat_code = '*'",
    );
    strictEqual(fresh, "0", "the whole list stays due");
  } finally {
    await simulator.close();
  }
});

Deno.test("a fiat that leaves the list is no longer fetched", async () => {
  await using test = await testDatabase();
  const page = async (
    request: Parameters<typeof offer>[0],
    write: (part: Uint8Array) => Promise<void>,
  ) => await write(answer(pageOf([offer(request, 1)])));
  {
    await using exchange = startStrangeExchange({ AAA: page, BBB: page });
    strictEqual((await batchOf(test.database, exchange.url)).marketsExpected, 2);
  }
  await ageDiscovery(test.database);
  await using exchange = startStrangeExchange({ AAA: page });
  const batch = await batchOf(test.database, exchange.url);
  deepStrictEqual(await fiatsOf(test.database, batch.batchId), ["AAA"]);
});

Deno.test("BINANCE_PAIRS_ENDPOINT is asked when nothing else answers", async () => {
  await using test = await testDatabase();
  await using exchange = startStrangeExchange(
    { ARS: async (request, write) => await write(answer(pageOf([offer(request, request.side)]))) },
    ({ path }) =>
      path === PATH.fiats || path === PATH.config || path === PATH.filters
        ? "{}"
        : path === "/pairs"
        ? '{"code":"000000","data":[{"asset":"USDT","fiatUnit":"ARS"},{"asset":"<b>","fiat":"ARS"}]}'
        : undefined,
  );
  const variables = {
    DATABASE_URL: urlAs("worker", test.url),
    BINANCE_BASE_URL: exchange.url,
    MAX_RETRIES: "0",
    ...FAST,
  };
  const without = await runProgram(["once"], { ...variables, LOG_LEVEL: "error" });
  strictEqual(without.code, 69);
  match(without.stderr, /^error: binance gives no list of markets[^\n]*\nhint: [^\n]*\n$/);
  const { code, stdout } = await runProgram(["once", "--json"], {
    ...variables,
    BINANCE_PAIRS_ENDPOINT: "/pairs",
  });
  strictEqual(code, 0);
  const { markets_completed, offers_inserted } = JSON.parse(stdout);
  deepStrictEqual([markets_completed, offers_inserted], [2, 2]);
});

Deno.test("where one exchange, or one worker, finds nothing, another does", async (t) => {
  await using test = await testDatabase();
  const { database } = test;
  await using own = new Database(urlAs("worker", test.url), { applicationName: "test" });
  const simulator = await startSimulator({ offers: 100, now: () => MORNING });
  const here = exchangeAt(simulator.url);
  const nowhere = exchangeAt("http://127.0.0.1:1");
  const elsewhere = bybit({ baseUrl: "http://127.0.0.1:1", search: "/fiat/otc/item/online" });
  try {
    await t.step("a worker that cannot reach the exchange stands in nobody's way", async () => {
      await using worker = await extractionOf(own, [nowhere], { name: "cut off" });
      await rejects(worker.requireMarkets(), /gives no list of markets, and none is known/);
      await using other = await extractionOf(own, [here]);
      await other.requireMarkets();
      ok(Number(await valueOf(database, "select count(*) from p2p.dim_markets")) > 0);
      strictEqual(
        await valueOf(database, "select count(*) from p2p.ops_workers where doing <> 'idle'"),
        "0",
      );
    });

    await t.step(
      "an exchange of which nothing is known does not keep the other from its batch",
      async () => {
        await using worker = await extractionOf(own, [elsewhere, here]);
        const { batch } = await worker.once();
        strictEqual(batch.status, "completed", batch.errorSummary);
        deepStrictEqual(
          await storedOffers(database, batch.batchId),
          expectedOffers(simulator.market),
        );
      },
    );
  } finally {
    await simulator.close();
  }
});
