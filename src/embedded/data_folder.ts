import { dirname, join, resolve } from "node:path";
import { ConfigurationError } from "../errors.ts";
import { type Account, giveTo } from "./account.ts";
import { DEADLINE, poll } from "./deadlines.ts";
import { type Layout, layoutOf, PROGRAMS_PREFIX, TEMPORARY_PREFIX } from "./layout.ts";

/** Where the cluster lives when DATA_DIR is unset. */
export function defaultDataDir(
  env: (name: string) => string | undefined = (name) => Deno.env.get(name),
  uid: number | null = Deno.uid(),
): string {
  if (uid === 0) return "/var/lib/p2p-ingest";
  const data = env("XDG_DATA_HOME");
  // The XDG specification says that a relative path there is to be ignored.
  if (data?.startsWith("/")) return join(data, "p2p-ingest");
  const home = env("HOME");
  if (home) return join(home, ".local/share/p2p-ingest");
  throw new ConfigurationError(
    "no place for the embedded PostgreSQL: neither DATA_DIR nor HOME is set",
    "set DATA_DIR to a folder of your own, or DATABASE_URL to your own PostgreSQL",
  );
}

/** Finds the folder, following links, without making it. Undefined when there is none, or nothing of ours in it. */
export async function existingDataDir(dataDir: string): Promise<Layout | undefined> {
  const path = resolve(dataDir);
  let root: string;
  try {
    root = await Deno.realPath(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  await requireOurs(root);
  return await exists(layoutOf(root).usersLock) ? layoutOf(root) : undefined;
}

/** Makes the folder where it is missing. @throws {ConfigurationError} when it is not ours to use */
export async function ensureDataDir(dataDir: string): Promise<Layout> {
  const path = resolve(dataDir);
  try {
    if (!await exists(path)) {
      await Deno.mkdir(dirname(path), { recursive: true });
      await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) { // of /proc, which takes none
      throw new ConfigurationError(
        `no folder can be made at DATA_DIR ${path}`,
        "set DATA_DIR to a folder that you may write to",
      );
    }
    if (!/EEXIST|ENOTDIR|Not a directory|exists/.test(String(error))) throw error;
    throw new ConfigurationError(`DATA_DIR ${path} is not a folder`, "set DATA_DIR to a folder");
  }
  const root = await Deno.realPath(path);
  await requireOurs(root);
  return layoutOf(root);
}

/** A new file system brings this folder along; it does not make a mounted volume foreign. */
const ALWAYS_THERE = new Set(["lost+found"]);

async function requireOurs(root: string): Promise<void> {
  const info = await Deno.stat(root);
  if (!info.isDirectory) {
    throw new ConfigurationError(`DATA_DIR ${root} is not a folder`, "set DATA_DIR to a folder");
  }
  if (info.uid !== Deno.uid()) {
    throw new ConfigurationError(
      `the data folder ${root} belongs to another user (id ${info.uid}; you are id ${Deno.uid()})`,
      `run p2p-ingest as that user (sudo -u '#${info.uid}' …), or set DATA_DIR to a folder of your own`,
    );
  }
  const { usersLock, ownerLock, leavingLock, password, detached, mayCreateRoles } = layoutOf(root);
  for (const path of [usersLock, ownerLock, leavingLock, password, detached, mayCreateRoles]) {
    const info = await Deno.lstat(path).catch(() => undefined);
    if (info?.isSymlink) {
      throw new ConfigurationError(
        `${path} is a symbolic link: what p2p-ingest writes there would go elsewhere`,
        `remove it, and see who else may write to ${root}: p2p-ingest never makes one`,
      );
    }
  }
  if (await exists(usersLock)) return;
  for await (const entry of Deno.readDir(root)) {
    if (ALWAYS_THERE.has(entry.name)) continue;
    // Another process that starts for the first time may have come between the two looks.
    if (await exists(usersLock)) return;
    throw new ConfigurationError(
      `the data folder ${root} is not empty and was not made by p2p-ingest (it holds ${entry.name})`,
      "set DATA_DIR to an empty or a new folder",
    );
  }
}

/**
 * Sets who may pass: us, and where PostgreSQL runs under another account, that one, who may go
 * through to its own folders but read nothing here.
 */
export async function arrange(layout: Layout, account: Account): Promise<void> {
  if (account.other) {
    await Deno.chown(layout.root, Deno.uid(), account.gid);
    await Deno.chmod(layout.root, 0o710);
  } else {
    await Deno.chmod(layout.root, 0o700);
  }
  for (const folder of [layout.log, layout.socket]) {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    await giveTo(account, folder);
  }
}

/** Removes what an earlier owner left half made, and trees of programs other than `keep`. The owner's alone to do. */
export async function tidy(layout: Layout, keep: string, signal?: AbortSignal): Promise<void> {
  for await (const { name } of Deno.readDir(layout.root)) {
    const leftover = name.startsWith(TEMPORARY_PREFIX) ||
      (name.startsWith(PROGRAMS_PREFIX) && name !== keep);
    if (!leftover) continue;
    // The initdb of an owner that was killed may still write into it; it ends when its files vanish.
    await poll(DEADLINE.remnants, async () => {
      try {
        await Deno.remove(join(layout.root, name), { recursive: true });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) return undefined;
      }
      return true;
    }, signal);
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
