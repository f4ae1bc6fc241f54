import type { Clock } from "./clock.ts";

/** One bucket for all requests of the process: `burst` at once, then `perMinute`. */
export class TokenBucket {
  readonly #tokensPerMillisecond: number;
  #tokens: number;
  #refilledAt: number;
  #pausedUntil = 0;
  /** Takers wait for one another, so that they are served in order. */
  #line: Promise<void> = Promise.resolve();

  constructor(perMinute: number, readonly burst: number, readonly clock: Clock) {
    this.#tokensPerMillisecond = perMinute / 60_000;
    this.#tokens = burst;
    this.#refilledAt = clock.now();
  }

  /**
   * Waits until a request may be sent. Rejects with the signal's reason when that comes first; who stands
   * behind others in the line learns of it when its turn comes, and takes nothing.
   */
  take(signal?: AbortSignal): Promise<void> {
    const turn = this.#line.then(() => this.#takeInTurn(signal));
    this.#line = turn.catch(() => {});
    return turn;
  }

  /** Sends nothing for so long: the exchange asked for it (`Retry-After`). */
  pause(milliseconds: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.clock.now() + milliseconds);
  }

  async #takeInTurn(signal?: AbortSignal): Promise<void> {
    for (;;) {
      signal?.throwIfAborted();
      this.#refill();
      const pause = this.#pausedUntil - this.clock.now();
      if (pause <= 0 && this.#tokens >= 1) break;
      await this.clock.sleep(
        Math.max(pause, (1 - this.#tokens) / this.#tokensPerMillisecond, 1),
        signal,
      );
    }
    this.#tokens -= 1;
  }

  #refill(): void {
    const now = this.clock.now();
    this.#tokens = Math.min(
      this.burst,
      this.#tokens + (now - this.#refilledAt) * this.#tokensPerMillisecond,
    );
    this.#refilledAt = now;
  }
}
