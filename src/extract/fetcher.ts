import pRetry from "p-retry";
import { describe } from "../errors.ts";
import { AnswerError } from "../exchange/answer.ts";
import type { HttpRequest } from "../exchange/exchange.ts";
import { VERSION } from "../version.ts";
import type { AccessState, RememberedAccess } from "./access.ts";
import { type Body, readBody } from "./body.ts";
import type { Clock } from "./clock.ts";
import { RequestFailure } from "./failure.ts";
import { TokenBucket } from "./token_bucket.ts";

/** All per minute but `burst`, which is a number of requests. */
export interface RateOptions {
  /** Where nothing is remembered. */
  readonly initialPerMinute: number;
  readonly minPerMinute: number;
  readonly maxPerMinute: number;
  /** At most so many at once. */
  readonly burst: number;
  /** A refusal multiplies the rate by this, between 0 and 1. */
  readonly backoffFactor: number;
}

export interface FetcherOptions {
  /** Code of the exchange. */
  readonly exchange: string;
  readonly rate: RateOptions;
  /** What an earlier process of this name had learned. */
  readonly remembered?: RememberedAccess | undefined;
  readonly clock: Clock;
  /** For one attempt, body included. */
  readonly timeoutSeconds: number;
  /** Attempts after the first. */
  readonly maxRetries: number;
}

/** An answer that was accepted. */
export interface Received<T> {
  readonly value: T;
  readonly body: Body;
  readonly status: number;
  /** From 1. */
  readonly attempt: number;
  readonly durationMilliseconds: number;
  readonly observedAt: Date;
}

export interface FetcherStatistics {
  requests: number;
  retries: number;
  bytes: number;
  /** Answers of any kind: the exchange is there. */
  answers: number;
}

/** First back-off; doubles with each further one. Jitter takes it from anywhere between 0 and this. */
const BACKOFF_SECONDS = 1;
const MAX_BACKOFF_SECONDS = 30;
/** A `Retry-After` beyond this does not fit any batch: the page is given up instead of waited for. */
const MAX_RETRY_AFTER_SECONDS = 120;

/** Sends requests under one rate limit and retries what is worth it. */
export class Fetcher {
  readonly statistics: FetcherStatistics = { requests: 0, retries: 0, bytes: 0, answers: 0 };

  readonly #bucket: TokenBucket;

  constructor(readonly options: FetcherOptions) {
    const { rate, clock } = options;
    this.#bucket = new TokenBucket(rate.initialPerMinute, rate.burst, clock);
  }

  get state(): AccessState {
    return {
      ratePerMinute: this.options.rate.initialPerMinute,
      ceilingPerMinute: undefined,
      pausedSeconds: 0,
      breaker: "closed",
      breakerReason: undefined,
      breakerMemory: null,
      requests: this.statistics.requests,
      refused: 0,
      retries: this.statistics.retries,
    };
  }

  /** Resolves at once unless the breaker is open, else when the next probe may be sent. */
  ready(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    return Promise.resolve();
  }

  /**
   * @param read reads the parsed JSON; may throw AnswerError
   * @throws {RequestFailure} after the last attempt; {ExchangeClosed} while the breaker is open; the signal's reason
   *   when that comes first
   */
  async fetch<T>(
    request: HttpRequest,
    read: (document: unknown) => T,
    signal: AbortSignal,
  ): Promise<Received<T>> {
    const { clock, maxRetries } = this.options;
    const bucket = this.#bucket;
    return await pRetry(async (attempt) => {
      await bucket.take(signal);
      this.statistics.requests++;
      if (attempt > 1) this.statistics.retries++;
      try {
        return await this.#attempt(request, read, attempt, signal);
      } catch (error) {
        signal.throwIfAborted();
        const failure = error instanceof AnswerError
          ? new RequestFailure(error.problem, error.message, undefined, { cause: error })
          : error;
        if (failure instanceof RequestFailure) failure.attempts = attempt;
        throw failure;
      }
    }, {
      retries: maxRetries,
      minTimeout: 0, // the wait is in onFailedAttempt: p-retry's own jitter is not full
      signal,
      shouldRetry: ({ error, attemptNumber }) => isWorthRetrying(error, attemptNumber),
      onFailedAttempt: async ({ error, attemptNumber, retriesLeft }) => {
        if (!(error instanceof RequestFailure)) return;
        const asked = error.retryAfterSeconds;
        if (asked !== undefined) bucket.pause(Math.min(asked, MAX_RETRY_AFTER_SECONDS) * 1000);
        if (retriesLeft === 0 || !isWorthRetrying(error, attemptNumber)) return;
        const ceiling = Math.min(BACKOFF_SECONDS * 2 ** (attemptNumber - 1), MAX_BACKOFF_SECONDS);
        await clock.sleep(clock.random() * ceiling * 1000, signal);
      },
    });
  }

  async #attempt<T>(
    request: HttpRequest,
    read: (document: unknown) => T,
    attempt: number,
    signal: AbortSignal,
  ): Promise<Received<T>> {
    const started = this.options.clock.now();
    const { response, body } = await this.#receive(request, signal);
    const observedAt = new Date();
    this.statistics.bytes += body.bytes;
    return {
      value: read(parse(body.text, response)),
      body,
      status: response.status,
      attempt,
      durationMilliseconds: Math.round(this.options.clock.now() - started),
      observedAt,
    };
  }

  /** Sends once and reads the body to its end, both within the time-out. */
  async #receive(
    request: HttpRequest,
    signal: AbortSignal,
  ): Promise<{ response: Response; body: Body }> {
    const { timeoutSeconds } = this.options;
    const deadline = AbortSignal.timeout(timeoutSeconds * 1000);
    try {
      const response = await fetch(request.url, {
        method: request.method,
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        headers: {
          "accept": "application/json",
          "content-type": "application/json",
          "user-agent": `p2p-ingest/${VERSION}`,
        },
        redirect: "manual", // an offer comes from the exchange that was asked, or not at all
        signal: AbortSignal.any([signal, deadline]),
      });
      this.statistics.answers++;
      if (!response.ok) {
        await response.body?.cancel();
        throw refusedByStatus(response);
      }
      return { response, body: await readBody(response) };
    } catch (error) {
      throw error instanceof RequestFailure ? error : faultOnTheWay(error, timeoutSeconds);
    }
  }
}

function isWorthRetrying(error: Error, attempt: number): boolean {
  return error instanceof RequestFailure && error.mayRetry(attempt - 1) &&
    (error.retryAfterSeconds ?? 0) <= MAX_RETRY_AFTER_SECONDS;
}

function refusedByStatus(response: Response): RequestFailure {
  const message = `HTTP ${response.status} ${response.statusText}`.trimEnd();
  const retryAfter = retryAfterSeconds(response);
  if (response.status === 429) return new RequestFailure("rate_limited", message, retryAfter);
  if (response.status === 403) return new RequestFailure("forbidden", message, retryAfter);
  if (response.status >= 500) return new RequestFailure("server_error", message, retryAfter);
  const target = response.headers.get("location")?.slice(0, 200);
  return new RequestFailure(
    "http_error",
    target === undefined ? message : `${message}: redirected to ${target}`,
  );
}

/** `Retry-After` is a number of seconds or a date. */
function retryAfterSeconds(response: Response): number | undefined {
  const value = response.headers.get("retry-after")?.trim();
  if (!value) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value);
  const seconds = (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
}

function parse(text: string, response: Response): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const isHtml = /^\s*</.test(text) || /html/i.test(response.headers.get("content-type") ?? "");
    if (isHtml) {
      throw new RequestFailure("challenge", `HTTP ${response.status} with HTML instead of JSON`);
    }
    const excerpt = JSON.stringify(text.slice(0, 80));
    throw new RequestFailure(
      "invalid_json",
      `the body is not JSON (${text.length} characters): ${excerpt}`,
      undefined,
      {
        cause,
      },
    );
  }
}

/** What `fetch` throws: a time-out, else, for every fault of the network and of compression, a TypeError. */
function faultOnTheWay(error: unknown, timeoutSeconds: number): RequestFailure {
  const options = { cause: error };
  return error instanceof DOMException && error.name === "TimeoutError"
    ? new RequestFailure(
      "timeout",
      `no whole answer within ${timeoutSeconds} s`,
      undefined,
      options,
    )
    : new RequestFailure("connection", describe(error), undefined, options);
}
