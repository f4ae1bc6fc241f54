import type { Clock } from "../extract/clock.ts";

/** What every open page is told next: an event of its name with a line of JSON. */
export interface PageEvent {
  readonly event: "overview" | "outage";
  readonly data: string;
}

const MOST_STREAMS = 100;
const POLL_SECONDS = 1.5;
/** A page that hears nothing for longer knows that the worker is gone. */
const BEAT_SECONDS = 10;
/** A reader that takes nothing is not waited for. */
const MOST_BEHIND = 50;

type Stream = ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

/** One look for all open pages, as long as one is open; who comes is told at once what the others know. */
export class PageEvents {
  readonly #streams = new Set<Stream>();
  readonly #encoder = new TextEncoder();
  #told: PageEvent | undefined;
  #isPolling = false;

  /**
   * @param look the present state; does not throw
   * @param signal ends all streams
   */
  constructor(
    readonly look: () => Promise<PageEvent>,
    readonly clock: Clock,
    readonly signal: AbortSignal,
  ) {
    signal.addEventListener("abort", () => {
      for (const stream of [...this.#streams]) this.#end(stream);
    }, { once: true });
  }

  get open(): number {
    return this.#streams.size;
  }

  /** A stream of server-sent events; undefined where there are too many already, or it is over. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>> | undefined {
    if (this.#streams.size >= MOST_STREAMS || this.signal.aborted) return undefined;
    let own: Stream | undefined;
    return new ReadableStream({
      start: (stream) => {
        own = stream;
        this.#streams.add(stream);
        this.#send(stream, this.#encoder.encode("retry: 3000\n\n"));
        if (this.#told !== undefined) this.#send(stream, this.#bytesOf(this.#told));
        if (!this.#isPolling) this.#poll(); // the one that a page before this began may be waiting still
      },
      cancel: () => {
        if (own !== undefined) this.#streams.delete(own);
      },
    }, new CountQueuingStrategy({ highWaterMark: MOST_BEHIND }));
  }

  async #poll(): Promise<void> {
    this.#isPolling = true;
    let beatAt = this.clock.now() + BEAT_SECONDS * 1000;
    while (this.#streams.size > 0) {
      const event = await this.look();
      const isNews = event.event !== this.#told?.event || event.data !== this.#told.data;
      this.#told = event;
      const isBeat = this.clock.now() >= beatAt;
      if (isBeat) beatAt = this.clock.now() + BEAT_SECONDS * 1000;
      const bytes = this.#bytesOf(isNews ? event : undefined); // once for all: a hundred may be slow to take them
      if (isNews || isBeat) { for (const stream of [...this.#streams]) this.#send(stream, bytes); }
      await this.clock.sleep(POLL_SECONDS * 1000, this.signal).catch(() => {});
    }
    this.#told = undefined; // it gets old
    this.#isPolling = false;
  }

  #bytesOf(told: PageEvent | undefined): Uint8Array<ArrayBuffer> {
    const news = told === undefined ? "" : `event: ${told.event}\ndata: ${told.data}\n\n`;
    return this.#encoder.encode(`event: beat\ndata: ${Date.now() / 1000}\n\n${news}`);
  }

  #send(stream: Stream, bytes: Uint8Array<ArrayBuffer>): void {
    if ((stream.desiredSize ?? 0) <= 0) this.#end(stream);
    else stream.enqueue(bytes);
  }

  #end(stream: Stream): void {
    this.#streams.delete(stream);
    try {
      stream.close();
    } catch {
      // its reader has gone
    }
  }
}
