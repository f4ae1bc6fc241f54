import type { Span } from "@opentelemetry/api";
import { PATIENCE } from "../deadlines.ts";
import { P2pError } from "../errors.ts";
import { failSpan, inSpan, recordSpans } from "../tracing.ts";
import type { BatchStore } from "./batch_store.ts";
import type { DueTime, EndedBatch, JoinedBatch, LoadedBatch, NoBatch } from "./batch_types.ts";
import type { Clock } from "./clock.ts";
import type { Fetcher } from "./fetcher.ts";
import { fetchExchange, isReadyWithin } from "./fetching.ts";
import type { Ending } from "./market.ts";
import { PageWriter } from "./page_writer.ts";
import type { Presence, ServedExchange } from "./presence.ts";
import type { Progress } from "./progress.ts";

export interface BatchOptions {
  readonly served: readonly ServedExchange[];
  readonly store: BatchStore;
  readonly presence: Presence;
  readonly clock: Clock;
  /** Markets of an exchange at once. */
  readonly maxWorkers: number;
  readonly deadlineSeconds: number;
  /** The time of the schedule; undefined for a batch by hand. */
  readonly due: DueTime | undefined;
  readonly progress: Progress;
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
  | {
    readonly outcome: "left";
    readonly batchId: string;
    /** Undefined where the others are still at it. */
    readonly ended: EndedBatch | undefined;
  };

const STOPPED = "the worker was told to stop";

/**
 * Opens a batch or joins the one that runs; fetches with the other workers of the fleet until nothing is left; loads it
 * where this worker is the one to do so.
 * @throws {DatabaseError} when the database was lost for longer than it is waited for, or refuses to store
 */
export async function workOnBatch(options: BatchOptions): Promise<BatchOutcome> {
  const { store: { database }, presence, due } = options;
  if (due !== undefined) database.waitFor(due.intervalSeconds);
  try {
    await presence.register(options.signal.aborted ? "stopping" : "idle"); // who stops opens none
    const joined = await options.store.joinBatch(due, options.deadlineSeconds);
    return "batchId" in joined ? await workOn(joined, options) : joined;
  } finally {
    database.waitFor(0);
    // join_batch says for us that we fetch: who goes would leave a batch to us. Who is told to stop leaves.
    if (!options.signal.aborted) await presence.tell("idle");
  }
}

async function workOn(joined: JoinedBatch, options: BatchOptions): Promise<BatchOutcome> {
  const { store, progress, due } = options;
  const { database } = store;
  if (due !== undefined) {
    database.waitFor(Math.max(joined.secondsLeft, due.intervalSeconds));
  }
  progress.enter("fetching", joined.marketsExpected);
  const { batchId, outcome, marketsExpected } = joined;
  try {
    return await inSpan(
      "batch",
      { batch_id: batchId, outcome, markets_expected: marketsExpected },
      async (span) => {
        const ended = await workUntilLoaded(joined, options);
        if (ended.outcome === "loaded") traceEnd(span, ended.batch);
        else if (ended.outcome === "left") traceEnd(span, ended.ended);
        return ended;
      },
    );
  } catch (error) {
    // What is stored is safe. Others may have our markets now; unless we cannot say so, then when we are idle.
    database.waitFor(0);
    if (!options.signal.aborted) await store.giveBack(joined.batchId).catch(() => {}); // else it leaves
    throw error;
  }
}

async function workUntilLoaded(joined: JoinedBatch, options: BatchOptions): Promise<BatchOutcome> {
  const { store, presence, progress, clock, signal } = options;
  const { batchId } = joined;
  using end = new FetchingEnd(joined.secondsLeft, options);
  if (joined.outcome === "joined") await store.giveBack(batchId); // what we left in the middle, before
  let givenUp: readonly GivenUp[] = [];
  let isThereWork = true;
  for (;;) {
    let pages = 0;
    if (isThereWork && !end.soon.aborted) {
      progress.enter("fetching");
      await presence.enter("fetching");
      ({ pages, givenUp } = await fetchMarkets(batchId, options, end));
    }
    const isStopping = signal.aborted;
    const reason = isStopping ? STOPPED : givenUp.map((one) => one.reason).join("; ") || undefined;
    // Others go by what we say of ourselves.
    if (reason !== undefined) await presence.tell(isStopping ? "stopping" : "waiting");
    const next = await store.takeLoad(batchId, reason);
    if (next === "load") return { outcome: "loaded", ...await load(joined, options) };
    if (next === "closed" || (next === "others" && isStopping)) {
      return { outcome: "left", batchId, ended: await store.endedBatch(batchId) };
    }
    isThereWork = next === "fetch";
    if (isThereWork && pages > 0) continue;
    progress.enter("waiting");
    await presence.enter(isStopping ? "stopping" : "waiting");
    if (next === "others") isThereWork = await isAnyBack(givenUp, options);
    else {
      await clock.sleep(PATIENCE.pollSeconds * 1000, isStopping ? undefined : signal)
        .catch(() => {});
    }
  }
}

async function load(
  joined: JoinedBatch,
  options: BatchOptions,
): Promise<{ batch: LoadedBatch; wasOver: boolean }> {
  const { store, presence, progress } = options;
  progress.enter("loading");
  await presence.enter("loading");
  const batch = await inSpan("load", {}, async (span) => {
    const began = Date.now();
    const loaded = await store.loadBatch(joined.batchId);
    const { status, offersInserted, offersRejected } = loaded;
    span.setAttributes({
      status,
      offers_inserted: offersInserted,
      offers_rejected: offersRejected,
    });
    if (status === "failed") failSpan(span, loaded.errorSummary ?? status);
    if (span.isRecording()) await traceSteps(began, loaded.batchId, store);
    return loaded;
  });
  progress.enter("done");
  store.database.alerts.look();
  return { batch, wasOver: joined.secondsLeft <= 0 };
}

/** @param batch undefined where the others are still at it */
function traceEnd(span: Span, batch: LoadedBatch | undefined): void {
  if (batch === undefined) return void span.setAttribute("status", "left to the others");
  span.setAttributes({ status: batch.status, markets_completed: batch.marketsCompleted });
  if (batch.status === "failed") failSpan(span, batch.errorSummary ?? batch.status);
}

/** The steps of a load, as children of the span of the load. @param began milliseconds since 1970 */
async function traceSteps(began: number, batchId: string, store: BatchStore): Promise<void> {
  const steps = await store.loadSteps(batchId).catch((error) => {
    if (!(error instanceof P2pError)) throw error;
    return []; // who cannot be reached tells of that by other ways
  });
  recordSpans(
    began,
    steps.map(({ step, status, seconds, error }) => ({
      name: step,
      seconds,
      attributes: { status },
      failure: error,
    })),
  );
}

/** An exchange that nothing may be sent to. */
interface GivenUp {
  readonly fetcher: Fetcher;
  readonly reason: string;
}

/** Fetches with all exchanges at once until none has anything left for us. */
async function fetchMarkets(
  batchId: string,
  options: BatchOptions,
  end: FetchingEnd,
): Promise<{ pages: number; givenUp: readonly GivenUp[] }> {
  const { served, store, clock, maxWorkers, progress } = options;
  const writer = new PageWriter(store, batchId, (page, outcome) => {
    progress.count(page, outcome);
    store.metrics.pageEnded(page, outcome);
  });
  const broken = new AbortController();
  const ending: Ending = {
    soon: AbortSignal.any([end.soon, broken.signal]),
    now: AbortSignal.any([end.now, broken.signal]),
  };
  const common = { batchId, store, writer, clock, maxWorkers, ending };
  const givenUp: GivenUp[] = [];
  let pages = 0;
  await Promise.all(served.map(async (one) => {
    try {
      const fetched = await fetchExchange({ ...common, served: one });
      pages += fetched.pages;
      const reason = fetched.givenUp;
      if (reason !== undefined) givenUp.push({ fetcher: one.fetcher, reason });
    } catch (error) {
      broken.abort(error);
    }
  }));
  broken.signal.throwIfAborted();
  await writer.drain();
  await store.giveBack(batchId); // claimed, and not fetched to the end
  return { pages, givenUp };
}

/** Waits a moment for the exchanges that were given up. */
async function isAnyBack(
  givenUp: readonly GivenUp[],
  { clock, signal }: BatchOptions,
): Promise<boolean> {
  const milliseconds = PATIENCE.pollSeconds * 1000;
  const ready = givenUp.map(({ fetcher }) => isReadyWithin(milliseconds, fetcher, clock, signal));
  return (await Promise.all(ready)).includes(true);
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
