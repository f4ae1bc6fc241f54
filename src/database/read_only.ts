import postgres from "postgres";
import { DEADLINES } from "../deadlines.ts";
import { DatabaseError, describe, UsageError } from "../errors.ts";
import { withDeadline } from "./deadline.ts";
import { codeOf, explain, READ_ONLY } from "./errors.ts";
import { placeIn, placeOf } from "./place.ts";
import { Sockets } from "./sockets.ts";
import { tlsOf } from "./tls.ts";

export interface TextTable {
  readonly columns: readonly { name: string; alignment: "left" | "right" }[];
  readonly rows: readonly (readonly (string | null)[])[];
}

/** The server ends the statement first, where it can. */
const GRACE_SECONDS = 5;

/**
 * In a transaction block that has seen a query there is no way back to read-write, for DO and CALL neither; and the
 * extended protocol takes one statement only, so that none comes after a COMMIT. A client that is killed is noticed, but
 * by a server on Windows, which refuses to look. Settings of this transaction: PgBouncer takes no others, and would
 * leave them to whoever comes next.
 */
const BEGIN = `begin read only;
  select set_config('statement_timeout', '${DEADLINES.querySeconds}s', true)
  where current_setting('statement_timeout') = '0';
  select set_config('client_connection_check_interval', '10s', true)
  where version() !~* 'windows|mingw|msvc|visual c'`;

/** Type oids of numbers, which are aligned to the right. */
const NUMBERS = new Set([20, 21, 23, 26, 700, 701, 790, 1700]);

/** Every type that the driver would turn into something of JavaScript's, and lose digits of. */
const PARSED_TYPES = [16, 17, 20, 21, 23, 26, 114, 700, 701, 1082, 1114, 1184, 1700, 3802];

/** The statement says $1: a protocol violation to the server, but no lost connection. */
const MISSING_PARAMETERS = "08P01";
/** Tables and functions that are not there: here it is the statement that is wrong. */
const UNKNOWN_NAMES = ["42P01", "42883"];

/**
 * Runs one statement of a person in a read-only transaction. Cells are the server's own text.
 * @param asJson one column with a JSON document a row, made by the server, where the statement allows it
 * @param signal cancels the statement
 * @throws {UsageError} for whatever the server has against the statement
 */
export async function queryReadOnly(
  url: string,
  statement: string,
  asJson: boolean,
  signal?: AbortSignal,
): Promise<TextTable> {
  const where = placeOf(url);
  const { url: plainUrl, ssl } = tlsOf(url);
  const sql = postgres(plainUrl, {
    ...{ socket: new Sockets(2).make }, // not in the driver's types
    ...placeIn(plainUrl),
    ssl,
    max: 1,
    prepare: false,
    fetch_types: false,
    connect_timeout: DEADLINES.connectSeconds,
    onnotice: () => {},
    types: {
      asSent: { to: 25, from: PARSED_TYPES, serialize: String, parse: (text: string) => text },
    },
    connection: { application_name: "p2p-ingest query" },
  });
  try {
    const text = asJson ? asDocuments(statement) : statement;
    const begin = sql.unsafe(BEGIN).simple();
    await withDeadline(begin, DEADLINES.statementSeconds, where, signal);
    const query = sql.unsafe(text, [], { simple: false } as postgres.UnsafeQueryOptions).values();
    const rows = await withDeadline(query, DEADLINES.querySeconds + GRACE_SECONDS, where, signal);
    if (!Array.isArray(rows)) { // the driver hands out a stream of COPY
      throw new UsageError("COPY gives no rows to show", "use --csv with a SELECT");
    }
    const columns = (rows.columns ?? []).map(({ name, type }) => ({
      name,
      alignment: NUMBERS.has(type) ? "right" as const : "left" as const,
    }));
    return { columns, rows: [...rows] as (string | null)[][] };
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (/due to statement timeout/.test(describe(error))) {
      throw new DatabaseError(
        `the database at ${where} ended the statement: it took too long`,
        `p2p-ingest query gives it ${DEADLINES.querySeconds} s, or what the setting statement_timeout says; psql as long as it takes`,
        { cause: error },
      );
    }
    const known = explain(error, where);
    const isRefused = known === error ||
      [MISSING_PARAMETERS, READ_ONLY, ...UNKNOWN_NAMES].includes(codeOf(error));
    if (!(error instanceof postgres.PostgresError) || !isRefused) throw known;
    throw new UsageError(`${error.message} (SQLSTATE ${error.code})`, error.hint, { cause: error });
  } finally {
    await sql.end({ timeout: DEADLINES.disconnectSeconds });
  }
}

function asDocuments(statement: string): string {
  const single = statement.trim().replace(/;+$/, "");
  return `select row_to_json(result)::text from (\n${single}\n) as result`;
}
