import type { Config } from "./config.ts";

/** What a variable is for; the README's table, docs/reference.md and the man page are made of these. */
export interface Variable {
  /** Markdown, short. Empty where the name says it all. */
  readonly about: string;
  /** Where it is no fixed value: what stands in instead, in Markdown. A fixed default is in config.ts. */
  readonly otherwise?: string;
}

/** Every variable, in the order in which people are told of them. */
export const VARIABLES: Readonly<Record<keyof Config, Variable>> = {
  DATABASE_URL: {
    about:
      "`postgres://user:password@host/db`; unset: the embedded PostgreSQL. `?sslmode=verify-full` for TLS",
  },
  DATA_DIR: {
    otherwise: "`/var/lib/p2p-ingest` as root, else `~/.local/share/p2p-ingest`",
    about: "data folder of the embedded PostgreSQL",
  },
  MARKETS: { about: "fiat before asset: `VES/USDT,ARS/*`" },
  EXTRACTION_INTERVAL_MINUTES: { about: "" },
  BATCH_DEADLINE_SECONDS: {
    about:
      "then fetching ends, what came is loaded, the rest is `deferred` and first in line next time",
  },
  MAX_WORKERS: { about: "markets at once" },
  INITIAL_RATE_LIMIT: {
    about: "requests a minute to each exchange, where nothing was learned before",
  },
  MIN_RATE_LIMIT: { about: "the rate that is learned stays above this" },
  MAX_RATE_LIMIT: { about: "and below this; all three the same: a fixed rate" },
  RATE_LIMIT_BACKOFF_FACTOR: {
    about: "a refusal (429, 403, challenge, time-out) multiplies the rate by this",
  },
  RATE_LIMIT_BURST: { about: "requests at once before the rate holds" },
  REQUEST_TIMEOUT_SECONDS: { about: "one attempt, body included" },
  MAX_RETRIES: { about: "attempts after the first" },
  EXCHANGES: { about: "`binance`, `bybit` or both: `binance,bybit`" },
  BINANCE_BASE_URL: { about: "" },
  BINANCE_SEARCH_ENDPOINT: { about: "path or whole URL" },
  BINANCE_PAIRS_ENDPOINT: {
    about:
      "asked for the list of markets when discovery fails (the real one answers 404 since 2025)",
  },
  BYBIT_BASE_URL: { about: "" },
  BYBIT_SEARCH_ENDPOINT: { about: "path or whole URL" },
  WORKER_NAME: {
    otherwise: "host name",
    about: "names the worker; the rate that it learned passes on to the next of that name",
  },
  ALERT_ON_FAILURES: { about: "so many batches in a row that are not `completed` are an alert" },
  SLACK_WEBHOOK_URL: { about: "an incoming webhook: alerts go there" },
  PAGERDUTY_API_KEY: {
    about: "the integration key of a service (Events API v2): alerts go there",
  },
  PAGERDUTY_EVENTS_URL: {
    about: "accounts in the EU: `https://events.eu.pagerduty.com/v2/enqueue`",
  },
  ALERT_WEBHOOK_URL: {
    about: "a service of your own: alerts go there; see docs/alerts.md",
  },
  LOG_LEVEL: { about: "`debug`, `info`, `warning`, `error`" },
  LOG_FORMAT: { otherwise: "`text` in a terminal, else `json`", about: "" },
  ENABLE_METRICS: { about: "`false`: `run` opens no port" },
  PROMETHEUS_PORT: {
    about: "status page, metrics and health of `run`; `0`: any that is free, named in the log",
  },
  LISTEN_HOST: { about: "on which address; `0.0.0.0` in a container" },
};
