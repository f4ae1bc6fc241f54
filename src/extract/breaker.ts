import {
  CircuitState,
  ConsecutiveBreaker,
  CountBreaker,
  ExponentialBackoff,
  type IBackoff,
  noJitterGenerator,
} from "cockatiel";
import { z } from "zod";
import { type BreakerState, ExchangeClosed, type RememberedAccess } from "./access.ts";
import type { Clock } from "./clock.ts";

/** The right to try; given back with its outcome. One that was given out before the state changed says nothing. */
export interface Pass {
  /** Its outcome decides whether the exchange is open again. */
  readonly isProbe: boolean;
}

const FAILURES_IN_A_ROW = 10;
/** By number instead of by time: a minute at the lowest rate holds too few to judge, one at the highest very many. */
const WIDESPREAD = { size: 40, minimumNumberOfCalls: 20, threshold: 0.499 };
const OPEN_TIMES = new ExponentialBackoff({
  generator: noJitterGenerator,
  initialDelay: 10_000,
  maxDelay: 300_000,
});

const memorySchema = z.object({
  /** Failures in a row, while closed. */
  failures: z.int().min(0).max(FAILURES_IN_A_ROW),
  /** Times it opened without having closed since. */
  openings: z.int().min(0).max(1000),
  secondsLeft: z.number().min(0).max(300),
});

export type BreakerMemory = z.output<typeof memorySchema>;

/**
 * Sends nothing to an exchange that only fails. cockatiel's parts decide when it opens and for how long; its own policy
 * is not used since it asks `Date.now()` instead of a clock, and takes a probe that was cut short for a good one.
 */
export class Breaker {
  /** One for all while closed; another one after each change, so that what comes late is known. */
  #pass: Pass = { isProbe: false };
  #state: BreakerState = "closed";
  #reason: string | undefined;
  #inARow = new ConsecutiveBreaker(FAILURES_IN_A_ROW);
  #widespread = new CountBreaker(WIDESPREAD);
  #openings = 0;
  #openUntil = 0;
  #openTime: IBackoff<unknown> | undefined;
  #decision = Promise.withResolvers<void>();
  #interrupt = new AbortController();

  constructor(readonly exchange: string, readonly clock: Clock, remembered?: RememberedAccess) {
    const memory = memorySchema.safeParse(remembered?.breakerMemory).data;
    if (remembered === undefined || memory === undefined) return;
    this.#inARow.state = memory.failures;
    if (remembered.breaker === "closed" || memory.openings === 0) return;
    for (let opening = 1; opening < memory.openings; opening++) this.#lengthen();
    this.#open(remembered.breakerReason ?? "it failed before this start");
    this.#openUntil = clock.now() + Math.max(0, memory.secondsLeft - remembered.secondsAgo) * 1000;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Why it is not closed. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** What is thrown while open. */
  get error(): ExchangeClosed {
    return new ExchangeClosed(this.exchange, this.#reason ?? "", this.#secondsLeft);
  }

  get memory(): BreakerMemory {
    return {
      failures: this.#state === "closed" ? this.#inARow.state : 0,
      openings: this.#openings,
      secondsLeft: this.#secondsLeft,
    };
  }

  /** Aborted with ExchangeClosed when it opens; another one after that. */
  get interrupted(): AbortSignal {
    return this.#interrupt.signal;
  }

  /**
   * The right to send, at once while closed. After the open time the first one becomes the probe; others wait for its
   * outcome.
   * @throws {ExchangeClosed} while open
   */
  async admit(signal: AbortSignal): Promise<Pass> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#state === "closed") return this.#pass;
      if (this.#state === "open") {
        if (this.#secondsLeft > 0) throw this.error;
        this.#become("half_open", { isProbe: true });
        return this.#pass;
      }
      await unlessAborted(this.#decision.promise, signal);
    }
  }

  /** Resolves at once while closed, else when the next probe may be sent. */
  async ready(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#state === "closed" || (this.#state === "open" && this.#secondsLeft <= 0)) return;
      if (this.#state === "open") {
        await this.clock.sleep(this.#secondsLeft * 1000, signal);
      } else {
        await unlessAborted(this.#decision.promise, signal);
      }
    }
  }

  /** @returns whether that closed it */
  succeeded(pass: Pass): boolean {
    if (pass !== this.#pass) return false;
    this.#inARow.success();
    if (!pass.isProbe) {
      this.#widespread.success(CircuitState.Closed);
      return false;
    }
    this.#widespread = new CountBreaker(WIDESPREAD);
    this.#openings = 0;
    this.#openTime = undefined;
    this.#reason = undefined;
    this.#become("closed", { isProbe: false });
    return true;
  }

  failed(pass: Pass, reason: string): void {
    if (pass !== this.#pass) return;
    if (pass.isProbe) return this.#open(reason);
    const failures = [this.#inARow.failure(), this.#widespread.failure(CircuitState.Closed)];
    if (!failures.includes(true)) return;
    this.#open(reason);
  }

  /** Not tried, or cut short: somebody else may probe. */
  withdrawn(pass: Pass): void {
    if (pass.isProbe && pass === this.#pass) this.#become("open", { isProbe: false });
  }

  /** Sends everybody away who waits to send, without opening. */
  sendAway(error: ExchangeClosed): void {
    this.#interrupt.abort(error);
    this.#interrupt = new AbortController();
  }

  #open(reason: string): void {
    this.#lengthen();
    this.#reason = reason;
    this.#inARow.state = 0;
    this.#openUntil = this.clock.now() + (this.#openTime?.duration ?? 0);
    this.#become("open", { isProbe: false });
    this.sendAway(this.error);
  }

  #lengthen(): void {
    this.#openings++;
    this.#openTime = (this.#openTime ?? OPEN_TIMES).next(undefined);
  }

  #become(state: BreakerState, pass: Pass): void {
    this.#state = state;
    this.#pass = pass;
    this.#decision.resolve();
    this.#decision = Promise.withResolvers();
  }

  get #secondsLeft(): number {
    return this.#state === "open" ? Math.max(0, this.#openUntil - this.clock.now()) / 1000 : 0;
  }
}

function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  return Promise.race([promise, aborted.promise]).finally(() =>
    signal.removeEventListener("abort", abort)
  );
}
