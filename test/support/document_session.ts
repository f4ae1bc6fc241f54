/** Runs what documents tell their readers to type: one shell for all of it, on a machine that is made for it. */
import { fileURLToPath } from "node:url";
import { stopCluster } from "../../src/embedded/cluster.ts";
import type { Block } from "./documents.ts";
import { freePort } from "./ports.ts";

const PROJECT = fileURLToPath(import.meta.resolve("../../"));

/** What documents show, and what it is here. */
const SHOWN_FOLDER = "/var/lib/p2p-ingest";
const SHOWN_PORT = "8099";

/** Printed by us behind the output of each command. */
const END = "═══ end of command ═══";

/** A command of a block with what is shown below it. */
export interface Command {
  readonly block: Block;
  /** As it stands in the document; empty for a block of SQL. */
  readonly shown: string;
  readonly script: string;
  readonly output: string;
  /** Whether its exit code is looked at by the reader. */
  readonly mayFail: boolean;
}

export interface Outcome {
  readonly code: number;
  readonly output: string;
}

/** The commands of the blocks, in order. A `text` block below one of SQL is its output. */
export function commandsOf(blocks: readonly Block[]): Command[] {
  return blocks.flatMap((block, i) => {
    if (block.mark !== undefined && block.mark.kind !== "file") return [];
    if (block.mark?.kind === "file") return [writing(block)];
    if (block.language === "sql") return [statement(block, blocks[i + 1])];
    return block.language === "console" ? consoleCommands(block) : [];
  });
}

function consoleCommands(block: Block): Command[] {
  const [, ...parts] = `\n${block.text}`.split(/^\$ /m);
  return parts.map((part, i) => {
    const [, command = "", output = ""] = /^((?:.*\\\n)*.*)\n([^]*)$/.exec(part) ?? [];
    const mayFail = /^echo \$\?/.test(parts[i + 1] ?? "");
    return { block, shown: `$ ${command}\n`, script: command, output, mayFail };
  });
}

function heredoc(text: string): string {
  return `<<'END OF BLOCK'\n${text}END OF BLOCK`;
}

function writing(block: Block): Command {
  const script = `cat > ${block.mark?.text} ${heredoc(block.text)}`;
  return { block, shown: "", script, output: "", mayFail: false };
}

function statement(block: Block, next: Block | undefined): Command {
  const output = next?.language === "text" && next.file === block.file ? next.text : "…\n";
  const script = `psql "$DATABASE_URL" -v ON_ERROR_STOP=1 ${heredoc(block.text)}`;
  return { block, shown: "", script, output, mayFail: false };
}

async function run(
  command: string,
  args: string[],
  env: Record<string, string>,
  cwd: string,
): Promise<string> {
  const child = new Deno.Command(command, { args, env, cwd, clearEnv: true, stdin: "null" });
  const { stdout, stderr } = await child.output();
  const text = new TextDecoder();
  return text.decode(stdout) + text.decode(stderr);
}

/** The machine: an empty data folder, p2p-ingest on the path, its outputs as a document would show them. */
export class DocumentSession implements AsyncDisposable {
  /** What the shell knows from one call to the next. */
  #exported = "";

  private constructor(
    readonly folder: string,
    readonly port: string,
    readonly variables: Readonly<Record<string, string>>,
  ) {}

  static async create(variables: Readonly<Record<string, string>> = {}): Promise<DocumentSession> {
    const folder = await Deno.makeTempDir({ dir: "/tmp", prefix: "p2p-docs-" });
    await Deno.chmod(folder, 0o755);
    await Deno.mkdir(`${folder}/bin`);
    await Deno.mkdir(`${folder}/home`);
    await Deno.writeTextFile(
      `${folder}/bin/p2p-ingest`,
      `#!/bin/sh\nexec ${Deno.execPath()} run -A ${PROJECT}main.ts "$@"\n`,
      { mode: 0o755 },
    );
    return new DocumentSession(folder, String(freePort()), variables);
  }

  /** Runs the commands in one shell. Their outputs, stderr included, in the words of the document. */
  async run(commands: readonly Command[]): Promise<Outcome[]> {
    // What goes on in the background is there before the next command, as with a reader who types it.
    const listens = `(exec 3<>/dev/tcp/127.0.0.1/${this.port}) 2>/dev/null`;
    const until = `for _ in {1..600}; do ${listens} && break; sleep 0.05; done`;
    const steps = commands.map(({ script }) =>
      `${this.#here(script)}\n${
        /&$/.test(script) ? `${until}\n` : ""
      }__code=$?; printf '${END}%s\\n' $__code; (exit $__code)\n`
    );
    const ending = `jobs -p | xargs -r kill\nexport -p > ${this.folder}/exported\n`;
    const script = `exec 2>&1\n${this.#exported}${steps.join("")}${ending}`;
    await Deno.writeTextFile(`${this.folder}/script`, script);
    const output = await run(
      "bash",
      [`${this.folder}/script`],
      this.#environment(),
      `${this.folder}/home`,
    );
    this.#exported = await Deno.readTextFile(`${this.folder}/exported`).catch(() => "");
    const parts = this.#shown(output).split(new RegExp(`${END}(\\d+)\n`));
    return commands.map((_, i) => ({
      code: Number(parts[2 * i + 1] ?? NaN),
      output: parts[2 * i] ?? "",
    }));
  }

  /** Each statement in a transaction of its own that is undone. */
  async tryStatements(blocks: readonly Block[]): Promise<string[]> {
    const script = blocks.map(({ text }) => `begin;\n${text}\n;rollback;\n\\echo ${END}\n`).join(
      "",
    );
    await Deno.writeTextFile(`${this.folder}/blocks.sql`, script);
    const line =
      `psql -q "$(DATA_DIR="$DATA_DIR-demo" p2p-ingest db url)" -f ${this.folder}/blocks.sql 2>&1`;
    const output = await run("bash", ["-c", line], this.#environment(), `${this.folder}/home`);
    return output.split(`${END}\n`);
  }

  #environment(): Record<string, string> {
    const inherited = [
      "DENO_DIR",
      "XDG_CACHE_HOME",
      "npm_config_registry",
      "NPM_CONFIG_REGISTRY",
      "DENO_CERT",
    ];
    const kept = inherited.flatMap((name) => {
      const value = Deno.env.get(name);
      return value === undefined ? [] : [[name, value] as const];
    });
    return {
      ...Object.fromEntries(kept),
      PATH: `${this.folder}/bin:${Deno.env.get("PATH") ?? "/usr/bin:/bin"}`,
      HOME: Deno.env.get("HOME") ?? "/root",
      LANG: "C.UTF-8",
      DATA_DIR: `${this.folder}/data`,
      LOG_LEVEL: "warning",
      LOG_FORMAT: "text",
      NO_COLOR: "1",
      PAGER: "cat",
      PSQLRC: "/dev/null",
      TZ: "UTC",
      ...this.variables,
    };
  }

  #here(text: string): string {
    return text.replaceAll(SHOWN_FOLDER, `${this.folder}/data`).replaceAll(SHOWN_PORT, this.port);
  }

  #shown(text: string): string {
    return text.replaceAll(`${this.folder}/data`, SHOWN_FOLDER).replaceAll(this.port, SHOWN_PORT);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of ["data", "data-demo"]) {
      await stopCluster(`${this.folder}/${name}`).catch(() => false);
    }
    await Deno.remove(this.folder, { recursive: true });
  }
}
