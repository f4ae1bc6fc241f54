import assert from "node:assert/strict";
import { type Config, ENVIRONMENT_NAMES, loadConfig } from "../../src/config.ts";
import { ConfigurationError } from "../../src/errors.ts";

/** The contract of DESIGN.md: each name with its default, undefined where it has none. */
const CONTRACT: Readonly<Record<string, unknown>> = {
  DATABASE_URL: undefined,
  EXCHANGES: ["binance"],
  BINANCE_BASE_URL: "https://p2p.binance.com",
  BINANCE_SEARCH_ENDPOINT: "/bapi/c2c/v2/friendly/c2c/adv/search",
  BINANCE_PAIRS_ENDPOINT: undefined,
  BYBIT_BASE_URL: "https://api2.bybit.com",
  BYBIT_SEARCH_ENDPOINT: "/fiat/otc/item/online",
  WORKER_NAME: undefined,
  EXTRACTION_INTERVAL_MINUTES: 10,
  MAX_WORKERS: 20,
  REQUEST_TIMEOUT_SECONDS: 30,
  MAX_RETRIES: 3,
  INITIAL_RATE_LIMIT: 100,
  MIN_RATE_LIMIT: 10,
  MAX_RATE_LIMIT: 320,
  RATE_LIMIT_BURST: 20,
  RATE_LIMIT_BACKOFF_FACTOR: 0.5,
  BATCH_DEADLINE_SECONDS: 480,
  MARKETS: [{ fiat: "*", asset: "*" }],
  PROMETHEUS_PORT: 9090,
  LISTEN_HOST: "127.0.0.1",
  ENABLE_METRICS: true,
  LOG_LEVEL: "info",
  LOG_FORMAT: undefined,
  SLACK_WEBHOOK_URL: undefined,
  PAGERDUTY_API_KEY: undefined,
  PAGERDUTY_EVENTS_URL: "https://events.pagerduty.com/v2/enqueue",
  ALERT_WEBHOOK_URL: undefined,
  ALERT_ON_FAILURES: 3,
  DATA_DIR: undefined,
};

/** The one line that a bad value gives. */
function problem(env: Record<string, string>): string {
  try {
    loadConfig(env, () => assert.fail("no file is to be read"));
  } catch (error) {
    assert(error instanceof ConfigurationError, Deno.inspect(error));
    assert.equal(error.exitCode, 78);
    assert.doesNotMatch(error.message, /[\r\n]/);
    return error.message;
  }
  throw new assert.AssertionError({ message: `accepted: ${JSON.stringify(env)}` });
}

Deno.test("an empty environment gives every default of the contract", () => {
  const config: Readonly<Record<string, unknown>> = loadConfig({});
  assert.deepEqual([...ENVIRONMENT_NAMES].sort(), Object.keys(CONTRACT).sort());
  for (const [name, value] of Object.entries(CONTRACT)) assert.deepEqual(config[name], value, name);
});

Deno.test("an empty variable, and one of blanks, counts as unset", () => {
  const blank = Object.fromEntries(ENVIRONMENT_NAMES.map((name, i) => [name, " ".repeat(i % 3)]));
  assert.deepEqual(loadConfig(blank), loadConfig({}));
});

Deno.test("variables of others are left alone", () => {
  assert.deepEqual(loadConfig({ PATH: "/bin", MAX_WORKER: "many", PGHOST: "db" }), loadConfig({}));
});

const accepted: [name: keyof Config, value: string, read: unknown][] = [
  ["MAX_WORKERS", " 7 ", 7],
  ["MAX_WORKERS", "100", 100],
  ["MAX_RETRIES", "0", 0],
  ["REQUEST_TIMEOUT_SECONDS", "2.5", 2.5],
  ["RATE_LIMIT_BACKOFF_FACTOR", "0.75", 0.75],
  ["INITIAL_RATE_LIMIT", "10", 10],
  ["INITIAL_RATE_LIMIT", "320", 320],
  ["ENABLE_METRICS", "false", false],
  ["LOG_LEVEL", "debug", "debug"],
  ["LOG_FORMAT", "json", "json"],
  ["BINANCE_BASE_URL", "http://127.0.0.1:8080/", "http://127.0.0.1:8080/"],
  ["BINANCE_SEARCH_ENDPOINT", "https://mirror.example/search", "https://mirror.example/search"],
  ["BYBIT_BASE_URL", "https://api2.bytick.com", "https://api2.bytick.com"],
  ["WORKER_NAME", " München 2 ", "München 2"],
  ["WORKER_NAME", "🦉".repeat(100), "🦉".repeat(100)],
  ["DATABASE_URL", "postgresql://u:p%40ss@db:5433/p2p?sslmode=require", undefined],
  ["DATABASE_URL", "postgres://%2Frun%2Fpostgresql/p2p", undefined],
];
for (const [name, value, read] of accepted) {
  Deno.test(`${name}=${value} is accepted`, () => {
    assert.equal(loadConfig({ [name]: value })[name], read ?? value);
  });
}

Deno.test("EXCHANGES is a list of exchanges, in the order given", () => {
  for (
    const [text, read] of [
      ["bybit", ["bybit"]],
      ["binance,bybit", ["binance", "bybit"]],
      [" Bybit , BINANCE", ["bybit", "binance"]],
    ] as const
  ) assert.deepEqual(loadConfig({ EXCHANGES: text }).EXCHANGES, read);
});

const whole = "is not a whole number";
const refused: [name: string, value: string, message: string][] = [
  ["MAX_WORKERS", "many", whole],
  ["MAX_WORKERS", "1e3", whole],
  ["MAX_WORKERS", "-5", whole],
  ["MAX_WORKERS", "+5", whole],
  ["MAX_WORKERS", "20.0", whole],
  ["MAX_WORKERS", "0x10", whole],
  ["MAX_WORKERS", "1_000", whole],
  ["MAX_WORKERS", "1,000", whole],
  ["MAX_WORKERS", "2 0", whole],
  ["MAX_WORKERS", '"20"', whole],
  ["MAX_WORKERS", "20 # workers", whole],
  ["MAX_WORKERS", "٢٠", whole],
  ["MAX_WORKERS", "NaN", whole],
  ["MAX_WORKERS", "0", "must be between 1 and 100"],
  ["MAX_WORKERS", "101", "must be between 1 and 100"],
  ["MAX_WORKERS", "99999999999999999999", "must be between 1 and 100"],
  ["MAX_RETRIES", "21", "must be between 0 and 20"],
  ["PROMETHEUS_PORT", "65536", "must be between 0 and 65535"],
  ["LISTEN_HOST", "0.0.0.0:9090", "must be an IP address or a host name"],
  ["EXTRACTION_INTERVAL_MINUTES", "0", "must be between 1 and 1440"],
  ["REQUEST_TIMEOUT_SECONDS", "30s", "is not a number"],
  ["REQUEST_TIMEOUT_SECONDS", "0,5", "is not a number"],
  ["REQUEST_TIMEOUT_SECONDS", ".5", "is not a number"],
  ["REQUEST_TIMEOUT_SECONDS", "Infinity", "is not a number"],
  ["REQUEST_TIMEOUT_SECONDS", "0", "must be between 0.1 and 600"],
  ["RATE_LIMIT_BACKOFF_FACTOR", "1", "must be between 0.01 and 0.99"],
  ["ENABLE_METRICS", "TRUE", "must be true or false"],
  ["ENABLE_METRICS", "1", "must be true or false"],
  ["ENABLE_METRICS", "yes", "must be true or false"],
  ["LOG_LEVEL", "INFO", "must be debug, info, warning or error"],
  ["LOG_LEVEL", "warn", "must be debug, info, warning or error"],
  ["LOG_FORMAT", "xml", "must be text or json"],
  ["BINANCE_BASE_URL", "p2p.binance.com", "is not an http:// or https:// URL"],
  ["BINANCE_BASE_URL", "localhost:8080", "is not an http:// or https:// URL"],
  ["BINANCE_BASE_URL", "https:p2p.binance.com", "is not an http:// or https:// URL"],
  ["BINANCE_BASE_URL", "//p2p.binance.com", "is not an http:// or https:// URL"],
  ["BINANCE_BASE_URL", "ftp://p2p.binance.com", "is not an http:// or https:// URL"],
  ["BINANCE_BASE_URL", '"https://p2p.binance.com"', "is not an http:// or https:// URL"],
  ["BINANCE_BASE_URL", "http://host:99999", "is not an http:// or https:// URL"],
  ["BINANCE_BASE_URL", "http://host/#top", "must end before any ? or #"],
  ["BINANCE_SEARCH_ENDPOINT", "bapi/search", "must begin with / or be a whole http(s) URL"],
  ["EXCHANGES", "kraken", 'must be a list of binance, bybit, not "kraken"'],
  ["EXCHANGES", "binance,", 'must be a list of binance, bybit, not ""'],
  ["EXCHANGES", "binance bybit", 'must be a list of binance, bybit, not "binance bybit"'],
  ["EXCHANGES", "bybit,binance,Bybit", "names bybit twice"],
  ["BYBIT_BASE_URL", "api2.bybit.com", "is not an http:// or https:// URL"],
  ["BYBIT_SEARCH_ENDPOINT", "fiat/otc", "must begin with / or be a whole http(s) URL"],
  ["WORKER_NAME", "two\nlines", "must be 1 to 100 printable characters"],
  ["WORKER_NAME", "x\u0007", "must be 1 to 100 printable characters"],
  ["MARKETS", "VES", "must be like VES/USDT,ARS/*"],
  ["MARKETS", "VES/USDT,", "must be like VES/USDT,ARS/*"],
];
for (const [name, value, message] of refused) {
  Deno.test(`${name}=${value} is refused`, () => {
    const line = problem({ [name]: value });
    assert(line.startsWith(`${name}=${JSON.stringify(value)} ${message}`), line);
  });
}

Deno.test("every bad variable is named in the one line", () => {
  const line = problem({ MAX_WORKERS: "x\ny", LOG_LEVEL: "loud", PROMETHEUS_PORT: "-1" });
  assert.deepEqual(line.split("; ").map((part) => part.split("=")[0]), [
    "MAX_WORKERS",
    "PROMETHEUS_PORT",
    "LOG_LEVEL",
  ]);
});

Deno.test("a worker's name of 101 characters is refused", () => {
  assert.match(problem({ WORKER_NAME: "x".repeat(101) }), /must be 1 to 100 printable characters$/);
});

Deno.test("a value of any length gives a short line", () => {
  assert(problem({ MAX_WORKERS: "9".repeat(100_000) }).length < 300);
});

Deno.test("rate limits out of order show all three, also where one is the default", () => {
  assert.equal(
    problem({ MAX_RATE_LIMIT: "60" }),
    "INITIAL_RATE_LIMIT (100) must lie between MIN_RATE_LIMIT (10) and MAX_RATE_LIMIT (60)",
  );
  assert.match(
    problem({ INITIAL_RATE_LIMIT: "5" }),
    /\(5\) must lie between MIN_RATE_LIMIT \(10\)/,
  );
  assert.match(problem({ MIN_RATE_LIMIT: "101" }), /INITIAL_RATE_LIMIT \(100\)/);
  assert.match(problem({ MIN_RATE_LIMIT: "400", MAX_RATE_LIMIT: "20" }), /\(400\).*\(20\)/);
});

Deno.test("one clear line, whatever was given", () => {
  assert.equal(
    problem({ INITIAL_RATE_LIMIT: "a\u009bb" }),
    'INITIAL_RATE_LIMIT="a b" is not a number',
  );
  assert(problem({ MARKETS: "x".repeat(100_000) }).length < 500);
  assert(problem({ EXCHANGES: "x".repeat(100_000) }).length < 500);
});
