// deno-lint-ignore-file no-console
// `deno task soak [--batches 200] [--workers 3] [--seed 1] [--tick-seconds 3] [--keep]`: a fleet through batches and
// random faults. Ends with 1, and says the seed, where an invariant is broken; logs of the workers are kept then.
import { parseArgs } from "node:util";
import { configureLog } from "../../src/log.ts";
import { readOrExit, wholeNumbers } from "../support/options.ts";
import { soak, type SoakReport } from "./soak.ts";

const { seed, batches, workers, "tick-seconds": tickSeconds, faults, keep } = readOrExit(() => {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      batches: { type: "string", default: "200" },
      workers: { type: "string", default: "3" },
      seed: { type: "string", default: "1" },
      "tick-seconds": { type: "string", default: "3" },
      faults: { type: "string" },
      keep: { type: "boolean", default: false },
    },
  });
  return {
    ...values,
    ...wholeNumbers(values, { batches: 1, workers: 1, seed: 0, "tick-seconds": 1 }),
  };
});

function table(title: string, counts: Readonly<Record<string, number>>): void {
  console.log(`\n${title}`);
  const entries = Object.entries(counts).sort(([, a], [, b]) => b - a);
  if (entries.length === 0) console.log("  none");
  for (const [name, count] of entries) console.log(`  ${String(count).padStart(7)}  ${name}`);
}

function overTime({ samples }: SoakReport): void {
  console.log("\nover time          RSS of the workers, MB     connections");
  for (const share of [0.25, 0.5, 0.75, 1]) {
    const sample = samples[Math.max(0, Math.round(samples.length * share) - 1)];
    if (sample === undefined) continue;
    const memory = sample.memory.map((bytes) => String(Math.round(bytes / 1e6)).padStart(6));
    console.log(
      `  at ${String(share * 100).padStart(3)} %        ${
        memory.join(" ")
      }        ${sample.connections}`,
    );
  }
  const peaks = samples[0]?.memory.map((_, i) => Math.max(...samples.map((s) => s.memory[i] ?? 0)));
  console.log(
    `  peak            ${
      peaks?.map((b) => String(Math.round(b / 1e6)).padStart(6)).join(" ")
    }        ${Math.max(...samples.map(({ connections }) => connections))}`,
  );
}

await configureLog("warning", "text");
const logFolder = await Deno.makeTempDir({ prefix: "p2p-soak-" });
const report = await soak({
  batches,
  workers,
  seed,
  tickSeconds,
  logFolder,
  calmSeconds: [1, 6],
  ...(faults === undefined ? {} : { faults: faults.split(",") }),
  say: (line) => console.log(line),
});
table("batches", report.statuses);
table("due times without a batch", report.skipped);
table("the ledger, markets × batches", report.ledger);
table("faults", report.faults);
overTime(report);
console.log(
  `\n${report.seconds.toFixed(0)} s; told to stop, all workers ended within ${
    report.stopSeconds.toFixed(1)
  } s with ${report.exitCodes.join(", ")}`,
);
if (report.broken.length > 0) {
  const names = [...new Set(report.broken.map(({ invariant }) => invariant))];
  console.log(
    `\nBROKEN with seed ${seed}:\n  ${names.join("\n  ")}\nlogs of the workers: ${logFolder}`,
  );
  Deno.exit(1);
}
if (keep) console.log(`logs of the workers: ${logFolder}`);
else await Deno.remove(logFolder, { recursive: true });
console.log("\nevery invariant holds");
