import type { Database, Row } from "../database/connection.ts";
import { codeOf } from "../database/errors.ts";
import { outdatedWindows, refreshTouched } from "../database/refresh.ts";
import { DEADLINES } from "../deadlines.ts";
import { BatchError, describe, EXIT, type ExitCode } from "../errors.ts";
import { describeRefresh } from "./refresh_report.ts";
import { renderRecords } from "./table.ts";
import { print, StatusLine, style, tell } from "./terminal.ts";

export interface ReplayQuarantineOptions {
  readonly reason: string | undefined;
  readonly batch: string | undefined;
  readonly since: Date | undefined;
  readonly until: Date | undefined;
  readonly json: boolean;
  /** Ends it after the batch under way. */
  readonly signal: AbortSignal;
}

/** What became of a batch; names are part of `--json`. */
interface Outcome {
  readonly batch_id: string;
  readonly started: string;
  readonly repaired: number;
  readonly still_rejected: number;
  /** `loaded`, or `skipped` where the page was deleted since. */
  readonly outcome: "loaded" | "skipped";
}

/**
 * Loads the batches that have offers in quarantine again, oldest first.
 * @throws {BatchError} with the batch that could not be loaded; those before it stay repaired
 */
export async function replayQuarantine(
  database: Database,
  { reason, batch, since, until, json, signal }: ReplayQuarantineOptions,
): Promise<ExitCode> {
  const batches = await database.run(
    "select * from p2p.quarantine_batches($1, $2, $3, $4)",
    [reason ?? null, batch ?? null, since ?? null, until ?? null],
    DEADLINES.statementSeconds,
  );
  const before = await outdatedWindows(database);
  const outcomes: Outcome[] = [];
  try {
    using progress = Deno.stderr.isTerminal() ? new StatusLine() : undefined;
    for (const row of batches) {
      if (signal.aborted) break;
      progress?.show(`batch ${outcomes.length + 1} of ${batches.length}: ${startOf(row)}`);
      outcomes.push(await replayOne(database, row, reason ?? null));
    }
  } finally {
    const times = outcomes.filter(({ outcome }) => outcome === "loaded")
      .map(({ started }) => new Date(started));
    const refreshed = await refreshTouched(database, times, before, signal);
    const document = { ...reportOf(outcomes), refreshed: refreshed ?? null };
    print(json ? JSON.stringify(document) + "\n" : describeOutcomes(outcomes));
    if (refreshed !== undefined) tell(describeRefresh(refreshed));
  }
  const left = batches.length - outcomes.length;
  if (batches.length === 0) tell("nothing of it is in quarantine\n");
  if (left > 0) tell(`stopped with ${left} of ${batches.length} batches left\n`);
  return left > 0 ? EXIT.batchIncomplete : EXIT.done;
}

async function replayOne(database: Database, row: Row, reason: string | null): Promise<Outcome> {
  const batch_id = String(row["batch_id"]);
  const started = startOf(row);
  if (row["can_be_loaded"] !== true) {
    const still_rejected = Number(row["offers"]);
    return { batch_id, started, repaired: 0, still_rejected, outcome: "skipped" };
  }
  try {
    const [counts] = await database.run(
      "select * from p2p.replay_quarantine($1, $2)",
      [batch_id, reason],
      DEADLINES.loadSeconds,
    );
    return {
      batch_id,
      started,
      repaired: Number(counts?.["repaired"]),
      still_rejected: Number(counts?.["still_rejected"]),
      outcome: "loaded",
    };
  } catch (error) {
    // What a function of the DBA's raises is theirs to read, and no bug of this program.
    if (!(error instanceof BatchError) && !/^[0-9A-Z]{5}$/.test(codeOf(error))) throw error;
    throw new BatchError(
      `batch ${batch_id} of ${started} could not be loaded: ${describe(error)}`,
      "its facts are as before; mend the function, then the same command again",
      { cause: error },
    );
  }
}

function startOf(row: Row): string {
  return (row["batch_start_time"] as Date).toISOString();
}

const total = (outcomes: readonly Outcome[], name: "repaired" | "still_rejected") =>
  outcomes.reduce((sum, outcome) => sum + outcome[name], 0);

function reportOf(outcomes: readonly Outcome[]): Record<string, unknown> {
  return {
    repaired: total(outcomes, "repaired"),
    still_rejected: total(outcomes, "still_rejected"),
    batches: outcomes,
  };
}

function describeOutcomes(outcomes: readonly Outcome[]): string {
  if (outcomes.length === 0) return "";
  const { bold } = style(Deno.stdout);
  const names = ["batch_id", "started", "repaired", "still_rejected", "outcome"];
  const skipped = outcomes.filter(({ outcome }) => outcome === "skipped").length;
  return renderRecords(
    names,
    outcomes.map((outcome) => ({ ...outcome })),
    { bold },
    (name) => name.replaceAll("_", " "),
  ) +
    `\n${total(outcomes, "repaired")} repaired, ${
      total(outcomes, "still_rejected")
    } still rejected` +
    (skipped === 0 ? "\n" : `; pages of ${skipped} batches were deleted (raw_retention_days)\n`);
}
