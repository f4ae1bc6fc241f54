import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { command, constant } from "@optique/core/primitives";
import { PATIENCE } from "../deadlines.ts";
import { findRunning } from "../embedded/cluster.ts";
import { EXIT, type ExitCode } from "../errors.ts";
import { type LogFormat, logger } from "../log.ts";
import type { BatchOutcome } from "../extract/batch.ts";
import { systemClock } from "../extract/clock.ts";
import { cronTicks } from "../extract/schedule.ts";
import { serve } from "../extract/service.ts";
import { ServiceManager } from "../serve/systemd.ts";
import {
  configuredExchanges,
  logFormat,
  openDatabase,
  readEnvironment,
  readSystemd,
  untilStopped,
} from "./environment.ts";
import { outcomeLine, outcomeRecord } from "./batch_summary.ts";
import { Extraction } from "./extraction.ts";
import { examples } from "./help.ts";
import { listen } from "./listen.ts";
import { ServiceStatus } from "./service_status.ts";
import { print } from "./terminal.ts";

export const runCommand = command(
  "run",
  object({ command: constant("run") }),
  {
    brief: message`The service: a batch every EXTRACTION_INTERVAL_MINUTES, until SIGTERM.`,
    description:
      message`A batch at every full interval of the clock; the one that is due now begins at once, unless it is too late for it. Several workers on one database share each batch. A batch that goes wrong is logged, and the next one comes all the same.`,
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
  await using manager = ServiceManager.open(readSystemd(), systemClock);
  await using opened = await openDatabase({
    config,
    purpose: "run",
    schema: "current",
    signal,
    whenHeld: "refuse",
  });
  const { database, cluster } = opened;
  if (cluster !== undefined) {
    logger("run").info("look inside while it runs: {psql}", { psql: cluster.psqlCommand });
  }
  await using extraction = await Extraction.begin({
    config,
    database,
    exchanges: configuredExchanges(config),
    purpose: "run",
    signal,
    showProgress: true,
  });
  await using _http = config.ENABLE_METRICS ? listen(extraction, signal) : undefined;
  await extraction.presence.register("idle");
  const status = new ServiceStatus();
  manager.ready({
    status: () => status.line(extraction.doing, extraction.store.database),
    isAlive: () => systemClock.now() - extraction.presence.beatenAt < PATIENCE.stuckSeconds * 1000,
  });
  signal.addEventListener("abort", () => {
    status.stopping();
    manager.stopping();
  });
  await serve({
    ticks: cronTicks(config.EXTRACTION_INTERVAL_MINUTES, signal),
    intervalSeconds: config.EXTRACTION_INTERVAL_MINUTES * 60,
    prepare: (due) => extraction.requireMarkets(due),
    batch: async (due) => {
      const outcome = await extraction.batch(due);
      tellOutcome(outcome, logFormat(config));
      status.ended(outcome);
      return outcome;
    },
    afterwards: () => extraction.refreshMarkets(),
    // A server of our own that is gone comes back only with a new start.
    isOver: async () => cluster !== undefined && await findRunning(config.DATA_DIR) === undefined,
    failed: (error) => status.failed(error),
    signal,
  });
  return EXIT.done;
}

/** A line on stdout for people; where the log is for machines, one of its lines, or half of the journal were no JSON. */
function tellOutcome(outcome: BatchOutcome, format: LogFormat): void {
  if (format === "text") return print(outcomeLine(outcome));
  const record = outcomeRecord(outcome);
  if (record !== undefined) logger("run").info("batch {batch_id} {status}", record);
}
