import assert from "node:assert/strict";
import { RateLimiter } from "../../src/extract/rate_limiter.ts";
import { fixedRate } from "../support/rates.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

const MINUTE = 60_000;

/** Starts takers that note when they were served. */
function takers(limiter: RateLimiter, clock: FakeClock, count: number): number[] {
  const served: number[] = [];
  const began = clock.now();
  for (let i = 0; i < count; i++) limiter.take().then(() => served.push(clock.now() - began));
  return served;
}

Deno.test("a burst goes out at once, the next one token later", async () => {
  const clock = new FakeClock();
  const served = takers(new RateLimiter(fixedRate(60, 5), clock), clock, 8);
  await clock.advance(10_000);
  assert.deepEqual(served, [0, 0, 0, 0, 0, 1000, 2000, 3000]);
});

for (const [perMinute, burst, minutes] of [[100, 20, 60], [320, 20, 30], [7, 1, 240]] as const) {
  Deno.test(`${perMinute} a minute holds over ${minutes} minutes`, async () => {
    const clock = new FakeClock({ skips: true });
    const limiter = new RateLimiter(fixedRate(perMinute, burst), clock);
    const began = clock.now();
    const times: number[] = [];
    while (clock.now() - began < minutes * MINUTE) {
      await limiter.take();
      times.push(clock.now() - began);
    }
    const expected = perMinute * minutes + burst;
    assert(Math.abs(times.length - expected) <= expected * 0.005 + 1, `${times.length}`);
    for (let i = 0; i + perMinute + burst < times.length; i++) {
      const took = (times[i + perMinute + burst] ?? 0) - (times[i] ?? 0);
      assert(took >= MINUTE - 1, "no minute holds more than its number and a burst");
    }
  });
}

Deno.test("an idle limiter fills up to the burst and no further", async () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter(fixedRate(60, 3), clock);
  takers(limiter, clock, 3);
  await clock.advance(MINUTE * 60);
  const served = takers(limiter, clock, 5);
  await clock.advance(2000);
  assert.deepEqual(served, [0, 0, 0, 1000, 2000]);
});

Deno.test("takers are served in the order they came", async () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter(fixedRate(6000, 1), clock);
  const order: number[] = [];
  for (let i = 0; i < 50; i++) limiter.take().then(() => order.push(i));
  await settle();
  assert.equal(clock.sleeping, 1, "the first waits for the clock, the others for the first");
  await clock.advance(1000);
  assert.deepEqual(order, Array.from({ length: 50 }, (_, i) => i));
});

Deno.test("a pause stops everybody, those that wait already too", async () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter(fixedRate(60, 1), clock);
  const served = takers(limiter, clock, 3);
  await clock.advance(500);
  limiter.pause(30);
  await clock.advance(29_900);
  assert.deepEqual(served, [0]);
  await clock.advance(5000);
  assert.equal(served[1], 31_000, "half a token was there, and none is gathered in a pause");
});

Deno.test("a shorter pause does not shorten a longer one", async () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter(fixedRate(60, 2), clock);
  limiter.pause(10);
  limiter.pause(1);
  const served = takers(limiter, clock, 1);
  await clock.advance(20_000);
  assert.deepEqual(served, [10_000]);
});

Deno.test("who gives up waiting takes no token and holds nobody up", async () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter(fixedRate(60, 1), clock);
  await limiter.take();
  const impatient = new AbortController();
  const behind = new AbortController();
  const first = assert.rejects(limiter.take(impatient.signal), /enough/);
  const second = assert.rejects(limiter.take(behind.signal), /me too/);
  const served = takers(limiter, clock, 2);
  await clock.advance(400);
  behind.abort(new Error("me too"));
  impatient.abort(new Error("enough"));
  await first;
  await second;
  await clock.advance(2000);
  assert.deepEqual(served, [1000, 2000]);
});

Deno.test("a signal that is aborted already takes nothing", async () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter(fixedRate(60, 1), clock);
  await assert.rejects(limiter.take(AbortSignal.abort(new Error("over"))), /over/);
  const served = takers(limiter, clock, 1);
  await settle();
  assert.deepEqual(served, [0]);
});

Deno.test("an abort ends the wait of a long pause", async () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter(fixedRate(60, 1), clock);
  limiter.pause(120);
  const stop = new AbortController();
  const taking = assert.rejects(limiter.take(stop.signal), { name: "AbortError" });
  await settle();
  stop.abort();
  await taking;
  assert.equal(clock.sleeping, 0);
});
