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
  /** Schedules at a time, each with a server of its own. */
  readonly jobs?: number;
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

export async function runSuite(options: SuiteOptions): Promise<SuiteReport> {
  await configureLog("error", "text");
  const seeds = options.seeds[Symbol.iterator]();
  const until = performance.now() + options.seconds * 1000;
  const next = (): number | undefined => {
    if (options.signal.aborted || performance.now() > until) return undefined;
    const { value, done } = seeds.next();
    return done ? undefined : value;
  };
  const jobs = Array.from({ length: options.jobs ?? 1 }, () => runJob(next, options));
  const growths = await Promise.all(jobs);
  const sessions = growths.reduce((sum, growth) => sum + growth.sessions, 0);
  const bytes = growths.reduce((sum, growth) => sum + growth.bytes * growth.sessions, 0);
  return { growth: { bytes: sessions === 0 ? 0 : bytes / sessions, sessions } };
}

/** One schedule after the other, on a server of its own. */
async function runJob(
  next: () => number | undefined,
  { ended, failed }: SuiteOptions,
): Promise<{ readonly bytes: number; readonly sessions: number }> {
  await using server = await ChaosServer.start(prepare);
  await using pool = new Pool(3);
  for (let seed = next(); seed !== undefined; seed = next()) {
    try {
      await ended(await runSchedule(scheduleOf(seed), server, pool));
    } catch (error) {
      failed(seed, error, (await server.logged().catch(() => [])).slice(-40).join("\n"));
      await server.end("SIGQUIT");
      await server.open();
      await server.calm();
    }
  }
  return pool.growth();
}
