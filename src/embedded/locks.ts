import { DEADLINE, poll } from "./deadlines.ts";
import type { Layout } from "./layout.ts";

/** Who holds DATA_DIR, as written into `owner.lock`. */
export interface Owner {
  readonly pid: number;
  readonly purpose: string;
  readonly host: string;
  /** ISO time. */
  readonly since: string;
  /** Its server has been ready once. */
  readonly ready: boolean;
}

/**
 * A lock of the kernel (flock) on a file: it ends with the process, however that ends. Locks are
 * per opened file, so two holders in one process exclude each other as well.
 */
export class FileLock implements Disposable {
  private constructor(private readonly file: Deno.FsFile) {}

  /** @returns undefined when someone else holds it */
  static async tryAcquire(
    path: string,
    mode: "exclusive" | "shared",
  ): Promise<FileLock | undefined> {
    const file = await Deno.open(path, { create: true, read: true, write: true, mode: 0o600 });
    let got = false;
    try {
      got = await file.tryLock(mode === "exclusive");
    } finally {
      if (!got) file.close();
    }
    return got ? new FileLock(file) : undefined;
  }

  /** Waits for a lock that nobody keeps for long. */
  static acquireSoon(
    path: string,
    mode: "exclusive" | "shared",
    signal?: AbortSignal,
  ): Promise<FileLock | undefined> {
    return poll(DEADLINE.shortLock, () => FileLock.tryAcquire(path, mode), signal);
  }

  /** Replaces the text of the file. A full disk may swallow it: the lock holds all the same. */
  async write(text: string): Promise<void> {
    try {
      await this.file.truncate();
      await this.file.seek(0, Deno.SeekMode.Start);
      await this.file.write(new TextEncoder().encode(text));
    } catch {
      // Only who is told about the lock depends on the text.
    }
  }

  release(): void {
    // Closing alone is not enough: a program that another thread is starting has a copy of the file until it runs.
    this.file.unlockSync();
    this.file.close();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** Takes `owner.lock` if it is free, and writes into it who we are. */
export async function tryToOwn(layout: Layout, purpose: string): Promise<FileLock | undefined> {
  const lock = await FileLock.tryAcquire(layout.ownerLock, "exclusive");
  if (lock) await writeOwner(lock, purpose, false);
  return lock;
}

/** Writes who we are, and whether a guest may expect the server. */
export async function writeOwner(lock: FileLock, purpose: string, ready: boolean): Promise<void> {
  const owner: Owner = {
    pid: Deno.pid,
    purpose,
    host: Deno.hostname(),
    since: new Date().toISOString(),
    ready,
  };
  await lock.write(`${JSON.stringify({ program: "p2p-ingest", ...owner })}\n`);
}

/** The process that holds the folder now; undefined when none does. */
export async function currentOwner(layout: Layout): Promise<Owner | undefined> {
  // The look takes the lock for an instant; one who leaves must not mistake that for an owner.
  using _quiet = await FileLock.acquireSoon(layout.leavingLock, "exclusive");
  const probe = await FileLock.tryAcquire(layout.ownerLock, "shared");
  probe?.release();
  return probe ? undefined : await readOwner(layout);
}

/** What `owner.lock` says; a process that took it this moment may not have written yet. */
export async function readOwner(layout: Layout): Promise<Owner> {
  const unknown: Owner = { pid: 0, purpose: "", host: "", since: "", ready: false };
  try {
    return { ...unknown, ...JSON.parse(await Deno.readTextFile(layout.ownerLock)) as Owner };
  } catch {
    return unknown;
  }
}

/** "pid 123 (p2p-ingest run, since 2026-01-31T10:00:00Z)". */
export function describeOwner(owner: Owner): string {
  if (owner.pid === 0) return "another p2p-ingest process";
  const where = owner.host === Deno.hostname() ? "" : ` on ${owner.host}`;
  const since = owner.since.replace(/\.\d+Z$/, "Z");
  return `pid ${owner.pid}${where} (p2p-ingest ${owner.purpose}, since ${since})`;
}
