import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { command, constant } from "@optique/core/primitives";
import { findRunning } from "../embedded/cluster.ts";
import { describe, EXIT, type ExitCode, P2pError } from "../errors.ts";
import { systemClock } from "../extract/clock.ts";
import { logger } from "../log.ts";
import { configuredExchange, openDatabase, readEnvironment, untilStopped } from "./environment.ts";
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
  const exchange = configuredExchange(config);
  const extraction = new Extraction({ config, database, exchange, signal, showProgress: true });
  const log = logger("run");
  while (!signal.aborted) {
    try {
      const { batch } = await extraction.batch();
      print(batchLine(batch));
    } catch (error) {
      if (signal.aborted) break;
      if (!(error instanceof P2pError)) throw error;
      // A server of our own that is gone comes back only with a new start.
      if (cluster !== undefined && await findRunning(config.DATA_DIR) === undefined) throw error;
      log.error("the batch failed: {reason}", { reason: describe(error) });
    }
    if (signal.aborted) break;
    const due = nextDue(Date.now(), config.EXTRACTION_INTERVAL_MINUTES);
    log.info("next batch at {due}", { due: new Date(due).toISOString() });
    await systemClock.sleep(due - Date.now(), signal).catch(() => {});
  }
  return EXIT.done;
}

/**
 * The next full interval of the clock, e.g. :00, :10, :20 for ten minutes.
 * @param now milliseconds since 1970
 */
export function nextDue(now: number, intervalMinutes: number): number {
  const interval = intervalMinutes * 60_000;
  return (Math.floor(now / interval) + 1) * interval;
}
