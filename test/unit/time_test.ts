import assert from "node:assert/strict";
import { parseTime } from "../../src/time.ts";

for (
  const [text, means] of [
    ["2026-03-01", "2026-03-01T00:00:00.000Z"],
    ["2026-03-01 10:20", "2026-03-01T10:20:00.000Z"],
    ["2026-03-01T10:20", "2026-03-01T10:20:00.000Z"],
    ["2026-03-01T10:20Z", "2026-03-01T10:20:00.000Z"],
    ["2026-03-01T10:20:30.5Z", "2026-03-01T10:20:30.500Z"],
    ["2026-03-01 10:20+02:00", "2026-03-01T08:20:00.000Z"],
    ["2026-03-01 10:20+02", "2026-03-01T08:20:00.000Z"],
    ["2026-03-01T10:20:00-0430", "2026-03-01T14:50:00.000Z"],
    ["2026-02-30", undefined],
    ["2026-13-01", undefined],
    ["2026-03-01 25:00", undefined],
    ["2026", undefined],
    ["yesterday", undefined],
    ["", undefined],
  ] as const
) {
  Deno.test(`"${text}" is ${means ?? "no time"}`, () => {
    assert.equal(parseTime(text)?.toISOString(), means);
  });
}
