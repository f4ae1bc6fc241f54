/** The program as users run it: a real process with an environment of its own. */
import { fileURLToPath } from "node:url";
import { ENVIRONMENT_NAMES } from "../../src/config.ts";

const PROJECT = fileURLToPath(import.meta.resolve("../../"));

/** What was told to stop ends sooner than this: `docker stop` kills after ten seconds. */
export const MOST_STOPPING_MS = 10_000;

/** No waiting for the rate limit. */
export const FAST: Readonly<Record<string, string>> = {
  INITIAL_RATE_LIMIT: "1000000",
  MAX_RATE_LIMIT: "1000000",
  RATE_LIMIT_BURST: "1000",
};

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type Variables = Readonly<Record<string, string>>;

/** A process of the program that is under way; killed at the end of its scope if nobody ended it. */
export class Program implements AsyncDisposable {
  stdout = "";
  stderr = "";
  readonly ended: Promise<Ended>;
  readonly #child: Deno.ChildProcess;

  constructor(args: readonly string[], variables: Variables, stdin?: string) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "main.ts", ...args],
      cwd: PROJECT,
      clearEnv: true,
      env: { ...inherited(), NO_COLOR: "1", PROMETHEUS_PORT: "0", ...variables },
      stdin: stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.ended = this.#run(stdin);
  }

  get pid(): number {
    return this.#child.pid;
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  async #run(stdin: string | undefined): Promise<Ended> {
    const child = this.#child;
    const collect = async (stream: ReadableStream<Uint8Array>, add: (text: string) => void) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream() as never)) {
        add(text as string);
      }
    };
    const [{ code }] = await Promise.all([
      child.status,
      collect(child.stdout, (text) => this.stdout += text),
      collect(child.stderr, (text) => this.stderr += text),
      stdin === undefined
        ? undefined
        : new Blob([stdin]).stream().pipeTo(child.stdin).catch(() => {}),
    ]);
    return { code, stdout: this.stdout, stderr: this.stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await this.ended;
  }
}

/** Runs the program to its end. */
export async function runProgram(
  args: readonly string[],
  variables: Variables = {},
  stdin: string | undefined = undefined,
): Promise<Ended> {
  await using program = new Program(args, variables, stdin);
  return await program.ended;
}

/** Our environment but for what configures the program: with it the process finds Deno's cache and npm. */
function inherited(): Record<string, string> {
  const configuring = new Set(ENVIRONMENT_NAMES.flatMap((name) => [name, `${name}_FILE`]));
  return Object.fromEntries(
    Object.entries(Deno.env.toObject()).filter(([name]) => !configuring.has(name)),
  );
}

/**
 * Asks again and again until the answer is not undefined. Fails loudly when it never comes.
 * @param seconds give them where it is promised that soon; two minutes are what a machine under load may take to make a
 *   database and start a worker, and tell a test that hangs
 */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  seconds = 120,
): Promise<T> {
  const until = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > until) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
