import postgres from "postgres";
import { DEADLINES } from "../deadlines.ts";
import { DatabaseError } from "../errors.ts";
import { logger } from "../log.ts";
import { type RunningQuery, withDeadline } from "./deadline.ts";
import {
  codeOf,
  DatabaseTimeout,
  explain,
  isConnectionLost,
  NO_MORE_CONNECTIONS,
} from "./errors.ts";
import { placeIn, placeOf } from "./place.ts";
import { Sockets } from "./sockets.ts";
import { tlsOf } from "./tls.ts";

export type Row = Record<string, unknown>;
export type Parameter = string | number | boolean | Date | Uint8Array | null;

export interface DatabaseOptions {
  /** Shown to the DBA in pg_stat_activity. */
  readonly applicationName: string;
  /** Connections at most. */
  readonly connections?: number;
  /** Names without a schema are looked up as in psql: for statements that a person wrote. */
  readonly isForPeople?: boolean;
  /** Looks after a server that was lost, where one can. */
  readonly explainLoss?: () => Promise<Loss>;
}

/**
 * With these the server ends the sessions of a client whose machine is gone within a minute, also in the middle of a load,
 * and frees what they lock. Any user may set them.
 */
const NOTICES_DEAD_CLIENTS = {
  client_connection_check_interval: 10_000,
  tcp_keepalives_idle: 20,
  tcp_keepalives_interval: 10,
  tcp_keepalives_count: 3,
  tcp_user_timeout: 50_000,
} as const;

/**
 * Our own statements name every schema. What somebody made in another one (public.to_json(p2p.quarantine) would match
 * better than PostgreSQL's own) is never called with our rights.
 */
const OWN_NAMES = { search_path: "pg_catalog, pg_temp" } as const;

/**
 * What our functions and this program are written for, whatever role and database have as their own: backslashes in
 * patterns, names in regprocedure, times that `Date` reads, claims that wait.
 */
const AS_OURS = {
  standard_conforming_strings: "on",
  quote_all_identifiers: "off",
  DateStyle: "ISO, MDY",
  default_transaction_isolation: "read committed",
} as const;

/** What a session can do without. */
const OPTIONAL: readonly string[] = Object.keys({
  ...NOTICES_DEAD_CLIENTS,
  ...OWN_NAMES,
  ...AS_OURS,
});

/**
 * Of statements on one connection; the driver's types do not know it. Given up behind another one, a statement would leave
 * its answer to the next.
 */
const ONE_AT_A_TIME = { max_pipeline: 0 } as const;

/** What is known of a server that was lost. */
export interface Loss {
  /** e.g. that the embedded server's disk is full */
  readonly reason: string | undefined;
  /** Whether waiting for it is in vain. */
  readonly isOver: boolean;
}

/**
 * A small pool of connections that runs single statements, each with a deadline kept here.
 * No transactions and no reserved connections: every action of the worker is one call of a SQL function
 * (and the driver hangs or dies when a backend is killed inside either).
 */
export class Database implements AsyncDisposable {
  #pool: Pool;
  /** Those that hold a connection on which nothing came any more; each ends with its last statement. */
  readonly #abandoned = new Set<Pool>();
  readonly #ending = new Set<Promise<void>>();
  readonly #open: () => Pool;
  readonly #explainLoss: (() => Promise<Loss>) | undefined;
  /** At most. */
  readonly connections: number;
  /** host:port/database, without user and password */
  readonly where: string;

  constructor(readonly url: string, options: DatabaseOptions) {
    this.where = placeOf(url);
    this.connections = options.connections ?? 4;
    this.#explainLoss = options.explainLoss;
    const log = logger("database");
    const { url: plainUrl, ssl } = tlsOf(url);
    this.#open = () => {
      const sockets = new Sockets(2 * this.connections);
      const sql = postgres(plainUrl, {
        ...{ socket: sockets.make }, // not in the driver's types
        ...placeIn(plainUrl),
        ssl,
        max: this.connections,
        ...ONE_AT_A_TIME,
        connect_timeout: DEADLINES.connectSeconds,
        backoff: (failures: number) => Math.min(0.05 * 2 ** failures, 1), // the driver's own goes up to 20 s
        // Unnamed statements and no look-up of types: works through poolers that switch servers between statements.
        prepare: false,
        fetch_types: false,
        onnotice: (notice) => log.debug("{message}", { message: notice["message"] }),
        connection: {
          application_name: options.applicationName,
          ...NOTICES_DEAD_CLIENTS,
          ...AS_OURS,
          ...(options.isForPeople === true ? {} : OWN_NAMES),
        },
      });
      return { sql, sockets, running: 0, hasWaited: false, hasLost: false };
    };
    this.#pool = this.#open();
  }

  /**
   * Runs one statement with parameters.
   * @param seconds deadline kept by this side
   * @param signal cancels the statement
   * @throws {P2pError} with one clear line, where the cause is not a bug
   */
  async run(
    statement: string,
    parameters: readonly Parameter[],
    seconds: number,
    signal?: AbortSignal,
  ): Promise<Row[]> {
    return await this.#answer(
      (sql) => sql.unsafe<Row[]>(statement, parameters as postgres.ParameterOrJSON<never>[]),
      seconds,
      signal,
    );
  }

  /** Runs a script of several statements as one implicit transaction. */
  async runScript(script: string, seconds: number): Promise<void> {
    await this.#answer((sql) => sql.unsafe(script).simple(), seconds);
  }

  async #answer<T>(
    begin: (sql: postgres.Sql) => RunningQuery<T>,
    seconds: number,
    signal?: AbortSignal,
  ): Promise<T> {
    const pool = this.#pool;
    pool.running++;
    pool.hasWaited ||= pool.running > this.connections;
    try {
      const answer = await withDeadline(begin(pool.sql), seconds, this.where, signal);
      this.#requireTrust(pool);
      return answer;
    } catch (error) {
      if (isPoolersRefusal(error)) {
        const { connection } = pool.sql.options;
        for (const name of OPTIONAL) connection[name] = undefined;
        return await this.#answer(begin, seconds, signal);
      }
      if (isConnectionLost(error) || signal?.aborted) this.#abandon(pool, error);
      else this.#requireTrust(pool);
      const known = explain(error, this.where);
      if (this.#explainLoss === undefined || !(known instanceof DatabaseError)) throw known;
      const { reason, isOver } = await this.#explainLoss();
      if (reason !== undefined) known.message += ` (${reason})`;
      // Without its cause, the loss of a connection, the error is final: nobody tries again.
      throw isOver ? new DatabaseError(known.message, known.hint) : known;
    } finally {
      pool.sockets.statementEnded();
      pool.running--;
      this.#endIfDone(pool);
    }
  }

  /**
   * The connection of a statement that was given up may be half open, and the driver would wait on it for ever; where it
   * was still being made, the driver never uses it again, even if it comes. One that was lost is made again by the driver,
   * but answers the next statement with rows or the error of the one that was lost, or never. It cannot drop one
   * connection: further statements take new ones.
   */
  #abandon(pool: Pool, error: unknown): void {
    if (codeOf(error) === NO_MORE_CONNECTIONS) return; // those that it has are good
    pool.hasLost ||= isConnectionLost(error) && !(error instanceof DatabaseTimeout);
    if (pool !== this.#pool) return;
    this.#abandoned.add(pool);
    this.#pool = this.#open();
  }

  /**
   * A statement that waited for a connection of a pool may have got the one that was lost.
   * @throws {DatabaseTimeout} where it cannot be told whose answer came
   */
  #requireTrust({ hasLost, hasWaited }: Pool): void {
    if (!hasLost || !hasWaited) return;
    throw new DatabaseTimeout(`the answer of the database at ${this.where} broke off`);
  }

  #endIfDone(pool: Pool): void {
    if (pool.running > 0 || !this.#abandoned.delete(pool)) return;
    // The server is being asked to end what was given up: a moment, so that it hears of that.
    const ending = pool.sql.end({ timeout: DEADLINES.disconnectSeconds })
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /** Waits at most `DEADLINES.disconnectSeconds` for what is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    const timeout = DEADLINES.disconnectSeconds;
    const open = [this.#pool, ...this.#abandoned].map(({ sql }) => sql.end({ timeout }));
    await Promise.all([...open, ...this.#ending]);
  }
}

interface Pool {
  readonly sql: postgres.Sql;
  readonly sockets: Sockets;
  /** Statements under way. */
  running: number;
  /** Whether there ever were more of them than connections. */
  hasWaited: boolean;
  /** Whether one of its connections broke. */
  hasLost: boolean;
}

/** PgBouncer takes no setting at the start of a session that it does not know; it looks after dead clients itself. */
function isPoolersRefusal(error: unknown): boolean {
  const [, name = ""] = error instanceof Error
    ? /^unsupported startup parameter: (\w+)/.exec(error.message) ?? []
    : [];
  return OPTIONAL.includes(name);
}
