import { join } from "node:path";
import { type Layout } from "./layout.ts";
import { isZombie, roleOf } from "./processes.ts";

/** A living server, as its `postmaster.pid` describes it. */
export interface Server {
  readonly pid: number;
  /** Seconds since 1970; together with pid it names one run of the server. */
  readonly startedAt: number;
  readonly port: number;
  readonly socketFolder: string;
  readonly state: "starting" | "ready" | "stopping";
}

function postmasterFile(layout: Layout): string {
  return join(layout.cluster, "postmaster.pid");
}

/** The server that runs on this cluster; undefined when none does, whatever a stale file says. */
export async function readServer(layout: Layout): Promise<Server | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(postmasterFile(layout));
  } catch (error) {
    // Not there, or the folder itself is being made.
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const [pid, , startedAt, port, socketFolder, , , state] = text.split("\n").map((l) => l.trim());
  if (!pid || await roleOf(Number(pid), layout.cluster) !== "postmaster") return undefined;
  return {
    pid: Number(pid),
    startedAt: Number(startedAt),
    port: Number(port),
    socketFolder: socketFolder ?? "",
    state: state === "ready" || state === "stopping" ? state : "starting",
  };
}

/**
 * Removes a `postmaster.pid` that would keep PostgreSQL from starting: one whose number belongs to an
 * unrelated process by now or to a zombie (in a container nobody may ask after it), or a torn one. One with a
 * dead number PostgreSQL understands by itself.
 * For the owner, when `readServer` finds no server.
 * @returns the folder of the dead server's socket, as far as the file names one
 */
export async function removeStaleFile(layout: Layout): Promise<string> {
  let text: string;
  try {
    text = await Deno.readTextFile(postmasterFile(layout));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
  const pid = Number(text.split("\n")[0]);
  const torn = !Number.isInteger(pid) || pid <= 0;
  // `unknown` stays: PostgreSQL then refuses, which is better than two servers on one cluster.
  const stale = torn || isZombie(pid) ||
    ["stranger", "child"].includes(await roleOf(pid, layout.cluster));
  if (stale) await Deno.remove(postmasterFile(layout));
  return text.split("\n")[4]?.trim() ?? "";
}
