import { beginAlerting } from "../alerts/alerting.ts";
import { configuredDestinations } from "../alerts/destinations.ts";
import type { Config } from "../config.ts";
import type { Database } from "../database/connection.ts";
import { LEASE, PATIENCE } from "../deadlines.ts";
import {
  BatchError,
  describe,
  ExchangeError,
  EXIT,
  type ExitCode,
  PausedError,
} from "../errors.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { type BatchOutcome, workOnBatch } from "../extract/batch.ts";
import { BatchStore, type WorkerIdentity } from "../extract/batch_store.ts";
import type { DueTime, LoadedBatch } from "../extract/batch_types.ts";
import { type Clock, systemClock } from "../extract/clock.ts";
import { type DiscoveryRequest, refreshMarkets, requireMarkets } from "../extract/discovery.ts";
import { Fetcher } from "../extract/fetcher.ts";
import { MarketListStore } from "../extract/market_list_store.ts";
import { PatientDatabase } from "../extract/patient_database.ts";
import { Presence, type ServedExchange, workerIdentity } from "../extract/presence.ts";
import { Progress } from "../extract/progress.ts";
import { logger } from "../log.ts";
import { Metrics } from "../serve/metrics.ts";
import { VERSION } from "../version.ts";
import { workerName } from "./environment.ts";
import { ProgressReport } from "./progress_report.ts";

export interface ExtractionOptions {
  readonly config: Config;
  readonly database: Database;
  readonly exchanges: readonly Exchange[];
  readonly purpose: WorkerIdentity["purpose"];
  readonly signal: AbortSignal;
  readonly showProgress: boolean;
  readonly clock?: Clock;
}

export interface FinishedBatch {
  readonly batch: LoadedBatch;
  readonly progress: Progress;
  /** Whether an exchange sent any answer at all. */
  readonly wasHeard: boolean;
  /** Codes of exchanges of which no market is known, so that none was planned. */
  readonly without: readonly string[];
}

/** This process as a worker of the fleet, with one configuration; what its exchanges allow is learned across batches. */
export class Extraction implements AsyncDisposable {
  /** Codes of exchanges of which no market is known, as far as was seen last. */
  #without: readonly string[] = [];
  /** Of the batch that this worker is at. */
  #reported: ProgressReport | undefined;

  private constructor(
    readonly options: ExtractionOptions,
    readonly clock: Clock,
    readonly metrics: Metrics,
    readonly store: BatchStore,
    readonly lists: MarketListStore,
    readonly served: readonly ServedExchange[],
    readonly presence: Presence,
    private readonly owned: AsyncDisposable,
  ) {}

  /** Goes on with what the last process of this name had learned of the exchanges. */
  static async begin(options: ExtractionOptions): Promise<Extraction> {
    const { config, database, exchanges, purpose, signal, clock = systemClock } = options;
    const worker = workerIdentity(workerName(config), VERSION, purpose);
    const metrics = new Metrics();
    for (const { name } of configuredDestinations(config)) metrics.expectAlerts(name);
    await using stack = new AsyncDisposableStack();
    const { alerts } = stack.use(
      await beginAlerting({
        config,
        database,
        worker,
        clock,
        onAttempt: (destination, outcome) => metrics.alertDeliveries.inc({ destination, outcome }),
      }),
    );
    const patient = new PatientDatabase(database, clock, alerts, signal);
    const store = new BatchStore(patient, worker, metrics);
    const lists = new MarketListStore(patient, worker.id, metrics);
    const served: ServedExchange[] = [];
    for (const exchange of exchanges) {
      const fetcher = new Fetcher({
        exchange: exchange.code,
        rate: {
          initialPerMinute: config.INITIAL_RATE_LIMIT,
          minPerMinute: config.MIN_RATE_LIMIT,
          maxPerMinute: config.MAX_RATE_LIMIT,
          burst: config.RATE_LIMIT_BURST,
          backoffFactor: config.RATE_LIMIT_BACKOFF_FACTOR,
        },
        metrics,
        remembered: await store.rememberedAccess(exchange.code),
        clock,
        timeoutSeconds: config.REQUEST_TIMEOUT_SECONDS,
        maxRetries: config.MAX_RETRIES,
      });
      served.push({ exchange, fetcher });
    }
    const presence = stack.use(new Presence(store, served, config.MARKETS, clock));
    return new Extraction(options, clock, metrics, store, lists, served, presence, stack.move());
  }

  /**
   * Markets without which there is nothing to plan. Nothing is asked while batches are paused.
   * @param due the batch that needs them, for which a lost database is waited for
   * @throws {ExchangeError} when no exchange gives a list and none is known
   */
  async requireMarkets(due?: DueTime): Promise<void> {
    if (due !== undefined) this.store.database.waitFor(due.intervalSeconds);
    await this.presence.register("idle");
    if (await this.store.pauseState() !== undefined) return;
    await this.#discover(this.served, requireMarkets);
  }

  /**
   * Reads the lists of markets again where they are not fresh any more.
   * @throws {ExchangeError} when no exchange gives a list and none is known
   */
  async refreshMarkets(): Promise<void> {
    const known = this.served.filter(({ exchange }) => !this.#without.includes(exchange.code));
    await this.#discover(known, refreshMarkets); // the others are asked before the next batch
  }

  /**
   * All exchanges at once: one that is gone keeps no batch from the others.
   * @throws {ExchangeError} when no market of any of them is known
   */
  async #discover(
    exchanges: readonly ServedExchange[],
    work: (request: DiscoveryRequest) => Promise<unknown>,
  ): Promise<void> {
    const without: string[] = [];
    const errors: unknown[] = [];
    await Promise.all(exchanges.map(async (served) => {
      await work(this.#discovery(served)).catch((error) => {
        if (error instanceof ExchangeError) without.push(served.exchange.code);
        errors.push(error);
      });
    }));
    await this.presence.enter("idle");
    this.#without = without;
    const isWithoutAll = errors.length > 0 && without.length === exchanges.length;
    if (isWithoutAll || errors.length > without.length) {
      throw errors.find((error) => !(error instanceof ExchangeError)) ?? errors[0];
    }
    for (const error of errors) {
      log.warning("the batch is without an exchange: {reason}", { reason: describe(error) });
    }
  }

  /**
   * A batch of our own, by hand; one that nobody works on any more is ended first, or is ours where there is time left.
   * @throws {BatchError} when other workers are at a batch; {PausedError} while batches are paused
   */
  async once(): Promise<FinishedBatch> {
    await this.presence.register("idle");
    const progress = this.#progress();
    using _report = this.#report(progress);
    progress.enter("discovering");
    if (await this.store.pauseState() === undefined) {
      await this.#discover(this.served, async (request) => {
        await refreshMarkets(request);
        await requireMarkets(request);
      });
    }
    const without = this.#without;
    // A worker that died holds its batch for one lease.
    const heldUntil = this.clock.now() + (LEASE.leaseSeconds + LEASE.renewSeconds) * 1000;
    for (;;) {
      const outcome = await this.#work(undefined, progress);
      const wasHeard = this.served.some(({ fetcher }) => fetcher.statistics.answers > 0);
      switch (outcome.outcome) {
        case "loaded":
          if (!outcome.wasOver) return { batch: outcome.batch, progress, wasHeard, without };
          log.warning("loaded what a worker that died had stored", {
            batchId: outcome.batch.batchId,
            status: outcome.batch.status,
            offersInserted: outcome.batch.offersInserted,
          });
          break;
        case "left":
          if (outcome.ended !== undefined) {
            return { batch: outcome.ended, progress, wasHeard, without };
          }
          throw new BatchError(`stopped; other workers go on with batch ${outcome.batchId}`);
        case "paused":
          throw new PausedError(
            `new batches are ${outcome.detail}`,
            "update p2p.settings set value = 'off' where name = 'paused'",
          );
        default:
          this.options.signal.throwIfAborted(); // told to stop, it opens none
          if (this.clock.now() > heldUntil) {
            throw new BatchError(
              `other workers are at a batch: ${outcome.detail}`,
              "wait for it to end, or stop them",
            );
          }
          if (progress.stage !== "waiting") {
            log.info("other workers are at a batch; waiting a moment", { workers: outcome.detail });
          }
          progress.enter("waiting");
          await this.clock.sleep(PATIENCE.pollSeconds * 1000, this.options.signal);
      }
    }
  }

  /** Works on the batch that is due, or on the one that runs. */
  async batch(due: DueTime): Promise<BatchOutcome> {
    const progress = this.#progress();
    using report = this.#report(progress);
    this.#reported = report;
    try {
      return await this.#work(due, progress);
    } finally {
      this.#reported = undefined;
    }
  }

  /** How far the batch is that this worker is at, on one line; undefined between batches. */
  get doing(): string | undefined {
    return this.#reported?.text();
  }

  async #work(due: DueTime | undefined, progress: Progress): Promise<BatchOutcome> {
    const { config, signal } = this.options;
    return await workOnBatch({
      served: this.served,
      store: this.store,
      presence: this.presence,
      clock: this.clock,
      maxWorkers: config.MAX_WORKERS,
      deadlineSeconds: config.BATCH_DEADLINE_SECONDS,
      due,
      progress,
      signal,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.owned[Symbol.asyncDispose]();
  }

  #progress(): Progress {
    return new Progress(() => this.clock.now());
  }

  /** Shows it on stderr. */
  #report(progress: Progress): ProgressReport {
    const report = new ProgressReport(
      progress,
      () => this.served.reduce((sum, { fetcher }) => sum + fetcher.statistics.requests, 0),
    );
    if (this.options.showProgress) report.start();
    return report;
  }

  #discovery(served: ServedExchange): DiscoveryRequest {
    const { presence, options: { config, signal } } = this;
    return {
      served,
      store: this.lists,
      presence,
      filter: config.MARKETS,
      concurrency: config.MAX_WORKERS,
      clock: this.clock,
      signal,
    };
  }
}

const log = logger("batch");

/** 0 for a completed batch of all exchanges; 69 where none was ever heard; 75 for anything between. */
export function exitCodeOf({ batch, wasHeard, without }: FinishedBatch): ExitCode {
  if (batch.status === "completed" && without.length === 0) return EXIT.done;
  return batch.status === "failed" && !wasHeard ? EXIT.unavailable : EXIT.batchIncomplete;
}
