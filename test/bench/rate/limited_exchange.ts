import type { Clock } from "../../../src/extract/clock.ts";

const MINUTE = 60_000;

/** Requests a minute, from a moment (hours) on. */
export type Limit = readonly (readonly [fromHour: number, perMinute: number])[];

export function limitAt(limit: Limit, milliseconds: number): number {
  const [, perMinute = Infinity] = limit.findLast(([hour]) => hour * 60 * MINUTE <= milliseconds) ??
    [];
  return perMinute;
}

/** What befalls requests whatever their rate. */
export interface Faults {
  /** Of all requests; a 403, or no answer before the fetcher gives up. */
  readonly share: number;
  readonly kind: "refused" | "silent";
  /** All are refused in this time, in hours. */
  readonly outage?: readonly [from: number, to: number];
}

/**
 * An exchange, in simulated time, that takes so many requests within any minute, or, with `bucket`, so many at once and
 * then one by one; it answers 429 beyond.
 */
export class LimitedExchange {
  taken = 0;
  /** For the limit. */
  refused = 0;
  /** By chance. */
  failed = 0;
  /** When those of the last minute came. */
  readonly #recent: number[] = [];
  #oldest = 0;
  #tokens = Infinity;
  #refilledAt = 0;

  constructor(
    readonly clock: Clock,
    readonly limit: Limit,
    readonly answers: {
      /** Seconds; "slot": until there is room again; undefined: 429 without the header. */
      readonly retryAfter: number | "slot" | undefined;
      readonly bucket?: number;
      readonly faults?: Faults;
    },
  ) {}

  /** In the place of `fetch`. It takes 0.2 to 0.4 s, half of it there. */
  readonly send = async (): Promise<Response> => {
    const latency = 200 + 200 * this.clock.random();
    await this.clock.sleep(latency / 2);
    const { bucket, faults, retryAfter } = this.answers;
    if (faults !== undefined && this.#fails(faults)) {
      this.failed++;
      if (faults.kind === "refused") return new Response("<html>", { status: 403 });
      await this.clock.sleep(30_000);
      throw new DOMException("no answer", "TimeoutError");
    }
    const wait = bucket === undefined ? this.#take() : this.#takeToken(bucket);
    if (wait === 0) this.taken++;
    else this.refused++;
    await this.clock.sleep(latency / 2);
    if (wait === 0) return new Response(emptyList());
    const seconds = retryAfter === "slot" ? Math.ceil(wait / 1000) : retryAfter;
    const headers: HeadersInit = seconds === undefined ? {} : { "retry-after": String(seconds) };
    return new Response("<html>", { status: 429, headers });
  };

  #fails({ share, outage: [from, to] = [0, 0] }: Faults): boolean {
    const hour = this.clock.now() / 60 / MINUTE;
    return this.clock.random() < share || (hour >= from && hour < to);
  }

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
