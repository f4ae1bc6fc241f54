import type { Extraction } from "../../src/cli/extraction.ts";
import { systemClock } from "../../src/extract/clock.ts";
import { serve } from "../../src/extract/service.ts";

/** Due times: the newest that has passed, at once, and then each as it comes. */
async function* ticks(tickSeconds: number, signal: AbortSignal): AsyncGenerator<Date> {
  const interval = tickSeconds * 1000;
  for (let told: number | undefined; !signal.aborted;) {
    const due = Math.floor(Date.now() / interval) * interval;
    if (due !== told) yield new Date(told = due);
    else {
      // A clock that has jumped is noticed within a tick.
      const left = Math.min(interval, due + interval - Date.now());
      await systemClock.sleep(left, signal).catch(() => {});
    }
  }
}

/**
 * The service as `run` has it, but with a tick every so many seconds.
 * @param intervalSeconds a tick in the seconds of the service's clock, which may run faster
 */
export async function serveTicking(
  extraction: Extraction,
  tickSeconds: number,
  signal: AbortSignal,
  intervalSeconds = tickSeconds,
): Promise<void> {
  await serve({
    ticks: ticks(tickSeconds, signal),
    intervalSeconds,
    prepare: (due) => extraction.requireMarkets(due),
    batch: (due) => extraction.batch(due),
    afterwards: () => extraction.refreshMarkets(),
    isOver: () => Promise.resolve(false),
    signal,
  });
}
