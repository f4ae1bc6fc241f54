import type { Database, Parameter, Row } from "../database/connection.ts";
import { isConnectionLost } from "../database/errors.ts";
import { DEADLINES, LEASE } from "../deadlines.ts";
import { describe, PausedError } from "../errors.ts";
import type { Discovery, Market, PaymentMethod } from "../exchange/exchange.ts";
import type { MarketFilter } from "../exchange/market_filter.ts";
import { logger } from "../log.ts";
import type {
  ClaimedMarket,
  FetchedPage,
  HeldBatch,
  KnownFiat,
  LoadedBatch,
  LostPage,
  OpenedBatch,
  StoreOutcome,
} from "./batch_types.ts";
import type { Clock } from "./clock.ts";

const log = logger("database");

/** Waits before the second, third, … try of a call that met a lost connection. */
const RETRY_SECONDS = [0.2, 1, 3, 5];

/**
 * The worker's side of the database: each method is one call of one SQL function, and each of those may be
 * repeated, so that a lost connection costs nothing but time.
 */
export class BatchStore {
  #isLost = false;

  constructor(
    readonly database: Database,
    readonly exchange: string,
    readonly workerId: string,
    readonly clock: Clock,
  ) {}

  /** @param freshSeconds how old a list of markets may be */
  async knownFiats(freshSeconds: number): Promise<KnownFiat[]> {
    const rows = await this.#call("select * from p2p.known_fiats($1, $2)", [
      this.exchange,
      freshSeconds,
    ]);
    return rows.map((row) => ({
      fiat: String(row["fiat_code"]),
      isFresh: row["is_fresh"] === true,
      markets: Number(row["active_markets"]),
    }));
  }

  /** @returns how many markets are active now */
  async storeMarketList(discovery: Discovery): Promise<number> {
    const { fiats, markets, covered, missed } = discovery;
    const [row] = await this.#call(
      "select p2p.store_market_list($1, $2::text::jsonb, $3::text::jsonb, " +
        "array(select jsonb_array_elements_text($4::text::jsonb)), " +
        "array(select jsonb_array_elements_text($5::text::jsonb))) as active",
      [this.exchange, ...[fiats, markets, covered, missed].map((list) => JSON.stringify(list))],
    );
    return Number(row?.["active"]);
  }

  async storePaymentMethods(methods: readonly PaymentMethod[]): Promise<void> {
    await this.#call("select p2p.store_payment_methods($1, $2::text::jsonb)", [
      this.exchange,
      JSON.stringify(methods),
    ]);
  }

  async recordDiscoveryProblem(fiat: string | undefined, error: Error): Promise<void> {
    await this.#call("select p2p.record_discovery_problem($1, $2, $3)", [
      fiat ?? null,
      "kind" in error ? String(error.kind) : error.name,
      error.message,
    ]);
  }

  /** The batch of a dead worker, now ours to load. */
  async adoptAbandonedBatch(): Promise<string | undefined> {
    const [row] = await this.#call("select p2p.adopt_abandoned_batch($1, $2) as batch_id", [
      this.workerId,
      LEASE.leaseSeconds,
    ]);
    return row?.["batch_id"] ? String(row["batch_id"]) : undefined;
  }

  /** @throws {PausedError} while the setting `paused` is on */
  async requireNotPaused(): Promise<void> {
    const [row] = await this.#call("select * from p2p.pause_state()", []);
    if (row === undefined) return;
    const since = row["paused_since"] as Date | null;
    const who = since === null ? "" : ` since ${since.toISOString()} by ${row["paused_by"]}`;
    throw new PausedError(
      `new batches are paused${who}`,
      "update p2p.settings set value = 'off' where name = 'paused'",
    );
  }

  /** @throws {PausedError} while the setting `paused` is on */
  async openBatch(filter: MarketFilter): Promise<OpenedBatch | HeldBatch> {
    const [row = {}] = await this.#call(
      "select * from p2p.open_batch($1, $2, $3, $4::text::jsonb)",
      [
        this.exchange,
        this.workerId,
        LEASE.leaseSeconds,
        JSON.stringify(filter),
      ],
    );
    if (row["batch_id"] === null && row["held_by"] === null) await this.requireNotPaused();
    const startedAt = row["batch_start_time"] as Date;
    return row["batch_id"] === null
      ? {
        heldBy: String(row["held_by"]),
        startedAt,
        leaseEndsInSeconds: Number(row["lease_ends_in_seconds"]),
      }
      : {
        batchId: String(row["batch_id"]),
        startedAt,
        marketsExpected: Number(row["markets_expected"]),
      };
  }

  async claimMarkets(batchId: string, count: number): Promise<ClaimedMarket[]> {
    const rows = await this.#call("select * from p2p.claim_markets($1, $2, $3)", [
      batchId,
      this.workerId,
      count,
    ]);
    return rows.map((row) => ({
      marketId: Number(row["market_id"]),
      fiat: String(row["fiat"]),
      asset: String(row["asset"]),
      side: row["side"] as Market["side"],
    }));
  }

  /** @returns whether the batch is still ours */
  async renewLease(batchId: string): Promise<boolean> {
    const [row] = await this.#call("select p2p.renew_lease($1, $2, $3) as ours", [
      batchId,
      this.workerId,
      LEASE.leaseSeconds,
    ]);
    return row?.["ours"] === true;
  }

  /** Lets another worker take the batch over at once, instead of waiting for our lease to run out. */
  async releaseLease(batchId: string): Promise<void> {
    await this.database.run(
      "select p2p.renew_lease($1, $2, 0)",
      [batchId, this.workerId],
      DEADLINES.statementSeconds,
    );
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
    const [row] = await this.#call(
      `select ${calls.join(", ")}`,
      parameters,
      DEADLINES.storeSeconds,
    );
    return pages.map((page, i) => "body" in page ? row?.[`r${i}`] as StoreOutcome : "lost");
  }

  async endFetching(batchId: string, reason: string): Promise<void> {
    await this.#call("select p2p.end_fetching($1, $2)", [batchId, reason]);
  }

  async loadBatch(batchId: string): Promise<LoadedBatch> {
    const [row = {}] = await this.#call(
      "select * from p2p.load_batch($1)",
      [batchId],
      DEADLINES.loadSeconds,
    );
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
      errorSummary: row["error_summary"] === null ? undefined : String(row["error_summary"]),
      seconds: Number(row["execution_time_seconds"]),
    };
  }

  #storePageValues(batchId: string, page: FetchedPage): Parameter[] {
    const { text, bytes, sha256, original } = page.body;
    return [
      batchId,
      this.workerId,
      page.marketId,
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
      this.workerId,
      page.marketId,
      page.page,
      page.endsMarket,
      page.kind,
      page.message,
      page.retries,
    ];
  }

  async #call(
    statement: string,
    parameters: readonly Parameter[],
    seconds: number = DEADLINES.statementSeconds,
  ): Promise<Row[]> {
    for (const wait of RETRY_SECONDS) {
      try {
        const rows = await this.database.run(statement, parameters, seconds);
        if (this.#isLost) log.info("the database is back");
        this.#isLost = false;
        return rows;
      } catch (error) {
        if (!isConnectionLost(error)) throw error;
        // Several calls meet the same loss: it is one event.
        if (!this.#isLost) {
          log.warning("lost the database, trying again", { error: describe(error) });
        }
        this.#isLost = true;
        await this.clock.sleep(wait * 1000);
      }
    }
    return await this.database.run(statement, parameters, seconds);
  }
}
