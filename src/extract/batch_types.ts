import type { SpanContext } from "@opentelemetry/api";
import type { Market } from "../exchange/exchange.ts";
import type { Body } from "./body.ts";
import type { FailureKind } from "./failure.ts";

export interface ClaimedMarket extends Market {
  /** Its code. */
  readonly exchange: string;
  readonly marketId: number;
  /** 1, or the one after what another worker had stored. */
  readonly nextPage: number;
  /** The last total that the exchange gave in this batch. */
  readonly offersReported: number | undefined;
}

/** A fiat that the exchange was asked for; `*` is the list of them. */
export interface KnownFiat {
  readonly fiat: string;
  /** Whether its markets were read lately. */
  readonly isFresh: boolean;
  /** Active markets. */
  readonly markets: number;
}

/** A time of the schedule. */
export interface DueTime {
  readonly at: Date;
  readonly intervalSeconds: number;
}

/** A batch to work on: a new one, or one that runs. */
export interface JoinedBatch {
  readonly outcome: "opened" | "joined";
  readonly batchId: string;
  readonly startedAt: Date;
  readonly marketsExpected: number;
  /** Until fetching ends; ≤ 0 where only loading is left. */
  readonly secondsLeft: number;
}

/** Why there is no batch to work on; see join_batch.sql. */
export interface NoBatch {
  readonly outcome: "held" | "done" | "late" | "paused";
  readonly detail: string;
}

/** What a worker that has nothing to fetch does next; see take_load.sql. */
export type NextStep = "fetch" | "wait" | "load" | "others" | "closed";

export interface FetchedPage {
  readonly market: ClaimedMarket;
  readonly page: number;
  readonly endsMarket: boolean;
  /** Offers on the page, as far as the envelope tells. */
  readonly items: number;
  readonly offersReported: number | undefined;
  readonly parser: string;
  readonly observedAt: Date;
  readonly attempt: number;
  readonly status: number;
  readonly durationMilliseconds: number;
  readonly body: Body;
  /** Where it was fetched. */
  readonly span: SpanContext | undefined;
}

export interface LostPage {
  readonly market: ClaimedMarket;
  readonly page: number;
  readonly endsMarket: boolean;
  readonly kind: FailureKind;
  readonly message: string;
  readonly retries: number;
  /** Where it was asked for. */
  readonly span: SpanContext | undefined;
}

/** What became of a page; see store_page.sql. */
export type StoreOutcome = "stored" | "already" | "unreadable" | "not_ours" | "lost";

/** The row of ops_batch_runs after a load. */
export interface LoadedBatch {
  readonly batchId: string;
  readonly startedAt: Date;
  readonly status: "completed" | "partial" | "failed";
  readonly marketsExpected: number;
  readonly marketsCompleted: number;
  readonly offersExtracted: number;
  readonly offersInserted: number;
  readonly offersRejected: number;
  readonly offersDuplicate: number;
  readonly errors: number;
  readonly errorSummary: string | undefined;
  readonly seconds: number;
}

/** What a step of the newest load of a batch did. */
export interface LoadStep {
  readonly step: string;
  readonly status: "ok" | "failed" | "undone";
  readonly seconds: number;
  readonly error: string | undefined;
}

/** A batch that others loaded. */
export interface EndedBatch extends LoadedBatch {
  readonly loaderId: string | undefined;
}
