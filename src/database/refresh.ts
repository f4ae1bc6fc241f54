import postgres from "postgres";
import { DEADLINES } from "../deadlines.ts";
import { describe, P2pError } from "../errors.ts";
import type { Database } from "./connection.ts";

/** What became of the continuous aggregates after facts were written. */
export interface Refreshed {
  /** Those that now say what the facts say, and how many windows of each were refreshed. */
  readonly aggregates: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** Windows that were left to the policies. */
  readonly left: number;
  /** Why, where any were left. */
  readonly reason: string | undefined;
}

export interface RefreshOptions {
  /** Time of the first batch that was written; undefined: of any. */
  readonly from?: Date;
  /** Time of the last one. */
  readonly until?: Date;
  /** Windows that were outdated before anything was written (`outdatedWindows`): others are refreshed too. */
  readonly before?: ReadonlySet<string>;
  /** No further window is begun after this time. */
  readonly seconds?: number;
  readonly signal?: AbortSignal;
  readonly onWindow?: (done: number, total: number, aggregate: string) => void;
}

/**
 * Refreshes exactly the aggregates and times that batches of these times touched; on plain PostgreSQL there are none.
 * A refresh is one statement for each window: it runs in no function and no transaction. What cannot be refreshed (only
 * the owner may), or not in time, is no error: the facts are written, and a policy or the next call refreshes them.
 */
export async function refreshAggregates(
  database: Database,
  { from, until, before, seconds = DEADLINES.refreshSeconds, signal, onWindow }: RefreshOptions =
    {},
): Promise<Refreshed> {
  const started = performance.now();
  const passed = () => (performance.now() - started) / 1000;
  const asked = await windowsOf(database, from, until);
  const names = new Set(asked.map(({ statement }) => statement));
  // Who was re-pointed to another row of dim_advertisers stands in other batches as well.
  const elsewhere = before === undefined ? [] : (await windowsOf(database))
    .filter(({ statement }) => !names.has(statement) && !before.has(statement));
  const windows = [...asked, ...elsewhere];
  const aggregates: Record<string, number> = {};
  let done = 0;
  let reason: string | undefined;
  for (const { aggregate, statement } of windows) {
    if (signal?.aborted || passed() > seconds) {
      reason = signal?.aborted ? "it was stopped" : `it took longer than ${seconds} s`;
      break;
    }
    onWindow?.(done, windows.length, aggregate);
    try {
      await database.run(statement, [], DEADLINES.refreshWindowSeconds, signal);
    } catch (error) {
      const isRefused = error instanceof P2pError || error instanceof postgres.PostgresError;
      if (!isRefused && signal?.aborted !== true) throw error;
      reason = describe(error);
      break;
    }
    aggregates[aggregate] = (aggregates[aggregate] ?? 0) + 1;
    done += 1;
  }
  return { aggregates, seconds: passed(), left: windows.length - done, reason };
}

/**
 * Continuous aggregates do not see what is written to old facts until they are refreshed there.
 * @param times of the batches that were written; none: nothing is to be done
 * @param before what `outdatedWindows` said before that
 */
export async function refreshTouched(
  database: Database,
  times: readonly Date[],
  before: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Refreshed | undefined> {
  if (times.length === 0) return undefined;
  const milliseconds = times.map((time) => time.getTime());
  return await refreshAggregates(database, {
    from: new Date(Math.min(...milliseconds)),
    until: new Date(Math.max(...milliseconds)),
    before,
    signal,
  });
}

/** What is to be refreshed as things stand, whoever made it so: to be taken before facts are written. */
export async function outdatedWindows(database: Database): Promise<ReadonlySet<string>> {
  return new Set((await windowsOf(database)).map(({ statement }) => statement));
}

async function windowsOf(
  database: Database,
  from?: Date,
  until?: Date,
): Promise<{ aggregate: string; statement: string }[]> {
  const rows = await database.run(
    "select aggregate, statement from p2p.aggregates_to_refresh($1, $2)",
    [from ?? null, until ?? null],
    DEADLINES.statementSeconds,
  );
  return rows.map((row) => ({
    aggregate: String(row["aggregate"]),
    statement: String(row["statement"]),
  }));
}
