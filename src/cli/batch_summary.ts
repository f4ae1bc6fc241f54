import type { BatchOutcome } from "../extract/batch.ts";
import type { LoadedBatch } from "../extract/batch_types.ts";
import type { Stage } from "../extract/progress.ts";
import type { FinishedBatch } from "./extraction.ts";

/** The summary of `once --json`; names are part of the contract. */
export function batchSummary(
  { batch, progress }: FinishedBatch,
): Readonly<Record<string, unknown>> {
  const seconds = (stage: Stage, next: Stage) => Number(progress.secondsOf(stage, next).toFixed(3));
  return {
    batch_id: batch.batchId,
    status: batch.status,
    markets_expected: batch.marketsExpected,
    markets_completed: batch.marketsCompleted,
    offers_extracted: batch.offersExtracted,
    offers_inserted: batch.offersInserted,
    offers_rejected: batch.offersRejected,
    offers_duplicate: batch.offersDuplicate,
    errors: batch.errors,
    error_summary: batch.errorSummary ?? null,
    completeness: batch.marketsExpected === 0 ? 0 : batch.marketsCompleted / batch.marketsExpected,
    duration_seconds: batch.seconds,
    stage_seconds: {
      discovering: seconds("discovering", "fetching"),
      fetching: seconds("fetching", "loading"),
      loading: seconds("loading", "done"),
    },
    pages: progress.pages,
    page_bytes: progress.bytes,
  };
}

/** The summary of a batch for people: one line, and a second one where something is missing or failed. */
export function batchLine(batch: LoadedBatch, loaderId?: string): string {
  const number = new Intl.NumberFormat("en");
  const parts = [
    `batch ${batch.batchId} ${batch.status}`,
    `${number.format(batch.marketsCompleted)} of ${number.format(batch.marketsExpected)} markets`,
    `${number.format(batch.offersInserted)} offers`,
    ...(batch.offersRejected > 0 ? [`${number.format(batch.offersRejected)} rejected`] : []),
    `${batch.seconds.toFixed(1)} s`,
    ...(loaderId === undefined ? [] : [`loaded by ${loaderId}`]),
  ];
  if (loaderId !== undefined) return `${parts.join(" · ")}\n`;
  const title = batch.status === "failed" ? "why" : "missing";
  const reason = batch.errorSummary === undefined ? "" : `  ${title}: ${batch.errorSummary}\n`;
  return `${parts.join(" · ")}\n${reason}`;
}

/** What `run` says of a batch; nothing where there was none. */
export function outcomeLine(outcome: BatchOutcome): string {
  if (outcome.outcome === "loaded") return batchLine(outcome.batch);
  if (outcome.outcome !== "left") return "";
  const { ended, batchId } = outcome;
  return ended === undefined
    ? `batch ${batchId} · left to the other workers\n`
    : batchLine(ended, ended.loaderId ?? "another worker");
}

/** The same for the log; undefined where there was no batch. */
export function outcomeRecord(
  outcome: BatchOutcome,
): Readonly<Record<string, unknown>> | undefined {
  if (outcome.outcome === "loaded") return batchRecord(outcome.batch);
  if (outcome.outcome !== "left") return undefined;
  const { ended, batchId } = outcome;
  return ended === undefined
    ? { batch_id: batchId, status: "left to the other workers" }
    : { ...batchRecord(ended), loaded_by: ended.loaderId ?? "another worker" };
}

function batchRecord(batch: LoadedBatch): Readonly<Record<string, unknown>> {
  return {
    batch_id: batch.batchId,
    status: batch.status,
    markets_expected: batch.marketsExpected,
    markets_completed: batch.marketsCompleted,
    offers_inserted: batch.offersInserted,
    offers_rejected: batch.offersRejected,
    duration_seconds: batch.seconds,
    ...(batch.errorSummary === undefined ? {} : { error_summary: batch.errorSummary }),
  };
}
