import { ENVIRONMENT_NAMES, FILE_NAMES, loadConfig, SECRETS } from "../../src/config.ts";
import { ConfigurationError, describe } from "../../src/errors.ts";
import { Dice } from "../support/random.ts";
import { type Finding, shrink } from "./shrink.ts";
import { type FuzzOptions, type FuzzReport, Tally } from "./target.ts";
import { oddText } from "./texts.ts";

/** As docs/reference.md has them. */
const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  EXTRACTION_INTERVAL_MINUTES: [1, 1440],
  MAX_WORKERS: [1, 100],
  REQUEST_TIMEOUT_SECONDS: [0.1, 600],
  MAX_RETRIES: [0, 20],
  INITIAL_RATE_LIMIT: [1, 1_000_000],
  MIN_RATE_LIMIT: [1, 1_000_000],
  MAX_RATE_LIMIT: [1, 1_000_000],
  RATE_LIMIT_BURST: [1, 100_000],
  RATE_LIMIT_BACKOFF_FACTOR: [0.01, 0.99],
  BATCH_DEADLINE_SECONDS: [1, 86_400],
  PROMETHEUS_PORT: [0, 65_535],
  ALERT_ON_FAILURES: [1, 1000],
};

const SECRET = "sesame93secret";
const SLOWEST_MILLISECONDS = 2000;

type Entry = readonly [name: string, value: string];

/** Random environments: a valid configuration, or one clear line that names the variable and tells no secret. */
export async function fuzzConfiguration(options: FuzzOptions): Promise<FuzzReport> {
  const dice = new Dice(options.seed);
  const files = await oddFiles(options.folder);
  const findings = new Map<string, Finding>();
  const seen = new Tally();
  for (let i = 0; i < options.cases; i++) {
    const entries = Array.from(
      { length: Math.floor(dice.between(1, 7)) },
      () => entry(dice, files),
    );
    const what = broken(entries, seen);
    if (what === undefined || findings.has(what)) continue;
    const smallest = await shrink(entries, (some) => broken(some) === what);
    findings.set(what, { what, detail: said(smallest), input: JSON.stringify(smallest) });
  }
  return { cases: options.cases, findings: [...findings.values()], seen: seen.counts };
}

function entry(dice: Dice, files: readonly string[]): Entry {
  const names = dice.next() < 0.2 ? FILE_NAMES : ENVIRONMENT_NAMES;
  const name = names[Math.floor(dice.next() * names.length)] ?? "";
  if (name.endsWith("_FILE")) {
    const file = files[Math.floor(dice.next() * files.length)] ?? "/";
    return [name, dice.next() < 0.8 ? file : oddText(dice)];
  }
  const text = oddText(dice);
  if (!SECRETS.has(name)) {
    const [least, most] = RANGES[name] ?? [0, 1];
    return [
      name,
      dice.next() < 0.5
        ? text
        : String(dice.pick([least, most, least - 1, most + 1, (least + most) / 2])),
    ];
  }
  const scheme = dice.pick(["", "https://", "postgres://u:", "http://u:"]);
  return [name, dice.next() < 0.5 ? scheme + SECRET + text : text + SECRET];
}

function said(entries: readonly Entry[]): string {
  try {
    return Deno.inspect(loadConfig(Object.fromEntries(entries)));
  } catch (error) {
    return describe(error);
  }
}

/** The promise that this environment breaks. */
function broken(entries: readonly Entry[], seen?: Tally): string | undefined {
  const began = performance.now();
  try {
    const config: Readonly<Record<string, unknown>> = loadConfig(Object.fromEntries(entries));
    seen?.add("valid");
    for (const [name, [least, most]] of Object.entries(RANGES)) {
      const value = config[name];
      const isWithin = typeof value === "number" && value >= least && value <= most;
      if (!isWithin) return `${name} beyond its range`;
    }
    const given = new Set(entries.map(([name]) => name));
    for (const name of SECRETS) {
      const isFromFile = given.has(`${name}_FILE`);
      if (
        isFromFile && String(config[name] ?? "").length > 10_000 &&
        !entries.some(([other]) => other === name)
      ) {
        return `a secret without an end: ${name}`;
      }
    }
  } catch (error) {
    if (!(error instanceof ConfigurationError)) {
      return `another error: ${error instanceof Error ? error.name : "?"}`;
    }
    seen?.add("refused");
    const text = `${error.message} ${error.hint ?? ""}`;
    if (text.includes(SECRET)) return "a secret is told";
    // deno-lint-ignore no-control-regex
    if (/[\x00-\x1f\x7f-\x9f\u2028\u2029]/.test(text)) return "more than a line";
    if (text.length > 5000) return "a line without an end";
    if (!ENVIRONMENT_NAMES.some((name) => text.includes(name))) return "no variable is named";
  }
  return performance.now() - began > SLOWEST_MILLISECONDS ? "too slow" : undefined;
}

async function oddFiles(folder: string): Promise<string[]> {
  const write = async (name: string, content: string | Uint8Array): Promise<string> => {
    await Deno.writeFile(
      `${folder}/${name}`,
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    );
    return `${folder}/${name}`;
  };
  const huge = `${folder}/huge`;
  await Deno.writeTextFile(huge, "");
  await Deno.truncate(huge, 100 * 1024 * 1024);
  return [
    huge,
    folder,
    `${folder}/missing`,
    `${folder}/missing/at/all`,
    "/dev/null",
    "/dev/zero",
    await write("empty", ""),
    await write("blank", " \n\n"),
    await write("binary", new Uint8Array(3000).map((_, i) => i * 7)),
    await write("url", `postgres://u:${SECRET}@127.0.0.1/d\n`),
    await write("hook", `https://hooks.invalid/${SECRET}`),
    await write("lines", `${SECRET}\n${SECRET}\n`),
    await write("nul", `https://h/${SECRET}\0`),
    "a\0b",
    SECRET,
  ];
}
