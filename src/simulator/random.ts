/**
 * Randomness without state. Everything the simulated market shows is `hash(seed, salt, …)` of what it
 * is about, so any moment can be computed on its own and twice the same.
 */

/** Keeps the uses of one number apart; the values mean nothing. */
export const SALT = {
  layout: 1,
  life: 2,
  phase: 3,
  owner: 4,
  price: 5,
  reprice: 6,
  amount: 7,
  limits: 8,
  methods: 9,
  advNo: 10,
  name: 11,
  rename: 12,
  tier: 13,
  activity: 14,
  walk: 15,
  promoted: 16,
  total: 17,
  malformed: 18,
  awkward: 19,
  request: 20,
  day: 21,
  user: 22,
  catalogue: 23,
  featured: 24,
} as const;

function mix(state: number, value: number): number {
  let k = Math.imul(value | 0, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const h = state ^ k;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

/** A well mixed number of 32 bits, 0 ≤ result < 2³², from up to five numbers (MurmurHash3). */
export function hash(seed: number, salt: number, a: number, b = 0, c = 0): number {
  let h = mix(mix(mix(mix(mix(0x9e3779b9, seed), salt), a), b), c);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The same as a fraction, 0 ≤ result < 1. */
export function unit(seed: number, salt: number, a: number, b = 0, c = 0): number {
  return hash(seed, salt, a, b, c) / 0x1_0000_0000;
}

/** The element that `fraction` (0 ≤ fraction < 1) points at. */
export function pick<T>(list: readonly T[], fraction: number): T {
  const found = list[Math.floor(fraction * list.length)];
  if (found === undefined) throw new RangeError("pick from an empty list");
  return found;
}

/** A smooth curve through random points one `period` apart, −1 < result < 1. */
function curve(seed: number, key: number, octave: number, time: number, period: number): number {
  const at = time / period;
  const left = Math.floor(at);
  const x = at - left;
  const from = unit(seed, SALT.walk, key, octave, left);
  const to = unit(seed, SALT.walk, key, octave, left + 1);
  return 2 * (from + (to - from) * x * x * (3 - 2 * x)) - 1;
}

/**
 * A price that wanders slowly around 1: some 3 % within days, 0.6 % within hours, 0.1 % within minutes.
 * @param key which walk, e.g. the number of a fiat
 * @param tick the time, in ticks of about 30 s
 */
export function walk(seed: number, key: number, tick: number): number {
  return 1 + 0.03 * curve(seed, key, 0, tick, 4320) +
    0.006 * curve(seed, key, 1, tick, 480) + 0.001 * curve(seed, key, 2, tick, 20);
}
