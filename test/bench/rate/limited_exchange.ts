import type { Clock } from "../../../src/extract/clock.ts";

const MINUTE = 60_000;

/** Requests a minute, from a moment (hours) on. */
export type Limit = readonly (readonly [fromHour: number, perMinute: number])[];

export function limitAt(limit: Limit, milliseconds: number): number {
  const [, perMinute = Infinity] = limit.findLast(([hour]) => hour * 60 * MINUTE <= milliseconds) ??
    [];
  return perMinute;
}

/**
 * An exchange, in simulated time, that takes so many requests within any minute, or, with `bucket`, so many at once and
 * then one by one; it answers 429 beyond.
 */
export class LimitedExchange {
  taken = 0;
  refused = 0;
  /** When those of the last minute came. */
  readonly #recent: number[] = [];
  #oldest = 0;
  #tokens = Infinity;
  #refilledAt = 0;

  constructor(
    readonly clock: Clock,
    readonly limit: Limit,
    /** Seconds; "slot": until there is room again; undefined: 429 without the header. */
    readonly retryAfter: number | "slot" | undefined,
    readonly bucket?: number,
  ) {}

  /** In the place of `fetch`. It takes 0.2 to 0.4 s, half of it there. */
  readonly send = async (): Promise<Response> => {
    const latency = 200 + 200 * this.clock.random();
    await this.clock.sleep(latency / 2);
    const wait = this.bucket === undefined ? this.#take() : this.#takeToken(this.bucket);
    if (wait === 0) this.taken++;
    else this.refused++;
    await this.clock.sleep(latency / 2);
    if (wait === 0) return new Response(emptyList());
    const seconds = this.retryAfter === "slot" ? Math.ceil(wait / 1000) : this.retryAfter;
    const headers: HeadersInit = seconds === undefined ? {} : { "retry-after": String(seconds) };
    return new Response("<html>", { status: 429, headers });
  };

  /** @returns 0, or in how many milliseconds there is room */
  #take(): number {
    const now = this.clock.now();
    while ((this.#recent[this.#oldest] ?? Infinity) <= now - MINUTE) this.#oldest++;
    const inMinute = this.#recent.length - this.#oldest;
    const limit = limitAt(this.limit, now);
    if (inMinute < limit) {
      this.#recent.push(now);
      return 0;
    }
    return (this.#recent[this.#recent.length - limit] ?? now) + MINUTE - now;
  }

  #takeToken(bucket: number): number {
    const now = this.clock.now();
    const perMillisecond = limitAt(this.limit, now) / MINUTE;
    const tokens = this.#tokens + (now - this.#refilledAt) * perMillisecond;
    this.#tokens = Math.min(bucket, tokens);
    this.#refilledAt = now;
    if (this.#tokens < 1) return (1 - this.#tokens) / perMillisecond;
    this.#tokens -= 1;
    return 0;
  }
}

/** A body that is read as one from the network is: as a stream of bytes. */
function emptyList(): ReadableStream {
  return new ReadableStream({
    type: "bytes",
    start: (stream) => {
      stream.enqueue(new TextEncoder().encode("[]"));
      stream.close();
      stream.byobRequest?.respond(0);
    },
  });
}
