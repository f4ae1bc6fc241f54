/** Opening one waits for somebody who writes, without a deadline. */
class PipeError extends Error {
  override readonly name = "it is a pipe";
}

/** Of a device, or of something else that was named by mistake. */
class SizeError extends Error {
  override readonly name = "it is too large";
}

/**
 * The text of a small file, read to its end and no further than `mostBytes`: what is named by mistake may be a disk, or
 * have no end at all.
 * @throws {PipeError|SizeError} and what the system has against it; the name says what it is
 */
export function readSmallFile(path: string, mostBytes: number): string {
  if (Deno.statSync(path).isFifo) throw new PipeError();
  using file = Deno.openSync(path);
  const parts: Uint8Array[] = [];
  let length = 0;
  while (length <= mostBytes) {
    const part = new Uint8Array(16_384);
    const count = file.readSync(part);
    if (count === null) return new TextDecoder().decode(joined(parts, length));
    parts.push(part.subarray(0, count));
    length += count;
  }
  throw new SizeError();
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
