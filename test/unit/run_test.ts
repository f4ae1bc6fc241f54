import assert from "node:assert/strict";
import { nextDue } from "../../src/cli/run.ts";

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
