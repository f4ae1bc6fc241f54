import postgres from "postgres";
import { DEADLINES } from "../deadlines.ts";
import { BatchError } from "../errors.ts";
import type { Database, Row } from "./connection.ts";

/** Which batches a person asks for; nothing named means all of them. */
export interface BatchSelection {
  readonly batchIds?: readonly string[];
  readonly since?: Date;
  readonly until?: Date;
  readonly last?: number;
  /** Also those that the SQL of now has loaded already. */
  readonly all: boolean;
}

/** A row of `p2p.replayable_batches(…)`. */
export interface ReplayableBatch {
  readonly batchId: string;
  readonly startedAt: Date;
  readonly status: string;
  readonly offers: number;
  /** Raw pages that are there. */
  readonly pages: number;
  /** Why it must not be loaded again. */
  readonly obstacle: string | undefined;
  /** Loaded by the SQL of now: nothing would change. */
  readonly isCurrent: boolean;
}

/** What became of a batch that was loaded again. */
export interface ReloadedBatch {
  readonly status: string;
  readonly offers: number;
  readonly rowsWritten: number;
  readonly errorSummary: string | undefined;
}

/** The batches of the selection, oldest first. */
export async function replayableBatches(
  database: Database,
  { batchIds, since, until, last, all }: BatchSelection,
): Promise<ReplayableBatch[]> {
  const rows = await database.run(
    "select * from p2p.replayable_batches($1::text::uuid[], $2, $3, $4, $5)",
    [batchIds ? arrayOf(batchIds) : null, since ?? null, until ?? null, last ?? null, all],
    DEADLINES.statementSeconds,
  );
  return rows.map((row) => ({
    batchId: String(row["batch_id"]),
    startedAt: row["batch_start_time"] as Date,
    status: String(row["status"]),
    offers: Number(row["offers"]),
    pages: Number(row["pages"]),
    obstacle: textOf(row, "obstacle"),
    isCurrent: row["is_current"] === true,
  }));
}

/**
 * `p2p.replay_batch(id)`.
 * @throws {BatchError} where the SQL, or the data, does not let it
 */
export async function loadAgain(database: Database, batchId: string): Promise<ReloadedBatch> {
  try {
    const [row = {}] = await database.run(
      "select * from p2p.replay_batch($1)",
      [batchId],
      DEADLINES.loadSeconds,
    );
    return {
      status: String(row["status"]),
      offers: Number(row["offers"]),
      rowsWritten: Number(row["rows_written"]),
      errorSummary: textOf(row, "error_summary"),
    };
  } catch (error) {
    if (!(error instanceof postgres.PostgresError)) throw error;
    throw new BatchError(reasonOf(error), error.hint, { cause: error });
  }
}

/** Up to five of them come with each effect; values are the database's own text. */
export interface Example {
  readonly key: Readonly<Record<string, string | null>> | null;
  /** e.g. `VES/USDT BUY`, where the row belongs to one. */
  readonly market: string | null;
  readonly before?: string | null | Readonly<Record<string, string | null>>;
  readonly after?: string | null | Readonly<Record<string, string | null>>;
}

/** A row of `p2p.preview_load(…)`. */
export interface Effect {
  readonly table: string;
  readonly effect: "appears" | "vanishes" | "changes";
  /** Undefined: whole rows. */
  readonly column: string | undefined;
  readonly rows: number;
  readonly examples: readonly Example[];
}

/**
 * What loading the batches again would change, with the SQL of now or that of a candidate.
 * @throws whatever the server has against the candidate or the data, as the driver gives it
 */
export async function previewLoad(
  database: Database,
  batchIds: readonly string[],
  candidate: string | undefined,
  signal: AbortSignal,
): Promise<Effect[]> {
  const rows = await database.run(
    "select * from p2p.preview_load($1::text::uuid[], $2)",
    [arrayOf(batchIds), candidate ?? null],
    DEADLINES.previewSeconds + batchIds.length * DEADLINES.loadSeconds,
    signal,
  );
  return rows.map((row) => ({
    table: String(row["table_name"]),
    effect: row["effect"] as Effect["effect"],
    column: textOf(row, "column_name"),
    rows: Number(row["row_count"]),
    examples: row["examples"] as Example[],
  }));
}

/** The message, and where in PL/pgSQL it happened, innermost first. */
export function reasonOf(error: postgres.PostgresError): string {
  const places = [...(error.where ?? "").matchAll(/PL\/pgSQL function ([^\n]+)/g)]
    .map(([, place = ""]) => place)
    .filter((place) => !/^(p2p\.)?(preview_load|replay_batch)\(/.test(place));
  return `${error.message} (SQLSTATE ${error.code}${
    places.length === 0 ? "" : `; in ${places.join("; in ")}`
  })`;
}

function arrayOf(ids: readonly string[]): string {
  return `{${ids.join(",")}}`;
}

function textOf(row: Row, name: string): string | undefined {
  return row[name] === null || row[name] === undefined ? undefined : String(row[name]);
}
