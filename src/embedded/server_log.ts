import { join } from "node:path";
import { existingDataDir } from "./data_folder.ts";
import { diskFull, diskIsFull, saysDiskFull } from "./disk.ts";
import { lastWords } from "./initialise.ts";
import type { Layout } from "./layout.ts";
import { readServer } from "./postmaster_file.ts";

/** Sizes of the log files at a moment, to read later what was added since. */
export type LogMark = ReadonlyMap<string, number>;

/** Enough for the end of any server, little enough to read at once. */
const TAIL_BYTES = 32 * 1024;

/** What happened earlier than this does not explain a connection that was lost now. */
const RECENT_MS = 5 * 60_000;

export async function markLog(layout: Layout): Promise<LogMark> {
  const sizes = new Map<string, number>();
  try {
    for await (const { name, isFile } of Deno.readDir(layout.log)) {
      if (isFile) sizes.set(name, (await Deno.stat(join(layout.log, name))).size);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return sizes;
}

/** What the server has logged since the mark, of much text the end. */
export async function readLogSince(layout: Layout, mark: LogMark): Promise<string> {
  const texts: string[] = [];
  for (const [name, size] of await markLog(layout)) {
    const before = mark.get(name) ?? 0;
    // A file of last week was written over from its beginning.
    const from = size < before ? 0 : before;
    if (size > from) texts.push(await readEnd(join(layout.log, name), from));
  }
  return texts.join("");
}

async function readEnd(path: string, from: number): Promise<string> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const start = Math.max(from, size - TAIL_BYTES);
  await file.seek(start, Deno.SeekMode.Start);
  const buffer = new Uint8Array(Math.max(0, size - start));
  let read = 0;
  while (read < buffer.length) {
    const got = await file.read(buffer.subarray(read));
    if (got === null) break;
    read += got;
  }
  return new TextDecoder().decode(buffer.subarray(0, read));
}

/**
 * Why the connection to the embedded server was lost, as far as its log and its disk tell: to be
 * added to the error line. Undefined when there is no embedded server or nothing to blame.
 */
export async function explainServerLoss(dataDir: string): Promise<string | undefined> {
  const layout = await existingDataDir(dataDir).catch(() => undefined);
  if (!layout) return undefined;
  const text = recentLines(await readLogSince(layout, new Map()));
  if (saysDiskFull(text) || await diskIsFull(layout.root)) {
    return (await diskFull(layout.root)).message;
  }
  const killed = /process \(PID \d+\) was terminated by signal (\d+)/.exec(text);
  if (killed) {
    return `a process of the embedded PostgreSQL was killed by signal ${killed[1]}` +
      (killed[1] === "9" ? " (by hand, or for want of memory)" : "") + "; it recovers by itself";
  }
  if (await readServer(layout)) return undefined;
  const stopped = /received (smart|fast|immediate) shutdown request/.test(text);
  if (stopped) return "the embedded PostgreSQL was shut down";
  return /\b(FATAL|PANIC):/.test(text)
    ? `the embedded PostgreSQL went down: ${lastWords(text)}`
    : "the embedded PostgreSQL is gone; it was probably killed";
}

function recentLines(text: string): string {
  // Of the last run of the server alone: that an earlier one was stopped explains nothing.
  const lines = text.slice(Math.max(0, text.lastIndexOf("starting PostgreSQL"))).split("\n");
  const since = Date.now() - RECENT_MS;
  return lines.filter((line) => {
    const stamp = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\.\d+) UTC/.exec(line);
    return stamp !== null && Date.parse(`${stamp[1]}T${stamp[2]}Z`) >= since;
  }).join("\n");
}
