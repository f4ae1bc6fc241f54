import pRetry, { AbortError } from "p-retry";
import { DEADLINES, PATIENCE } from "../deadlines.ts";
import { describeRequest } from "../errors.ts";
import type { Clock } from "../extract/clock.ts";
import { retryAfterSeconds } from "../extract/retry_after.ts";
import { logger } from "../log.ts";
import { VERSION } from "../version.ts";
import type { Alert } from "./alert.ts";
import type { Destination, Sender } from "./destination.ts";
import { postJson } from "./post.ts";
import { withoutSecrets } from "./text.ts";

export interface DeliveryOptions {
  readonly sender: Sender;
  readonly clock: Clock;
  /** Never to stand in what is logged. */
  readonly secrets: readonly string[];
  /** Told of every attempt. */
  readonly onAttempt?: (destination: string, outcome: "delivered" | "failed") => void;
  readonly timeoutSeconds?: number;
}

/** First back-off; doubles up to the longest: an hour's outage of a destination loses nothing. */
const BACKOFF_SECONDS = 1;
const MAX_BACKOFF_SECONDS = 60;
const MAX_ATTEMPTS = 60;
/** Longer waits that a destination asks for are not believed. */
const MAX_RETRY_AFTER_SECONDS = 300;
/** Alerts that wait for one destination; then the oldest go. */
export const MOST_WAITING = 100;

/** An alert was not taken. The message names no URL. */
export class DeliveryFailure extends Error {
  override readonly name = "DeliveryFailure";

  constructor(
    message: string,
    readonly mayRetry: boolean,
    readonly retryAfterSeconds: number | undefined = undefined,
  ) {
    super(message);
  }
}

/**
 * Sends an alert once.
 * @throws {DeliveryFailure}
 */
export async function sendOnce(
  destination: Destination,
  alert: Alert,
  { sender, secrets, timeoutSeconds = DEADLINES.alertSeconds }: DeliveryOptions,
  signal?: AbortSignal,
): Promise<void> {
  const deadline = AbortSignal.timeout(timeoutSeconds * 1000);
  let response: Response;
  try {
    response = await postJson(
      destination.url,
      destination.payload(alert, sender),
      `p2p-ingest/${VERSION}`,
      signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
    );
  } catch (error) {
    if (signal?.aborted) throw new DeliveryFailure("the worker was told to stop", false);
    if (deadline.aborted) throw new DeliveryFailure(`no answer within ${timeoutSeconds} s`, true);
    const reason = withoutSecrets(describeRequest(error), [destination.url, ...secrets]);
    throw new DeliveryFailure(reason, true);
  }
  if (response.ok) return;
  const { status } = response;
  throw new DeliveryFailure(
    `HTTP ${status}${HINTS[status] === undefined ? "" : ` (${HINTS[status]})`}`,
    status === 408 || status === 429 || status >= 500,
    retryAfterSeconds(response),
  );
}

const HINTS: Readonly<Record<number, string>> = {
  400: "it does not take this document: is the key right?",
  401: "the key is wrong",
  403: "the key is wrong, or not allowed to",
  404: "nothing is there: is the URL right?",
  410: "the channel is gone or archived",
};

interface Waiting {
  readonly alert: Alert;
  readonly settle: (isSettled: boolean) => void;
}

/** The way to one destination: one alert after the other, each tried for an hour. Who adds one never waits. */
export class Delivery implements AsyncDisposable {
  readonly #waiting: Waiting[] = [];
  readonly #stop = new AbortController();
  #sending: Promise<void> | undefined;
  #isDown = false;
  #lost = 0;

  constructor(readonly destination: Destination, readonly options: DeliveryOptions) {}

  /** Alerts that will never arrive. */
  get lost(): number {
    return this.#lost;
  }

  /** @returns true when it was delivered or given up; false where a stop came first */
  add(alert: Alert): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#waiting.push({ alert, settle: resolve });
    if (this.#waiting.length > MOST_WAITING) {
      const oldest = this.#waiting.shift();
      if (oldest !== undefined) this.#lose(oldest, `more than ${MOST_WAITING} wait`);
    }
    this.#sending ??= this.#sendAll();
    return promise;
  }

  /** Gives what waits a few seconds. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { clock } = this.options;
    const done = new AbortController();
    clock.sleep(PATIENCE.deliverySeconds * 1000, done.signal).then(
      () => this.#stop.abort(),
      () => {},
    );
    await this.#sending;
    done.abort();
  }

  async #sendAll(): Promise<void> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      try {
        await this.#send(next.alert);
        next.settle(true);
      } catch (error) {
        this.#lose(next, error instanceof Error ? error.message : String(error));
      }
    }
    this.#sending = undefined;
  }

  async #send(alert: Alert): Promise<void> {
    const { clock, onAttempt } = this.options;
    const { signal } = this.#stop;
    const { name } = this.destination;
    await pRetry(async () => {
      try {
        if (signal.aborted) throw new DeliveryFailure("the worker was told to stop", false);
        await sendOnce(this.destination, alert, this.options, signal);
      } catch (error) {
        onAttempt?.(name, "failed");
        if (!(error instanceof DeliveryFailure)) throw new AbortError(error as Error);
        if (!error.mayRetry) throw new AbortError(error);
        throw error;
      }
    }, {
      retries: MAX_ATTEMPTS - 1,
      minTimeout: 0, // the wait is in onFailedAttempt, by our clock
      onFailedAttempt: async ({ error, attemptNumber, retriesLeft }) => {
        if (!(error instanceof DeliveryFailure) || retriesLeft === 0) return;
        if (!this.#isDown) {
          log.error("{destination} does not take alerts: {reason}; trying again", {
            destination: name,
            reason: error.message,
          });
        }
        this.#isDown = true;
        const backoff = Math.min(BACKOFF_SECONDS * 2 ** (attemptNumber - 1), MAX_BACKOFF_SECONDS);
        const asked = Math.min(error.retryAfterSeconds ?? 0, MAX_RETRY_AFTER_SECONDS);
        await clock.sleep(Math.max(backoff, asked) * 1000, signal).catch(() => {});
      },
    });
    onAttempt?.(name, "delivered");
    if (this.#isDown) log.info("{destination} takes alerts again", { destination: name });
    this.#isDown = false;
  }

  #lose({ alert: { kind, isOver }, settle }: Waiting, reason: string): void {
    this.#lost++;
    settle(!this.#stop.signal.aborted);
    log.error("an alert did not arrive at {destination}: {reason}", {
      destination: this.destination.name,
      reason,
      kind,
      isOver,
      lost: this.#lost,
    });
  }
}

const log = logger("alert_delivery");
