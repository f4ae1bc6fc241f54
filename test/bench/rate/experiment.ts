import { Metrics } from "../../../src/serve/metrics.ts";
import { ExchangeClosed } from "../../../src/extract/access.ts";
import { RequestFailure } from "../../../src/extract/failure.ts";
import { Fetcher } from "../../../src/extract/fetcher.ts";
import type { RateOptions } from "../../../src/extract/rate_limiter.ts";
import { Dice } from "../../support/random.ts";
import { SimulatedClock } from "../../support/simulated_clock.ts";
import { type Faults, type Limit, limitAt, LimitedExchange } from "./limited_exchange.ts";

const MINUTE = 60_000;

export interface Scene {
  readonly title: string;
  readonly limit: Limit;
  readonly hours: number;
  readonly retryAfter: number | "slot" | undefined;
  /** Works for 8 minutes of every 10, as the service does, instead of all the time. */
  readonly inBatches?: boolean;
  /** The exchange lets so many through at once and then one by one, instead of counting a minute. */
  readonly bucket?: number;
  /** What goes wrong at the exchange whatever the rate. */
  readonly faults?: Faults;
}

export interface Way {
  readonly title: string;
  readonly rate: RateOptions;
  readonly concurrency: number;
  /** After each request. */
  readonly sleepSeconds?: number;
}

export interface Sample {
  readonly minute: number;
  readonly ratePerMinute: number;
  readonly taken: number;
  readonly limit: number;
}

export interface Result {
  /** Of what the exchange would have taken. */
  readonly share: number;
  readonly refusedShare: number;
  /** Minutes until the first minute with 85 % of the limit; undefined: never. */
  readonly minutesTo85: number | undefined;
  readonly samples: readonly Sample[];
}

const BATCH_MINUTES = 10;
const BUSY_MINUTES = 8;

/** One way of asking one exchange for hours, by the program's own Fetcher in simulated time. */
export async function run(scene: Scene, way: Way, seed = 1): Promise<Result> {
  const dice = new Dice(seed);
  const clock = new SimulatedClock(() => dice.next());
  const exchange = new LimitedExchange(clock, scene.limit, scene);
  const fetcher = new Fetcher({
    exchange: "simulated",
    rate: way.rate,
    metrics: new Metrics(),
    clock,
    timeoutSeconds: 30,
    maxRetries: 3,
    send: exchange.send,
  });
  const stop = new AbortController();
  const workers = Array.from(
    { length: way.concurrency },
    () => work(scene, way, fetcher, clock, stop.signal),
  );
  const samples: Sample[] = [];
  for (let minute = 1; minute <= scene.hours * 60; minute++) {
    const before = exchange.taken;
    await clock.runUntil(minute * MINUTE);
    samples.push({
      minute,
      ratePerMinute: fetcher.state.ratePerMinute,
      taken: exchange.taken - before,
      limit: limitAt(scene.limit, (minute - 1) * MINUTE),
    });
  }
  stop.abort();
  await Promise.all([clock.runUntil((scene.hours + 1) * 60 * MINUTE), ...workers]);
  const busy = samples.filter(({ minute }) => isBusy(scene, (minute - 1) * MINUTE));
  const possible = busy.reduce(
    (sum, { limit }) => sum + (Number.isFinite(limit) ? limit : way.rate.maxPerMinute),
    0,
  );
  return {
    share: exchange.taken / possible,
    refusedShare: exchange.refused / (exchange.taken + exchange.refused + exchange.failed),
    minutesTo85: samples.find(({ taken, limit }) => taken >= 0.85 * limit)?.minute,
    samples,
  };
}

async function work(
  scene: Scene,
  way: Way,
  fetcher: Fetcher,
  clock: SimulatedClock,
  signal: AbortSignal,
): Promise<void> {
  const request = { method: "POST", url: "http://exchange.test/", body: {} } as const;
  while (!signal.aborted) {
    try {
      if (!isBusy(scene, clock.now())) {
        await clock.sleep(BATCH_MINUTES * MINUTE - clock.now() % (BATCH_MINUTES * MINUTE), signal);
      }
      await fetcher.fetch(request, () => undefined, signal);
      if (way.sleepSeconds !== undefined) await clock.sleep(way.sleepSeconds * 1000, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ExchangeClosed) await fetcher.ready(signal).catch(() => {});
      else if (!(error instanceof RequestFailure)) throw error;
    }
  }
}

function isBusy(scene: Scene, milliseconds: number): boolean {
  return scene.inBatches !== true ||
    milliseconds % (BATCH_MINUTES * MINUTE) < BUSY_MINUTES * MINUTE;
}
