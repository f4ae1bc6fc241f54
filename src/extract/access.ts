/** What one exchange lets this process do; the worker's heartbeat writes it down. */
export interface AccessState {
  readonly ratePerMinute: number;
  /** Where requests were refused last; undefined while that is unknown. */
  readonly ceilingPerMinute: number | undefined;
  /** How long nothing is sent yet, because the exchange asked for it. */
  readonly pausedSeconds: number;
  readonly breaker: BreakerState;
  /** Why it opened. */
  readonly breakerReason: string | undefined;
  /** JSON for the next process, given back in `RememberedAccess`. */
  readonly breakerMemory: unknown;
  /** All attempts of this process, retries included. */
  readonly requests: number;
  /** Answers that were a 429, a 403 or a challenge. */
  readonly refused: number;
  readonly retries: number;
}

export type BreakerState = "closed" | "open" | "half_open";

/** The access of an earlier process of the same name, as it was last written down. */
export interface RememberedAccess {
  readonly ratePerMinute: number;
  readonly ceilingPerMinute: number | undefined;
  readonly breaker: BreakerState;
  readonly breakerReason: string | undefined;
  readonly breakerMemory: unknown;
  readonly secondsAgo: number;
}

/** Nothing was sent, or nothing more: the breaker is open. What was asked for is nobody's fault and not lost. */
export class ExchangeClosed extends Error {
  override readonly name = "ExchangeClosed";

  /**
   * @param exchange its code
   * @param reason the failure that opened the breaker
   * @param retryInSeconds when the next probe may be sent
   */
  constructor(readonly exchange: string, readonly reason: string, readonly retryInSeconds: number) {
    super(`nothing is sent to ${exchange} for ${Math.ceil(retryInSeconds)} s: ${reason}`);
  }
}
