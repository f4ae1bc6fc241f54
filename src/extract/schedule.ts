/** The last full interval of the clock, e.g. :00, :10, :20 for ten minutes; in milliseconds since 1970. */
export function dueTime(now: number, intervalMinutes: number): number {
  const interval = intervalMinutes * 60_000;
  return Math.floor(now / interval) * interval;
}

/**
 * The times at which batches are due: the last one at once, then each as it comes, until the signal. Whoever is busy
 * for longer than an interval gets the newest of those that passed.
 */
export async function* cronTicks(
  intervalMinutes: number,
  signal: AbortSignal,
  now: () => number = Date.now,
): AsyncGenerator<Date> {
  if (signal.aborted) return; // cron would never end
  let wake: () => void = () => {};
  const over = new AbortController();
  const stop = AbortSignal.any([signal, over.signal]);
  stop.addEventListener("abort", () => wake(), { once: true });
  // Every minute: cron has no interval that does not divide the hour.
  const cron = Deno.cron("batches are due", "* * * * *", { signal: stop }, () => wake());
  try {
    for (let told: number | undefined; !stop.aborted;) {
      const awake = new Promise<void>((resolve) => wake = resolve);
      const due = dueTime(now(), intervalMinutes);
      if (due === told) await awake;
      else yield new Date(told = due);
    }
  } finally {
    over.abort();
    await cron;
  }
}
