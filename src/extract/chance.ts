/** The share of chance is learned from about so many of the last requests. */
const MEMORY_REQUESTS = 3000;
/** A refusal below the ceiling that follows no other within about a minute's requests is nothing yet. */
const SINGLE = 1.4;
/** Fewer requests say too little about a share. */
const LEAST_REQUESTS = 1000;
const DEVIATIONS = 3;

/**
 * Tells refusals that come by chance, whatever the rate, from those that come of a limit: their share is learned below
 * the ceiling, and only clearly more of them within a minute's requests says something. Pauses do not age anything.
 */
export class Chance {
  #requests = 0;
  #refusals = 0;
  /** Refusals within about a minute's requests, the latest counting most. */
  #recent = 0;

  accepted(perMinute: number, isBelowCeiling: boolean): void {
    this.#recent *= 1 - 1 / perMinute;
    if (isBelowCeiling) this.#learn(0);
  }

  /** @returns whether chance explains it */
  refused(perMinute: number, isBelowCeiling: boolean): boolean {
    this.#recent++;
    const expected = perMinute * this.#refusals / Math.max(this.#requests, LEAST_REQUESTS);
    const most = expected + DEVIATIONS * Math.sqrt(expected);
    const isChance = this.#recent <= Math.max(most, isBelowCeiling ? SINGLE : 0);
    if (!isChance) this.#recent = 0; // what follows is judged anew
    else if (isBelowCeiling) this.#learn(1);
    return isChance;
  }

  #learn(refusals: number): void {
    const kept = 1 - 1 / MEMORY_REQUESTS;
    this.#requests = kept * this.#requests + 1;
    this.#refusals = kept * this.#refusals + refusals;
  }
}
