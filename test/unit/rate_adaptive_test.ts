// How the rate moves: what it learns from, and what it makes of it.
import assert from "node:assert/strict";
import type { RememberedAccess } from "../../src/extract/access.ts";
import { type Permit, RateLimiter, type RateOptions } from "../../src/extract/rate_limiter.ts";
import { FakeClock } from "../support/fake_clock.ts";

const RATE: RateOptions = {
  initialPerMinute: 100,
  minPerMinute: 10,
  maxPerMinute: 2000,
  burst: 20,
  backoffFactor: 0.5,
};

interface Scene {
  readonly clock: FakeClock;
  readonly limiter: RateLimiter;
  take(): Promise<Permit>;
  /** Sends as fast as it may, and all is well. */
  work(seconds: number): Promise<void>;
  rate(): number;
}

function scene(options?: Partial<RateOptions>, remembered?: RememberedAccess): Scene {
  const clock = new FakeClock({ skips: true });
  const limiter = new RateLimiter({ ...RATE, ...options }, clock, remembered);
  const work = async (seconds: number) => {
    const end = clock.now() + seconds * 1000;
    while (clock.now() < end) limiter.accepted(await limiter.take());
  };
  return { clock, limiter, take: () => limiter.take(), work, rate: () => limiter.ratePerMinute };
}

/** A limiter that knows its ceiling: 200 a minute, refused there a while ago. */
function settled(): Scene {
  const remembered = { ratePerMinute: 190, ceilingPerMinute: 200, secondsAgo: 60 };
  return scene({}, { ...remembered, ...CLOSED });
}

const CLOSED = { breaker: "closed", breakerReason: undefined, breakerMemory: null } as const;

function near(actual: number | undefined, expected: number, tolerance = 0.02): void {
  assert(
    actual !== undefined && Math.abs(actual - expected) <= expected * tolerance,
    `${actual} is not near ${expected}`,
  );
}

Deno.test("without a ceiling the rate grows by the initial rate a minute, up to the maximum", async () => {
  const { work, rate, limiter } = scene({ maxPerMinute: 350 });
  await work(12); // the burst
  const before = rate();
  await work(60);
  near(rate(), before + 100);
  await work(600);
  assert.equal(rate(), 350);
  assert.equal(limiter.ceilingPerMinute, undefined);
});

Deno.test("a rate that is not used learns nothing", async () => {
  const { clock, limiter, rate, take } = scene();
  for (let i = 0; i < 500; i++) {
    limiter.accepted(await take());
    await clock.sleep(1000); // a slow database: 60 a minute
  }
  assert.equal(rate(), 100);
});

Deno.test("a refusal cuts the rate once, whatever was on its way", async () => {
  const { limiter, rate, take, work } = scene();
  await work(120);
  const flight = await Promise.all(Array.from({ length: 8 }, take));
  const before = rate();
  const news = flight.map((permit) => limiter.refused(permit));
  assert.equal(rate(), before / 2);
  assert.deepEqual(news, [true, ...Array.from({ length: 7 }, () => false)]);
  limiter.accepted(await take());
  limiter.refused(await take());
  near(rate(), before / 4, 0.05);
});

Deno.test("refused again before anything was taken, the rate is not cut again; the pauses grow", async () => {
  const { clock, limiter, rate, take } = scene();
  limiter.refused(await take());
  for (const seconds of [1, 2, 4, 8, 10, 10]) {
    near(limiter.pausedSeconds, seconds);
    const paused = clock.now();
    const permit = await take();
    assert(clock.now() - paused >= seconds * 1000);
    limiter.refused(permit);
  }
  assert.equal(rate(), 50);
});

Deno.test("never below the minimum", async () => {
  const { limiter, rate, take } = scene();
  for (let i = 0; i < 20; i++) {
    limiter.refused(await take());
    limiter.accepted(await take());
  }
  assert(rate() >= 10 && rate() < 15, `${rate()}`);
});

Deno.test("a time-out cuts, but pauses nothing", async () => {
  const { limiter, rate, take } = scene();
  limiter.timedOut(await take());
  assert.equal(rate(), 50);
  assert.equal(limiter.pausedSeconds, 0);
});

Deno.test("the ceiling is what was taken within the minute; back to just below it in seconds, then on slowly", async () => {
  const { limiter, rate, take, work } = scene();
  await work(150); // the rate runs ahead of what a minute has seen
  limiter.refused(await take());
  const ceiling = limiter.ceilingPerMinute ?? 0;
  assert(ceiling < rate() * 2 * 0.95, "less than the rate at that moment");
  await work(25);
  near(rate(), 0.95 * ceiling, 0.001);
  await work(270);
  near(rate(), 0.95 * ceiling, 0.001);
  await work(30 + 60);
  assert(rate() > 0.95 * ceiling && rate() < 0.99 * ceiling, `${rate() / ceiling}`);
});

Deno.test("a ceiling that was passed without a refusal is forgotten, and the rate grows on", async () => {
  const { limiter, rate, work } = settled();
  await work(8 * 60);
  assert.equal(limiter.ceilingPerMinute, undefined);
  await work(120);
  assert(rate() > 300, `${rate()}`);
});

Deno.test("one refusal well below the ceiling is chance, a second one within the minute is not", async () => {
  const { limiter, take, work } = settled();
  await work(30);
  limiter.refused(await take());
  assert.equal(limiter.ceilingPerMinute, 200);
  await work(20);
  limiter.refused(await take());
  assert((limiter.ceilingPerMinute ?? 0) < 190, `${limiter.ceilingPerMinute}`);
});

Deno.test("what an incident cost decides how long the rate stays where it is safe", async () => {
  const { limiter, rate, take, work } = settled();
  limiter.refused(await take(), 60);
  await work(60 + 19 * 60);
  near(rate(), 190, 0.001);
  await work(5 * 60);
  assert(rate() > 191, `${rate()}`);
});

Deno.test("a burst does not come on top of a full minute", async () => {
  const { clock, limiter, take } = scene({ maxPerMinute: 100 });
  const times: number[] = [];
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 130; i++) {
      limiter.accepted(await take());
      times.push(clock.now());
    }
    await clock.sleep(round * 3000); // tokens gather meanwhile
  }
  for (let i = 0; i + 100 < times.length; i++) {
    const took = (times[i + 100] ?? 0) - (times[i] ?? 0);
    assert(took >= 59_999, `101 within ${took} ms`);
  }
});

Deno.test("a burst that was refused says nothing about the ceiling: the next one is smaller", async () => {
  const unsettled = scene();
  unsettled.limiter.refused(await unsettled.take());
  assert.equal(unsettled.limiter.ceilingPerMinute, undefined);

  const { clock, limiter, take, work, rate } = settled();
  await clock.sleep(60_000);
  limiter.refused((await Promise.all(Array.from({ length: 20 }, take)))[12] ?? await take());
  assert.equal(limiter.ceilingPerMinute, 200);
  await work(60);
  near(rate(), 190, 0.001);
  await clock.sleep(60_000);
  const began = clock.now();
  for (let i = 0; i < 10; i++) await take();
  assert.equal(clock.now(), began, "ten at once");
  await take();
  assert(clock.now() > began);
});

Deno.test("after a pause requests go out one by one", async () => {
  const { clock, limiter, take } = scene();
  limiter.refused(await take(), 30);
  await clock.sleep(300_000); // long over: there would be a whole burst again
  limiter.pause(1);
  await take();
  const began = clock.now();
  await take();
  near(clock.now() - began, 60_000 / 50);
});

for (
  const [title, remembered, rate, ceiling] of [
    ["of a minute ago", { ratePerMinute: 290, ceilingPerMinute: 313, secondsAgo: 60 }, 290, 313],
    [
      "of yesterday",
      { ratePerMinute: 300, ceilingPerMinute: 313, secondsAgo: 86_401 },
      200,
      undefined,
    ],
    [
      "of last year",
      { ratePerMinute: 300, ceilingPerMinute: 313, secondsAgo: 3e7 },
      100,
      undefined,
    ],
    [
      "above the maximum",
      { ratePerMinute: 9000, ceilingPerMinute: undefined, secondsAgo: 0 },
      2000,
      undefined,
    ],
    ["below the minimum", { ratePerMinute: 1, ceilingPerMinute: 2, secondsAgo: 0 }, 10, 2],
    [
      "written in the future",
      { ratePerMinute: 290, ceilingPerMinute: 313, secondsAgo: -60 },
      290,
      313,
    ],
  ] as const
) {
  Deno.test(`a rate ${title} is remembered as ${rate}`, () => {
    const { limiter } = scene({}, { ...remembered, ...CLOSED });
    near(limiter.ratePerMinute, rate, 0.001);
    assert.equal(limiter.ceilingPerMinute, ceiling);
  });
}

Deno.test("after a restart within a minute no burst goes out", async () => {
  const remembered = { ratePerMinute: 120, ceilingPerMinute: undefined, secondsAgo: 3, ...CLOSED };
  const { clock, take } = scene({}, remembered);
  await take();
  const began = clock.now();
  await take();
  near(clock.now() - began, 500);
});
