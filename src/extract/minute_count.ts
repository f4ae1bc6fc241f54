const SLOT_MILLISECONDS = 100;
/** A minute, and one more for the slot that is only partly over. */
const SLOTS = 60_000 / SLOT_MILLISECONDS + 1;

/** Counts what happened within the last 60 s: never too little, and at most for a slot too long. */
export class MinuteCount {
  readonly #slots = new Uint32Array(SLOTS);
  #newest = 0;
  #total = 0;

  total(now: number): number {
    this.#turnTo(now);
    return this.#total;
  }

  add(now: number): void {
    const slot = this.#turnTo(now) % SLOTS;
    this.#slots[slot] = (this.#slots[slot] ?? 0) + 1;
    this.#total++;
  }

  /** Takes back what was added at that time, if it still counts. */
  remove(at: number, now: number): void {
    const slot = Math.floor(at / SLOT_MILLISECONDS);
    if (this.#turnTo(now) - slot >= SLOTS) return;
    this.#slots[slot % SLOTS] = (this.#slots[slot % SLOTS] ?? 0) - 1;
    this.#total--;
  }

  /** When the oldest no longer counts. */
  nextChange(now: number): number {
    const newest = this.#turnTo(now);
    for (let slot = newest - SLOTS + 1; slot <= newest; slot++) {
      if (slot >= 0 && this.#slots[slot % SLOTS] !== 0) return (slot + SLOTS) * SLOT_MILLISECONDS;
    }
    return now;
  }

  #turnTo(now: number): number {
    const slot = Math.floor(now / SLOT_MILLISECONDS);
    for (let next = Math.max(this.#newest, slot - SLOTS) + 1; next <= slot; next++) {
      this.#total -= this.#slots[next % SLOTS] ?? 0;
      this.#slots[next % SLOTS] = 0;
    }
    return this.#newest = Math.max(this.#newest, slot);
  }
}
