// deno-lint-ignore-file no-console
// `deno task chaos [--schedules 100] [--seed 1] [--jobs N] [--seconds N] [--keep] [--show]`: schedules of faults, each
// made from its seed. Ends with 1, and says the seed, where an invariant is broken. See docs/chaos.md.
import { parseArgs } from "node:util";
import { readOrExit, wholeNumbers } from "../support/options.ts";
import { type Broken } from "./invariants.ts";
import { type ScheduleReport } from "./run.ts";
import { describeSchedule, scheduleOf } from "./schedule.ts";
import { runSuite } from "./suite.ts";

const { seed: first, schedules: count, jobs, seconds, keep, show } = readOrExit(() => {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      schedules: { type: "string", default: "100" },
      seed: { type: "string", default: "1" },
      jobs: { type: "string", default: "1" },
      seconds: { type: "string" },
      keep: { type: "boolean", default: false },
      show: { type: "boolean", default: false },
    },
  });
  return {
    ...values,
    ...wholeNumbers(values, { seed: 0, schedules: 1, jobs: 1 }),
    seconds: values.seconds === undefined ? Infinity : wholeNumbers(values, { seconds: 1 }).seconds,
  };
});

if (show) {
  for (let seed = first; seed < first + (Deno.args.includes("--schedules") ? count : 1); seed++) {
    console.log(describeSchedule(scheduleOf(seed)));
  }
  Deno.exit(0);
}

async function tellBroken(
  broken: readonly Broken[],
  { schedule, logs }: ScheduleReport,
): Promise<void> {
  console.log(`\nBROKEN\n${describeSchedule(schedule)}`);
  for (const { invariant, rows } of broken) {
    console.log(`!!! ${invariant} (${rows.length} rows)`);
    for (const row of rows.slice(0, 5)) {
      console.log(`    ${Deno.inspect({ ...row }, { breakLength: Infinity, depth: 4 })}`);
    }
  }
  const folder = await Deno.makeTempDir({ prefix: `p2p-chaos-${schedule.seed}-` });
  for (const [name, log] of Object.entries(logs)) {
    await Deno.writeTextFile(`${folder}/${name}.log`, log);
  }
  console.log(
    `logs of the workers: ${folder}\nagain: deno task chaos --schedules 1 --seed ${schedule.seed}\n`,
  );
}

const began = performance.now();
const effects = new Map<string, { planned: number; effective: number; hits: number }>();
const statuses: Record<string, number> = {};
const brokenSeeds: number[] = [];
let done = 0;
let slowest = 0;
let left = 0;

const stopping = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(name, () => {
    if (!stopping.signal.aborted) console.log("ends with the schedules under way");
    stopping.abort();
  });
}

const { growth } = await runSuite({
  seeds: Array.from({ length: count }, (_, i) => first + i),
  jobs,
  seconds,
  signal: stopping.signal,
  failed: (seed, error, serverLog) => {
    done++;
    brokenSeeds.push(seed);
    console.log(`\nBROKEN\n${describeSchedule(scheduleOf(seed))}\n!!! the suite failed`);
    const { error: last, suppressed } = error as SuppressedError;
    for (const part of [error, last, suppressed]) if (part !== undefined) console.log(part);
    console.log(serverLog);
  },
  ended: async (report) => {
    done++;
    slowest = Math.max(slowest, report.calmSeconds);
    if (report.wasLeft) left++;
    for (const { name, hits } of report.hits) {
      const effect = effects.get(name) ?? { planned: 0, effective: 0, hits: 0 };
      effects.set(name, {
        planned: effect.planned + 1,
        effective: effect.effective + (hits > 0 ? 1 : 0),
        hits: effect.hits + hits,
      });
    }
    for (const [status, number] of Object.entries(report.statuses)) {
      statuses[status] = (statuses[status] ?? 0) + number;
    }
    if (report.broken.length > 0) {
      brokenSeeds.push(report.schedule.seed);
      await tellBroken(report.broken, report);
    } else if (keep) {
      console.log(describeSchedule(report.schedule));
    }
    const missed = report.hits.filter(({ hits }) => hits === 0).map(({ name }) => name);
    const total = (performance.now() - began) / 1000;
    console.log(
      `${String(done).padStart(5)}/${count} seed ${report.schedule.seed}  ${
        report.seconds.toFixed(1)
      } s, calm after ${report.calmSeconds.toFixed(1)} s  ${
        Object.entries(report.statuses).map(([status, n]) => `${n} ${status}`).join(", ")
      }${report.wasLeft ? "; one left to the next start" : ""}${
        missed.length > 0 ? `; hit nothing: ${missed.join(", ")}` : ""
      }  [${total.toFixed(0)} s${brokenSeeds.length > 0 ? `, ${brokenSeeds.length} BROKEN` : ""}]`,
    );
  },
});

console.log("\nfault                                      thrown  took effect     hits");
for (
  const [name, { planned, effective, hits }] of [...effects].sort(([a], [b]) => a < b ? -1 : 1)
) {
  console.log(
    `${name.padEnd(42)} ${String(planned).padStart(6)} ${String(effective).padStart(12)} ${
      String(hits).padStart(8)
    }`,
  );
}
console.log(
  `\nbatches: ${Object.entries(statuses).map(([status, n]) => `${n} ${status}`).join(", ")}`,
);
console.log(`left under way at the stop, and ended by the next start: ${left}`);
console.log(`longest until a batch was whole again: ${slowest.toFixed(1)} s`);
console.log(
  `memory of a worker process: ${
    (growth.bytes / 1e6).toFixed(2)
  } MB more a session (${growth.sessions} looked at)`,
);
/** 17 of 1,000 were; a worker that never ends its batch would leave far more. */
const isLeftOften = left > 3 && left > done / 10;
if (isLeftOften) console.log("BROKEN: who is told to stop ends its batch, or leaves it to others");
const isLeaking = growth.sessions > 100 && growth.bytes > 1e6;
if (isLeaking) console.log("BROKEN: memory comes back to its level");
console.log(`${done} schedules in ${((performance.now() - began) / 1000).toFixed(0)} s`);
if (done < count) console.log(`go on with --seed ${first + done} --schedules ${count - done}`);
if (brokenSeeds.length > 0 || isLeaking || isLeftOften || done === 0) {
  if (done === 0) console.log("no schedule ran");
  else if (brokenSeeds.length > 0) console.log(`BROKEN with seeds ${brokenSeeds.join(", ")}`);
  Deno.exit(1);
}
console.log("every invariant holds");
Deno.exit(0);
