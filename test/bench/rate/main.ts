// deno-lint-ignore-file no-console
// `deno task bench rate [--seed N]`: how near to an exchange's hidden limit the program comes, in simulated time (about ten
// minutes of real time). Prints a table, and writes docs/rate-experiment.md and docs/rate-experiment.svg.
import { parseArgs } from "node:util";
import type { RateOptions } from "../../../src/extract/rate_limiter.ts";
import { fixedRate } from "../../support/rates.ts";
import { type Result, run, type Scene, type Way } from "./experiment.ts";
import type { Limit } from "./limited_exchange.ts";
import { plot } from "./plot.ts";

const ADAPTIVE: RateOptions = {
  initialPerMinute: 100,
  minPerMinute: 10,
  maxPerMinute: 2000,
  burst: 20,
  backoffFactor: 0.5,
};
const WAYS: readonly Way[] = [
  { title: "adaptive", rate: ADAPTIVE, concurrency: 20 },
  { title: "fixed 100/min", rate: fixedRate(100, 20), concurrency: 20 },
  { title: "fixed 320/min", rate: fixedRate(320, 20), concurrency: 20 },
  {
    title: "one by one, sleep 0.6 s",
    rate: fixedRate(1_000_000, 1),
    concurrency: 1,
    sleepSeconds: 0.6,
  },
];

const LIMITS: readonly { title: string; limit: Limit; hours: number }[] = [
  { title: "100", limit: [[0, 100]], hours: 4 },
  { title: "313", limit: [[0, 313]], hours: 4 },
  { title: "1,000", limit: [[0, 1000]], hours: 4 },
  { title: "313 → 150 → 600", limit: [[0, 313], [2, 150], [4, 600]], hours: 6 },
];
const ANSWERS: readonly {
  title: string;
  scene: Pick<Scene, "retryAfter" | "inBatches" | "bucket">;
}[] = [
  { title: "429 with `Retry-After`", scene: { retryAfter: "slot" } },
  { title: "429 without it", scene: { retryAfter: undefined } },
  { title: "`Retry-After: 30` always", scene: { retryAfter: 30 } },
  {
    title: "429 without it, 8 of every 10 minutes",
    scene: { retryAfter: undefined, inBatches: true },
  },
  {
    title: "429 without it, 8 of every 10 minutes, by a bucket of 10 instead of by the minute",
    scene: { retryAfter: undefined, inBatches: true, bucket: 10 },
  },
];

/** The whole experiment. */
export async function benchRate(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { seed: { type: "string" } } });
  const seed = Number(values.seed ?? 1);
  const lines: string[] = [];
  const panels: { title: string; samples: Result["samples"] }[] = [];
  for (const { title: answer, scene } of ANSWERS) {
    lines.push(
      "",
      `### ${answer}`,
      "",
      "| limit a minute | way | of the limit | refused | minutes to 85 % |",
      "|---|---|---:|---:|---:|",
    );
    for (const { title, limit, hours } of LIMITS) {
      for (const way of WAYS) {
        const result = await run({ title, limit, hours, ...scene }, way, seed);
        lines.push(tableLine(title, way, result));
        console.error(lines.at(-1));
        if (scene.retryAfter === "slot" && way.title === "adaptive") {
          panels.push({ title: `limit ${title} a minute`, samples: result.samples });
        }
      }
    }
  }
  const document = [
    "# The rate experiment",
    "",
    `Written by \`deno task bench rate\` (seed ${seed}, simulated time, the program's own Fetcher); [rate.md](rate.md) tells`,
    "what it means. The exchange takes so many requests within any 60 seconds and answers 429 beyond; an answer takes 0.2",
    "to 0.4 s. 4 hours each, 6 where the limit changes (after 2 and 4 hours). Adaptive and fixed: 20 requests at once, burst",
    "20; adaptive: from 100, between 10 and 2,000 a minute, factor 0.5. The other ways obey this program's pauses as well;",
    'without them "fixed 320" at a limit of 100 would have 69 % refused. After idle minutes more than 100 % is possible: a',
    "batch of 8 minutes may use the room of a ninth.",
    "",
    "![Requests taken a minute against the hidden limit](rate-experiment.svg)",
    ...lines,
    "",
  ].join("\n");
  await Deno.mkdir("docs", { recursive: true });
  await Deno.writeTextFile("docs/rate-experiment.md", document);
  await new Deno.Command(Deno.execPath(), { args: ["fmt", "-q", "docs/rate-experiment.md"] })
    .output();
  await Deno.writeTextFile("docs/rate-experiment.svg", plot(panels));
  console.log(lines.join("\n"));
}

function tableLine(limit: string, way: Way, { share, refusedShare, minutesTo85 }: Result): string {
  const percent = (value: number, digits: number) => `${(100 * value).toFixed(digits)} %`;
  const [shown, refused] = [percent(share, 1), percent(refusedShare, 2)];
  return `| ${limit} | ${way.title} | ${shown} | ${refused} | ${minutesTo85 ?? "never"} |`;
}
