import type { Database } from "../database/connection.ts";
import { loadAgain, type ReplayableBatch } from "../database/replay.ts";
import { outdatedWindows, refreshTouched } from "../database/refresh.ts";
import { BatchError, EXIT, type ExitCode } from "../errors.ts";
import { logger } from "../log.ts";
import { describeRefresh } from "./refresh_report.ts";
import { renderRecords } from "./table.ts";
import { print, StatusLine, style, tell } from "./terminal.ts";

const log = logger("replay");

export interface ReplayOptions {
  /** Whether a person named each of these batches: then leaving one out is no success. */
  readonly isAskedByName: boolean;
  readonly json: boolean;
  readonly signal: AbortSignal;
}

/** What became of a batch; names are part of `--json`. */
interface Outcome {
  readonly batch_id: string;
  readonly batch_start_time: string;
  readonly outcome: "loaded" | "current" | "failed" | "skipped";
  readonly status: string;
  readonly offers_before: number;
  readonly offers_after: number;
  readonly rows_written: number;
  readonly seconds: number;
  readonly reason: string | null;
}

/** Loads the batches again, one after the other, until a signal comes; prints what became of them. */
export async function replayBatches(
  database: Database,
  batches: readonly ReplayableBatch[],
  { isAskedByName, json, signal }: ReplayOptions,
): Promise<ExitCode> {
  const outcomes: Outcome[] = [];
  const before = await outdatedWindows(database);
  {
    using progress = new ReplayProgress(batches.length);
    for (const batch of batches) {
      if (signal.aborted) break;
      progress.begin(batch, outcomes);
      outcomes.push(await replayOne(database, batch));
      progress.end(outcomes);
    }
  }
  const times = outcomes.filter(({ outcome }) => outcome === "loaded")
    .map((each) => new Date(each.batch_start_time));
  const refreshed = await refreshTouched(database, times, before, signal);
  const left = batches.slice(outcomes.length);
  const next = left.length === 0 ? undefined : commandFor(left, isAskedByName);
  if (json) {
    print(
      JSON.stringify({
        batches: outcomes,
        refreshed: refreshed ?? null,
        continue_with: next ?? null,
      }) +
        "\n",
    );
  } else {
    print(summary(outcomes));
    if (refreshed !== undefined) tell(describeRefresh(refreshed));
  }
  if (next !== undefined) {
    tell(`stopped with ${left.length} of ${batches.length} batches left; go on with: ${next}\n`);
  }
  const isIncomplete = outcomes.some(({ outcome }) =>
    outcome === "failed" || (outcome === "skipped" && isAskedByName)
  );
  return isIncomplete || next !== undefined ? EXIT.batchIncomplete : EXIT.done;
}

async function replayOne(database: Database, batch: ReplayableBatch): Promise<Outcome> {
  const started = performance.now();
  const told = (
    outcome: Outcome["outcome"],
    after: { status: string; offers: number; rowsWritten?: number },
    reason?: string,
  ): Outcome => ({
    batch_id: batch.batchId,
    batch_start_time: batch.startedAt.toISOString(),
    outcome,
    status: after.status,
    offers_before: batch.offers,
    offers_after: after.offers,
    rows_written: after.rowsWritten ?? 0,
    seconds: Number(((performance.now() - started) / 1000).toFixed(1)),
    reason: reason ?? null,
  });
  if (batch.obstacle !== undefined) return told("skipped", batch, batch.obstacle);
  if (batch.isCurrent) {
    return told("current", batch, "loaded by the SQL of now; --all does it again");
  }
  try {
    const after = await loadAgain(database, batch.batchId);
    // Without a page there is nothing to load, and nobody to blame.
    const isFailed = after.status === "failed" && batch.pages > 0;
    return told(isFailed ? "failed" : "loaded", after, isFailed ? after.errorSummary : undefined);
  } catch (error) {
    if (!(error instanceof BatchError)) throw error;
    return told("failed", batch, error.message);
  }
}

/** The command that takes these batches and no others. */
function commandFor(left: readonly ReplayableBatch[], isAskedByName: boolean): string {
  const time = (batch: ReplayableBatch | undefined) => batch?.startedAt.toISOString() ?? "";
  return "p2p-ingest replay " +
    (isAskedByName
      ? left.map(({ batchId }) => `--batch ${batchId}`).join(" ")
      : `--since ${time(left[0])} --until ${time(left.at(-1))}`);
}

function summary(outcomes: readonly Outcome[]): string {
  const number = new Intl.NumberFormat("en");
  if (outcomes.length === 0) return "no batch was loaded\n";
  const rows = outcomes.map((each) => ({
    batch: each.batch_id,
    started: each.batch_start_time.slice(0, 16) + "Z",
    outcome: each.outcome === "loaded" ? each.status : each.outcome,
    "offers before": number.format(each.offers_before),
    after: number.format(each.offers_after),
    "rows written": number.format(each.rows_written),
    seconds: each.seconds.toFixed(1),
    ...(outcomes.some(({ reason }) => reason !== null) && { reason: each.reason ?? "" }),
  }));
  return renderRecords(Object.keys(rows[0] ?? {}), rows, style(Deno.stdout));
}

/** One moving line in a terminal, a line of the log for each batch elsewhere. */
class ReplayProgress implements Disposable {
  readonly #line = Deno.stderr.isTerminal() ? new StatusLine() : undefined;
  readonly #started = performance.now();

  constructor(readonly total: number) {}

  begin(batch: ReplayableBatch, done: readonly Outcome[]): void {
    const seconds = (performance.now() - this.#started) / 1000;
    const left = done.length === 0
      ? ""
      : ` · ${Math.ceil(seconds / done.length * (this.total - done.length))} s left`;
    const time = batch.startedAt.toISOString().slice(0, 16);
    this.#line?.show(`loading batch ${done.length + 1}/${this.total} of ${time}Z${left}`);
  }

  end(done: readonly Outcome[]): void {
    const last = done.at(-1);
    if (last === undefined) return;
    const { batch_id, outcome, offers_after, rows_written, seconds, reason } = last;
    const details = {
      batch_id,
      offers_after,
      rows_written,
      seconds,
      ...(reason !== null && { reason }),
    };
    const text = `${done.length}/${this.total} ${outcome}`;
    if (outcome === "failed") log.warn(text, details);
    else if (this.#line === undefined) log.info(text, details);
  }

  [Symbol.dispose](): void {
    this.#line?.[Symbol.dispose]();
  }
}
