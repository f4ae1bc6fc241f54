import type { FetchedPage, LostPage, StoreOutcome } from "./batch_types.ts";

export type Stage = "starting" | "discovering" | "waiting" | "fetching" | "loading" | "done";

/** What a batch has done so far; the terminal, logs and metrics read it. */
export class Progress {
  stage: Stage = "starting";
  marketsExpected = 0;
  marketsEnded = 0;
  pages = 0;
  bytes = 0;
  /** Items on stored pages; some may turn out to be repetitions, or no offers. */
  offers = 0;
  lostPages = 0;
  /** When the stage began, in milliseconds of `now`. */
  readonly stageBegan: Partial<Record<Stage, number>> = {};

  constructor(readonly now: () => number) {}

  enter(stage: Stage, marketsExpected?: number): void {
    if (stage === this.stage) return;
    this.stage = stage;
    this.stageBegan[stage] = this.now();
    if (marketsExpected !== undefined) this.marketsExpected = marketsExpected;
  }

  count(page: FetchedPage | LostPage, outcome: StoreOutcome): void {
    if (page.endsMarket) this.marketsEnded++;
    if ("body" in page && outcome !== "unreadable") {
      this.pages++;
      this.offers += page.items;
      this.bytes += page.body.bytes;
    } else {
      this.lostPages++;
    }
  }

  /** Seconds between the beginnings of two stages, or until now. */
  secondsOf(stage: Stage, next: Stage): number {
    const began = this.stageBegan[stage];
    return began === undefined ? 0 : ((this.stageBegan[next] ?? this.now()) - began) / 1000;
  }
}
