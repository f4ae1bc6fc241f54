import { statfs } from "node:fs/promises";
import { ConfigurationError, DatabaseError, describe, P2pError } from "../errors.ts";

/** With less than this PostgreSQL cannot add a segment of its write-ahead log (16 MB) and goes down. */
const NEXT_TO_NOTHING = 16 * 1024 * 1024;

/** How the system, libc and PostgreSQL say that nothing fits any more. */
const NO_SPACE = /No space left on device|Disk quota exceeded|ENOSPC|EDQUOT/i;

/** `/dev/shm`, a RAM disk of its own (64 MB in a container), is not the data folder. */
const SHARED_MEMORY = /shared memory segment/i;

/** True when a text of the server, or of an error, says that the disk is full. */
export function saysDiskFull(text: string): boolean {
  return text.split("\n").some((line) => NO_SPACE.test(line) && !SHARED_MEMORY.test(line));
}

/** Free bytes for ordinary users on the disk of a folder; undefined where that cannot be told. */
async function freeBytes(folder: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}

/** True when so little is left that PostgreSQL cannot go on, whatever its log still had room to say. */
export async function diskIsFull(folder: string): Promise<boolean> {
  const free = await freeBytes(folder);
  return free !== undefined && free < NEXT_TO_NOTHING;
}

/** What the system says of a path that leads nowhere: a loop of links, a name of more than 255 bytes. */
const NO_PATH = /\(os error (36|40)\)/;

/** The one line about a full disk. */
export async function diskFull(dataDir: string, cause?: unknown): Promise<DatabaseError> {
  const free = await freeBytes(dataDir);
  const left = free === undefined
    ? ""
    : ` (${Math.floor(free / 1024 / 1024)} MB free${free < NEXT_TO_NOTHING ? "" : ", too little"})`;
  return new DatabaseError(
    `no space left on the disk of the data folder ${dataDir}${left}: PostgreSQL cannot run there`,
    "free some space or set DATA_DIR to a bigger disk; what was committed is kept",
    cause === undefined ? undefined : { cause },
  );
}

/** Runs `work`; what the disk refuses becomes one clear line that names the data folder. */
export async function withDiskErrors<T>(dataDir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof P2pError) throw error;
    const text = describe(error);
    // Deno keeps /proc, where we tell our server from a stranger with its number, for --allow-all.
    if (error instanceof Deno.errors.NotCapable) {
      throw new ConfigurationError(
        `the embedded PostgreSQL needs every permission of Deno: ${text}`,
        "run with deno run --allow-all, or set DATABASE_URL",
        { cause: error },
      );
    }
    if (saysDiskFull(text)) throw await diskFull(dataDir, error);
    const isRefused = error instanceof Deno.errors.PermissionDenied ||
      /EROFS|Read-only file/.test(text) || NO_PATH.test(text);
    if (isRefused) {
      throw new ConfigurationError(
        `the data folder ${dataDir} cannot be used: ${text}`,
        "set DATA_DIR to a folder that you may write to",
        { cause: error },
      );
    }
    if (error instanceof Deno.errors.NotADirectory) {
      throw new ConfigurationError(
        `DATA_DIR ${dataDir} is not a folder`,
        "set DATA_DIR to a folder",
      );
    }
    throw error;
  }
}

/** Makes the entries of a folder durable, so that a rename in it survives a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  using file = await Deno.open(folder);
  await file.sync();
}
