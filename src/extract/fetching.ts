import type { Alerts } from "../alerts.ts";
import { PATIENCE } from "../deadlines.ts";
import { ExchangeClosed } from "./access.ts";
import type { BatchStore } from "./batch_store.ts";
import type { ClaimedMarket } from "./batch_types.ts";
import type { Clock } from "./clock.ts";
import { type Ending, fetchMarket } from "./market.ts";
import type { PageWriter } from "./page_writer.ts";
import type { ServedExchange } from "./presence.ts";

export interface FetchingOptions {
  readonly batchId: string;
  readonly served: ServedExchange;
  readonly store: BatchStore;
  readonly writer: PageWriter;
  readonly alerts: Alerts;
  readonly clock: Clock;
  /** Markets at once. */
  readonly maxWorkers: number;
  readonly ending: Ending;
}

/**
 * Fetches markets of one exchange until the queue has none for us, or fetching ends. An exchange that is closed gets its
 * markets handed back, and is waited for.
 * @returns why it was given up, if it was
 */
export async function fetchExchange(options: FetchingOptions): Promise<string | undefined> {
  const { batchId, served, store, writer, alerts, clock, ending } = options;
  const { exchange, fetcher } = served;
  let closedSince: number | undefined;
  while (!ending.soon.aborted) {
    const round = await fetchRound(options);
    if (round.pages > 0) closedSince = undefined;
    if (round.closed === undefined) {
      if (fetcher.state.breaker === "closed") {
        alerts.resolve("breaker_open", `${exchange.code} answers again`, exchange.code);
        if (round.isQueueEmpty) return undefined;
      }
      if (round.isQueueEmpty) return undefined;
      continue; // the probe went well: on with all fetchers
    }
    alerts.raise("breaker_open", `${exchange.code}: ${round.closed}`, exchange.code);
    await writer.drain();
    await store.giveBack(batchId, exchange.code);
    closedSince ??= clock.now();
    const left = closedSince + PATIENCE.closedExchangeSeconds * 1000 - clock.now();
    if (!await isReadyWithin(left, options)) return ending.soon.aborted ? undefined : round.closed;
  }
  return undefined;
}

interface Round {
  readonly pages: number;
  readonly isQueueEmpty: boolean;
  /** Why nothing may be sent. */
  readonly closed: string | undefined;
}

/** All fetchers until the queue is empty; while the exchange is on probation, one of them with one market. */
async function fetchRound(options: FetchingOptions): Promise<Round> {
  const { served: { exchange, fetcher }, writer, maxWorkers, ending } = options;
  const isProbe = fetcher.state.breaker !== "closed";
  const claims = new Claims(options, isProbe ? 1 : maxWorkers);
  const broken = new AbortController();
  const stop: Ending = {
    soon: AbortSignal.any([ending.soon, broken.signal]),
    now: AbortSignal.any([ending.now, broken.signal]),
  };
  let pages = 0;
  let closed: string | undefined;

  const work = async () => {
    do {
      const market = await claims.next();
      if (market === undefined || stop.soon.aborted) return;
      writer.begin(market.marketId);
      await fetchMarket(market, exchange, fetcher, (page) => {
        pages++;
        return writer.add(page);
      }, stop);
    } while (!isProbe && closed === undefined && !stop.soon.aborted);
  };
  // A fetcher that cannot go on (the database is lost, say) stops all; being stopped is no failure.
  const guarded = () =>
    work().catch((error) => {
      if (error instanceof ExchangeClosed) closed ??= error.message;
      else if (!stop.now.aborted) broken.abort(error);
    });
  await Promise.all(Array.from({ length: isProbe ? 1 : maxWorkers }, guarded));
  broken.signal.throwIfAborted();
  return { pages, closed, isQueueEmpty: claims.isEmpty || ending.soon.aborted };
}

/** Whether the exchange may be asked again within so many milliseconds, and before fetching ends. */
async function isReadyWithin(
  milliseconds: number,
  { served, clock, ending }: FetchingOptions,
): Promise<boolean> {
  const enough = new AbortController();
  const either = AbortSignal.any([ending.soon, enough.signal]);
  const timer = clock.sleep(milliseconds, either).catch(() => {}).then(() => enough.abort());
  try {
    await served.fetcher.ready(either);
    return !either.aborted;
  } catch (error) {
    if (!either.aborted) throw error;
    return false;
  } finally {
    enough.abort();
    await timer;
  }
}

/** Seconds of work to claim ahead; what is claimed is out of reach for other workers. */
const CLAIM_AHEAD_SECONDS = 0.5;

/** Hands out the markets of the queue: as many a call as fetchers wait, or as the rate allows for in a moment. */
class Claims {
  #ready: ClaimedMarket[] = [];
  #claiming: Promise<void> | undefined;
  #waiting = 0;
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
    const { batchId, served: { exchange, fetcher }, store } = this.options;
    await Promise.resolve(); // who asks in the same turn is counted
    try {
      const ahead = Math.ceil(fetcher.state.ratePerMinute / 60 * CLAIM_AHEAD_SECONDS);
      const count = Math.min(this.most, Math.max(this.#waiting, ahead));
      this.#ready = await store.claimMarkets(batchId, exchange.code, count);
      this.isEmpty = this.#ready.length === 0;
    } finally {
      this.#claiming = undefined;
    }
  }
}
