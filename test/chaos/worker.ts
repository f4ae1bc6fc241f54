// deno-lint-ignore-file no-console
/** The service as `run` has it, but with a tick every CHAOS_TICK_SECONDS. */
import {
  configuredExchanges,
  openDatabase,
  readEnvironment,
  untilStopped,
} from "../../src/cli/environment.ts";
import { describe, P2pError } from "../../src/errors.ts";
import { Extraction } from "../../src/cli/extraction.ts";
import { systemClock } from "../../src/extract/clock.ts";
import { serve } from "../../src/extract/service.ts";

/** The newest due time that has passed, at once, and then each as it comes. */
async function* ticks(intervalSeconds: number, signal: AbortSignal): AsyncGenerator<Date> {
  const interval = intervalSeconds * 1000;
  for (let told = 0; !signal.aborted;) {
    const due = Math.floor(Date.now() / interval) * interval;
    if (due > told) yield new Date(told = due);
    else await systemClock.sleep(due + interval - Date.now(), signal).catch(() => {});
  }
}

async function run(): Promise<void> {
  const intervalSeconds = Number(Deno.env.get("CHAOS_TICK_SECONDS"));
  const config = await readEnvironment();
  using signal = untilStopped();
  await using opened = await openDatabase({ config, purpose: "run", schema: "current", signal });
  await using extraction = await Extraction.begin({
    config,
    database: opened.database,
    exchanges: configuredExchanges(config),
    purpose: "run",
    signal,
    showProgress: false,
  });
  await serve({
    ticks: ticks(intervalSeconds, signal),
    intervalSeconds,
    prepare: (due) => extraction.requireMarkets(due),
    batch: (due) => extraction.batch(due),
    afterwards: () => extraction.refreshMarkets(),
    isOver: () => Promise.resolve(false),
    signal,
  });
}

try {
  await run();
  Deno.exit(0);
} catch (error) {
  if (!(error instanceof P2pError)) throw error;
  console.error(describe(error));
  Deno.exit(error.exitCode);
}
