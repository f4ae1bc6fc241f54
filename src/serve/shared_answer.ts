import type { Clock } from "../extract/clock.ts";

/** A failure holds no longer: what was gone may be back. */
const FAILURE_SECONDS = 1;

/**
 * One answer for all who ask within a time: asked for once at a time, by whoever comes first. A failure is shared likewise,
 * so that a thing that is gone is not asked for by everybody.
 */
export class SharedAnswer<T> {
  #answer: Promise<T> | undefined;
  #until = 0;

  /** @param seconds that an answer holds */
  constructor(readonly ask: () => Promise<T>, readonly seconds: number, readonly clock: Clock) {}

  get(): Promise<T> {
    if (this.#answer !== undefined && this.clock.now() < this.#until) return this.#answer;
    const answer = this.#answer = this.ask();
    this.#until = Infinity;
    const holds = (seconds: number) => () => {
      if (this.#answer === answer) this.#until = this.clock.now() + seconds * 1000;
    };
    answer.then(holds(this.seconds), holds(Math.min(this.seconds, FAILURE_SECONDS)));
    return answer;
  }

  /** It is not true any more: who comes next asks anew. */
  forget(): void {
    this.#answer = undefined;
  }
}

/** The same by a key, for the keys that were asked for last. */
export class SharedAnswers<T> {
  readonly #answers = new Map<string, SharedAnswer<T>>();

  constructor(readonly most: number, readonly seconds: number, readonly clock: Clock) {}

  get(key: string, ask: () => Promise<T>): Promise<T> {
    const known = this.#answers.get(key) ?? new SharedAnswer(ask, this.seconds, this.clock);
    this.#answers.delete(key);
    this.#answers.set(key, known);
    const [oldest] = this.#answers.keys();
    if (this.#answers.size > this.most && oldest !== undefined) this.#answers.delete(oldest);
    return known.get();
  }

  forget(): void {
    this.#answers.clear();
  }
}
