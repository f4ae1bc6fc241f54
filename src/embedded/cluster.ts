import { DatabaseError } from "../errors.ts";
import { type Access, accessTo } from "./access.ts";
import { defaultDataDir, ensureDataDir, existingDataDir } from "./data_folder.ts";
import { isDetached, markDetached } from "./detached.ts";
import { withDiskErrors } from "./disk.ts";
import type { Layout } from "./layout.ts";
import { currentOwner, describeOwner, FileLock, type Owner, tryToOwn } from "./locks.ts";
import { readServer, type Server } from "./postmaster_file.ts";
import { stopServer } from "./server.ts";
import { enter, leave, type Session } from "./session.ts";

export { defaultDataDir } from "./data_folder.ts";
export { describeOwner, type Owner } from "./locks.ts";
export { explainServerLoss } from "./server_log.ts";

export interface ClusterOptions {
  /** Default: `defaultDataDir()`. */
  readonly dataDir?: string | undefined;
  /** The command that opens it, e.g. "once": shown to whoever finds the folder held. */
  readonly purpose: string;
  /** Default true. False in tests and benchmarks alone: a crash of the machine may ruin the data. */
  readonly durable?: boolean;
  /**
   * When another process holds the folder. `join` (default): use its server as a guest, waiting until
   * it is ready; the last one to close stops it. `refuse` (the service): say who holds it; as the
   * owner, close() stops the server whoever still uses it.
   */
  readonly whenHeld?: "join" | "refuse";
  /** Ends the waiting; what was started until then is stopped. */
  readonly signal?: AbortSignal;
}

export interface Cluster extends Access {
  /** True when this process owns a server that ends with it: one it started, or took over from an owner that died. */
  readonly startedHere: boolean;
  /** Stops the server where that is ours to do; never rejects twice, any number of calls is one. */
  close(): Promise<void>;
}

/** A server that runs now. */
export interface RunningCluster extends Access {
  readonly dataDir: string;
  readonly pid: number;
  readonly port: number;
  readonly state: Server["state"];
  /** Since when it runs. */
  readonly startedAt: Date;
  /** Folder of its log files. */
  readonly logFolder: string;
  /** Started by `db start`: runs until `db stop`. */
  readonly detached: boolean;
  /** The p2p-ingest process that holds it, if one does. */
  readonly owner: Owner | undefined;
}

/**
 * Opens the embedded PostgreSQL of a data folder: makes it at the first time, starts it, takes over
 * the server of an owner that died, or joins the one that runs.
 * @throws {ConfigurationError} for a folder that is not ours, of another major version, or out of reach
 * @throws {DatabaseError} when it is held, does not start, or the disk is full
 */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const layout = await dataFolder(options.dataDir);
  return await withDiskErrors(layout.root, async () => {
    const whenHeld = options.whenHeld ?? "join";
    const session = await begin(layout, options, whenHeld);
    const end = (): Promise<void> => leave(layout, session, whenHeld === "refuse");
    try {
      const access = await accessTo(layout, session.server);
      const startedHere = session.owning !== undefined && !await isDetached(layout, session.server);
      let closing: Promise<void> | undefined;
      return { ...access, startedHere, close: () => closing ??= end() };
    } catch (error) {
      await end();
      throw error;
    }
  });
}

/**
 * Starts the server and leaves it running (`db start`), also when this process ends. One that runs
 * already is marked to go on, unless a living process holds it: then `owner` says who, and it ends
 * with that process.
 */
export async function startDetached(
  options: Omit<ClusterOptions, "whenHeld">,
): Promise<RunningCluster & { readonly startedHere: boolean }> {
  const layout = await dataFolder(options.dataDir);
  return await withDiskErrors(layout.root, async () => {
    const before = await readServer(layout);
    const session = await begin(layout, options, "join");
    try {
      if (session.owning) await markDetached(layout, session.server);
      const running = await describeServer(layout, session.server);
      return {
        ...running,
        owner: session.owning ? undefined : running.owner,
        startedHere: before?.pid !== session.server.pid && session.owning !== undefined,
      };
    } finally {
      await leave(layout, session, false);
    }
  });
}

/**
 * Stops a server that no process holds: one of `db start`, or one whose owner was killed.
 * @returns false when none was running
 * @throws {DatabaseError} that says who holds it
 */
export async function stopCluster(dataDir: string = defaultDataDir()): Promise<boolean> {
  return await withDiskErrors(dataDir, async () => {
    const layout = await existingDataDir(dataDir);
    return layout !== undefined && await stopUnheld(layout);
  });
}

async function stopUnheld(layout: Layout): Promise<boolean> {
  using owning = await tryToOwn(layout, "db stop");
  if (!owning) {
    const owner = await currentOwner(layout);
    throw new DatabaseError(
      `the embedded PostgreSQL in ${layout.root} is held by ${
        owner ? describeOwner(owner) : "another p2p-ingest process"
      }`,
      owner?.pid ? `stop that process: kill ${owner.pid}; the server ends with it` : "try again",
    );
  }
  using sole = await FileLock.tryAcquire(layout.usersLock, "exclusive");
  if (!sole) {
    throw new DatabaseError(
      `the embedded PostgreSQL in ${layout.root} is in use by another p2p-ingest command`,
      "end that first (a psql of p2p-ingest db psql?)",
    );
  }
  const server = await readServer(layout);
  if (!server) return false;
  await stopServer(layout, server.pid);
  return true;
}

/** The server of a data folder, if one runs; starts and changes nothing. */
export async function findRunning(
  dataDir: string = defaultDataDir(),
): Promise<RunningCluster | undefined> {
  return await withDiskErrors(dataDir, async () => {
    const layout = await existingDataDir(dataDir);
    const server = layout && await readServer(layout);
    return server && await describeServer(layout, server);
  });
}

async function describeServer(layout: Layout, server: Server): Promise<RunningCluster> {
  return {
    ...await accessTo(layout, server),
    dataDir: layout.root,
    pid: server.pid,
    port: server.port,
    state: server.state,
    startedAt: new Date(server.startedAt * 1000),
    logFolder: layout.log,
    detached: await isDetached(layout, server),
    owner: await currentOwner(layout),
  };
}

async function dataFolder(dataDir: string = defaultDataDir()): Promise<Layout> {
  return await withDiskErrors(dataDir, () => ensureDataDir(dataDir));
}

function begin(
  layout: Layout,
  options: Omit<ClusterOptions, "whenHeld">,
  whenHeld: "join" | "refuse",
): Promise<Session> {
  return enter(layout, {
    purpose: options.purpose,
    durable: options.durable ?? true,
    whenHeld,
    signal: options.signal,
  });
}
