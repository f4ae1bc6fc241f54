/** A worker of the soak: a process of its own, its log in a file. */
import { fileURLToPath } from "node:url";
import { memoryOf } from "../support/memory.ts";

const WORKER = fileURLToPath(import.meta.resolve("./worker.ts"));
const PROJECT = fileURLToPath(import.meta.resolve("../../"));
const encoder = new TextEncoder();

export class WorkerProcess {
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  #isRunning = true;
  #wasTold = false;

  constructor(
    readonly name: string,
    environment: Readonly<Record<string, string>>,
    readonly logFile: string,
  ) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--v8-flags=--max-heap-size=1024,--max-semi-space-size=8", WORKER],
      cwd: PROJECT,
      env: { ...environment, WORKER_NAME: name, LOG_FORMAT: "json", NO_COLOR: "1" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const logged = this.#log();
    this.ended = this.#child.status.then(async (status) => {
      this.#isRunning = false;
      await logged;
      return status;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Whether it ended though nobody had told or killed it. */
  get hasFailed(): boolean {
    return !this.#isRunning && !this.#wasTold;
  }

  kill(signal: Deno.Signal): void {
    this.#wasTold = true;
    if (this.#isRunning) this.#child.kill(signal);
  }

  /** Resident memory, bytes. */
  memory(): Promise<number> {
    return memoryOf(this.pid, "VmRSS");
  }

  async #log(): Promise<void> {
    using file = await Deno.open(this.logFile, { create: true, append: true });
    file.writeSync(encoder.encode(`--- ${new Date().toISOString()} pid ${this.pid}\n`));
    for await (const part of this.#child.stderr) file.writeSync(part);
  }
}
