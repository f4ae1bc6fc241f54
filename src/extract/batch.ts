import { LEASE } from "../deadlines.ts";
import { BatchError } from "../errors.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { MarketFilter } from "../exchange/market_filter.ts";
import { logger } from "../log.ts";
import { ExchangeClosed } from "./access.ts";
import type { BatchStore } from "./batch_store.ts";
import type { ClaimedMarket, LoadedBatch, OpenedBatch } from "./batch_types.ts";
import type { Clock } from "./clock.ts";
import { refreshMarkets } from "./discovery.ts";
import type { Fetcher } from "./fetcher.ts";
import { fetchMarket } from "./market.ts";
import { PageWriter } from "./page_writer.ts";
import type { Progress } from "./progress.ts";

export interface BatchOptions {
  readonly exchange: Exchange;
  readonly fetcher: Fetcher;
  readonly store: BatchStore;
  readonly clock: Clock;
  readonly filter: MarketFilter;
  /** Markets at once. */
  readonly maxWorkers: number;
  readonly deadlineSeconds: number;
  readonly progress: Progress;
  /** Ends fetching early; what came is loaded. */
  readonly signal: AbortSignal;
}

/** Markets lost one after the other, with nothing fetched in between, after which the exchange counts as gone. */
const LOST_MARKETS_IN_A_ROW = 40;

/**
 * One batch from discovery to load. A batch that somebody left under way is finished first, also while paused.
 * @throws {BatchError} when another worker holds a batch; {PausedError} while batches are paused;
 *   {ExchangeError} when no market is known
 */
export async function runBatch(options: BatchOptions): Promise<LoadedBatch> {
  const { exchange, fetcher, store, filter, maxWorkers, progress, signal } = options;
  await finishAbandonedBatch(options);
  await store.requireNotPaused(); // before the exchange is asked for anything
  progress.enter("discovering");
  await refreshMarkets(exchange, fetcher, store, filter, maxWorkers, signal);

  const batch = await openBatch(options);
  progress.enter("fetching", batch.marketsExpected);
  const heartbeat = startHeartbeat(batch, options);
  try {
    await fetchMarkets(batch, options, heartbeat.lost);
    progress.enter("loading");
    const loaded = await store.loadBatch(batch.batchId);
    progress.enter("done");
    return loaded;
  } catch (error) {
    await heartbeat.stop();
    // The pages are safe; whoever comes next loads them. That need not wait for the lease, unless we cannot say so.
    await store.releaseLease(batch.batchId).catch(() => {});
    throw error;
  } finally {
    await heartbeat.stop();
  }
}

/** Loads what a worker that died had stored, so that nothing of it is fetched in vain. */
async function finishAbandonedBatch({ store }: BatchOptions): Promise<void> {
  const batchId = await store.adoptAbandonedBatch();
  if (batchId === undefined) return;
  const { status, offersInserted } = await store.loadBatch(batchId);
  logger("batch").warning("loaded what a worker that died had stored", {
    batchId,
    status,
    offersInserted,
  });
}

/** Waits at most one lease: a worker that lives renews its own before that. */
async function openBatch(options: BatchOptions): Promise<OpenedBatch> {
  const { store, clock, filter, progress, signal } = options;
  const until = clock.now() + (LEASE.leaseSeconds + LEASE.renewSeconds) * 1000;
  for (;;) {
    const opened = await store.openBatch(filter);
    if ("batchId" in opened) return opened;
    if (clock.now() > until) {
      throw new BatchError(
        `a batch is running since ${opened.startedAt.toISOString()}, held by ${opened.heldBy}`,
        "wait for it to end, or stop that worker",
      );
    }
    progress.enter("waiting");
    const wait = Math.max(opened.leaseEndsInSeconds, 0) + 0.1;
    logger("batch").info("a batch is held by {heldBy}; waiting for its lease", {
      heldBy: opened.heldBy,
    });
    await clock.sleep(wait * 1000, signal);
    await finishAbandonedBatch(options);
  }
}

async function fetchMarkets(
  batch: OpenedBatch,
  options: BatchOptions,
  lease: AbortSignal,
): Promise<void> {
  const { exchange, fetcher, store, maxWorkers, deadlineSeconds, progress } = options;
  const deadline = AbortSignal.timeout(deadlineSeconds * 1000);
  const gone = new AbortController();
  const broken = new AbortController();
  const stop = AbortSignal.any([options.signal, deadline, gone.signal, lease, broken.signal]);
  let lostMarkets = 0;

  const writer = new PageWriter(store, batch.batchId, (page, outcome) => {
    progress.count(page, outcome);
    if ("body" in page) lostMarkets = 0;
    else if (page.endsMarket && ++lostMarkets === LOST_MARKETS_IN_A_ROW) gone.abort();
  });
  const claims = new Claims(batch, store, maxWorkers);
  const work = async () => {
    while (!stop.aborted) {
      const market = await claims.next();
      if (market === undefined) return;
      await fetchMarket(market, exchange, fetcher, (page) => writer.add(page), stop);
    }
  };
  // One worker that cannot go on (the database is lost, say) stops all; being stopped is no failure.
  const guarded = () =>
    work().catch((error) => {
      if (error instanceof ExchangeClosed) gone.abort();
      else if (!stop.aborted) broken.abort(error);
    });
  await Promise.all(Array.from({ length: maxWorkers }, guarded));
  broken.signal.throwIfAborted();
  await writer.drain();
  if (lease.aborted) throw lease.reason;
  if (stop.aborted) {
    await store.endFetching(batch.batchId, stopReason(deadline, gone.signal, deadlineSeconds));
  }
}

function stopReason(deadline: AbortSignal, gone: AbortSignal, deadlineSeconds: number): string {
  if (gone.aborted) {
    return `the exchange stopped answering (${LOST_MARKETS_IN_A_ROW} markets lost in a row)`;
  }
  if (deadline.aborted) return `the deadline of ${deadlineSeconds} s came first`;
  return "the worker was told to stop";
}

/** Hands out the markets of the queue, claiming several a call. */
class Claims {
  #ready: ClaimedMarket[] = [];
  #claiming: Promise<void> | undefined;
  #isEmpty = false;

  constructor(readonly batch: OpenedBatch, readonly store: BatchStore, readonly count: number) {}

  async next(): Promise<ClaimedMarket | undefined> {
    while (this.#ready.length === 0 && !this.#isEmpty) {
      this.#claiming ??= this.#claim();
      await this.#claiming;
    }
    return this.#ready.shift();
  }

  async #claim(): Promise<void> {
    try {
      this.#ready = await this.store.claimMarkets(this.batch.batchId, this.count);
      this.#isEmpty = this.#ready.length === 0;
    } finally {
      this.#claiming = undefined;
    }
  }
}

interface Heartbeat {
  /** Aborted when the batch is no longer ours. */
  readonly lost: AbortSignal;
  stop(): Promise<void>;
}

/** Renews the lease until stopped. A renewal that fails is tried again at the next beat. */
function startHeartbeat(batch: OpenedBatch, { store, clock }: BatchOptions): Heartbeat {
  const stopped = new AbortController();
  const lost = new AbortController();
  const beat = async () => {
    while (!stopped.signal.aborted) {
      await clock.sleep(LEASE.renewSeconds * 1000, stopped.signal).catch(() => {});
      if (stopped.signal.aborted) return;
      try {
        if (!await store.renewLease(batch.batchId)) {
          lost.abort(new BatchError("another worker has taken this batch over"));
          return;
        }
      } catch (error) {
        logger("batch").warning("the lease could not be renewed", { error: String(error) });
      }
    }
  };
  const beating = beat();
  return {
    lost: lost.signal,
    stop: async () => {
      stopped.abort();
      await beating;
    },
  };
}
