/** What a target found: the input breaks a promise. */
export interface Finding {
  /** The broken promise, without what differs from one input to the next: findings of one kind are told once. */
  readonly what: string;
  readonly detail: string;
  /** The smallest input that still breaks it. */
  readonly input: string;
}

/**
 * The smallest part of `list` that still fails, by leaving out halves, quarters and so on (Zeller's ddmin).
 * @param tries calls of `fails` at most
 */
export async function shrink<T>(
  list: readonly T[],
  fails: (part: readonly T[]) => Promise<boolean> | boolean,
  tries = 100,
): Promise<readonly T[]> {
  let smallest = list;
  let left = tries;
  for (let pieces = 2; smallest.length > 1 && left > 0;) {
    const size = Math.ceil(smallest.length / pieces);
    let found: readonly T[] | undefined;
    for (let from = 0; from < smallest.length && left > 0 && found === undefined; from += size) {
      const rest = [...smallest.slice(0, from), ...smallest.slice(from + size)];
      left--;
      if (await fails(rest)) found = rest;
    }
    if (found !== undefined) {
      smallest = found;
      pieces = Math.max(2, pieces - 1);
    } else if (size === 1) break;
    else pieces = Math.min(smallest.length, pieces * 2);
  }
  return smallest;
}
