import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { describe, UsageError } from "../errors.ts";

const GZIP = [0x1f, 0x8b];

/** The standard input, as people name it. */
export const STANDARD_INPUT = "-";

/**
 * Finds out that all files are there before the first is read.
 * @throws {UsageError}
 */
export async function requireFiles(names: readonly string[]): Promise<void> {
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) !== index) throw new UsageError(`${name} is named twice`);
    if (name === STANDARD_INPUT) continue;
    try {
      if ((await Deno.stat(name)).isDirectory) throw new UsageError(`${name} is a folder`);
      (await Deno.open(name)).close();
    } catch (error) {
      if (error instanceof UsageError) throw error;
      const reason = error instanceof Deno.errors.NotFound
        ? "there is no such file"
        : describe(error);
      throw new UsageError(`${name}: ${reason}`);
    }
  }
}

/** Size of a file as it lies there, where it is one. */
export async function sizeOf(name: string): Promise<number | undefined> {
  if (name === STANDARD_INPUT) return undefined;
  const { isFile, size } = await Deno.stat(name);
  return isFile ? size : undefined;
}

/**
 * The bytes of a file or the standard input, decompressed where they are gzip (by their first bytes, not by the name).
 * @param onBytes told how many bytes of the file were read
 * @param signal ends the stream with an error, also while nothing comes
 */
export async function openSource(
  name: string,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const raw = name === STANDARD_INPUT ? Deno.stdin.readable : (await Deno.open(name)).readable;
  const counted = raw.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => {
        onBytes(chunk.length);
        controller.enqueue(chunk);
      },
    }),
    { signal },
  );
  const reader = counted.getReader();
  const head: Uint8Array[] = [];
  let isGzip = false;
  for (let length = 0; length < GZIP.length;) {
    const { value, done } = await reader.read();
    if (done) break;
    head.push(value);
    length += value.length;
    const [one, two] = head.length === 1 ? value : [...head.flatMap((part) => [...part])];
    isGzip = one === GZIP[0] && two === GZIP[1];
  }
  const whole = new ReadableStream<Uint8Array>({
    start: (controller) => head.forEach((part) => controller.enqueue(part)),
    pull: async (controller) => {
      const { value, done } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return isGzip ? decompressed(whole) : whole;
}

/** Not `DecompressionStream`: it refuses files that were put together of several gzip files. */
function decompressed(stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const source = Readable.fromWeb(stream as never);
  const gunzip = createGunzip();
  source.on("error", (error) => gunzip.destroy(error));
  return Readable.toWeb(source.pipe(gunzip)) as unknown as ReadableStream<Uint8Array>;
}
