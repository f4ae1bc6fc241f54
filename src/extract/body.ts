import { createHash } from "node:crypto";
import { RequestFailure } from "./failure.ts";

/** A page of 20 offers is 63 KB; nothing the exchange sends comes near this. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024;

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
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BODY_BYTES) {
      throw new RequestFailure("too_large", `the body is larger than ${MAX_BODY_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  const whole = concatenate(chunks, bytes);
  const sha256 = new Uint8Array(createHash("sha256").update(whole).digest());
  try {
    return {
      text: new TextDecoder("utf-8", { fatal: true }).decode(whole),
      bytes,
      sha256,
      original: undefined,
    };
  } catch {
    return { text: new TextDecoder().decode(whole), bytes, sha256, original: whole };
  }
}

function concatenate(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return whole;
}
