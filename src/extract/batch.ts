import type { Alerts } from "../alerts.ts";
import { PATIENCE } from "../deadlines.ts";
import type { MarketFilter } from "../exchange/market_filter.ts";
import type { BatchStore } from "./batch_store.ts";
import type { DueTime, EndedBatch, JoinedBatch, LoadedBatch, NoBatch } from "./batch_types.ts";
import type { Clock } from "./clock.ts";
import { fetchExchange } from "./fetching.ts";
import type { Ending } from "./market.ts";
import { PageWriter } from "./page_writer.ts";
import type { Presence, ServedExchange } from "./presence.ts";
import type { Progress } from "./progress.ts";

export interface BatchOptions {
  readonly served: readonly ServedExchange[];
  readonly store: BatchStore;
  readonly presence: Presence;
  readonly alerts: Alerts;
  readonly clock: Clock;
  readonly filter: MarketFilter;
  /** Markets of an exchange at once. */
  readonly maxWorkers: number;
  readonly deadlineSeconds: number;
  /** The time of the schedule; undefined for a batch by hand. */
  readonly due: DueTime | undefined;
  readonly progress: Progress;
  /** Consecutive batches that are not `completed`, after which people are told. */
  readonly alertOnFailures: number;
  /** Ends fetching early: another worker goes on, or what came is loaded. */
  readonly signal: AbortSignal;
}

export type BatchOutcome =
  | NoBatch
  | {
    readonly outcome: "loaded";
    readonly batch: LoadedBatch;
    /** Whether its time to fetch was over before we came: it was only closed. */
    readonly wasOver: boolean;
  }
  /** Others go on with it, or have loaded it. */
  | { readonly outcome: "left"; readonly batchId: string; readonly ended: EndedBatch };

const STOPPED = "the worker was told to stop";

/**
 * Opens a batch or joins the one that runs; fetches with the other workers of the fleet until nothing is left; loads it
 * where this worker is the one to do so.
 * @throws {DatabaseError} when the database was lost for longer than it is waited for, or refuses to store
 */
export async function workOnBatch(options: BatchOptions): Promise<BatchOutcome> {
  const { store, presence, progress, clock, due, deadlineSeconds } = options;
  await presence.register("idle");
  const joined = await store.joinBatch(due, deadlineSeconds);
  if (!("batchId" in joined)) return joined;
  if (due !== undefined) {
    // Waiting for a lost database is worth it as long as there is time to fetch, or until the next batch is due.
    const seconds = Math.max(joined.secondsLeft, due.intervalSeconds);
    store.patientUntil = clock.now() + seconds * 1000;
  }
  progress.enter("fetching", joined.marketsExpected);
  try {
    return await workUntilLoaded(joined, options);
  } catch (error) {
    // What is stored is safe. Others may have our markets now; unless we cannot say so, then with the lease.
    store.patientUntil = 0;
    await store.giveBack(joined.batchId).catch(() => {});
    throw error;
  } finally {
    store.patientUntil = 0;
    await presence.enter("idle");
  }
}

async function workUntilLoaded(joined: JoinedBatch, options: BatchOptions): Promise<BatchOutcome> {
  const { store, presence, progress, clock, signal } = options;
  const { batchId } = joined;
  using end = new FetchingEnd(joined.secondsLeft, options);
  if (joined.outcome === "joined") await store.giveBack(batchId); // what we left in the middle, before
  let givenUp: string | undefined;
  for (;;) {
    if (!end.soon.aborted) {
      progress.enter("fetching");
      await presence.enter("fetching");
      givenUp = await fetchMarkets(batchId, options, end);
    }
    const isStopping = signal.aborted;
    const next = await store.takeLoad(batchId, isStopping ? STOPPED : givenUp);
    if (next === "load") {
      progress.enter("loading");
      await presence.enter("loading");
      const batch = await store.loadBatch(batchId);
      progress.enter("done");
      await tellOf(batch, options);
      return { outcome: "loaded", batch, wasOver: joined.secondsLeft <= 0 };
    }
    if (next === "closed" || (next === "others" && isStopping)) {
      progress.enter("done");
      return { outcome: "left", batchId, ended: await store.endedBatch(batchId) };
    }
    if (next !== "fetch") {
      progress.enter("waiting");
      await presence.enter(isStopping ? "stopping" : "waiting");
    }
    if (next !== "fetch" || end.soon.aborted) {
      await clock.sleep(PATIENCE.pollSeconds * 1000, isStopping ? undefined : signal)
        .catch(() => {});
    }
  }
}

/** @returns why exchanges were given up, if any were */
async function fetchMarkets(
  batchId: string,
  options: BatchOptions,
  end: FetchingEnd,
): Promise<string | undefined> {
  const { served, store, alerts, clock, maxWorkers, progress } = options;
  const writer = new PageWriter(store, batchId, (page, outcome) => progress.count(page, outcome));
  const broken = new AbortController();
  const ending: Ending = {
    soon: AbortSignal.any([end.soon, broken.signal]),
    now: AbortSignal.any([end.now, broken.signal]),
  };
  const reasons = await Promise.all(served.map(async (one) => {
    try {
      return await fetchExchange({
        batchId,
        served: one,
        store,
        writer,
        alerts,
        clock,
        maxWorkers,
        ending,
      });
    } catch (error) {
      broken.abort(error); // the first one counts
      return undefined;
    }
  }));
  broken.signal.throwIfAborted();
  await writer.drain();
  await store.giveBack(batchId); // claimed, and not fetched to the end
  return reasons.filter((reason) => reason !== undefined).join("; ") || undefined;
}

/** Alerts about what was loaded; those of earlier batches are over when this one gives no cause for them. */
async function tellOf(batch: LoadedBatch, options: BatchOptions): Promise<void> {
  const { store, alerts, alertOnFailures } = options;
  const found = await store.batchAlerts(batch.batchId);
  for (const kind of ["structure_changed", "rule_failed", "step_failed", "completeness"] as const) {
    const messages = found.filter((alert) => alert.kind === kind).map(({ message }) => message);
    if (messages.length > 0) alerts.raise(kind, messages.join("; "));
    else alerts.resolve(kind, `batch ${batch.batchId} gives no cause for it any more`);
  }
  const failures = await store.failuresInARow(batch.batchId);
  if (failures >= alertOnFailures) {
    const why = batch.errorSummary === undefined ? "" : `: ${batch.errorSummary}`;
    alerts.raise("batch_failed", `${failures} batches in a row were not completed${why}`);
  } else if (failures === 0) {
    alerts.resolve("batch_failed", `batch ${batch.batchId} was completed`);
  }
}

/** When fetching ends: at the deadline, or when the worker is told to stop; pages in hand get a moment more. */
class FetchingEnd implements Ending, Disposable {
  readonly #soon = new AbortController();
  readonly #now = new AbortController();
  readonly #over = new AbortController();

  constructor(secondsLeft: number, { clock, signal }: BatchOptions) {
    const either = AbortSignal.any([signal, this.#over.signal]);
    const wait = async () => {
      if (secondsLeft > 0) await clock.sleep(secondsLeft * 1000, either).catch(() => {});
      this.#soon.abort();
      await clock.sleep(PATIENCE.pageSeconds * 1000, this.#over.signal).catch(() => {});
      this.#now.abort();
    };
    wait();
  }

  get soon(): AbortSignal {
    return this.#soon.signal;
  }

  get now(): AbortSignal {
    return this.#now.signal;
  }

  [Symbol.dispose](): void {
    this.#over.abort();
  }
}
