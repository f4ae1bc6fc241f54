/** Schedule after schedule on one server, with processes of workers that live on. */
import { Database } from "../../src/database/connection.ts";
import { configureLog } from "../../src/log.ts";
import { startSimulator } from "../../src/simulator/server.ts";
import { exchangeAt, extractionOf } from "../support/batches.ts";
import { Pool } from "./pool.ts";
import { runSchedule, type ScheduleReport } from "./run.ts";
import { scheduleOf } from "./schedule.ts";
import { ChaosServer } from "./server.ts";

export interface SuiteOptions {
  readonly seeds: readonly number[];
  /** No schedule is begun after so long. */
  readonly seconds: number;
  /** Likewise, once this is aborted. */
  readonly signal: AbortSignal;
  /** The suite itself could not go on with a schedule. */
  readonly failed: (seed: number, error: unknown, serverLog: string) => void;
  readonly ended: (report: ScheduleReport) => Promise<void>;
}

export interface SuiteReport {
  /** Of worker processes, from one session to the next. */
  readonly growth: { readonly bytes: number; readonly sessions: number };
}

/** The markets are known already. */
async function prepare(url: string): Promise<void> {
  const now = () => Date.UTC(2026, 8, 1, 9);
  const simulator = await startSimulator({ seed: 1, offers: 1000, now });
  try {
    await using database = new Database(url, { applicationName: "prepare" });
    await using extraction = await extractionOf(database, [exchangeAt(simulator.url)], {
      markets: "VES/*,UAH/*,BDT/*,CNY/*,JPY/*,DZD/*,ARS/*,KZT/*",
    });
    await extraction.requireMarkets();
  } finally {
    await simulator.close();
  }
}

export async function runSuite(
  { seeds, seconds, signal, ended, failed }: SuiteOptions,
): Promise<SuiteReport> {
  await configureLog("error", "text");
  const began = performance.now();
  await using server = await ChaosServer.start(prepare);
  await using pool = new Pool(3);
  for (const seed of seeds) {
    if (signal.aborted || (performance.now() - began) / 1000 > seconds) break;
    try {
      await ended(await runSchedule(scheduleOf(seed), server, pool));
    } catch (error) {
      failed(seed, error, await server.log().catch(String));
      await server.end("SIGQUIT");
      await server.open();
      await server.calm();
    }
  }
  return { growth: pool.growth() };
}
