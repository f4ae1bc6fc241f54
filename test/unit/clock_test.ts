import assert from "node:assert/strict";
import { systemClock } from "../../src/extract/clock.ts";

Deno.test("the clock sleeps as long as it is told, and goes forward", async () => {
  const began = systemClock.now();
  await systemClock.sleep(20);
  const slept = systemClock.now() - began;
  // Seconds taken for milliseconds would be 20,000; a machine may stall for a few.
  assert(slept >= 19 && slept < 15_000, `${slept}`);
  const chance = systemClock.random();
  assert(chance >= 0 && chance < 1);
});

Deno.test("an abort wakes a sleeper with its reason, and leaves no timer behind", async () => {
  const stop = new AbortController();
  const sleeping = assert.rejects(systemClock.sleep(60_000, stop.signal), /enough/);
  stop.abort(new Error("enough"));
  await sleeping;
  await assert.rejects(systemClock.sleep(60_000, stop.signal), /enough/);
});

Deno.test("a sleeper that woke does not mind a later abort", async () => {
  const stop = new AbortController();
  await systemClock.sleep(1, stop.signal);
  stop.abort();
});
