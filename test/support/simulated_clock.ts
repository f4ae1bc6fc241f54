import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../src/extract/clock.ts";

interface Sleeper {
  readonly wakesAt: number;
  /** Of sleepers that wake at once the first to lie down. */
  readonly order: number;
  readonly wake: () => void;
}

/** Time that passes as fast as the work between two moments is done: hours in seconds. */
export class SimulatedClock implements Clock {
  #now = 0;
  #order = 0;
  /** A heap: the next to wake comes first. */
  readonly #sleepers: Sleeper[] = [];

  constructor(readonly random: () => number) {}

  now(): number {
    return this.#now;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal?.reason);
      signal?.addEventListener("abort", abort, { once: true });
      const wake = () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      };
      this.#push({ wakesAt: this.#now + milliseconds, order: this.#order++, wake });
    });
  }

  /** Lets time pass until that moment; whoever wakes acts before time goes on. */
  async runUntil(milliseconds: number): Promise<void> {
    await setImmediate();
    for (let next = this.#sleepers[0]; next !== undefined; next = this.#sleepers[0]) {
      if (next.wakesAt > milliseconds) break;
      this.#pop();
      this.#now = Math.max(this.#now, next.wakesAt);
      next.wake();
      await setImmediate();
    }
    this.#now = milliseconds;
  }

  #push(sleeper: Sleeper): void {
    const heap = this.#sleepers;
    let at = heap.push(sleeper) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || isBefore(parent, sleeper)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = sleeper;
  }

  #pop(): void {
    const heap = this.#sleepers;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (isBefore(last, child)) break;
      heap[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    heap[at] = last;
  }
}

function isBefore(a: Sleeper, b: Sleeper): boolean {
  return a.wakesAt < b.wakesAt || (a.wakesAt === b.wakesAt && a.order < b.order);
}
