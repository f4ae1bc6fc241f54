import { LEASE } from "../deadlines.ts";
import { describe } from "../errors.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { MarketFilter } from "../exchange/market_filter.ts";
import { logger } from "../log.ts";
import type { BatchStore, Doing, WorkerIdentity } from "./batch_store.ts";
import type { Clock } from "./clock.ts";
import type { Fetcher } from "./fetcher.ts";

/** An exchange, and this process's way to it. */
export interface ServedExchange {
  readonly exchange: Exchange;
  readonly fetcher: Fetcher;
}

/** A worker id that no other process has or had. */
export function workerIdentity(
  name: string,
  version: string,
  purpose: WorkerIdentity["purpose"],
): WorkerIdentity {
  const random = crypto.getRandomValues(new Uint8Array(4)).toHex();
  return { id: `${name}:${Deno.pid}:${random}`, name, version, purpose };
}

/**
 * Tells the fleet that this worker lives, what it does, and what its exchanges allow. Silent for a lease it counts
 * as dead: its markets go to others, and with its next beat it is back.
 */
export class Presence implements AsyncDisposable {
  #doing: Doing = "idle";
  #isRegistered = false;
  #beatenAt: number;
  readonly #ended = new AbortController();
  readonly #beating: Promise<void>;

  constructor(
    readonly store: BatchStore,
    readonly served: readonly ServedExchange[],
    readonly filter: MarketFilter,
    readonly clock: Clock,
  ) {
    this.#beatenAt = clock.now();
    this.#beating = this.#beat();
  }

  /** When the heartbeat last came round, heard or not, by the clock. */
  get beatenAt(): number {
    return this.#beatenAt;
  }

  get doing(): Doing {
    return this.#doing;
  }

  /** Makes sure that the fleet knows this worker: who is not known cannot work. */
  async register(doing: Doing): Promise<void> {
    this.#doing = doing;
    await this.store.register(doing, this.#exchanges());
    this.#isRegistered = true;
  }

  /** The others learn of it at once if they can, at the latest with the next beat. */
  async enter(doing: Doing): Promise<void> {
    if (doing !== this.#doing) await this.tell(doing);
  }

  /** The same, also where only the exchanges have changed. */
  async tell(doing: Doing): Promise<void> {
    this.#doing = doing;
    try {
      await this.store.beat(this.#doing, this.#exchanges());
    } catch (error) {
      log.debug("a beat was not heard", { error: describe(error) });
    }
  }

  /** Stops beating, and gives back what this worker holds. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#beating;
    if (!this.#isRegistered) return;
    await this.store.leave().catch((error) =>
      log.debug("could not take leave", { error: describe(error) })
    );
  }

  async #beat(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      this.#beatenAt = this.clock.now();
      await this.clock.sleep(LEASE.renewSeconds * 1000, signal).catch(() => {});
      if (!signal.aborted && this.#isRegistered) await this.tell(this.#doing);
    }
  }

  #exchanges(): string {
    return JSON.stringify(this.served.map(({ exchange, fetcher }) => {
      const state = fetcher.state;
      return {
        exchange: exchange.code,
        filter: this.filter,
        rate_per_minute: state.ratePerMinute,
        ceiling_per_minute: state.ceilingPerMinute ?? null,
        paused_seconds: state.pausedSeconds,
        breaker: state.breaker,
        breaker_reason: state.breakerReason ?? null,
        breaker_memory: state.breakerMemory ?? null,
        requests: state.requests,
        refused: state.refused,
        retries: state.retries,
      };
    }));
  }
}

const log = logger("fleet");
