import assert from "node:assert/strict";
import { describeProgress } from "../../src/cli/progress_report.ts";
import type { FetchedPage, LostPage } from "../../src/extract/batch_types.ts";
import { Progress, type Stage } from "../../src/extract/progress.ts";

const good = (items: number, endsMarket = false) =>
  ({ items, endsMarket, body: { bytes: 1000 } }) as FetchedPage;
const bad = (endsMarket: boolean) => ({ endsMarket, kind: "timeout" }) as LostPage;

/** A batch that has been fetching `markets` markets for `seconds`. */
function fetching(expected: number, seconds: number, ended: number, offers = 0): Progress {
  let now = 0;
  const progress = new Progress(() => now);
  progress.enter("fetching", expected);
  now = seconds * 1000;
  for (let i = 0; i < ended; i++) progress.count(good(i === 0 ? offers : 0, true), "stored");
  return progress;
}

for (
  const [title, progress, requests, text] of [
    [
      "the middle",
      fetching(1900, 120, 475, 12_345),
      1200,
      "fetching 475/1,900 markets · 12,345 offers · 600 requests/min · 0 errors · 6 min left",
    ],
    [
      "nothing yet",
      fetching(1900, 0, 0),
      0,
      "fetching 0/1,900 markets · 0 offers · 0 requests/min · 0 errors",
    ],
    [
      "the first second",
      fetching(10, 0.01, 1),
      5,
      "fetching 1/10 markets · 0 offers · 300 requests/min · 0 errors · 1 s left",
    ],
    [
      "no markets",
      fetching(0, 5, 0),
      0,
      "fetching 0/0 markets · 0 offers · 0 requests/min · 0 errors",
    ],
    [
      "the end",
      fetching(3, 60, 3),
      3,
      "fetching 3/3 markets · 0 offers · 3 requests/min · 0 errors · 0 s left",
    ],
    [
      "more than expected",
      fetching(3, 60, 4),
      4,
      "fetching 4/3 markets · 0 offers · 4 requests/min · 0 errors · 0 s left",
    ],
    [
      "89 s left",
      fetching(2, 89, 1),
      0,
      "fetching 1/2 markets · 0 offers · 0 requests/min · 0 errors · 89 s left",
    ],
    [
      "90 s left",
      fetching(2, 90, 1),
      0,
      "fetching 1/2 markets · 0 offers · 0 requests/min · 0 errors · 2 min left",
    ],
  ] as const
) {
  Deno.test(`progress: ${title}`, () => assert.equal(describeProgress(progress, requests), text));
}

for (const stage of ["starting", "discovering", "waiting", "loading", "done"] as Stage[]) {
  Deno.test(`progress: ${stage}`, () => {
    const progress = new Progress(() => 0);
    progress.enter(stage);
    assert.equal(describeProgress(progress, 99), `${stage} …`);
  });
}

Deno.test("pages, offers and bytes count where they are stored; what is lost is an error", () => {
  const progress = new Progress(() => 0);
  progress.count(good(20), "stored");
  progress.count(good(7, true), "already");
  progress.count(good(20), "unreadable");
  progress.count(bad(false), "lost");
  progress.count(bad(true), "lost");
  const { pages, offers, bytes, lostPages, marketsEnded } = progress;
  assert.deepEqual([pages, offers, bytes, lostPages, marketsEnded], [2, 27, 2000, 3, 2]);
});

Deno.test("stages: each begins once, and the time between two is known", () => {
  let now = 0;
  const progress = new Progress(() => now);
  assert.equal(progress.secondsOf("fetching", "loading"), 0);
  progress.enter("fetching", 5);
  progress.enter("fetching", 9);
  assert.equal(progress.marketsExpected, 5);
  now = 1500;
  assert.equal(progress.secondsOf("fetching", "loading"), 1.5);
  progress.enter("loading");
  now = 9000;
  assert.equal(progress.secondsOf("fetching", "loading"), 1.5);
  assert.equal(progress.marketsExpected, 5);
});
