import { Counter, Histogram, Registry } from "prom-client";
import type { Market } from "../exchange/exchange.ts";
import type { FetchedPage, LostPage, StoreOutcome } from "../extract/batch_types.ts";
import type { FailureKind } from "../extract/failure.ts";

/** Label sets of one metric at most: the codes of fiats and assets come from outside. */
export const MOST_MARKETS = 5000;

/** What this process counts and times, where it happens; what is true at the moment is read at the scrape (samples). */
export class Metrics {
  readonly registry = new Registry();
  readonly batchDuration = new Histogram({
    name: "p2p_batch_duration_seconds",
    help: "From the start of a batch to the end of its load, for batches that this worker loaded",
    buckets: [10, 30, 60, 120, 180, 240, 300, 360, 480, 600],
    registers: [this.registry],
  });
  readonly apiRequestDuration = new Histogram({
    name: "p2p_api_request_duration_seconds",
    help: "One attempt, body included; outcome is ok or the kind of failure",
    labelNames: ["exchange", "outcome"],
    buckets: [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [this.registry],
  });
  readonly apiRetries = new Counter({
    name: "p2p_api_retries_total",
    help: "Attempts after the first of a request",
    labelNames: ["exchange"],
    registers: [this.registry],
  });
  readonly apiRefused = new Counter({
    name: "p2p_api_refused_total",
    help: "Answers that were a 429, a 403 or a challenge",
    labelNames: ["exchange"],
    registers: [this.registry],
  });
  readonly apiReceived = new Counter({
    name: "p2p_api_received_bytes_total",
    help: "Bodies of answers with status 2xx, after decompression",
    labelNames: ["exchange"],
    registers: [this.registry],
  });
  readonly dbWriteDuration = new Histogram({
    name: "p2p_db_write_duration_seconds",
    help:
      "Until it is committed, waiting for a lost database included; store_pages (up to ten pages) or load_batch",
    labelNames: ["operation"],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
    registers: [this.registry],
  });
  readonly offersInserted = new Counter({
    name: "p2p_offers_inserted_total",
    help: "Offers that became facts, in batches that this worker loaded",
    registers: [this.registry],
  });
  readonly offersRejected = new Counter({
    name: "p2p_offers_rejected_total",
    help: "Offers that could not be typed, in batches that this worker loaded",
    registers: [this.registry],
  });
  readonly alertDeliveries = new Counter({
    name: "p2p_alert_deliveries_total",
    help: "Attempts to deliver an alert; failed ones are tried again for an hour",
    labelNames: ["destination", "outcome"],
    registers: [this.registry],
  });
  readonly #offersExtracted = new Counter({
    name: "p2p_offers_extracted_total",
    help: "Items on stored pages, before repetitions are recognised",
    labelNames: ["fiat", "crypto", "trade_type", "exchange"],
    registers: [this.registry],
  });
  readonly #extractionErrors = new Counter({
    name: "p2p_extraction_errors_total",
    help:
      "Pages lost after all attempts, and failed calls of discovery (without crypto, maybe without fiat)",
    labelNames: ["error_type", "fiat", "crypto", "exchange"],
    registers: [this.registry],
  });
  readonly #marketsWithOffers = new Set<string>();
  readonly #marketsWithErrors = new Set<string>();

  /** Counters of an exchange begin at 0, so that their first increase is seen. */
  expect(exchange: string): void {
    for (const counter of [this.apiRetries, this.apiRefused, this.apiReceived]) {
      counter.inc({ exchange }, 0);
    }
  }

  /** The same of a destination of alerts. */
  expectAlerts(destination: string): void {
    for (const outcome of ["delivered", "failed"]) {
      this.alertDeliveries.inc({ destination, outcome }, 0);
    }
  }

  /** @param outcome what became of it in the database */
  pageEnded(page: FetchedPage | LostPage, outcome: StoreOutcome): void {
    const { market } = page;
    if (!("body" in page)) return this.extractionFailed(page.kind, market, market.exchange);
    if (outcome === "unreadable") {
      return this.extractionFailed("unreadable", market, market.exchange);
    }
    const { side, exchange } = market;
    const names = bounded(this.#marketsWithOffers, market, `${side} ${exchange}`);
    this.#offersExtracted.inc({ ...names, trade_type: side, exchange }, page.items);
  }

  /**
   * @param kind or the name of another error of discovery
   * @param market with empty names where the exchange was asked for its list
   */
  extractionFailed(
    kind: FailureKind | string,
    market: Pick<Market, "fiat" | "asset">,
    exchange: string,
  ): void {
    const names = bounded(this.#marketsWithErrors, market, `${kind} ${exchange}`);
    this.#extractionErrors.inc({ ...names, error_type: kind, exchange });
  }
}

/** The market's names, or `other` for what is new when there are many already. */
function bounded(
  known: Set<string>,
  { fiat, asset }: Pick<Market, "fiat" | "asset">,
  rest: string,
): { fiat: string; crypto: string } {
  const key = `${fiat} ${asset} ${rest}`;
  if (!known.has(key)) {
    if (known.size >= MOST_MARKETS) return { fiat: "other", crypto: "other" };
    known.add(key);
  }
  return { fiat, crypto: asset };
}
