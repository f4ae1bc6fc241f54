/** Batches inside the test's own process, where the clock is ours. */
import { Extraction } from "../../src/cli/extraction.ts";
import { loadConfig } from "../../src/config.ts";
import { Database, type Row } from "../../src/database/connection.ts";
import { LEASE, WATCH } from "../../src/deadlines.ts";
import { binance } from "../../src/exchange/binance.ts";
import type { Exchange } from "../../src/exchange/exchange.ts";
import type { LoadedBatch } from "../../src/extract/batch_types.ts";
import { type Clock, systemClock } from "../../src/extract/clock.ts";
import { urlAs } from "./database.ts";
import { FAST } from "./program.ts";

export interface TestBatchOptions {
  readonly name?: string;
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

const KEEP_PACE_SECONDS: readonly number[] = [LEASE.renewSeconds, WATCH.everySeconds];

/** A clock on which waiting takes next to no time, but counts, a long wait longer than a short one; heartbeats and deadlines keep their real pace. */
function hastyClock(): Clock {
  let skipped = 0;
  return {
    now: () => systemClock.now() + skipped,
    random: () => 0.5,
    sleep: async (milliseconds, signal) => {
      if (KEEP_PACE_SECONDS.includes(milliseconds / 1000) || milliseconds > 100_000) {
        return await systemClock.sleep(milliseconds, signal);
      }
      const real = Math.min(milliseconds, 2 + milliseconds / 500);
      await systemClock.sleep(real, signal);
      skipped += milliseconds - real;
    },
  };
}

/** A worker of the fleet on that database, which the caller closes after it. */
export async function extractionOf(
  database: Database,
  exchanges: readonly Exchange[],
  options: TestBatchOptions = {},
): Promise<Extraction> {
  return await Extraction.begin({
    config: loadConfig({
      ...FAST,
      MARKETS: options.markets,
      REQUEST_TIMEOUT_SECONDS: String(options.timeoutSeconds ?? 30),
      MAX_RETRIES: String(options.maxRetries ?? 3),
      WORKER_NAME: options.name ?? "test",
    }),
    database,
    exchanges,
    purpose: "once",
    signal: options.signal ?? new AbortController().signal,
    showProgress: false,
    clock: hastyClock(),
  });
}

/** One batch against the exchange at that address, with the rights of a worker. */
export async function batchOf(
  database: Database,
  baseUrl: string,
  options: TestBatchOptions = {},
): Promise<LoadedBatch> {
  await using worker = new Database(urlAs("worker", database.url), { applicationName: "test" });
  await using extraction = await extractionOf(worker, [exchangeAt(baseUrl)], options);
  return (await extraction.once()).batch;
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
