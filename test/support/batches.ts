/** Batches inside the test's own process, where the clock is ours. */
import { Database, type Row } from "../../src/database/connection.ts";
import { LEASE } from "../../src/deadlines.ts";
import { runBatch } from "../../src/extract/batch.ts";
import { BatchStore } from "../../src/extract/batch_store.ts";
import type { LoadedBatch } from "../../src/extract/batch_types.ts";
import { type Clock, systemClock } from "../../src/extract/clock.ts";
import { Fetcher } from "../../src/extract/fetcher.ts";
import { Progress } from "../../src/extract/progress.ts";
import { binance } from "../../src/exchange/binance.ts";
import type { Exchange } from "../../src/exchange/exchange.ts";
import { type MarketFilter, parseMarketFilter } from "../../src/exchange/market_filter.ts";
import { urlAs } from "./database.ts";
import { fixedRate } from "./rates.ts";

export interface TestBatchOptions {
  readonly markets?: string;
  readonly timeoutSeconds?: number;
  readonly maxRetries?: number;
  readonly signal?: AbortSignal;
}

export function exchangeAt(baseUrl: string): Exchange {
  return binance({
    baseUrl,
    search: "/bapi/c2c/v2/friendly/c2c/adv/search",
    pairs: undefined,
  });
}

/** A clock on which waiting takes next to no time, but counts; heartbeats keep their real pace. */
export function hastyClock(): Clock {
  let skipped = 0;
  return {
    now: () => systemClock.now() + skipped,
    random: () => 0.5,
    sleep: async (milliseconds, signal) => {
      if (milliseconds === LEASE.renewSeconds * 1000) {
        return await systemClock.sleep(milliseconds, signal);
      }
      await systemClock.sleep(Math.min(milliseconds, 2), signal);
      skipped += Math.max(0, milliseconds - 2);
    },
  };
}

/** One batch against the exchange at that address, with the rights of a worker. */
export async function batchOf(
  database: Database,
  baseUrl: string,
  options: TestBatchOptions = {},
): Promise<LoadedBatch> {
  const clock = hastyClock();
  const exchange = exchangeAt(baseUrl);
  await using worker = new Database(urlAs("worker", database.url), { applicationName: "test" });
  return await runBatch({
    exchange,
    fetcher: new Fetcher({
      exchange: exchange.code,
      rate: fixedRate(1_000_000, 1000),
      clock,
      timeoutSeconds: options.timeoutSeconds ?? 30,
      maxRetries: options.maxRetries ?? 3,
    }),
    store: new BatchStore(worker, exchange.code, "test", clock),
    clock,
    filter: parseMarketFilter(options.markets ?? "*/*") as MarketFilter,
    maxWorkers: 20,
    deadlineSeconds: 120,
    progress: new Progress(() => clock.now()),
    signal: options.signal ?? new AbortController().signal,
  });
}

/** Rows of a statement, for tests. */
export async function rowsOf(
  database: Database,
  statement: string,
  ...parameters: (string | number)[]
): Promise<Row[]> {
  return [...await database.run(statement, parameters, 60)];
}

/** The first column of the first row, as text. */
export async function valueOf(
  database: Database,
  statement: string,
  ...parameters: (string | number)[]
): Promise<string> {
  const [row] = await rowsOf(database, statement, ...parameters);
  return String(Object.values(row ?? {})[0]);
}
