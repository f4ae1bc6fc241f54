/** Retries for each new request, in the long run. */
const SHARE = 0.2;
/** So many are always there at first, for the fault that comes alone. */
const RESERVE = 10;

/**
 * Retries are for faults that come alone. When failure is widespread they would only add load, so they may not be more
 * than a fifth of the recent requests and a small reserve.
 */
export class RetryBudget {
  #retries: number;
  readonly #most: number;

  /** @param maxRetries of one request, which the reserve always covers */
  constructor(maxRetries: number) {
    this.#retries = Math.max(RESERVE, maxRetries);
    this.#most = 2 * this.#retries;
  }

  /** A new request was sent. */
  earn(): void {
    this.#retries = Math.min(this.#retries + SHARE, this.#most);
  }

  /** @returns whether a retry may be made; then it is taken from the budget */
  spend(): boolean {
    if (this.#retries < 1) return false;
    this.#retries -= 1;
    return true;
  }
}
