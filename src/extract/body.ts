import { createHash } from "node:crypto";
import { RequestFailure } from "./failure.ts";

/** A page of 20 offers is 63 KB; nothing the exchange sends comes near this. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024;

const USUAL_BYTES = 128 * 1024;

/** A body as received, after decompression. */
export interface Body {
  readonly text: string;
  readonly bytes: number;
  readonly sha256: Uint8Array;
  /** The bytes themselves, only where they are not UTF-8 and `text` is therefore not all there is to them. */
  readonly original: Uint8Array | undefined;
}

/**
 * Reads a body to its end, but no further than the limit: what decompresses to more is cut off on the way.
 * @throws {RequestFailure} `too_large`
 */
export async function readBody(response: Response): Promise<Body> {
  const whole = await readBytes(response);
  const sha256 = new Uint8Array(createHash("sha256").update(whole).digest());
  const bytes = whole.byteLength;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(whole);
    return { text, bytes, sha256, original: undefined };
  } catch {
    return { text: new TextDecoder().decode(whole), bytes, sha256, original: whole.slice() };
  }
}

/** Reads straight into one buffer: taking the stream's own chunks costs twice the time and memory. */
async function readBytes(response: Response): Promise<Uint8Array> {
  const reader = response.body?.getReader({ mode: "byob" });
  if (reader === undefined) return new Uint8Array();
  let buffer = new Uint8Array(USUAL_BYTES);
  let filled = 0;
  for (;;) {
    if (filled > MAX_BODY_BYTES) {
      await reader.cancel();
      throw new RequestFailure("too_large", `the body is larger than ${MAX_BODY_BYTES} bytes`);
    }
    if (filled === buffer.byteLength) {
      const larger = new Uint8Array(Math.min(filled * 2, MAX_BODY_BYTES + 1));
      larger.set(buffer);
      buffer = larger;
    }
    const { value, done } = await reader.read(buffer.subarray(filled));
    if (value !== undefined) {
      filled += value.byteLength;
      buffer = new Uint8Array(value.buffer); // reading moves the memory to a new object
    }
    if (done) return buffer.subarray(0, filled);
  }
}
