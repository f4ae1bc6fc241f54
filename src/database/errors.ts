import postgres from "postgres";
import {
  BatchError,
  ConfigurationError,
  DatabaseError,
  describe,
  P2pError,
  UsageError,
} from "../errors.ts";

/** SQLSTATEs and driver codes that mean: the server or the way to it is gone, the same call may work later. */
const LOST =
  /^(08...|57P0[123]|53300|CONNECTION_.*|CONNECT_TIMEOUT|ECONN.*|EPIPE|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|EHOSTUNREACH|ENETUNREACH)$/;

/** Codes of a certificate that proves nothing; see sslmode=verify-full. */
const CERTIFICATE = /^(CERT_\w+|\w+_CERT(_\w+)?|ERR_TLS_CERT_\w+|UNABLE_TO_VERIFY_\w+)$/;

/** What Node says where the other side hangs up in the middle, as a server without TLS does. */
const NO_TLS = /before secure TLS connection was established/;

/** A server, database or role has given all its connections. */
export const NO_MORE_CONNECTIONS = "53300";

/** A write in a transaction that only reads. */
export const READ_ONLY = "25006";

/** A statement did not answer in time; the connection may be half open. */
export class DatabaseTimeout extends DatabaseError {}

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** Whether the database was lost rather than having refused: idempotent calls may be repeated. */
export function isConnectionLost(error: unknown): boolean {
  return error instanceof DatabaseTimeout || LOST.test(codeOf(error)) ||
    (error instanceof DatabaseError && isConnectionLost(error.cause));
}

/** Whether the server chose this statement to give way to others, which waited for it as it did for them. */
export function isDeadlockVictim(error: unknown): boolean {
  return codeOf(error) === "40P01" ||
    (error instanceof DatabaseError && isDeadlockVictim(error.cause));
}

/**
 * Turns what the driver threw into an error that a person can act on.
 * @param where e.g. `127.0.0.1:5432/p2p`, without a password
 */
export function explain(error: unknown, where: string): Error {
  if (error instanceof P2pError) return error;
  const code = codeOf(error);
  const text = describe(error);
  const options = { cause: error };
  if (code === NO_MORE_CONNECTIONS) {
    return new DatabaseError(
      `the database at ${where} gives no further connection: ${text}`,
      "a worker takes up to 7; p2p-ingest doctor says which limit is too low: of the login, the database or the server",
      options,
    );
  }
  if (LOST.test(code)) {
    return new DatabaseError(
      `the database at ${where} cannot be reached: ${text || code}`,
      NO_TLS.test(text)
        ? "a server that offers no TLS does this: its setting ssl is off; sslmode=prefer in DATABASE_URL goes without"
        : undefined,
      options,
    );
  }
  if (CERTIFICATE.test(code)) {
    return new DatabaseError(
      `the certificate of the database at ${where} proves nothing: ${text}`,
      "it must be valid and name the host as DATABASE_URL does; of an authority of your own: ?sslrootcert=<file with its certificate>",
      options,
    );
  }
  if (/^(42704|22023|55P02)$/.test(code) && isFatal(error)) {
    return new ConfigurationError(
      `the database at ${where} begins no session: ${text}`,
      "behind the ? of DATABASE_URL stand sslmode, sslrootcert, sslcert, sslkey, or settings of PostgreSQL; leave out what else psql takes there",
      options,
    );
  }
  switch (isOfStandby(code, text) ? READ_ONLY : code) {
    case "28P01":
    case "28000":
      return new DatabaseError(
        `the database at ${where} refuses this user: ${text}`,
        "check user and password in DATABASE_URL",
        options,
      );
    case "3D000":
      return new DatabaseError(
        `${text} (at ${where})`,
        "create it, or change DATABASE_URL",
        options,
      );
    case "42501":
      return new DatabaseError(
        `the database user lacks a privilege: ${text}`,
        "the owner of schema p2p (the user that ran `p2p-ingest migrate`) may do it; a worker needs: grant p2p_worker to that user",
        options,
      );
    case "42P01":
    case "42883":
      if (!/^\w+ \W?p2p\.\w/.test(text)) break;
      return new ConfigurationError(
        `something is missing in schema p2p: ${text}`,
        "p2p-ingest migrate makes dropped functions and views again; a dropped table is in your backup",
        options,
      );
    case "53100":
      return new DatabaseError(`the database's disk is full: ${text}`, undefined, options);
    case "XX000": // at the begin of a session, of a server whose disk is full
      if (!/^could not write \w+ file/.test(text)) break;
      return new DatabaseError(
        `the database cannot write to its disk: ${text}`,
        undefined,
        options,
      );
    case "57014": // cancelled, or a time-out of the server's
    case "55P03":
    case "40P01":
    case "40001":
      return new DatabaseError(
        `the database at ${where} ended a statement: ${text}`,
        adviceOnTimeout(text),
        options,
      );
    case "P2P01":
      return new ConfigurationError(text, hintOf(error), options);
    case "P2P02":
      return new UsageError(text, hintOf(error), options);
    case "P2P03": // the detail says where in the SQL of a step it happened
      return new BatchError(
        [text, ...placesOf(error)].join("; "),
        hintOf(error),
        options,
      );
    case READ_ONLY: // of a standby, which may be the primary in a moment
      return new DatabaseError(
        `the database at ${where} only reads: ${text}`,
        "DATABASE_URL must name the primary, not a standby; p2p-ingest doctor says where default_transaction_read_only is set",
        options,
      );
  }
  // A file that cannot be applied here: somebody made something else of that name, or built on what it replaces.
  if (/^sql\/(migrations|functions|views)\//.test(text)) {
    return new ConfigurationError(text, hintOf(error), options);
  }
  return error instanceof Error ? error : new Error(text, options);
}

/** Told by the error itself: `doctor` asks the database, too, and may not get an answer in that time. */
function adviceOnTimeout(text: string): string | undefined {
  const [, kind] = /due to (statement|lock) timeout/.exec(text) ?? [];
  return kind === undefined
    ? undefined
    : `the setting ${kind}_timeout is too short for this; psql's \\drds shows the role or database that has it: alter role … reset ${kind}_timeout`;
}

/** What a standby says of unlogged tables, before it comes to writing. */
function isOfStandby(code: string, text: string): boolean {
  return code === "0A000" && /during recovery$/.test(text);
}

/** At the begin of a session, or its end. */
function isFatal(error: unknown): boolean {
  return error instanceof postgres.PostgresError && error.severity === "FATAL";
}

/** The places in PL/pgSQL that the detail names, innermost first. */
function placesOf(error: unknown): string[] {
  const detail = error instanceof postgres.PostgresError ? error.detail ?? "" : "";
  return [...detail.matchAll(/PL\/pgSQL function ([^\n]+)/g)].map(([, place]) => `in ${place}`);
}

function hintOf(error: unknown): string | undefined {
  return error instanceof postgres.PostgresError ? error.hint || undefined : undefined;
}
