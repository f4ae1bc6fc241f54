import { join } from "node:path";
import { DatabaseError } from "../errors.ts";
import { logger } from "../log.ts";
import { type Account, commandAs, giveTo, ownUser } from "./account.ts";
import { DEADLINE, poll } from "./deadlines.ts";
import { diskFull, diskIsFull, saysDiskFull } from "./disk.ts";
import { lastWords } from "./initialise.ts";
import { type Layout, TEMPORARY_PREFIX } from "./layout.ts";
import { readServer, removeStaleFile, type Server } from "./postmaster_file.ts";
import { clusterName, endRemnants, isAlive, roleOf, send } from "./processes.ts";
import type { Programs } from "./programs.ts";
import { markLog, readLogSince } from "./server_log.ts";
import { configurationFiles } from "./settings.ts";

const log = logger("embedded");

/** Another program may take the port between our choice and the server's; five times in a row it does not. */
const ATTEMPTS = 5;

/** Failures that another attempt mends. */
const PASSING =
  /could not bind|could not create any TCP\/IP sockets|Address already in use|pre-existing shared memory/;

/** Longest path of a socket: the kernel's limit is in the address structure. */
const SOCKET_PATH_LIMIT = Deno.build.os === "darwin" ? 103 : 107;

/** Begins the name of a private folder in /tmp for the socket of a cluster that lies too deep. */
const SOCKET_FOLDER_PREFIX = "p2p-ingest-";

/**
 * Starts the server and waits until it takes connections, crash recovery included.
 * For the owner of the folder, when `readServer` finds none.
 */
export async function startServer(
  layout: Layout,
  programs: Programs,
  account: Account,
  durable: boolean,
  signal?: AbortSignal,
): Promise<Server> {
  await endRemnants(layout.cluster, signal);
  await removeForeignSocketFolder(layout, await removeStaleFile(layout));
  const files = configurationFiles(layout, programs, ownUser(), durable);
  for (const [name, text] of Object.entries(files)) {
    await writeIfChanged(layout, name, text, account);
  }
  const socketFolder = await prepareSocketFolder(layout, account);
  for (let attempt = 1;; attempt++) {
    const outcome = await attemptStart(layout, programs, account, socketFolder, signal);
    if (typeof outcome !== "string") return outcome;
    if (attempt < ATTEMPTS && PASSING.test(outcome)) {
      log.debug("PostgreSQL did not start, trying again: {reason}", { reason: lastWords(outcome) });
      await endRemnants(layout.cluster, signal);
      continue;
    }
    if (saysDiskFull(outcome) || await diskIsFull(layout.root)) throw await diskFull(layout.root);
    throw new DatabaseError(
      `the embedded PostgreSQL does not start: ${lastWords(outcome)}`,
      `its log is in ${layout.log}; if the disk is mounted noexec, set DATA_DIR elsewhere`,
    );
  }
}

/** @returns the server, or what it said before it ended */
async function attemptStart(
  layout: Layout,
  programs: Programs,
  account: Account,
  socketFolder: string,
  signal?: AbortSignal,
): Promise<Server | string> {
  signal?.throwIfAborted();
  const mark = await markLog(layout);
  const { pid, said, stopListening } = await launch(account, programs.postgres, [
    "-D",
    layout.cluster,
    "-c",
    `port=${freePort()}`,
    "-c",
    "listen_addresses=127.0.0.1",
    "-c",
    `unix_socket_directories="${socketFolder.replaceAll('"', '""')}"`,
    "-c",
    "unix_socket_permissions=0700",
    "-c",
    `cluster_name=${clusterName(layout.cluster)}`,
  ]);
  try {
    const outcome = await poll(DEADLINE.ready, async () => {
      const server = await readServer(layout);
      if (server?.pid === pid && server.state === "ready") return server;
      if (isAlive(pid)) return undefined;
      return `${said()}\n${await readLogSince(layout, mark)}`;
    }, signal);
    if (outcome !== undefined) return outcome;
    await stopServer(layout, pid);
    return `FATAL: it was not ready after ${DEADLINE.ready / 1000} s`;
  } catch (error) {
    await stopServer(layout, pid);
    throw error;
  } finally {
    await stopListening();
  }
}

/** `$@` in the background of a shell of its own session; prints the number of its process. */
const LAUNCHER = 'exec 3>&1; { exec "$@"; } </dev/null >/dev/null 3>&- & echo $! >&3';

/**
 * Launches a program that is nobody's child: Ctrl-C in our terminal does not reach it, and neither
 * does it end when we crash. What it says before it has opened its log comes through a pipe, as a
 * full disk may have no room for a file.
 */
async function launch(
  account: Account,
  program: string,
  args: string[],
): Promise<{ pid: number; said: () => string; stopListening: () => Promise<void> }> {
  const shell = commandAs(account, "/bin/sh", {
    args: ["-c", LAUNCHER, "sh", program, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached: true,
  }).spawn();
  let said = "";
  const reader = shell.stderr.pipeThrough(new TextDecoderStream()).getReader();
  const listening = (async (): Promise<void> => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) said += part.value;
  })().catch(() => {});
  const pid = Number(await new Response(shell.stdout).text());
  await shell.status;
  return {
    pid,
    said: () => said,
    stopListening: async () => {
      await reader.cancel().catch(() => {});
      await listening;
    },
  };
}

/**
 * Stops the server cleanly (fast shutdown: open transactions are rolled back), or, when it does not
 * end in time, at once, which costs a recovery at the next start.
 */
export async function stopServer(layout: Layout, pid: number): Promise<void> {
  const socketFolder = (await readServer(layout))?.socketFolder ?? "";
  const steps = [["SIGINT", DEADLINE.fastShutdown], [
    "SIGQUIT",
    DEADLINE.immediateShutdown,
  ]] as const;
  for (const [how, limit] of steps) {
    if (await roleOf(pid, layout.cluster) === "postmaster") send(pid, how);
    const gone = await poll(limit, () => isAlive(pid) ? undefined : true);
    if (gone) {
      await removeForeignSocketFolder(layout, socketFolder);
      return;
    }
    log.warn("PostgreSQL (pid {pid}) did not end within {seconds} s after {how}", {
      pid,
      seconds: limit / 1000,
      how,
    });
  }
  throw new DatabaseError(
    `the embedded PostgreSQL (pid ${pid}) does not stop`,
    `its log is in ${layout.log}`,
  );
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function writeIfChanged(
  layout: Layout,
  name: string,
  text: string,
  account: Account,
): Promise<void> {
  const path = join(layout.cluster, name);
  // Mostly nothing has changed, and then a full disk does not stand in the way here.
  if (await Deno.readTextFile(path).catch(() => "") === text) return;
  const making = join(layout.root, `${TEMPORARY_PREFIX}${name}`);
  await Deno.writeTextFile(making, text, { mode: 0o600 });
  await giveTo(account, making);
  await Deno.rename(making, path);
}

/** Empties the folder of the socket, or makes a private one in /tmp where the path would be too long. */
async function prepareSocketFolder(layout: Layout, account: Account): Promise<string> {
  if (join(layout.socket, ".s.PGSQL.65535").length <= SOCKET_PATH_LIMIT) {
    for await (const { name } of Deno.readDir(layout.socket)) {
      await Deno.remove(join(layout.socket, name), { recursive: true });
    }
    return layout.socket;
  }
  const folder = await Deno.makeTempDir({ dir: "/tmp", prefix: SOCKET_FOLDER_PREFIX });
  await giveTo(account, folder);
  return folder;
}

async function removeForeignSocketFolder(layout: Layout, folder: string): Promise<void> {
  if (
    !/^\/tmp\/[\w-]+$/.test(folder) || folder === layout.socket ||
    !folder.startsWith(`/tmp/${SOCKET_FOLDER_PREFIX}`)
  ) return;
  await Deno.remove(folder, { recursive: true }).catch(() => {});
}
