/** What the tests of the embedded PostgreSQL share. */
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import {
  type Cluster,
  type ClusterOptions,
  findRunning,
  openCluster,
  type RunningCluster,
  stopCluster,
} from "../../src/embedded/cluster.ts";
import { poll } from "../../src/embedded/deadlines.ts";
import { isAlive } from "../../src/embedded/processes.ts";
import { eventually } from "./program.ts";

export const IS_ROOT = Deno.uid() === 0;
export const HOLDER = fileURLToPath(import.meta.resolve("./embedded_holder.ts"));
export const PROJECT = fileURLToPath(import.meta.resolve("../../"));

/** Says loudly that a proof could not be made here. */
export function skipLoudly(reason: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`\n!!! NOT TESTED: ${reason}\n`));
}

/** A data folder that is gone after the test, with whatever still runs in it. */
export async function withDataDir(work: (dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "p2p-emb-" });
  try {
    await work(dataDir);
  } finally {
    for (const cluster of opened.get(dataDir) ?? []) await cluster.close().catch(() => {});
    opened.delete(dataDir);
    await stopCluster(dataDir).catch(() => false);
    await Deno.remove(dataDir, { recursive: true });
  }
}

/** What a failed test has left open. */
const opened = new Map<string, Cluster[]>();

export async function open(
  dataDir: string,
  options: Partial<ClusterOptions> = {},
): Promise<Cluster> {
  const cluster = await openCluster({ dataDir, purpose: "test", durable: false, ...options });
  opened.set(dataDir, [...opened.get(dataDir) ?? [], cluster]);
  return cluster;
}

/** Runs with a data folder on a small disk of its own. */
export async function onDisk(
  size: string,
  work: (dataDir: string) => Promise<void>,
): Promise<void> {
  if (!IS_ROOT) return skipLoudly("a full disk (needs root to mount one)");
  const folder = await Deno.makeTempDir({ prefix: "p2p-emb-disk-" });
  try {
    await Deno.chmod(folder, 0o755);
    const mounted = await new Deno.Command("mount", {
      args: ["-t", "tmpfs", "-o", `size=${size},mode=755`, "tmpfs", folder],
      stderr: "null",
    }).output();
    if (!mounted.success) return skipLoudly("a full disk (mounting is not permitted)");
    try {
      await work(folder);
    } finally {
      // Somebody may be looking at all that is mounted, for a moment; what we left open stays busy.
      await eventually(`${folder} is busy no more`, async () => {
        const { success } = await new Deno.Command("umount", { args: [folder] }).output();
        return success || undefined;
      }, 5);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs statements, one after the other, and answers the rows of the last. */
export async function sql(
  url: string,
  ...statements: string[]
): Promise<Record<string, unknown>[]> {
  const client = postgres(url, { max: 1, onnotice: () => {} });
  try {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) rows = [...await client.unsafe(statement)];
    return rows;
  } finally {
    await client.end({ timeout: 1 });
  }
}

/** What a holder process tells of itself. */
export interface Told extends RunningCluster {
  readonly startedHere: boolean;
  readonly error?: string;
  readonly message: string;
}

export class Holder implements AsyncDisposable {
  readonly pid: number;
  readonly #output: Promise<Told>;

  private constructor(private readonly child: Deno.ChildProcess) {
    this.pid = child.pid;
    this.#output = (async (): Promise<Told> => {
      let text = "";
      for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
        text += part;
        // Leaving the loop would close the pipe under the child; reading on is for the end.
        if (text.includes("\n")) break;
      }
      return JSON.parse(text);
    })();
    this.#output.catch(() => {}); // told() is where its failure is seen
  }

  /** @param deno where Deno is, for a user who cannot reach ours */
  static start(
    options: Record<string, unknown>,
    command: Deno.CommandOptions = {},
    deno = Deno.execPath(),
  ): Holder {
    return new Holder(
      new Deno.Command(deno, {
        args: ["run", "-A", HOLDER, JSON.stringify(options)],
        cwd: PROJECT,
        ...command,
        stdin: "piped",
        stdout: "piped",
        stderr: "null",
      }).spawn(),
    );
  }

  /** Waits until it holds the cluster or has failed. */
  told(): Promise<Told> {
    return this.#output;
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.status;
    await this.child.stdin.close().catch(() => {});
    await this.#output.catch(() => {});
  }

  /** Lets it close its cluster and end; answers its exit code. */
  async end(): Promise<number> {
    if (!this.child.stdin.locked) await this.child.stdin.close().catch(() => {});
    return (await this.child.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#output.catch(() => {});
    await this.end();
  }
}

/** The number of the server's process. */
export async function serverPid(dataDir: string): Promise<number> {
  const running = await findRunning(dataDir);
  if (!running) throw new Error(`no server runs in ${dataDir}`);
  return running.pid;
}

/** Kills a process of the server and waits until it is gone. */
export async function killServer(pid: number): Promise<void> {
  Deno.kill(pid, "SIGKILL");
  await poll(10_000, () => isAlive(pid) ? undefined : true);
}

/** A program under another account of this machine; its exit code and both outputs. */
export async function runAs(
  account: { uid: number; gid: number },
  program: string,
  args: readonly string[],
): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    uid: account.uid,
    gid: account.gid,
    cwd: "/",
    env: { PGPASSWORD: "", PGCONNECT_TIMEOUT: "10" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** Numbers of an account of this machine. */
export async function account(name: string): Promise<{ uid: number; gid: number } | undefined> {
  const line = (await Deno.readTextFile("/etc/passwd")).split("\n").find((l) =>
    l.startsWith(`${name}:`)
  );
  const [, , uid, gid] = line?.split(":") ?? [];
  return line ? { uid: Number(uid), gid: Number(gid) } : undefined;
}
