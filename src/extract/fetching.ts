import { PATIENCE } from "../deadlines.ts";
import { inSpan } from "../tracing.ts";
import { ExchangeClosed } from "./access.ts";
import type { BatchStore } from "./batch_store.ts";
import type { ClaimedMarket } from "./batch_types.ts";
import type { Clock } from "./clock.ts";
import type { Fetcher } from "./fetcher.ts";
import { type Ending, fetchMarket } from "./market.ts";
import type { PageWriter } from "./page_writer.ts";
import type { ServedExchange } from "./presence.ts";

export interface FetchingOptions {
  readonly batchId: string;
  readonly served: ServedExchange;
  readonly store: BatchStore;
  readonly writer: PageWriter;
  readonly clock: Clock;
  /** Markets at once. */
  readonly maxWorkers: number;
  readonly ending: Ending;
}

export interface Fetching {
  /** Pages fetched or lost. */
  readonly pages: number;
  /** Why the exchange was given up, if it was. */
  readonly givenUp: string | undefined;
}

/**
 * Fetches markets of one exchange until the queue has none for us, or fetching ends. An exchange that is closed gets its
 * markets handed back, and is waited for.
 */
export async function fetchExchange(options: FetchingOptions): Promise<Fetching> {
  const { batchId, served: { exchange, fetcher }, store, writer, clock, ending } = options;
  let pages = 0;
  let closedSince: number | undefined;
  let reason = fetcher.state.breaker === "open" ? fetcher.state.breakerReason : undefined;
  while (!ending.soon.aborted) {
    if (reason !== undefined) {
      closedSince ??= clock.now();
      const end = closedSince + PATIENCE.closedExchangeSeconds * 1000;
      const isReady = await isReadyWithin(end - clock.now(), fetcher, clock, ending.soon);
      if (ending.soon.aborted) break;
      if (!isReady) return { pages, givenUp: `nothing is sent to ${exchange.code}: ${reason}` };
    }
    const round = await fetchRound(options);
    pages += round.pages;
    reason = round.closed;
    if (reason !== undefined) {
      await writer.drain();
      await store.giveBack(batchId, exchange.code);
    } else {
      if (fetcher.state.breaker === "closed") closedSince = undefined;
      if (round.isQueueEmpty) break;
    }
  }
  return { pages, givenUp: undefined };
}

interface Round {
  readonly pages: number;
  readonly isQueueEmpty: boolean;
  /** Why nothing may be sent any more. */
  readonly closed: string | undefined;
}

/** All fetchers until the queue is empty; while the exchange is on probation, one of them with one market. */
async function fetchRound(options: FetchingOptions): Promise<Round> {
  const { served: { exchange, fetcher }, writer, maxWorkers, ending } = options;
  const isProbe = fetcher.state.breaker !== "closed";
  const claims = new Claims(options, isProbe ? 1 : MOST_CLAIMED);
  const broken = new AbortController();
  const stop: Ending = {
    soon: AbortSignal.any([ending.soon, broken.signal]),
    now: AbortSignal.any([ending.now, broken.signal]),
  };
  const atOnce = new Gate(() => Math.min(maxWorkers, fetcher.usefulRequestsAtOnce));
  let pages = 0;
  let closed: string | undefined;

  const work = async () => {
    do {
      using _ = await atOnce.enter();
      const market = stop.soon.aborted ? undefined : await claims.next();
      if (market === undefined || stop.soon.aborted) return;
      writer.begin(market.marketId);
      const { fiat, asset, side } = market;
      await inSpan(
        "market",
        { exchange: exchange.code, fiat, asset, side },
        () =>
          fetchMarket(market, exchange, fetcher, (page) => {
            pages++;
            atOnce.lookAgain();
            return writer.add(page);
          }, stop),
      );
    } while (!isProbe && closed === undefined && !stop.soon.aborted);
  };
  // A fetcher that cannot go on (the database is lost, say) stops all; being stopped is no failure.
  const guarded = () =>
    work().catch((error) => {
      if (error instanceof ExchangeClosed) closed ??= error.reason;
      else if (!stop.now.aborted) broken.abort(error);
    });
  await Promise.all(Array.from({ length: isProbe ? 1 : maxWorkers }, guarded));
  broken.signal.throwIfAborted();
  return { pages, closed, isQueueEmpty: claims.isEmpty };
}

/** Whether the exchange may be asked again within so many milliseconds, and before the signal. */
export async function isReadyWithin(
  milliseconds: number,
  fetcher: Fetcher,
  clock: Clock,
  signal: AbortSignal,
): Promise<boolean> {
  const enough = new AbortController();
  const either = AbortSignal.any([signal, enough.signal]);
  const timer = clock.sleep(Math.max(milliseconds, 0), either)
    .catch(() => {})
    .then(() => enough.abort());
  try {
    await fetcher.ready(either);
    return true;
  } catch (error) {
    if (!either.aborted) throw error;
    return false;
  } finally {
    enough.abort();
    await timer;
  }
}

/**
 * Lets so many in at once as the limit says at the moment. Markets that are fetched at once share the rate: more of them
 * than it takes would make each last longer, and the largest is never read to its end before the deadline.
 */
class Gate {
  #inside = 0;
  #waiting: (() => void)[] = [];

  constructor(readonly limit: () => number) {}

  async enter(): Promise<Disposable> {
    while (this.#inside >= this.limit()) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#inside++;
    return {
      [Symbol.dispose]: () => {
        this.#inside--;
        this.lookAgain();
      },
    };
  }

  /** The limit may have changed. */
  lookAgain(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** What one call claims is to last so long, since the fetchers wait for it; no longer, since it is out of reach for others. */
const CLAIM_LASTS_MILLISECONDS = 250;
const MOST_CLAIMED = 100;

/** Hands out the markets of the queue: as many a call as fetchers wait for, and more where those are gone in no time. */
class Claims {
  #ready: ClaimedMarket[] = [];
  #claiming: Promise<void> | undefined;
  #waiting = 0;
  #count = 0;
  #claimedAt = -Infinity;
  isEmpty = false;

  constructor(readonly options: FetchingOptions, readonly most: number) {}

  async next(): Promise<ClaimedMarket | undefined> {
    this.#waiting++;
    while (this.#ready.length === 0 && !this.isEmpty) {
      this.#claiming ??= this.#claim();
      await this.#claiming;
    }
    this.#waiting--;
    return this.#ready.shift();
  }

  async #claim(): Promise<void> {
    const { batchId, served: { exchange }, store, clock } = this.options;
    await Promise.resolve(); // who asks in the same turn is counted
    try {
      const wasShort = clock.now() - this.#claimedAt < CLAIM_LASTS_MILLISECONDS;
      this.#count = Math.max(this.#waiting, Math.floor(this.#count * (wasShort ? 2 : 0.5)));
      this.#count = Math.min(this.#count, this.most);
      this.#ready = await store.claimMarkets(batchId, exchange.code, this.#count);
      this.#claimedAt = clock.now();
      this.isEmpty = this.#ready.length === 0;
    } finally {
      this.#claiming = undefined;
    }
  }
}
