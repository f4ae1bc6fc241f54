// The soak in its short form: every batch is accounted for, whatever happens to workers, database and exchange.
import { deepStrictEqual, ok } from "node:assert/strict";
import { soak } from "./soak.ts";

Deno.test("three batches of three workers with faults: every invariant holds", async () => {
  const logFolder = await Deno.makeTempDir({ prefix: "p2p-soak-test-" });
  const lines: string[] = [];
  const report = await soak({
    batches: 3,
    workers: 3,
    seed: 7,
    tickSeconds: 2,
    logFolder,
    calmSeconds: [0.3, 1],
    faults: [
      "worker killed",
      "PostgreSQL killed",
      "all backends terminated",
      "database cut",
    ],
    say: (line) => lines.push(line),
  });
  deepStrictEqual(report.broken, [], `${lines.join("\n")}\nlogs of the workers: ${logFolder}`);
  // Which, and how many, is a matter of time; chaos_test has more of them.
  ok(Object.keys(report.faults).length >= 1, `faults: ${Deno.inspect(report.faults)}`);
  ok((report.statuses["completed"] ?? 0) >= 1, `batches: ${Deno.inspect(report.statuses)}`);
  await Deno.remove(logFolder, { recursive: true });
});
