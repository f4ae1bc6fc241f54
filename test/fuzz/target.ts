import type { Finding } from "./shrink.ts";

export interface FuzzOptions {
  readonly cases: number;
  readonly seed: number;
  /** For files that inputs are made of. */
  readonly folder: string;
  readonly say: (line: string) => void;
}

export interface FuzzReport {
  readonly cases: number;
  readonly findings: readonly Finding[];
  /** How often what happened, to see that the inputs reach what they are meant for. */
  readonly seen: Readonly<Record<string, number>>;
}

export type FuzzTarget = (options: FuzzOptions) => Promise<FuzzReport>;

export class Tally {
  readonly counts: Record<string, number> = {};

  add(what: string, count = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + count;
  }
}
