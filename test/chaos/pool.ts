/** Processes of workers that wait to be used: a start of Deno takes longer than a batch. */
import { fileURLToPath } from "node:url";
import { memoryOf } from "../support/memory.ts";
import { TextLineStream } from "./lines.ts";
import type { Answer, Command } from "./session.ts";

const SESSION = fileURLToPath(import.meta.resolve("./session.ts"));
const PROJECT = fileURLToPath(import.meta.resolve("../../"));

/** A process, with at most one session of the service at a time. */
export class PooledProcess {
  readonly exited: Promise<Deno.CommandStatus>;
  /** Resolves when it takes signals as a service does, or is gone. */
  readonly ready: Promise<unknown>;
  /** What the present session has written to its log. */
  log: string[] = [];
  /** Sessions that it has served. */
  served = 0;
  /** Resident memory after each of them, bytes. */
  readonly memories: number[] = [];
  #child: Deno.ChildProcess;
  #stdin: WritableStreamDefaultWriter<Uint8Array>;
  #isAlive = true;
  #isDoomed = false;
  #session: PromiseWithResolvers<number | undefined> | undefined;
  readonly #isReady = Promise.withResolvers<void>();
  readonly #encoder = new TextEncoder();

  constructor() {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--v8-flags=--max-heap-size=1024,--max-semi-space-size=8", SESSION],
      cwd: PROJECT,
      env: { NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      detached: true, // Ctrl-C is for the suite
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    const heard = Promise.all([this.#hear(), this.#keepLog()]);
    this.exited = this.#child.status.then(async (status) => {
      this.#isAlive = false;
      await heard;
      this.#session?.resolve(status.signal === null ? status.code : undefined);
      await this.#stdin.close().catch(() => {});
      return status;
    });
    this.ready = Promise.race([this.#isReady.promise, this.exited]);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Whether it may serve another session. */
  get isUsable(): boolean {
    return this.#isAlive && !this.#isDoomed;
  }

  /** Begins a session; answers its exit code, undefined where the process was killed. */
  start(environment: Record<string, string>, tickSeconds: number): Promise<number | undefined> {
    this.log = [];
    this.served++;
    this.#session = Promise.withResolvers();
    this.tell({ kind: "start", environment, tickSeconds });
    return this.#session.promise;
  }

  tell(command: Command): void {
    this.#stdin.write(this.#encoder.encode(`${JSON.stringify(command)}\n`)).catch(() => {});
  }

  /** Whether there was a process to hear it. */
  kill(signal: Deno.Signal): boolean {
    if (!this.#isAlive) return false;
    try {
      this.#child.kill(signal);
      this.#isDoomed ||= signal === "SIGKILL" || signal === "SIGTERM";
      return true;
    } catch {
      return false;
    }
  }

  /** Resident memory, bytes. */
  memory(): Promise<number> {
    return memoryOf(this.pid, "VmRSS");
  }

  async #hear(): Promise<void> {
    const lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(
      new TextLineStream(),
    );
    for await (const line of lines) {
      const answer = JSON.parse(line) as Answer;
      if ("isReady" in answer) {
        this.#isReady.resolve();
        continue;
      }
      this.memories.push(await this.memory());
      this.#session?.resolve(answer.code);
    }
  }

  async #keepLog(): Promise<void> {
    for await (const part of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      this.log.push(part);
    }
  }
}

/** Hands processes out and takes them back; one is always warm. */
export class Pool implements AsyncDisposable {
  readonly #idle: PooledProcess[] = [];
  readonly #all = new Set<PooledProcess>();
  readonly #everyone: { readonly memories: readonly number[] }[] = [];

  constructor(readonly spare: number) {
    this.#fill();
  }

  take(): PooledProcess {
    const process = this.#idle.shift() ?? this.#begin();
    this.#fill();
    return process.isUsable ? process : this.take();
  }

  giveBack(process: PooledProcess): void {
    if (process.isUsable) this.#idle.unshift(process);
  }

  #begin(): PooledProcess {
    const process = new PooledProcess();
    this.#all.add(process);
    this.#everyone.push({ memories: process.memories });
    process.exited.finally(() => this.#all.delete(process));
    return process;
  }

  #fill(): void {
    while (this.#idle.length < this.spare) this.#idle.push(this.#begin());
  }

  /** Bytes by which a process grows from one session to the next, from its fifth on, on average; how many were looked at. */
  growth(): { readonly bytes: number; readonly sessions: number } {
    let bytes = 0;
    let sessions = 0;
    for (const { memories } of this.#everyone) {
      const [first, last] = [memories[4], memories.at(-1)];
      if (first === undefined || last === undefined || memories.length < 8) continue;
      bytes += last - first;
      sessions += memories.length - 5;
    }
    return { bytes: sessions === 0 ? 0 : bytes / sessions, sessions };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#all];
    for (const process of all) process.kill("SIGKILL");
    await Promise.all(all.map(({ exited }) => exited));
  }
}
