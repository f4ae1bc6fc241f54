import assert from "node:assert/strict";
import { ExchangeClosed, type RememberedAccess } from "../../src/extract/access.ts";
import { Breaker } from "../../src/extract/breaker.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

const signal = new AbortController().signal;

interface Scene {
  readonly clock: FakeClock;
  readonly breaker: Breaker;
  /** Outcomes one after the other: `.` is good, `x` is not. */
  tell(outcomes: string): Promise<void>;
}

function scene(remembered?: RememberedAccess): Scene {
  const clock = new FakeClock();
  const breaker = new Breaker("test", clock, remembered);
  const tell = async (outcomes: string) => {
    for (const outcome of outcomes) {
      const pass = await breaker.admit(signal);
      if (outcome === ".") breaker.succeeded(pass);
      else breaker.failed(pass, "HTTP 500");
    }
  };
  return { clock, breaker, tell };
}

for (
  const [outcomes, state] of [
    ["x".repeat(9), "closed"],
    ["x".repeat(10), "open"],
    ["x".repeat(9) + "." + "x".repeat(9), "closed"],
    ["x.".repeat(9) + "x", "closed"], // 19 say nothing yet
    ["x.".repeat(9) + "xx", "open"],
    [".".repeat(100) + "x..".repeat(30), "closed"],
    [".".repeat(100) + "xxx.".repeat(6) + "xx", "open"],
    [".".repeat(1000) + "x.".repeat(19), "closed"],
  ] as const
) {
  Deno.test(`${outcomes.replace(/(.+?)\1{3,}/g, "($1)…")} is ${state}`, async () => {
    const { breaker, tell } = scene();
    await tell(outcomes);
    assert.equal(breaker.state, state);
  });
}

Deno.test("while open nobody is admitted, and who waits elsewhere is told", async () => {
  const { clock, breaker, tell } = scene();
  const { interrupted } = breaker;
  await tell("x".repeat(10));
  const { reason } = interrupted;
  assert(reason instanceof ExchangeClosed);
  assert.deepEqual([reason.exchange, reason.reason, reason.retryInSeconds], [
    "test",
    "HTTP 500",
    10,
  ]);
  await clock.advance(9_999);
  await assert.rejects(breaker.admit(signal), ExchangeClosed);
  assert.equal(breaker.interrupted.aborted, false, "the next ones may wait again");
});

Deno.test("after its time one probes and the others wait for the outcome", async () => {
  const { clock, breaker, tell } = scene();
  await tell("x".repeat(10));
  await clock.advance(10_000);
  const probe = await breaker.admit(signal);
  assert.equal(probe.isProbe, true);
  assert.equal(breaker.state, "half_open");
  let admitted = 0;
  const others = [1, 2, 3].map(() => breaker.admit(signal).then(() => admitted++));
  const impatient = new AbortController();
  const left = assert.rejects(breaker.admit(impatient.signal), /enough/);
  impatient.abort(new Error("enough"));
  await left;
  await settle();
  assert.equal(admitted, 0);
  assert.equal(breaker.succeeded(probe), true);
  await Promise.all(others);
  assert.deepEqual([breaker.state, breaker.reason], ["closed", undefined]);
});

Deno.test("a failed probe opens it again, for 10, 20, 40 … 300 s", async () => {
  const { clock, breaker, tell } = scene();
  await tell("x".repeat(10));
  for (const seconds of [10, 20, 40, 80, 160, 300, 300]) {
    assert.equal(breaker.memory.secondsLeft, seconds);
    await clock.advance(seconds * 1000);
    const waiting = breaker.admit(signal);
    breaker.failed(await waiting, "HTTP 502");
    assert.equal(breaker.reason, "HTTP 502");
  }
  await clock.advance(300_000);
  await tell(".");
  await tell("x".repeat(10));
  const anew = { failures: 0, openings: 1, secondsLeft: 10 };
  assert.deepEqual(breaker.memory, anew, "and begins anew once it was closed");
});

Deno.test("those who wait for a probe that fails are sent away", async () => {
  const { clock, breaker, tell } = scene();
  await tell("x".repeat(10));
  await clock.advance(10_000);
  const probe = await breaker.admit(signal);
  const other = assert.rejects(breaker.admit(signal), ExchangeClosed);
  breaker.failed(probe, "HTTP 500");
  await other;
});

Deno.test("a probe that was cut short leaves the place to the next", async () => {
  const { clock, breaker, tell } = scene();
  await tell("x".repeat(10));
  await clock.advance(10_000);
  breaker.withdrawn(await breaker.admit(signal));
  assert.equal(breaker.state, "open");
  assert.equal((await breaker.admit(signal)).isProbe, true);
});

Deno.test("what was sent before it opened says nothing about the probe", async () => {
  const { clock, breaker, tell } = scene();
  const late = await breaker.admit(signal);
  await tell("x".repeat(10));
  assert.equal(breaker.succeeded(late), false);
  assert.equal(breaker.state, "open");
  await clock.advance(10_000);
  await breaker.admit(signal);
  for (let i = 0; i < 30; i++) breaker.failed(late, "late");
  assert.deepEqual([breaker.state, breaker.reason], ["half_open", "HTTP 500"]);
});

Deno.test("ready waits until the next probe may be sent", async () => {
  const { clock, breaker, tell } = scene();
  await breaker.ready(signal);
  await tell("x".repeat(10));
  let isReady = false;
  const ready = breaker.ready(signal).then(() => isReady = true);
  await clock.advance(9_999);
  assert.equal(isReady, false);
  await clock.advance(1);
  await ready;
  const probe = await breaker.admit(signal);
  const again = breaker.ready(signal);
  await settle();
  breaker.failed(probe, "HTTP 500");
  await clock.advance(20_000);
  await again;
  const stop = AbortSignal.abort(new Error("stopped"));
  await assert.rejects(breaker.ready(stop), /stopped/);
});

function remembered(breaker: Breaker, secondsAgo: number): RememberedAccess {
  return {
    ratePerMinute: 100,
    ceilingPerMinute: undefined,
    breaker: breaker.state,
    breakerReason: breaker.reason,
    breakerMemory: JSON.parse(JSON.stringify(breaker.memory)),
    secondsAgo,
  };
}

Deno.test("after a restart it stays open for the rest of its time, and then probes", async () => {
  const before = scene();
  await before.tell("x".repeat(10));
  await before.clock.advance(10_000);
  before.breaker.failed(await before.breaker.admit(signal), "HTTP 503");
  await before.clock.advance(5_000); // 15 s are left

  const { clock, breaker } = scene(remembered(before.breaker, 4));
  assert.deepEqual([breaker.state, breaker.reason], ["open", "HTTP 503"]);
  await clock.advance(10_999);
  await assert.rejects(breaker.admit(signal), ExchangeClosed);
  await clock.advance(1);
  const probe = await breaker.admit(signal);
  breaker.failed(probe, "HTTP 503");
  assert.equal(breaker.memory.secondsLeft, 40, "the time goes on growing from where it was");
});

Deno.test("half open before a restart is open and due after it; closed stays closed", async () => {
  const before = scene();
  await before.tell("x".repeat(10));
  await before.clock.advance(10_000);
  await before.breaker.admit(signal);
  const { breaker } = scene(remembered(before.breaker, 0));
  assert.equal((await breaker.admit(signal)).isProbe, true);

  const closed = scene();
  await closed.tell(".xxxxxx");
  const after = scene(remembered(closed.breaker, 0));
  assert.equal(after.breaker.state, "closed");
  await after.tell("xxx");
  assert.equal(after.breaker.state, "closed");
  await after.tell("x");
  assert.equal(after.breaker.state, "open", "six before and four after");
});

for (const memory of [null, undefined, 7, "open", [], {}, { openings: -1 }, { secondsLeft: 1e9 }]) {
  Deno.test(`a memory that cannot be read (${JSON.stringify(memory)}) is none`, async () => {
    const { breaker } = scene({
      ...remembered(scene().breaker, 0),
      breaker: "open",
      breakerMemory: memory,
    });
    assert.equal(breaker.state, "closed");
    assert.equal((await breaker.admit(signal)).isProbe, false);
  });
}
