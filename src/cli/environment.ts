import {
  type Config,
  ENVIRONMENT_NAMES,
  EXCHANGE_CODES,
  type ExchangeCode,
  FILE_NAMES,
  loadConfig,
} from "../config.ts";
import { Database } from "../database/connection.ts";
import { migrate } from "../database/migrate.ts";
import { requireSchema } from "../database/migration_plan.ts";
import {
  type Cluster,
  type ClusterOptions,
  defaultDataDir,
  explainServerLoss,
  findRunning,
  openCluster,
} from "../embedded/cluster.ts";
import { binance } from "../exchange/binance.ts";
import { bybit } from "../exchange/bybit.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { ConfigurationError, EXIT } from "../errors.ts";
import { configureLog, type LogFormat, logger } from "../log.ts";
import { SYSTEMD_VARIABLES, type SystemdVariables } from "../serve/systemd.ts";

/** Every variable of ours, those that name the file of a secret included. */
const OUR_NAMES = [...ENVIRONMENT_NAMES, ...FILE_NAMES];

/** Only our own variables: an executable may read no others. */
function readVariables<Name extends string>(names: readonly Name[]): Partial<Record<Name, string>> {
  const entries = names.map((name) => [name, Deno.env.get(name)] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as Partial<
    Record<Name, string>
  >;
}

/** Every variable where that is allowed, else our own: a person is told of those that are nearly ours. */
export function givenVariables(): Readonly<Partial<Record<string, string>>> {
  return Deno.permissions.querySync({ name: "env" }).state === "granted"
    ? Deno.env.toObject()
    : readVariables(OUR_NAMES);
}

/** What the worker is called; see WORKER_NAME. */
export function workerName({ WORKER_NAME }: Config): string {
  return WORKER_NAME ?? Deno.hostname();
}

/** What systemd, or whoever acts like it, said to this process. */
export function readSystemd(): SystemdVariables {
  return readVariables(SYSTEMD_VARIABLES);
}

/** Configuration from the environment, with the log set up as it says. */
export async function readEnvironment(): Promise<Config> {
  const config = loadConfig(readVariables(OUR_NAMES));
  await configureLog(config.LOG_LEVEL, logFormat(config));
  return config;
}

export function logFormat({ LOG_FORMAT }: Config): LogFormat {
  return LOG_FORMAT ?? (Deno.stderr.isTerminal() ? "text" : "json");
}

const ADAPTERS: Readonly<Record<ExchangeCode, (config: Config) => Exchange>> = {
  binance: (config) =>
    binance({
      baseUrl: config.BINANCE_BASE_URL,
      search: config.BINANCE_SEARCH_ENDPOINT,
      pairs: config.BINANCE_PAIRS_ENDPOINT,
    }),
  bybit: (config) =>
    bybit({ baseUrl: config.BYBIT_BASE_URL, search: config.BYBIT_SEARCH_ENDPOINT }),
};

/** The exchanges of EXCHANGES, in its order; at least one. */
export function configuredExchanges(config: Config): readonly [Exchange, ...Exchange[]] {
  const [first, ...others] = config.EXCHANGES;
  return [ADAPTERS[first](config), ...others.map((code) => ADAPTERS[code](config))];
}

/** Every exchange that there is an adapter for, by its code: what was recorded may be of any. */
export function knownExchanges(config: Config): ReadonlyMap<string, Exchange> {
  return new Map(EXCHANGE_CODES.map((code) => [code, ADAPTERS[code](config)]));
}

export interface OpenOptions {
  readonly config: Config;
  /** The command; shown to the DBA, and to whoever finds the embedded database held. */
  readonly purpose: string;
  /** What the command needs of the schema: nothing, or all of it. */
  readonly schema: "any" | "current";
  readonly connections?: number;
  /** Whether SQL that a person wrote runs in it. */
  readonly isForPeople?: boolean;
  readonly signal?: AbortSignal;
  readonly whenHeld?: "join" | "refuse";
}

export interface OpenedDatabase extends AsyncDisposable {
  readonly database: Database;
  /** Undefined where DATABASE_URL names another server. */
  readonly cluster: Cluster | undefined;
}

/**
 * Opens the database that the configuration names, or else the embedded one. The embedded one is migrated by itself;
 * of another server the schema must be current, since migrating it is its DBA's decision.
 */
export async function openDatabase(options: OpenOptions): Promise<OpenedDatabase> {
  const { config, purpose, schema, connections, isForPeople = false } = options;
  const pool = {
    isForPeople,
    applicationName: `p2p-ingest ${purpose}`,
    ...(connections === undefined ? {} : { connections }),
  };
  await using stack = new AsyncDisposableStack();
  if (config.DATABASE_URL !== undefined) {
    const database = stack.use(new Database(config.DATABASE_URL, pool));
    if (schema === "current") await requireSchema(database);
    const owned = stack.move();
    return { database, cluster: undefined, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }
  if (Deno.permissions.querySync({ name: "run" }).state !== "granted") {
    throw new ConfigurationError(
      "DATABASE_URL is not set",
      "set it, or DATABASE_URL_FILE; an executable brings no PostgreSQL along, that is for runs from source",
    );
  }
  const dataDir = config.DATA_DIR ?? defaultDataDir();
  const cluster = stack.adopt(
    await openCluster(clusterOptions(dataDir, options)),
    (opened) => opened.close(),
  );
  const explainLoss = async () => ({
    reason: await explainServerLoss(dataDir),
    isOver: await findRunning(dataDir) === undefined, // it would come back on another port
  });
  const database = stack.use(new Database(cluster.url, { ...pool, explainLoss }));
  if (schema === "current") {
    const { objects } = await migrate(database);
    for (const { name, outcome } of objects.filter(({ outcome }) => outcome !== "applied")) {
      logger("database").warning("sql/{name}: {outcome}; see p2p-ingest sql diff", {
        name,
        outcome,
      });
    }
  }
  const owned = stack.move();
  return { database, cluster, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function clusterOptions(
  dataDir: string,
  { purpose, signal, whenHeld }: OpenOptions,
): ClusterOptions {
  return {
    dataDir,
    purpose,
    ...(whenHeld === undefined ? {} : { whenHeld }),
    ...(signal === undefined ? {} : { signal }),
  };
}

/**
 * One Ctrl-C may arrive several times: from the terminal, and passed on by `deno task` and npx. A person who means it
 * presses again later than this.
 */
const SAME_SIGNAL_MILLISECONDS = 1000;

/** Aborts at the first SIGINT or SIGTERM; a second one ends the program at once. */
export function untilStopped(): AbortSignal & Disposable {
  const controller = new AbortController();
  let stoppedAt = 0;
  const stop = () => {
    if (controller.signal.aborted) {
      if (performance.now() - stoppedAt > SAME_SIGNAL_MILLISECONDS) Deno.exit(EXIT.batchIncomplete);
      return;
    }
    stoppedAt = performance.now();
    logger("cli").info("stopping; once more to stop at once");
    controller.abort(new DOMException("stopped by a signal", "AbortError"));
  };
  const signals: Deno.Signal[] = ["SIGINT", "SIGTERM"];
  for (const name of signals) Deno.addSignalListener(name, stop);
  return Object.assign(controller.signal, {
    [Symbol.dispose]: () => {
      for (const name of signals) Deno.removeSignalListener(name, stop);
    },
  });
}
