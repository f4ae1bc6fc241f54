import type { Parameter, Row } from "../database/connection.ts";
import { DEADLINES, LEASE } from "../deadlines.ts";
import type { Market } from "../exchange/exchange.ts";
import type { Metrics } from "../serve/metrics.ts";
import type { RememberedAccess } from "./access.ts";
import type {
  ClaimedMarket,
  DueTime,
  EndedBatch,
  FetchedPage,
  JoinedBatch,
  LoadedBatch,
  LoadStep,
  LostPage,
  NextStep,
  NoBatch,
  StoreOutcome,
} from "./batch_types.ts";
import type { PatientDatabase } from "./patient_database.ts";

const BEAT = "select p2p.beat($1, $2, $3, $4, $5, $6, $7::text::jsonb)";

/** What a worker is at, as the view `workers` has it. */
export type Doing = "idle" | "discovering" | "fetching" | "waiting" | "loading" | "stopping";

/** Who calls. */
export interface WorkerIdentity {
  /** `<name>:<pid>:<8 random hex>` */
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly purpose: "run" | "once";
}

/**
 * The worker's side of the database: each method is one call of one SQL function, and each of those may be
 * repeated, so that a lost connection costs nothing but time.
 */
export class BatchStore {
  constructor(
    readonly database: PatientDatabase,
    readonly worker: WorkerIdentity,
    readonly metrics: Metrics,
  ) {}

  /**
   * Says that the worker lives, and what it does. Tried once: another one comes soon.
   * @param exchanges JSON, see beat.sql
   */
  async beat(doing: Doing, exchanges: string): Promise<void> {
    await this.database.callOnce(BEAT, this.#beatValues(doing, exchanges), DEADLINES.beatSeconds);
  }

  /** The same, but a lost database is waited for. */
  async register(doing: Doing, exchanges: string): Promise<void> {
    await this.database.call(BEAT, this.#beatValues(doing, exchanges));
  }

  /** Gives everything back. Tried once: the lease would end anyway. */
  async leave(): Promise<void> {
    await this.database.callOnce("select p2p.leave($1)", [this.worker.id], DEADLINES.beatSeconds);
  }

  /** What an earlier process of this name had learned of the exchange. */
  async rememberedAccess(exchange: string): Promise<RememberedAccess | undefined> {
    const [row] = await this.database.call("select * from p2p.remembered_access($1, $2)", [
      this.worker.name,
      exchange,
    ]);
    if (row === undefined) return undefined;
    const ceiling = row["ceiling_per_minute"];
    return {
      ratePerMinute: Number(row["rate_per_minute"]),
      ceilingPerMinute: ceiling === null ? undefined : Number(ceiling),
      breaker: row["breaker"] as RememberedAccess["breaker"],
      breakerReason: textOf(row["breaker_reason"]),
      breakerMemory: row["breaker_memory"] ?? undefined,
      secondsAgo: Number(row["seconds_ago"]),
    };
  }

  /** Since when and by whom new batches are paused; undefined while they are not. */
  async pauseState(): Promise<string | undefined> {
    const [row] = await this.database.call("select * from p2p.pause_state()", []);
    if (row === undefined) return undefined;
    const since = row["paused_since"] as Date | null;
    return since === null ? "" : `since ${since.toISOString()} by ${row["paused_by"]}`;
  }

  /**
   * Opens a batch or joins the one that runs.
   * @param due undefined for a batch by hand
   */
  async joinBatch(
    due: DueTime | undefined,
    deadlineSeconds: number,
  ): Promise<JoinedBatch | NoBatch> {
    const [row = {}] = await this.database.call("select * from p2p.join_batch($1, $2, $3, $4)", [
      this.worker.id,
      due?.at ?? null,
      due?.intervalSeconds ?? null,
      deadlineSeconds,
    ]);
    const outcome = row["outcome"] as (JoinedBatch | NoBatch)["outcome"];
    if (outcome !== "opened" && outcome !== "joined") {
      return { outcome, detail: textOf(row["detail"]) ?? "" };
    }
    return {
      outcome,
      batchId: String(row["batch_id"]),
      startedAt: row["batch_start_time"] as Date,
      marketsExpected: Number(row["markets_expected"]),
      secondsLeft: Number(row["seconds_left"]),
    };
  }

  async claimMarkets(batchId: string, exchange: string, count: number): Promise<ClaimedMarket[]> {
    const rows = await this.database.call("select * from p2p.claim_markets($1, $2, $3, $4)", [
      batchId,
      this.worker.id,
      exchange,
      count,
    ]);
    return rows.map((row) => ({
      exchange,
      marketId: Number(row["market_id"]),
      fiat: String(row["fiat"]),
      asset: String(row["asset"]),
      side: row["side"] as Market["side"],
      nextPage: Number(row["next_page"]),
      offersReported: row["offers_reported"] === null ? undefined : Number(row["offers_reported"]),
    }));
  }

  /** Lets other workers have the markets in our hands; their stored pages stay. */
  async giveBack(batchId: string, exchange?: string): Promise<void> {
    await this.database.call("select p2p.give_back($1, $2, $3)", [
      batchId,
      this.worker.id,
      exchange ?? null,
    ]);
  }

  /** @param giveUpReason why this worker fetches no more, although something may be left */
  async takeLoad(batchId: string, giveUpReason: string | undefined): Promise<NextStep> {
    const [row] = await this.database.call("select p2p.take_load($1, $2, $3) as next", [
      batchId,
      this.worker.id,
      giveUpReason ?? null,
    ]);
    return row?.["next"] as NextStep;
  }

  /** Stores pages and writes down lost ones, all in one statement. Outcomes stand in the order of `pages`. */
  async storePages(
    batchId: string,
    pages: readonly (FetchedPage | LostPage)[],
  ): Promise<StoreOutcome[]> {
    const parameters: Parameter[] = [];
    const calls = pages.map((page, index) => {
      const [name, values] = "body" in page
        ? ["store_page", this.#storePageValues(batchId, page)] as const
        : ["record_lost_page", this.#lostPageValues(batchId, page)] as const;
      const marks = values.map((_, i) => `$${parameters.length + i + 1}`).join(", ");
      parameters.push(...values);
      return `p2p.${name}(${marks}) as r${index}`;
    });
    const done = this.metrics.dbWriteDuration.startTimer({ operation: "store_pages" });
    const [row] = await this.database.call(
      `select ${calls.join(", ")}`,
      parameters,
      DEADLINES.storeSeconds,
    );
    done();
    this.database.hasRoom();
    return pages.map((page, i) => "body" in page ? row?.[`r${i}`] as StoreOutcome : "lost");
  }

  async loadBatch(batchId: string): Promise<LoadedBatch> {
    const { metrics } = this;
    const done = metrics.dbWriteDuration.startTimer({ operation: "load_batch" });
    const [row = {}] = await this.database.call(
      "select * from p2p.load_batch($1)",
      [batchId],
      DEADLINES.loadSeconds,
      "finish",
    );
    done();
    const batch = loadedBatch(row);
    metrics.batchDuration.observe(batch.seconds);
    metrics.offersInserted.inc(batch.offersInserted);
    metrics.offersRejected.inc(batch.offersRejected);
    return batch;
  }

  /** Steps of the newest load, in their order. */
  async loadSteps(batchId: string): Promise<LoadStep[]> {
    const rows = await this.database.call(
      `select s.step, s.status, s.seconds, s.error
       from p2p.ops_batch_steps s
       where s.batch_id = $1
         and s.load_number = (select max(l.load_number) from p2p.ops_batch_loads l where l.batch_id = s.batch_id)
       order by s.position`,
      [batchId],
    );
    return rows.map((row) => ({
      step: String(row["step"]),
      status: row["status"] as LoadStep["status"],
      seconds: Number(row["seconds"]),
      error: textOf(row["error"]),
    }));
  }

  /** What became of a batch that others load; undefined while it runs. */
  async endedBatch(batchId: string): Promise<EndedBatch | undefined> {
    const [row] = await this.database.call(
      "select * from p2p.ops_batch_runs where batch_id = $1 and status <> 'running'",
      [batchId],
    );
    return row && { ...loadedBatch(row), loaderId: textOf(row["loader_id"]) };
  }

  #beatValues(doing: Doing, exchanges: string): Parameter[] {
    const { id, name, version, purpose } = this.worker;
    return [id, name, version, purpose, doing, LEASE.leaseSeconds, exchanges];
  }

  #storePageValues(batchId: string, page: FetchedPage): Parameter[] {
    const { text, bytes, sha256, original } = page.body;
    return [
      batchId,
      this.worker.id,
      page.market.marketId,
      page.page,
      page.endsMarket,
      page.offersReported ?? null,
      page.parser,
      page.observedAt,
      page.attempt,
      page.status,
      page.durationMilliseconds,
      bytes,
      sha256,
      original === undefined ? null : "bytes that are not UTF-8 became U+FFFD",
      original ?? null,
      text,
    ];
  }

  #lostPageValues(batchId: string, page: LostPage): Parameter[] {
    return [
      batchId,
      this.worker.id,
      page.market.marketId,
      page.page,
      page.endsMarket,
      page.kind,
      page.message,
      page.retries,
    ];
  }
}

function textOf(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value);
}

/** A row of ops_batch_runs. */
function loadedBatch(row: Row): LoadedBatch {
  return {
    batchId: String(row["batch_id"]),
    startedAt: row["batch_start_time"] as Date,
    status: row["status"] as LoadedBatch["status"],
    marketsExpected: Number(row["markets_expected"]),
    marketsCompleted: Number(row["markets_completed"]),
    offersExtracted: Number(row["total_offers_extracted"]),
    offersInserted: Number(row["total_offers_inserted"]),
    offersRejected: Number(row["total_offers_rejected"]),
    offersDuplicate: Number(row["total_offers_duplicate"]),
    errors: Number(row["total_errors"]),
    errorSummary: textOf(row["error_summary"]),
    seconds: Number(row["execution_time_seconds"]),
  };
}
