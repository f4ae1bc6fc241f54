/** A line of a file, without its end. */
export interface Line {
  /** From 1. */
  readonly number: number;
  /** Undefined where the line is longer than the limit: it is passed over, not kept. */
  readonly bytes: Uint8Array | undefined;
  /** False for a last line that no line feed ends: it may be cut off. */
  readonly isEnded: boolean;
}

const LINE_FEED = 10;

/** The lines of a stream, one after the other; keeps no more than one of them and a chunk of the stream in memory. */
export async function* linesOf(
  stream: ReadableStream<Uint8Array>,
  longestBytes: number,
): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let number = 0;

  const end = (isEnded: boolean): Line => {
    number++;
    const bytes = length > longestBytes ? undefined : joined(parts, length);
    parts = [];
    length = 0;
    return { number, bytes, isEnded };
  };

  for await (const chunk of stream) {
    let from = 0;
    for (;;) {
      const at = chunk.indexOf(LINE_FEED, from);
      const part = chunk.subarray(from, at === -1 ? chunk.length : at);
      length += part.length;
      if (length <= longestBytes) parts.push(part);
      else parts = [];
      if (at === -1) break;
      yield end(true);
      from = at + 1;
    }
  }
  if (length > 0) yield end(false);
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return first;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
