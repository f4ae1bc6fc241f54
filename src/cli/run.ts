import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { command, constant } from "@optique/core/primitives";
import { findRunning } from "../embedded/cluster.ts";
import { describe, EXIT, type ExitCode, P2pError, PausedError } from "../errors.ts";
import { type Clock, systemClock } from "../extract/clock.ts";
import { logger } from "../log.ts";
import { configuredExchanges, openDatabase, readEnvironment, untilStopped } from "./environment.ts";
import { batchLine, Extraction } from "./extraction.ts";
import { examples } from "./help.ts";
import { print, tell } from "./terminal.ts";

export const runCommand = command(
  "run",
  object({ command: constant("run") }),
  {
    brief: message`The service: a batch every EXTRACTION_INTERVAL_MINUTES, until SIGTERM.`,
    description:
      message`Runs a batch at once, then one at every full interval of the clock. A batch that goes wrong is logged, and the next one comes all the same.`,
    footer: examples(
      ["p2p-ingest run", "the whole market, on the embedded database"],
      [
        "DATABASE_URL=postgres://worker@db/p2p MARKETS=*/USDT p2p-ingest run",
        "USDT only, on your own server",
      ],
    ),
  },
);

export async function run(): Promise<ExitCode> {
  const config = await readEnvironment();
  using signal = untilStopped();
  await using opened = await openDatabase({
    config,
    purpose: "run",
    schema: "current",
    signal,
    whenHeld: "refuse",
  });
  const { database, cluster } = opened;
  if (cluster !== undefined) tell(`look inside while it runs:\n  ${cluster.psqlCommand}\n`);
  const exchange = configuredExchanges(config)[0];
  const extraction = new Extraction({ config, database, exchange, signal, showProgress: true });
  await repeatBatches({
    batch: async () => print(batchLine((await extraction.batch()).batch)),
    // A server of our own that is gone comes back only with a new start.
    isOver: async () => cluster !== undefined && await findRunning(config.DATA_DIR) === undefined,
    intervalMinutes: config.EXTRACTION_INTERVAL_MINUTES,
    clock: systemClock,
    wallTime: Date.now,
    signal,
  });
  return EXIT.done;
}

export interface RepeatOptions {
  readonly batch: () => Promise<void>;
  /** Whether no batch can come any more. */
  readonly isOver: () => Promise<boolean>;
  readonly intervalMinutes: number;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallTime: () => number;
  readonly signal: AbortSignal;
}

/** A batch now and at every full interval until stopped. While batches are paused it says so once, and waits. */
export async function repeatBatches(options: RepeatOptions): Promise<void> {
  const { batch, isOver, intervalMinutes, clock, wallTime, signal } = options;
  const log = logger("run");
  let isPaused = false;
  while (!signal.aborted) {
    try {
      await batch();
      isPaused = false;
    } catch (error) {
      if (signal.aborted) break;
      if (!(error instanceof P2pError) || await isOver()) throw error;
      const reason = describe(error);
      if (!(error instanceof PausedError)) log.error("the batch failed: {reason}", { reason });
      else if (!isPaused) {
        log.warning("no new batch is begun", { reason, ended_by: error.hint });
      }
      isPaused = error instanceof PausedError;
    }
    if (signal.aborted) break;
    const due = nextDue(wallTime(), intervalMinutes);
    if (!isPaused) log.info("next batch at {due}", { due: new Date(due).toISOString() });
    await clock.sleep(due - wallTime(), signal).catch(() => {});
  }
}

/**
 * The next full interval of the clock, e.g. :00, :10, :20 for ten minutes.
 * @param now milliseconds since 1970
 */
export function nextDue(now: number, intervalMinutes: number): number {
  const interval = intervalMinutes * 60_000;
  return (Math.floor(now / interval) + 1) * interval;
}
