// The chaos suite in its short form: three schedules with a server that ends, one that crashes, and a clock that jumps.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { ScheduleReport } from "./run.ts";
import { describeSchedule, scheduleOf } from "./schedule.ts";
import { runSuite } from "./suite.ts";

const SEEDS = [7, 21, 39];

Deno.test("three schedules of faults: every invariant holds", async () => {
  const reports: ScheduleReport[] = [];
  await runSuite({
    seeds: SEEDS,
    seconds: Infinity,
    signal: new AbortController().signal,
    failed: (seed, error) => {
      throw new Error(`schedule ${seed}`, { cause: error });
    },
    ended: (report) => Promise.resolve(void reports.push(report)),
  });
  for (const { schedule, broken, logs } of reports) {
    const logText = Object.values(logs).join("\n").slice(-5000);
    deepStrictEqual(broken, [], `${describeSchedule(schedule)}\n${logText}`);
  }
  strictEqual(reports.length, SEEDS.length);
  ok(reports.flatMap(({ hits }) => hits).some(({ hits }) => hits > 0), "no fault took effect");
  ok(reports.every(({ statuses }) => (statuses["completed"] ?? 0) > 0));
});

Deno.test("a seed says all of its schedule", () => {
  for (const seed of [1, 7, 4711]) deepStrictEqual(scheduleOf(seed), scheduleOf(seed));
  ok(describeSchedule(scheduleOf(7)) !== describeSchedule(scheduleOf(8)));
});
