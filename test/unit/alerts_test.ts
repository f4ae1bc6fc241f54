import assert from "node:assert/strict";
import { configure, type LogRecord, reset } from "@logtape/logtape";
import { type Alert, Alerts } from "../../src/alerts.ts";

Deno.test("an incident is a line of the log, whatever is in it", async () => {
  const records: LogRecord[] = [];
  await configure({
    reset: true,
    sinks: { list: (record) => void records.push(record) },
    loggers: [
      { category: ["logtape", "meta"], sinks: [] },
      { category: ["p2p", "alert"], lowestLevel: "info", sinks: ["list"] },
    ],
  });
  const alerts = new Alerts();
  alerts.raise("step_failed", 'must: {"a": 1} {b}');
  alerts.resolve("step_failed", "mended");
  await reset();
  assert.deepEqual(records.map(({ level, message }) => `${level} ${message.join("|")}`), [
    'error step_failed: must: {"a": 1} {b}',
    "info step_failed: mended",
  ]);
});

Deno.test("an incident is told once when it begins and once when it is over", () => {
  const told: string[] = [];
  const alerts = new Alerts([
    ({ kind, message, isOver }: Alert) => told.push(`${isOver ? "-" : "+"}${kind} ${message}`),
  ]);
  alerts.resolve("disk_full", "nothing was wrong");
  alerts.raise("disk_full", "a");
  alerts.raise("disk_full", "b");
  alerts.raise("breaker_open", "binance is closed", "binance");
  alerts.raise("breaker_open", "bybit is closed", "bybit");
  alerts.resolve("breaker_open", "bybit is back", "bybit");
  alerts.resolve("disk_full", "c");
  alerts.resolve("disk_full", "d");
  alerts.raise("disk_full", "again");
  assert.deepEqual(told, [
    "+disk_full a",
    "+breaker_open binance is closed",
    "+breaker_open bybit is closed",
    "-breaker_open bybit is back",
    "-disk_full c",
    "+disk_full again",
  ]);
});
