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
        this.#send(stream, "retry: 3000\n\n");
        if (this.#told !== undefined) this.#send(stream, this.#textOf(this.#told));
        if (this.#streams.size === 1) this.#poll();
      },
      cancel: () => {
        if (own !== undefined) this.#streams.delete(own);
      },
    }, new CountQueuingStrategy({ highWaterMark: MOST_BEHIND }));
  }

  async #poll(): Promise<void> {
    let beatAt = this.clock.now() + BEAT_SECONDS * 1000;
    while (this.#streams.size > 0) {
      const event = await this.look();
      const isNews = event.event !== this.#told?.event || event.data !== this.#told.data;
      this.#told = event;
      const isBeat = this.clock.now() >= beatAt;
      if (isBeat) beatAt = this.clock.now() + BEAT_SECONDS * 1000;
      const text = isNews ? this.#textOf(event) : `event: beat\ndata: ${Date.now() / 1000}\n\n`;
      if (isNews || isBeat) { for (const stream of [...this.#streams]) this.#send(stream, text); }
      await this.clock.sleep(POLL_SECONDS * 1000, this.signal).catch(() => {});
    }
    this.#told = undefined; // it gets old
  }

  #textOf({ event, data }: PageEvent): string {
    return `event: beat\ndata: ${Date.now() / 1000}\n\nevent: ${event}\ndata: ${data}\n\n`;
  }

  #send(stream: Stream, text: string): void {
    if ((stream.desiredSize ?? 0) <= 0) this.#end(stream);
    else stream.enqueue(this.#encoder.encode(text));
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
