import pRetry, { AbortError } from "p-retry";
import { z } from "zod";
import { AnswerError } from "../exchange/answer.ts";
import type { HttpRequest } from "../exchange/exchange.ts";
import type { Metrics } from "../serve/metrics.ts";
import { noteEvent } from "../tracing.ts";
import { type AccessState, ExchangeClosed, type RememberedAccess } from "./access.ts";
import { askOnce } from "./ask_once.ts";
import type { Body } from "./body.ts";
import { Breaker, type Pass } from "./breaker.ts";
import type { Clock } from "./clock.ts";
import { type FailureKind, RequestFailure } from "./failure.ts";
import { type Permit, RateLimiter, type RateOptions } from "./rate_limiter.ts";
import { RetryBudget } from "./retry_budget.ts";

export interface FetcherOptions {
  /** Code of the exchange. */
  readonly exchange: string;
  readonly rate: RateOptions;
  /** What an earlier process of this name had learned. */
  readonly remembered?: RememberedAccess | undefined;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** For one attempt, body included. */
  readonly timeoutSeconds: number;
  /** Attempts after the first. */
  readonly maxRetries: number;
  /** In the place of the network, for simulated time. */
  readonly send?: typeof fetch;
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
  /** Attempts. Deno's `fetch` may send one twice without telling: when a connection that was idle turns out to be reset. */
  requests: number;
  retries: number;
  /** Answers of any kind: the exchange is there. */
  answers: number;
  /** Answers that were a 429, a 403 or a challenge. */
  refused: number;
}

/** First back-off; doubles with each further one. Jitter takes it from anywhere between 0 and this. */
const BACKOFF_SECONDS = 1;
const MAX_BACKOFF_SECONDS = 30;
/** A `Retry-After` beyond this does not fit any batch: the page is given up instead of waited for. */
const MAX_RETRY_AFTER_SECONDS = 120;
/** And beyond this it is not believed; users were blocked for 30 to 60 minutes. */
const MAX_PAUSE_SECONDS = 3600;

/** A pause outlives the process, too. */
const memorySchema = z.object({ pausedSeconds: z.number().min(0).max(MAX_PAUSE_SECONDS) });

/**
 * All requests of this process to one exchange: sends them at the rate it has learned, retries what is worth it, and
 * sends nothing to an exchange that only fails.
 */
export class Fetcher {
  readonly statistics: FetcherStatistics = {
    requests: 0,
    retries: 0,
    answers: 0,
    refused: 0,
  };
  readonly #limiter: RateLimiter;
  readonly #breaker: Breaker;
  readonly #budget: RetryBudget;
  /** What the exchange refused in words, until it answers it: a market that it never answers says so once. */
  readonly #refusedRequests = new Set<string>();
  /** How long an answer takes, the latest counting most; nothing is known before the first. */
  #answerSeconds: number | undefined;
  #waiting: { signal: AbortSignal; interrupted: AbortSignal; either: AbortSignal } | undefined;

  constructor(readonly options: FetcherOptions) {
    const { exchange, rate, clock, maxRetries, remembered, metrics } = options;
    metrics.expect(exchange);
    this.#limiter = new RateLimiter(rate, clock, remembered);
    this.#breaker = new Breaker(exchange, clock, remembered);
    this.#budget = new RetryBudget(maxRetries);
    const paused = memorySchema.safeParse(remembered?.breakerMemory).data?.pausedSeconds ?? 0;
    this.#limiter.pause(Math.max(0, paused - (remembered?.secondsAgo ?? 0)));
  }

  get state(): AccessState {
    return {
      ratePerMinute: this.#limiter.ratePerMinute,
      ceilingPerMinute: this.#limiter.ceilingPerMinute,
      pausedSeconds: this.#limiter.pausedSeconds,
      breaker: this.#breaker.state,
      breakerReason: this.#breaker.reason,
      breakerMemory: { ...this.#breaker.memory, pausedSeconds: this.#limiter.pausedSeconds },
      requests: this.statistics.requests,
      refused: this.statistics.refused,
      retries: this.statistics.retries,
    };
  }

  /** How many requests must be under way to make use of the rate; more only wait for each other. */
  get usefulRequestsAtOnce(): number {
    const underWay = this.#limiter.ratePerMinute / 60 * (this.#answerSeconds ?? 0);
    return Math.ceil(1.5 * underWay) + 1;
  }

  /**
   * Resolves at once where requests are sent, else when the next probe may be sent or a long pause is over.
   * @throws the signal's reason
   */
  async ready(signal: AbortSignal): Promise<void> {
    while (this.#isPausedForLong) {
      await this.options.clock.sleep(this.#limiter.pausedSeconds * 1000, signal);
    }
    await this.#breaker.ready(signal);
  }

  /**
   * @param read reads the parsed JSON; may throw AnswerError
   * @throws {RequestFailure} after the last attempt; {ExchangeClosed} while the breaker is open or the exchange has
   *   asked for a long pause; the signal's reason when that comes first
   */
  async fetch<T>(
    request: HttpRequest,
    read: (document: unknown) => T,
    signal: AbortSignal,
  ): Promise<Received<T>> {
    const { clock, maxRetries } = this.options;
    const failed: FailureKind[] = [];
    return await pRetry(async (attempt) => {
      try {
        return await this.#tryOnce(request, read, attempt, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof RequestFailure) {
          const { state, error: closed } = this.#breaker;
          if (state !== "closed" && error.isOfExchange) throw new AbortError(closed);
          const before = failed.filter((kind) => kind === error.kind).length;
          failed.push(error.kind);
          noteEvent("attempt failed", { attempt, outcome: error.kind, message: error.message });
          if (attempt <= maxRetries && this.#mayRetry(error, before)) throw error;
        }
        throw error instanceof Error ? new AbortError(error) : error; // final
      }
    }, {
      retries: maxRetries,
      minTimeout: 0, // the wait is in onFailedAttempt: p-retry's own jitter is not full
      signal,
      onFailedAttempt: async ({ attemptNumber }) => {
        const ceiling = Math.min(BACKOFF_SECONDS * 2 ** (attemptNumber - 1), MAX_BACKOFF_SECONDS);
        await clock.sleep(clock.random() * ceiling * 1000, signal);
      },
    });
  }

  get #isPausedForLong(): boolean {
    return this.#limiter.pausedSeconds > MAX_RETRY_AFTER_SECONDS;
  }

  #pausedForLong(reason: string): ExchangeClosed {
    return new ExchangeClosed(this.options.exchange, reason, this.#limiter.pausedSeconds);
  }

  /**
   * What the rate limiter slows down adds no load; everything else takes from the budget.
   * @param before how often the request failed this way already
   */
  #mayRetry(failure: RequestFailure, before: number): boolean {
    return failure.mayRetry(before) && this.#breaker.state === "closed" &&
      (failure.retryAfterSeconds ?? 0) <= MAX_RETRY_AFTER_SECONDS &&
      (failure.isRefusal || this.#budget.spend());
  }

  async #tryOnce<T>(
    request: HttpRequest,
    read: (document: unknown) => T,
    attempt: number,
    signal: AbortSignal,
  ): Promise<Received<T>> {
    if (this.#isPausedForLong) throw this.#pausedForLong("it asked for a pause (Retry-After)");
    const pass = await this.#breaker.admit(signal);
    let permit: Permit;
    try {
      permit = await this.#limiter.take(this.#unlessInterrupted(signal));
    } catch (error) {
      this.#breaker.withdrawn(pass);
      throw error;
    }
    this.statistics.requests++;
    const { exchange, clock, metrics } = this.options;
    if (attempt > 1) {
      this.statistics.retries++;
      metrics.apiRetries.inc({ exchange });
    } else this.#budget.earn();
    const began = clock.now();
    const took = (outcome: FailureKind | "ok") =>
      metrics.apiRequestDuration.observe({ exchange, outcome }, (clock.now() - began) / 1000);
    try {
      const received = await this.#attempt(request, read, attempt, signal);
      took("ok");
      this.#limiter.accepted(permit);
      if (this.#refusedRequests.size > 0) this.#refusedRequests.delete(keyOf(request));
      if (this.#breaker.succeeded(pass)) this.#limiter.dropBurst();
      return received;
    } catch (error) {
      if (signal.aborted || !(error instanceof RequestFailure)) {
        this.#breaker.withdrawn(pass);
        throw error;
      }
      took(error.kind);
      error.attempts = attempt;
      this.#learn(error, request, permit, pass);
      // What a probe asked for counts as failed: handed back, it might be the next probe as well, and fail for itself.
      throw pass.isProbe && !error.isRefusal ? new AbortError(error) : error;
    }
  }

  /** Ends the wait for the rate also when the breaker opens. */
  #unlessInterrupted(signal: AbortSignal): AbortSignal {
    const { interrupted } = this.#breaker;
    if (this.#waiting?.signal !== signal || this.#waiting.interrupted !== interrupted) {
      this.#waiting = { signal, interrupted, either: AbortSignal.any([signal, interrupted]) };
    }
    return this.#waiting.either;
  }

  /** Tells the rate and the breaker of a failure. */
  #learn(failure: RequestFailure, request: HttpRequest, permit: Permit, pass: Pass): void {
    const asked = failure.retryAfterSeconds;
    const pause = asked === undefined ? undefined : Math.min(asked, MAX_PAUSE_SECONDS);
    let isNews = true;
    if (failure.isRefusal) {
      this.statistics.refused++;
      this.options.metrics.apiRefused.inc({ exchange: this.options.exchange });
      isNews = this.#limiter.refused(permit, pause);
    } else if (failure.kind === "timeout") this.#limiter.timedOut(permit);
    else if (pause !== undefined) this.#limiter.pause(pause);
    if (failure.kind === "refused") {
      const key = keyOf(request);
      isNews = !this.#refusedRequests.has(key);
      this.#refusedRequests.add(key);
    }
    if (isNews || pass.isProbe) this.#breaker.failed(pass, failure.message);
    if (this.#isPausedForLong) this.#breaker.sendAway(this.#pausedForLong(failure.message));
  }

  async #attempt<T>(
    request: HttpRequest,
    read: (document: unknown) => T,
    attempt: number,
    signal: AbortSignal,
  ): Promise<Received<T>> {
    const { exchange, clock, metrics } = this.options;
    const started = clock.now();
    const { document, body, status } = await askOnce(request, {
      timeoutSeconds: this.options.timeoutSeconds,
      send: this.options.send ?? fetch,
      onAnswer: () => void this.statistics.answers++,
      signal,
    });
    const observedAt = new Date();
    metrics.apiReceived.inc({ exchange }, body.bytes);
    const milliseconds = clock.now() - started;
    this.#answerSeconds = 0.9 * (this.#answerSeconds ?? milliseconds / 1000) +
      milliseconds / 10_000;
    return {
      value: readAnswer(read, document, status),
      body,
      status,
      attempt,
      durationMilliseconds: Math.round(milliseconds),
      observedAt,
    };
  }
}

/** @throws {RequestFailure} where the exchange says no, or something that is no page */
function readAnswer<T>(read: (document: unknown) => T, document: unknown, status: number): T {
  try {
    return read(document);
  } catch (error) {
    if (!(error instanceof AnswerError)) throw error;
    const failure = new RequestFailure(error.problem, error.message, undefined, { cause: error });
    failure.status = status;
    throw failure;
  }
}

function keyOf(request: HttpRequest): string {
  return request.url + JSON.stringify(request.body);
}
