import { isIP } from "node:net";
import { z } from "zod";
import { ConfigurationError } from "./errors.ts";
import { type MarketFilter, parseMarketFilter } from "./exchange/market_filter.ts";
import { readSmallFile } from "./small_file.ts";

/** Every exchange that there is an adapter for, by its code in `dim_exchanges`. */
export const EXCHANGE_CODES = ["binance", "bybit"] as const;

export type ExchangeCode = typeof EXCHANGE_CODES[number];

type ExchangeList = readonly [ExchangeCode, ...ExchangeCode[]];

const wholeNumber = (least: number, most: number) =>
  z.string()
    .regex(/^\d+$/, "is not a whole number")
    .transform(Number)
    .refine((n) => n >= least && n <= most, `must be between ${least} and ${most}`);

const decimal = (least: number, most: number) =>
  z.string()
    .regex(/^\d+(\.\d+)?$/, "is not a number")
    .transform(Number)
    .refine((n) => n >= least && n <= most, `must be between ${least} and ${most}`);

const httpUrl = z.string().superRefine((text, context) => {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    context.addIssue("is not an http:// or https:// URL");
  } else if (new URL(text).username !== "" || new URL(text).password !== "") {
    context.addIssue("holds a user name or password, which HTTP requests cannot send");
  }
});

/** Paths are put behind it. */
const baseUrl = httpUrl.refine((text) => !/[?#]/.test(text), "must end before any ? or #");

const databaseUrl = z.string().superRefine((text, context) => {
  const problem = problemOfDatabaseUrl(text);
  if (problem !== undefined) context.addIssue(problem);
});

/** What psql takes behind the ?, and the driver would not look at before it connects elsewhere. */
const SERVER_PARAMETERS = ["host", "hostaddr", "port", "dbname", "user", "password", "service"];

function problemOfDatabaseUrl(text: string): string | undefined {
  if (!/^postgres(ql)?:/i.test(text)) return "is not a postgres:// URL";
  if (!URL.canParse(text)) {
    return /^\w+:\/\/[^/?#]*,/.test(text)
      ? "names several hosts with a port each, which is not read here: name one"
      : "is not a postgres:// URL: postgres://user:password@host:port/database";
  }
  if (!isDecodable(text.replace(/[?#].*$/s, ""))) {
    return "has a % that escapes no character: a % itself is written %25";
  }
  const { searchParams } = new URL(text);
  const name = SERVER_PARAMETERS.find((one) => searchParams.has(one));
  return name === undefined
    ? undefined
    : `has ${name} behind the ?, where it is not read: postgres://user:password@host:port/database`;
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** A path below the base URL, or a whole URL of its own. */
const endpoint = z.string().refine(
  (text) => text.startsWith("/") || httpUrl.safeParse(text).success,
  "must begin with / or be a whole http(s) URL without a user name or password",
);

const trueOrFalse = z.enum(["true", "false"], "must be true or false").transform((t) =>
  t === "true"
);

const markets = z.string().transform((text, context): MarketFilter => {
  const parsed = parseMarketFilter(text);
  if (typeof parsed !== "string") return parsed;
  context.addIssue(parsed);
  return z.NEVER;
});

const exchanges = z.string().transform((text, context): ExchangeList => {
  const codes: ExchangeCode[] = [];
  for (const entry of text.split(",").map((part) => part.trim().toLowerCase())) {
    const code = EXCHANGE_CODES.find((known) => known === entry);
    if (code !== undefined && !codes.includes(code)) codes.push(code);
    else {
      context.addIssue(
        code === undefined
          ? `must be a list of ${EXCHANGE_CODES.join(", ")}, not ${
            JSON.stringify(entry.slice(0, 50))
          }`
          : `names ${code} twice`,
      );
      return z.NEVER;
    }
  }
  const [first, ...others] = codes;
  return first === undefined ? z.NEVER : [first, ...others]; // a text has at least one part
});

/** Without line breaks and control characters: it stands in tables and log lines. */
const workerName = z.string().regex(
  /^[^\p{C}\p{Zl}\p{Zp}]{1,100}$/u,
  "must be 1 to 100 printable characters",
);

/** An address or name of this machine, without a port. */
const listenHost = z.string().refine(
  (text) => isIP(text) !== 0 || /^[a-z\d]([a-z\d.-]*[a-z\d])?$/i.test(text),
  "must be an IP address or a host name",
);

/** Every variable of the contract with its default. The README's table is checked against this. */
const environment = z.object({
  DATABASE_URL: databaseUrl.optional(),
  DATA_DIR: z.string().min(1).optional(),
  EXCHANGES: exchanges.default(["binance"]),
  BINANCE_BASE_URL: baseUrl.default("https://p2p.binance.com"),
  BINANCE_SEARCH_ENDPOINT: endpoint.default("/bapi/c2c/v2/friendly/c2c/adv/search"),
  BINANCE_PAIRS_ENDPOINT: endpoint.optional(),
  BYBIT_BASE_URL: baseUrl.default("https://api2.bybit.com"),
  BYBIT_SEARCH_ENDPOINT: endpoint.default("/fiat/otc/item/online"),
  WORKER_NAME: workerName.optional(),
  EXTRACTION_INTERVAL_MINUTES: wholeNumber(1, 1440).default(10),
  MAX_WORKERS: wholeNumber(1, 100).default(20),
  REQUEST_TIMEOUT_SECONDS: decimal(0.1, 600).default(30),
  MAX_RETRIES: wholeNumber(0, 20).default(3),
  INITIAL_RATE_LIMIT: decimal(1, 1_000_000).default(100),
  MIN_RATE_LIMIT: decimal(1, 1_000_000).default(10),
  MAX_RATE_LIMIT: decimal(1, 1_000_000).default(320),
  RATE_LIMIT_BURST: wholeNumber(1, 100_000).default(20),
  RATE_LIMIT_BACKOFF_FACTOR: decimal(0.01, 0.99).default(0.5),
  BATCH_DEADLINE_SECONDS: decimal(1, 86_400).default(480),
  MARKETS: markets.default(parseMarketFilter("*/*") as MarketFilter),
  PROMETHEUS_PORT: wholeNumber(0, 65_535).default(9090),
  LISTEN_HOST: listenHost.default("127.0.0.1"),
  ENABLE_METRICS: trueOrFalse.default(true),
  LOG_LEVEL: z.enum(["debug", "info", "warning", "error"], "must be debug, info, warning or error")
    .default("info"),
  LOG_FORMAT: z.enum(["text", "json"], "must be text or json").optional(),
  SLACK_WEBHOOK_URL: httpUrl.optional(),
  PAGERDUTY_API_KEY: z.string().optional(),
  PAGERDUTY_EVENTS_URL: httpUrl.default("https://events.pagerduty.com/v2/enqueue"),
  ALERT_WEBHOOK_URL: httpUrl.optional(),
  ALERT_ON_FAILURES: wholeNumber(1, 1000).default(3),
}).superRefine((c, context) => {
  const [least, initial, most] = [c.MIN_RATE_LIMIT, c.INITIAL_RATE_LIMIT, c.MAX_RATE_LIMIT];
  // Where one of them is no number that was said already, and this is called all the same.
  if ([least, initial, most].some((rate) => typeof rate !== "number")) return;
  if (least <= initial && initial <= most) return;
  context.addIssue({
    code: "custom",
    path: ["INITIAL_RATE_LIMIT"],
    message: `(${initial}) must lie between MIN_RATE_LIMIT (${least}) and MAX_RATE_LIMIT (${most})`,
  });
});

export type Config = Readonly<z.output<typeof environment>>;

/** Variables whose value is never printed; each may come from a file named by `<NAME>_FILE` instead. */
export const SECRETS: ReadonlySet<string> = new Set([
  "DATABASE_URL",
  "SLACK_WEBHOOK_URL",
  "PAGERDUTY_API_KEY",
  "ALERT_WEBHOOK_URL",
]);

export const ENVIRONMENT_NAMES: readonly string[] = Object.keys(environment.shape);

/** Variables that name a file with the value of a secret. */
export const FILE_NAMES: readonly string[] = [...SECRETS].map((name) => `${name}_FILE`);

/**
 * Reads the whole configuration from the environment. An empty variable counts as unset, as
 * systemd and compose files write it.
 * @throws {ConfigurationError} naming every bad variable in one line; never shows a secret
 */
export function loadConfig(
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string = (path) => readSmallFile(path, LONGEST_SECRET_BYTES),
): Config {
  const given: Record<string, string> = {};
  for (const name of ENVIRONMENT_NAMES) {
    const value = SECRETS.has(name) ? secretValue(name, env, readFile) : env[name]?.trim();
    if (value) given[name] = value;
  }
  const parsed = environment.safeParse(given);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    return `${name}${shown(name, given[name])} ${issue.message}`;
  });
  const line = printable(problems.join("; "));
  throw new ConfigurationError(line, "the README lists every variable");
}

/** Of these JSON escapes only those below U+0020. */
function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, " ");
}

/** What was given, unless it is or may hold a secret: a URL may carry a password or a key. */
function shown(name: string, value: string | undefined): string {
  if (value === undefined || SECRETS.has(name) || /[@?]/.test(value)) return "";
  return `=${JSON.stringify(value.length > 100 ? value.slice(0, 100) + "…" : value)}`;
}

function secretValue(
  name: string,
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string,
): string | undefined {
  const direct = env[name]?.trim();
  const path = env[`${name}_FILE`]?.trim();
  if (!path) return direct;
  if (direct) {
    throw new ConfigurationError(`both ${name} and ${name}_FILE are set`, "keep one of them");
  }
  // Who sets the secret itself here by mistake does not find it in the log.
  const file = /^\.{0,2}\//.test(path)
    ? printable(`${name}_FILE=${JSON.stringify(path.slice(0, 200))}`)
    : `${name}_FILE`;
  let secret: string;
  try {
    secret = readFile(path).trim();
  } catch (error) {
    const reason = error instanceof Error ? error.name : "unknown error";
    throw new ConfigurationError(
      `${file} cannot be read (${reason})`,
      `${name}_FILE is the path of a file that holds the value`,
    );
  }
  if (secret === "") throw new ConfigurationError(`${file} is an empty file`);
  return secret;
}

const LONGEST_SECRET_BYTES = 10_000;
