// deno-lint-ignore-file no-console
// `deno task bench rate [--seed N] [--write]`: how near to an exchange's hidden limit the program comes, in simulated time.
// With --write, beside the other ways (about ten minutes of real time), into docs/rate-experiment.md and .svg.
import { parseArgs } from "node:util";
import type { RateOptions } from "../../../src/extract/rate_limiter.ts";
import { fixedRate } from "../../support/rates.ts";
import { wholeNumbers } from "../../support/options.ts";
import { type Finding, table } from "../finding.ts";
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
export async function benchRate(args: readonly string[]): Promise<Finding[]> {
  const { values } = parseArgs({
    args: [...args],
    options: { seed: { type: "string", default: "1" }, write: { type: "boolean", default: false } },
  });
  const { seed } = wholeNumbers({ seed: values.seed }, { seed: 0 });
  const lines: string[] = [];
  const own: Result[] = [];
  const ways = values.write ? WAYS : WAYS.slice(0, 1);
  const panels: { title: string; samples: Result["samples"] }[] = [];
  for (const { title: answer, scene } of ANSWERS) {
    lines.push(
      "",
      `### ${answer}`,
      "",
    );
    const rows: string[][] = [];
    for (const { title, limit, hours } of LIMITS) {
      for (const way of ways) {
        const result = await run({ title, limit, hours, ...scene }, way, seed);
        rows.push(cellsOf(title, way, result));
        console.error(rows.at(-1)?.join(" | "));
        if (way.rate === ADAPTIVE) own.push(result);
        if (scene.retryAfter === "slot" && way.title === "adaptive") {
          panels.push({ title: `limit ${title} a minute`, samples: result.samples });
        }
      }
    }
    lines.push(
      table(["limit a minute", "way", "of the limit", "refused", "minutes to 85 %"], rows, 2),
    );
  }
  console.log(lines.slice(1).join("\n"));
  if (values.write) await writeDocument(seed, lines, panels);
  const shares = own.map(({ share }) => 100 * share);
  const refused = own.map(({ refusedShare }) => 100 * refusedShare);
  return [
    {
      scenario: "rate",
      what: `of a hidden limit, worst of ${own.length} (limit, way of refusing)`,
      value: Math.min(...shares),
      spread: [Math.min(...shares), Math.max(...shares)],
      unit: "%",
    },
    {
      scenario: "rate",
      what: "requests that were refused, worst of them",
      value: Math.max(...refused),
      spread: [Math.min(...refused), Math.max(...refused)],
      unit: "%",
    },
  ];
}

async function writeDocument(
  seed: number,
  lines: readonly string[],
  panels: Parameters<typeof plot>[0],
): Promise<void> {
  const document = [
    "# The rate experiment",
    "",
    `Written by \`deno task bench rate --write\` (seed ${seed}, simulated time, the program's own Fetcher); [rate.md](rate.md) tells`,
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
}

function cellsOf(limit: string, way: Way, { share, refusedShare, minutesTo85 }: Result): string[] {
  const percent = (value: number, digits: number) => `${(100 * value).toFixed(digits)} %`;
  const [shown, refused] = [percent(share, 1), percent(refusedShare, 2)];
  return [limit, way.title, shown, refused, String(minutesTo85 ?? "never")];
}
