import { or } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { getDocPageSync, type InferValue } from "@optique/core/parser";
import { formatUsage } from "@optique/core/usage";
import { run as parseArguments } from "@optique/run";
import { asKnown, describe, EXIT, type ExitCode, P2pError } from "../errors.ts";
import { VERSION } from "../version.ts";
import { alert, alertCommand } from "./alert.ts";
import { db, dbCommand } from "./db.ts";
import { demo, demoCommand } from "./demo.ts";
import { doctor, doctorCommand } from "./doctor.ts";
import { health, healthCommand } from "./health.ts";
import { importCommand, runImport } from "./import.ts";
import { migrateCommand, runMigrate } from "./migrate.ts";
import { once, onceCommand } from "./once.ts";
import { quarantine, quarantineCommand } from "./quarantine.ts";
import { query, queryCommand } from "./query.ts";
import { replay, replayCommand } from "./replay.ts";
import { run, runCommand } from "./run.ts";
import { simulate, simulateCommand } from "./simulate.ts";
import { sql, sqlCommand } from "./sql.ts";
import { status, statusCommand } from "./status.ts";
import { print, style, tell } from "./terminal.ts";

const NAME = "p2p-ingest";

/** Every command of the program. */
export const commands = or(
  runCommand,
  onceCommand,
  statusCommand,
  queryCommand,
  quarantineCommand,
  replayCommand,
  importCommand,
  migrateCommand,
  sqlCommand,
  doctorCommand,
  healthCommand,
  alertCommand,
  dbCommand,
  simulateCommand,
  demoCommand,
);

/**
 * Runs the command that the arguments name.
 * @returns the exit code; errors have been told by then, bugs with their stack
 */
export async function program(args: readonly string[]): Promise<ExitCode> {
  try {
    const parsed = parse(args);
    switch (parsed.command) {
      case "run":
        return await run();
      case "once":
        return await once(parsed);
      case "status":
        return await status(parsed);
      case "query":
        return await query(parsed);
      case "quarantine":
        return await quarantine(parsed);
      case "replay":
        return await replay(parsed);
      case "import":
        return await runImport(parsed);
      case "migrate":
        return await runMigrate(parsed);
      case "doctor":
        return await doctor(parsed);
      case "health":
        return await health();
      case "alert":
        return await alert(parsed);
      case "sql":
        return await sql(parsed);
      case "db":
        return await db(parsed);
      case "simulate":
        return await simulate(parsed);
      case "demo":
        return await demo(parsed);
    }
  } catch (error) {
    return report(asKnown(error));
  }
}

/** @throws {OutputError} where help cannot be written; on a wrong command line the program ends */
function parse(args: readonly string[]): InferValue<typeof commands> {
  return parseArguments(commands, {
    programName: NAME,
    args,
    brief: message`All of Binance P2P, every ten minutes, in your own PostgreSQL.`,
    footer:
      message`Configuration is in the environment; the README lists every variable and exit code.`,
    help: "both",
    version: { value: VERSION, option: true },
    completion: "command",
    aboveError: args.length === 0 ? "usage" : "none",
    stdout: (text) => print(`${text}\n`),
    stderr: (text) => tell(`${text.includes("Error:") ? likeOthers(text) : text}\n`),
    onExit: (code) => {
      if (code === EXIT.usage) tell(`hint: ${usageOf(args) ?? `${NAME} --help`}\n`);
      Deno.exit(code);
    },
    usageLine: [{ type: "ellipsis" }],
    errorExitCode: EXIT.usage,
    showDefault: true,
    commandList: "top-level",
    colors: Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR"),
  });
}

/** How the command is meant to be used that this line begins with; undefined where it begins with none. */
function usageOf([name = ""]: readonly string[]): string | undefined {
  const page = name === "" ? undefined : getDocPageSync(commands, [name]);
  const usage = formatUsage(NAME, page?.usage ?? []);
  return `${usage} `.startsWith(`${NAME} ${name} `) ? usage : undefined;
}

/** What the parser has against a command line, with what it thinks was meant, on one line as other errors are. */
function likeOthers(text: string): string {
  return text.replace("Error:", "error:").replaceAll(/\s*\n\s*/g, " ");
}

/** One line for what a person can mend; the stack for a bug, or when LOG_LEVEL=debug asks for it. */
function report(error: unknown): ExitCode {
  const { red, dim } = style(Deno.stderr);
  const isKnown = error instanceof P2pError;
  const isStopped = error instanceof DOMException && error.name === "AbortError";
  if (isStopped) {
    tell("stopped\n");
    return EXIT.batchIncomplete;
  }
  tell(`${red("error:")} ${isKnown ? error.message : `a bug: ${describe(error)}`}\n`);
  if (isKnown && error.hint !== undefined) tell(`${dim("hint:")} ${error.hint}\n`);
  if (!isKnown || Deno.env.get("LOG_LEVEL") === "debug") tell(`${Deno.inspect(error)}\n`);
  return isKnown ? error.exitCode : EXIT.bug;
}
