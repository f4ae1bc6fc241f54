import { DatabaseError } from "../errors.ts";
import { logger } from "../log.ts";
import { ownUser, requireReachable, serverAccount } from "./account.ts";
import { arrange, exists } from "./data_folder.ts";
import { DEADLINE, poll } from "./deadlines.ts";
import { isDetached } from "./detached.ts";
import { allowCreatingRoles, initialise, requireSameMajor, restorePassword } from "./initialise.ts";
import type { Layout } from "./layout.ts";
import { describeOwner, FileLock, readOwner, tryToOwn, writeOwner } from "./locks.ts";
import { readServer, type Server } from "./postmaster_file.ts";
import { installPrograms } from "./programs.ts";
import { startServer, stopServer } from "./server.ts";

const log = logger("embedded");

/** One process's use of the cluster: the locks it holds and the server it talks to. */
export interface Session {
  readonly server: Server;
  /** The lock on `users.lock`. */
  readonly using: FileLock;
  /** The lock on `owner.lock`; a guest has none. */
  readonly owning: FileLock | undefined;
  readonly purpose: string;
}

export interface EnterOptions {
  readonly purpose: string;
  readonly durable: boolean;
  readonly whenHeld: "join" | "refuse";
  readonly signal: AbortSignal | undefined;
}

/** Takes the cluster over if nobody holds it, and starts it if it does not run; else joins as a guest. */
export async function enter(layout: Layout, options: EnterOptions): Promise<Session> {
  const { purpose, signal } = options;
  // Waits for one who stops the server this moment: he lets nobody in until it is down.
  const using = await poll(
    DEADLINE.ready,
    () => FileLock.tryAcquire(layout.usersLock, "shared"),
    signal,
  );
  if (!using) throw await held(layout, "is still being stopped by");
  let owning: FileLock | undefined;
  let goneSince: number | undefined;
  try {
    const limit = options.whenHeld === "join" ? DEADLINE.ready : DEADLINE.refuseHeld;
    const server = await poll(limit, async () => {
      owning = await tryToOwn(layout, purpose);
      if (owning) {
        const own = await bringUp(layout, options);
        await writeOwner(owning, purpose, true);
        return own;
      }
      if (options.whenHeld === "refuse") return undefined;
      const running = await readServer(layout);
      if (running?.state === "ready") return running;
      if (running || !(await readOwner(layout)).ready) goneSince = undefined;
      else if (performance.now() - (goneSince ??= performance.now()) > DEADLINE.goneServer) {
        throw await held(layout, "has no server running, yet is held by");
      }
      return undefined;
    }, signal);
    if (!server) throw await held(layout, "is held by");
    return { server, using, owning, purpose };
  } catch (error) {
    owning?.release();
    using.release();
    throw error;
  }
}

async function held(layout: Layout, how: string): Promise<DatabaseError> {
  const owner = describeOwner(await readOwner(layout));
  return new DatabaseError(
    `the data folder ${layout.root} ${how} ${owner}`,
    "stop that process first, or set DATA_DIR to another folder",
  );
}

/** As the owner: makes what is missing and starts what does not run. */
async function bringUp(layout: Layout, options: EnterOptions): Promise<Server> {
  const { durable, signal } = options;
  await requireSameMajor(layout);
  const adopted = await survivor(layout, signal);
  if (adopted) return adopted;
  const begun = performance.now();
  const account = await serverAccount(layout.cluster);
  ownUser(); // a nameless user is told so before anything is made
  if (account.name === "nobody" && account.other) {
    log.warn(
      "PostgreSQL runs as nobody, whose other programs can read its files; add an account postgres before the first start",
    );
  }
  await arrange(layout, account);
  await requireReachable(account, layout.root);
  const programs = await installPrograms(layout, signal);
  if (await exists(layout.cluster)) {
    await restorePassword(layout, programs, account, signal);
    await allowCreatingRoles(layout, programs, account, signal);
  } else await initialise(layout, programs, account, durable, signal);
  const server = await startServer(layout, programs, account, durable, signal);
  log.info("embedded PostgreSQL {version} ready on 127.0.0.1:{port}, data in {folder} ({ms} ms)", {
    version: programs.version,
    port: server.port,
    folder: layout.root,
    ms: Math.round(performance.now() - begun),
  });
  return server;
}

/** A server that runs without an owner: left by `db start`, or by an owner that was killed. */
async function survivor(layout: Layout, signal?: AbortSignal): Promise<Server | undefined> {
  const settled = await poll(DEADLINE.ready, async () => {
    const server = await readServer(layout);
    if (!server) return { server };
    return server.state === "ready" ? { server } : undefined;
  }, signal);
  if (settled?.server) log.debug("using the server that runs already", { pid: settled.server.pid });
  return settled?.server;
}

/**
 * Ends the use. The last one out stops the server, whoever started it, so that a command that joined
 * is not cut off when the starter ends first; `always` (the service) stops it for everybody. A server
 * of `db start` goes on.
 */
export async function leave(layout: Layout, session: Session, always: boolean): Promise<void> {
  const { using, owning, purpose } = session;
  if (owning && always) {
    try {
      await stopUnlessDetached(layout);
    } finally {
      using.release();
      owning.release();
    }
    return;
  }
  // Two who leave at once, each seeing the other still there, would both leave the server behind.
  const leaving = await FileLock.acquireSoon(layout.leavingLock, "exclusive");
  let last: FileLock | undefined;
  let sole: FileLock | undefined;
  try {
    using.release();
    owning?.release();
    last = await tryToOwn(layout, `${purpose}, stopping`);
    sole = last && await FileLock.tryAcquire(layout.usersLock, "exclusive");
    leaving?.release();
    if (sole) await stopUnlessDetached(layout);
  } finally {
    sole?.release();
    last?.release();
  }
}

async function stopUnlessDetached(layout: Layout): Promise<void> {
  const server = await readServer(layout);
  if (!server || await isDetached(layout, server)) return;
  await stopServer(layout, server.pid);
  log.debug("embedded PostgreSQL stopped", { pid: server.pid });
}
