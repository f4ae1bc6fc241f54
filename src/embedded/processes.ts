import { createHash } from "node:crypto";
import process from "node:process";
import { DEADLINE, poll } from "./deadlines.ts";

/** True while the process exists and is not merely a dead one that nobody has asked after. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it exists, and belongs to another user.
    return (error as { code?: string }).code === "EPERM";
  }
  try {
    const state = /\) ([A-Z])/.exec(Deno.readTextFileSync(`/proc/${pid}/stat`))?.[1];
    return state !== "Z" && state !== "X";
  } catch (error) {
    // Not allowed to look is not an answer.
    if (error instanceof Deno.errors.NotCapable) throw error;
    // Without /proc (macOS) the signal's answer stands. With it, the process ended between the looks.
    return Deno.build.os !== "linux";
  }
}

/** Whether it has ended, but its number is kept until somebody asks after it; PostgreSQL takes it for alive. */
export function isZombie(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return !isAlive(pid);
}

/** PostgreSQL shows this in the titles of a cluster's processes, by which we tell them from others. */
export function clusterName(cluster: string): string {
  return `p2p-${createHash("sha256").update(cluster).digest("hex").slice(0, 12)}`;
}

/**
 * What a process is to a cluster. A number out of a stale file may belong to anybody by now, so the
 * command line decides: it can be read for processes of any user, even by a root without privileges
 * in a container. `unknown`: it lives, but does not show its command line.
 */
export async function roleOf(
  pid: number,
  cluster: string,
): Promise<"postmaster" | "child" | "stranger" | "unknown" | "gone"> {
  if (!isAlive(pid)) return "gone";
  const command = await commandLine(pid);
  if (command === undefined) return isAlive(pid) ? "unknown" : "gone";
  if (command.includes(`/bin/postgres -D ${cluster} `)) return "postmaster";
  return command.startsWith(`postgres: ${clusterName(cluster)}: `) ? "child" : "stranger";
}

async function commandLine(pid: number): Promise<string | undefined> {
  try {
    if (Deno.build.os === "linux") {
      return (await Deno.readTextFile(`/proc/${pid}/cmdline`)).replaceAll("\0", " ");
    }
    const { stdout } = await new Deno.Command("ps", {
      args: ["-ww", "-o", "command=", "-p", String(pid)],
      stderr: "null",
    }).output();
    return new TextDecoder().decode(stdout).trim() + " ";
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return undefined;
  }
}

/** Every process of a cluster. Only where there is /proc; elsewhere PostgreSQL's own checks must do. */
async function processesOf(cluster: string): Promise<number[]> {
  if (Deno.build.os !== "linux") return [];
  const found: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const role = await roleOf(Number(name), cluster);
    if (role === "postmaster" || role === "child") found.push(Number(name));
  }
  return found;
}

/**
 * Ends server processes whose postmaster was killed. They leave by themselves, but only after their
 * current statement, and until then PostgreSQL refuses to start ("pre-existing shared memory block").
 * To be called by the owner when no postmaster answers to `postmaster.pid` any more. The data is
 * safe: whatever they had not committed is undone by crash recovery.
 */
export async function endRemnants(cluster: string, signal?: AbortSignal): Promise<void> {
  const remnants = await processesOf(cluster);
  for (const how of ["SIGQUIT", "SIGKILL"] as const) {
    for (const pid of remnants) if (await isOf(pid, cluster)) send(pid, how);
    const gone = await poll(DEADLINE.remnants, async () => {
      for (const pid of remnants) if (await isOf(pid, cluster)) return undefined;
      return true;
    }, signal);
    if (gone) return;
  }
}

async function isOf(pid: number, cluster: string): Promise<boolean> {
  const role = await roleOf(pid, cluster);
  return role === "postmaster" || role === "child";
}

/** Sends a signal; a process that has ended meanwhile is fine. */
export function send(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
