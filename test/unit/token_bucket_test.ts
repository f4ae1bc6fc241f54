import assert from "node:assert/strict";
import { TokenBucket } from "../../src/extract/token_bucket.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

const MINUTE = 60_000;

/** Starts takers that note when they were served. */
function takers(bucket: TokenBucket, clock: FakeClock, count: number): number[] {
  const served: number[] = [];
  const began = clock.now();
  for (let i = 0; i < count; i++) bucket.take().then(() => served.push(clock.now() - began));
  return served;
}

Deno.test("a burst goes out at once, the next one token later", async () => {
  const clock = new FakeClock();
  const served = takers(new TokenBucket(60, 5, clock), clock, 8);
  await clock.advance(10_000);
  assert.deepEqual(served, [0, 0, 0, 0, 0, 1000, 2000, 3000]);
});

for (const [perMinute, burst, minutes] of [[100, 20, 60], [320, 20, 30], [7, 1, 240]] as const) {
  Deno.test(`${perMinute} a minute holds over ${minutes} minutes`, async () => {
    const clock = new FakeClock({ skips: true });
    const bucket = new TokenBucket(perMinute, burst, clock);
    const began = clock.now();
    const times: number[] = [];
    while (clock.now() - began < minutes * MINUTE) {
      await bucket.take();
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

Deno.test("an idle bucket fills up to the burst and no further", async () => {
  const clock = new FakeClock();
  const bucket = new TokenBucket(60, 3, clock);
  takers(bucket, clock, 3);
  await clock.advance(MINUTE * 60);
  const served = takers(bucket, clock, 5);
  await clock.advance(2000);
  assert.deepEqual(served, [0, 0, 0, 1000, 2000]);
});

Deno.test("takers are served in the order they came", async () => {
  const clock = new FakeClock();
  const bucket = new TokenBucket(6000, 1, clock);
  const order: number[] = [];
  for (let i = 0; i < 50; i++) bucket.take().then(() => order.push(i));
  await clock.advance(1000);
  assert.deepEqual(order, Array.from({ length: 50 }, (_, i) => i));
});

Deno.test("a pause stops everybody, those that wait already too", async () => {
  const clock = new FakeClock();
  const bucket = new TokenBucket(60, 1, clock);
  const served = takers(bucket, clock, 3);
  await clock.advance(500);
  bucket.pause(30_000);
  await clock.advance(29_900);
  assert.deepEqual(served, [0]);
  await clock.advance(5000);
  assert.equal(served[1], 30_500);
});

Deno.test("a shorter pause does not shorten a longer one", async () => {
  const clock = new FakeClock();
  const bucket = new TokenBucket(60, 2, clock);
  bucket.pause(10_000);
  bucket.pause(1000);
  const served = takers(bucket, clock, 1);
  await clock.advance(20_000);
  assert.deepEqual(served, [10_000]);
});

Deno.test("who gives up waiting takes no token and holds nobody up", async () => {
  const clock = new FakeClock();
  const bucket = new TokenBucket(60, 1, clock);
  await bucket.take();
  const impatient = new AbortController();
  const behind = new AbortController();
  const first = assert.rejects(bucket.take(impatient.signal), /enough/);
  const second = assert.rejects(bucket.take(behind.signal), /me too/);
  const served = takers(bucket, clock, 2);
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
  const bucket = new TokenBucket(60, 1, clock);
  await assert.rejects(bucket.take(AbortSignal.abort(new Error("over"))), /over/);
  const served = takers(bucket, clock, 1);
  await settle();
  assert.deepEqual(served, [0]);
});

Deno.test("an abort ends the wait of a long pause", async () => {
  const clock = new FakeClock();
  const bucket = new TokenBucket(60, 1, clock);
  bucket.pause(120_000);
  const stop = new AbortController();
  const taking = assert.rejects(bucket.take(stop.signal), { name: "AbortError" });
  await settle();
  stop.abort();
  await taking;
  assert.equal(clock.sleeping, 0);
});
