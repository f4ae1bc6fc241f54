import type { Clock } from "../extract/clock.ts";

const EVERY_MILLISECONDS = 1000;
const REMEMBERED = 15;

/** How late timers come: what keeps the event loop busy keeps everything else waiting. */
export class LoopLag {
  /** The latest ones, in milliseconds. */
  readonly #late: number[] = [];
  #expectedAt: number;

  constructor(readonly clock: Clock, signal: AbortSignal) {
    this.#expectedAt = clock.now() + EVERY_MILLISECONDS;
    this.#watch(signal);
  }

  /** The most in the last 15 seconds, the one that is due now included. */
  get seconds(): number {
    return Math.max(0, this.clock.now() - this.#expectedAt, ...this.#late) / 1000;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    for (;;) {
      this.#expectedAt = this.clock.now() + EVERY_MILLISECONDS;
      await this.clock.sleep(EVERY_MILLISECONDS, signal).catch(() => {});
      if (signal.aborted) return;
      this.#late.push(this.clock.now() - this.#expectedAt);
      if (this.#late.length > REMEMBERED) this.#late.shift();
    }
  }
}
