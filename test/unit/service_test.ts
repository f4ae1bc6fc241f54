// What the service makes of its ticks, and of batches that go wrong.
import assert from "node:assert/strict";
import { ConfigurationError, DatabaseError, ExchangeError } from "../../src/errors.ts";
import type { BatchOutcome } from "../../src/extract/batch.ts";
import { cronTicks, dueTime } from "../../src/extract/schedule.ts";
import { serve } from "../../src/extract/service.ts";
import { recordLog } from "../support/log_records.ts";

const at = (time: string) => Date.parse(time.length < 13 ? `2026-03-29T${time}Z` : time);

for (
  const [now, minutes, due] of [
    ["00:00:00.001", 10, "00:00:00"],
    ["00:09:59.999", 10, "00:00:00"],
    ["00:10:00", 10, "00:10:00"],
    ["00:10:01", 10, "00:10:00"],
    ["00:07:30", 1, "00:07:00"],
    ["23:55:00", 10, "23:50:00"],
    ["12:00:00", 1440, "00:00:00"],
    ["12:34:56", 60, "12:00:00"],
    ["2026-12-31T23:59:59.999Z", 15, "2026-12-31T23:45:00Z"],
  ] as const
) {
  Deno.test(`at ${now}, every ${minutes} minutes: ${due} was due`, () => {
    assert.equal(
      new Date(dueTime(at(now), minutes)).toISOString(),
      new Date(at(due)).toISOString(),
    );
  });
}

Deno.test("a due time is never in the future, and less than an interval ago", () => {
  for (const minutes of [1, 7, 10, 59, 1440]) {
    for (let now = at("00:00:00"); now < at("06:00:00"); now += 61_001) {
      const age = now - dueTime(now, minutes);
      assert(age >= 0 && age < minutes * 60_000);
    }
  }
});

Deno.test("ticks: the last due time at once; of those missed while busy the newest; none after the end", async () => {
  let now = at("00:14:00");
  const stop = new AbortController();
  const told: string[] = [];
  for await (const tick of cronTicks(10, stop.signal, () => now)) {
    told.push(tick.toISOString().slice(11, 16));
    if (told.length === 1) now = at("00:41:00"); // busy over three due times
    else setTimeout(() => stop.abort(), 20);
  }
  assert.deepEqual(told, ["00:10", "00:40"]);
  for await (const tick of cronTicks(10, stop.signal)) assert.fail(String(tick));
});

type Ending = BatchOutcome["outcome"] | "left to others" | Error;

/** What a service logs and does whose batches end like this; each inner list is a tick. */
async function served(
  ticks: readonly (readonly Ending[])[],
  isOver = false,
  isStopped = false,
): Promise<{ log: string[]; next: string[]; done: string[] }> {
  await using log = await recordLog("info");
  const done: string[] = [];
  const stop = new AbortController();
  let endings: Ending[] = [];
  async function* times(): AsyncGenerator<Date> {
    for (const [index, tick] of ticks.entries()) {
      endings = [...tick];
      yield await Promise.resolve(new Date(index * 600_000));
      assert.deepEqual(endings, [], "all of it was done");
    }
  }
  await serve({
    ticks: times(),
    intervalSeconds: 600,
    prepare: () => Promise.resolve(void done.push("prepare")),
    batch: (due) => {
      done.push(`batch ${due.at.getTime() / 1000}`);
      const ending = endings.shift();
      if (isStopped) stop.abort();
      if (ending instanceof Error) return Promise.reject(ending);
      const outcome = ending === "left to others"
        ? { outcome: "left", ended: undefined }
        : { outcome: ending, detail: "because", ended: {} };
      return Promise.resolve(outcome as BatchOutcome);
    },
    afterwards: () => Promise.resolve(void done.push("afterwards")),
    isOver: () => Promise.resolve(isOver),
    wallTime: () => 1_000_000, // after the second tick, before the third
    signal: stop.signal,
  });
  const lines = log.records.map(({ level, message }) => `${level}: ${message.join("")}`);
  const isNext = (line: string) => line.includes("next batch at");
  return { log: lines.filter((line) => !isNext(line)), next: lines.filter(isNext), done };
}

Deno.test("a tick: its batch, also after one that was left under way; then what can wait", async () => {
  const { done, log } = await served([["loaded", "left", "done"], ["loaded", "done"]]);
  assert.deepEqual(done, [
    ...["prepare", "batch 0", "batch 0", "batch 0", "afterwards"],
    ...["prepare", "batch 600", "batch 600", "afterwards"],
  ]);
  assert.deepEqual(log, []);
});

Deno.test("told to stop: it looks once more whether it is counted on, unless others go on", async () => {
  const told = async (...endings: Ending[]) => (await served([endings], false, true)).done;
  assert.deepEqual(await told("loaded", "done"), ["prepare", "batch 0", "batch 0"]);
  assert.deepEqual(await told("left", "loaded", "done"), ["prepare", ...Array(3).fill("batch 0")]);
  assert.deepEqual(await told("loaded", "left to others"), ["prepare", "batch 0", "batch 0"]);
  assert.deepEqual(await told("left to others"), ["prepare", "batch 0"]);
  assert.deepEqual(await told("done"), ["prepare", "batch 0"]);
});

Deno.test("it says when the next batch is due, unless that is past already", async () => {
  const { next } = await served([["done"], ["done"], ["paused"]]);
  assert.deepEqual(next, ["info: next batch at 1970-01-01T00:20:00.000Z"]);
});

Deno.test("it says once that batches are paused, and goes on by itself", async () => {
  const { log } = await served([
    ["paused"],
    ["paused"],
    ["loaded", "done"],
    ["paused"],
  ]);
  assert.deepEqual(log, ["warning: no new batch is begun", "warning: no new batch is begun"]);
});

Deno.test("a tick that came too late is told", async () => {
  const { log } = await served([["loaded", "late"]]);
  assert.deepEqual(log, ["warning: the batch of 1970-01-01T00:00:00.000Z is skipped: because"]);
});

Deno.test("it goes on after a batch that failed", async () => {
  const { log, done } = await served([
    [new ExchangeError("nobody answers")],
    [new ConfigurationError("no such function")],
    [new DatabaseError("the database is away")],
    ["done"],
  ]);
  assert.deepEqual(log, [
    "error: the batch failed: nobody answers",
    "error: the batch failed: no such function",
    "error: the batch failed: the database is away",
  ]);
  assert.equal(done.at(-1), "afterwards");
});

Deno.test("it ends with a bug, and when its own server is gone", async () => {
  await assert.rejects(served([[new TypeError("a bug")], []]), /a bug/);
  await assert.rejects(served([[new DatabaseError("gone")], []], true), /gone/);
});
