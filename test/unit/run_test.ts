import assert from "node:assert/strict";
import { configure, type LogRecord, reset } from "@logtape/logtape";
import { nextDue, repeatBatches } from "../../src/cli/run.ts";
import { ConfigurationError, ExchangeError, PausedError } from "../../src/errors.ts";
import { FakeClock } from "../support/fake_clock.ts";

const at = (time: string) => Date.parse(time.length < 13 ? `2026-03-29T${time}Z` : time);

for (
  const [now, minutes, due] of [
    ["00:00:00.001", 10, "00:10:00"],
    ["00:09:59.999", 10, "00:10:00"],
    ["00:10:00", 10, "00:20:00"],
    ["00:10:01", 10, "00:20:00"],
    ["00:07:30", 1, "00:08:00"],
    ["23:55:00", 10, "2026-03-30T00:00:00Z"],
    ["12:00:00", 1440, "2026-03-30T00:00:00Z"],
    ["12:34:56", 60, "13:00:00"],
    ["2026-12-31T23:59:59.999Z", 15, "2027-01-01T00:00:00Z"],
  ] as const
) {
  Deno.test(`after ${now}, every ${minutes} minutes: ${due}`, () => {
    assert.equal(
      new Date(nextDue(at(now), minutes)).toISOString(),
      new Date(at(due)).toISOString(),
    );
  });
}

Deno.test("the next one is always later than now, and at most one interval away", () => {
  for (const minutes of [1, 7, 10, 59, 1440]) {
    for (let now = at("00:00:00"); now < at("06:00:00"); now += 61_001) {
      const wait = nextDue(now, minutes) - now;
      assert(wait > 0 && wait <= minutes * 60_000);
    }
  }
});

/** What `run` logs while its batches end like this; undefined is one that was fetched. */
async function logOf(endings: readonly (Error | undefined)[]): Promise<string[]> {
  const records: LogRecord[] = [];
  await configure({
    reset: true,
    sinks: { list: (record) => void records.push(record) },
    loggers: [
      { category: ["logtape", "meta"], sinks: [] },
      { category: ["p2p"], lowestLevel: "info", sinks: ["list"] },
    ],
  });
  const clock = new FakeClock({ skips: true });
  const stop = new AbortController();
  const rest = [...endings];
  try {
    await repeatBatches({
      batch: () => {
        const ending = rest.shift();
        if (rest.length === 0) stop.abort();
        return ending === undefined ? Promise.resolve() : Promise.reject(ending);
      },
      isOver: () => Promise.resolve(false),
      intervalMinutes: 10,
      clock,
      wallTime: () => clock.now(),
      signal: stop.signal,
    });
  } finally {
    await reset();
  }
  assert.equal(rest.length, 0, "every batch was tried");
  assert.equal(clock.waits.length, endings.length - 1);
  return records.map(({ level, message }) => `${level}: ${message.join("")}`);
}

Deno.test("run says once that batches are paused, waits, and goes on by itself", async () => {
  const paused = new PausedError("new batches are paused", "update …");
  const notice = /^warning: no new batch is begun$/;
  const log = await logOf([paused, paused, paused, undefined, paused, paused, undefined]);
  assert.equal(log.length, 3);
  assert.match(log[0] ?? "", notice);
  assert.match(log[1] ?? "", /^info: next batch at /);
  assert.match(log[2] ?? "", notice, "a second pause is told again");
});

Deno.test("run goes on after a batch that failed, and ends with a bug", async () => {
  const log = await logOf([new ExchangeError("nobody answers"), undefined]);
  assert.deepEqual(log.map((line) => line.slice(0, 40)), [
    "error: the batch failed: nobody answers",
    "info: next batch at 1970-01-01T00:10:00.",
  ]);
  await assert.rejects(logOf([new TypeError("a bug"), undefined, undefined]), /a bug/);
});

Deno.test("run ends when its own server is gone for good", async () => {
  const gone = repeatBatches({
    batch: () => Promise.reject(new ConfigurationError("gone")),
    isOver: () => Promise.resolve(true),
    intervalMinutes: 10,
    clock: new FakeClock({ skips: true }),
    wallTime: Date.now,
    signal: new AbortController().signal,
  });
  await assert.rejects(gone, /gone/);
});
