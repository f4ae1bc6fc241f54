import type { Config } from "../config.ts";
import type { Database } from "../database/connection.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { EXIT, type ExitCode } from "../errors.ts";
import { BatchStore } from "../extract/batch_store.ts";
import type { LoadedBatch } from "../extract/batch_types.ts";
import { runBatch } from "../extract/batch.ts";
import { systemClock } from "../extract/clock.ts";
import { Fetcher } from "../extract/fetcher.ts";
import { Progress, type Stage } from "../extract/progress.ts";
import { ProgressReport } from "./progress_report.ts";

export interface ExtractionOptions {
  readonly config: Config;
  readonly database: Database;
  readonly exchange: Exchange;
  readonly signal: AbortSignal;
  readonly showProgress: boolean;
}

export interface FinishedBatch {
  readonly batch: LoadedBatch;
  readonly progress: Progress;
  /** Whether the exchange sent any answer at all. */
  readonly wasHeard: boolean;
}

/** Runs batches of one configuration; the rate limit holds across them. */
export class Extraction {
  readonly #fetcher: Fetcher;
  readonly #store: BatchStore;

  constructor(readonly options: ExtractionOptions) {
    const { config, database, exchange } = options;
    const clock = systemClock;
    this.#fetcher = new Fetcher({
      exchange: exchange.code,
      rate: {
        initialPerMinute: config.INITIAL_RATE_LIMIT,
        minPerMinute: config.MIN_RATE_LIMIT,
        maxPerMinute: config.MAX_RATE_LIMIT,
        burst: config.RATE_LIMIT_BURST,
        backoffFactor: config.RATE_LIMIT_BACKOFF_FACTOR,
      },
      clock,
      timeoutSeconds: config.REQUEST_TIMEOUT_SECONDS,
      maxRetries: config.MAX_RETRIES,
    });
    const workerId = `${Deno.hostname()}:${Deno.pid}`;
    this.#store = new BatchStore(database, exchange.code, workerId, clock);
  }

  /** One batch, with its progress on stderr. */
  async batch(): Promise<FinishedBatch> {
    const { config, exchange, signal, showProgress } = this.options;
    const progress = new Progress(() => performance.now());
    using report = new ProgressReport(progress, this.#fetcher.statistics);
    if (showProgress) report.start();
    const batch = await runBatch({
      exchange,
      fetcher: this.#fetcher,
      store: this.#store,
      clock: systemClock,
      filter: config.MARKETS,
      maxWorkers: config.MAX_WORKERS,
      deadlineSeconds: config.BATCH_DEADLINE_SECONDS,
      progress,
      signal,
    });
    return { batch, progress, wasHeard: this.#fetcher.statistics.answers > 0 };
  }
}

/** 0 for a completed batch; 69 where the exchange was never heard; 75 for anything between. */
export function exitCodeOf({ batch, wasHeard }: FinishedBatch): ExitCode {
  if (batch.status === "completed") return EXIT.done;
  return batch.status === "failed" && !wasHeard ? EXIT.unavailable : EXIT.batchIncomplete;
}

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
export function batchLine(batch: LoadedBatch): string {
  const number = new Intl.NumberFormat("en");
  const parts = [
    `batch ${batch.batchId} ${batch.status}`,
    `${number.format(batch.marketsCompleted)} of ${number.format(batch.marketsExpected)} markets`,
    `${number.format(batch.offersInserted)} offers`,
    ...(batch.offersRejected > 0 ? [`${number.format(batch.offersRejected)} rejected`] : []),
    `${batch.seconds.toFixed(1)} s`,
  ];
  const title = batch.status === "failed" ? "why" : "missing";
  const reason = batch.errorSummary === undefined ? "" : `  ${title}: ${batch.errorSummary}\n`;
  return `${parts.join(" · ")}\n${reason}`;
}
