/** The program in a terminal of its own, by script(1) of util-linux. */
import { fileURLToPath } from "node:url";
import { eventually, type Variables } from "./program.ts";

const PROJECT = fileURLToPath(import.meta.resolve("../../"));

export class PseudoTerminal implements AsyncDisposable {
  /** All that came, as the terminal got it. */
  output = "";
  readonly ended: Promise<void>;
  readonly #child: Deno.ChildProcess;
  readonly #keys: WritableStreamDefaultWriter<Uint8Array>;

  /** Prints `code=<exit code>` when the program has ended, and then what the terminal is set to. */
  constructor(args: readonly string[], variables: Variables, rows = 40, columns = 120) {
    const program = `${Deno.execPath()} run -A main.ts ${args.join(" ")}`;
    const line = `trap : INT; stty rows ${rows} cols ${columns}; echo tty=$(tty); ` +
      `sh -c 'echo pid=$$; exec ${program}'; echo code=$?; stty -a`;
    this.#child = new Deno.Command("script", {
      args: ["-qfc", line, "/dev/null"],
      cwd: PROJECT,
      env: { ...variables, TERM: "xterm", SHELL: "/bin/sh" },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#keys = this.#child.stdin.getWriter();
    this.ended = this.#read();
  }

  async type(keys: string): Promise<void> {
    await this.#keys.write(new TextEncoder().encode(keys));
  }

  /** What was said of itself before the program began. */
  async told(name: "tty" | "pid" | "code"): Promise<string> {
    return await eventually(name, () => new RegExp(`${name}=(\\S+)\r`).exec(this.output)?.[1]);
  }

  async resize(rows: number, columns: number): Promise<void> {
    const args = ["-F", await this.told("tty"), "rows", `${rows}`, "cols", `${columns}`];
    await new Deno.Command("stty", { args }).output();
  }

  async kill(signal: Deno.Signal): Promise<void> {
    Deno.kill(Number(await this.told("pid")), signal);
  }

  /** The lines of the last screen that was drawn whole, without styles. */
  get screen(): string[] {
    const [, ...frames] = this.output.split("\x1b[H");
    // deno-lint-ignore no-control-regex
    const whole = frames.map((frame) => /^([^]*?)\x1b\[J/.exec(frame)?.[1])
      .filter((frame) => frame !== undefined);
    // deno-lint-ignore no-control-regex
    return (whole.at(-1) ?? "").replace(/\x1b\[[\d;]*[mK]/g, "").split(/\r+\n/);
  }

  /** Waits until a screen has a line that matches. */
  async shows(line: RegExp): Promise<void> {
    await eventually(
      `${line}`,
      () => this.screen.some((shown) => line.test(shown)) ? true : undefined,
    ).catch((error) => {
      throw new Error(`${error.message} in\n${this.screen.join("\n")}`);
    });
  }

  async #read(): Promise<void> {
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream() as never)) {
      this.output += text as string;
    }
    await this.#child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keys.close().catch(() => {});
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await this.ended;
  }
}
