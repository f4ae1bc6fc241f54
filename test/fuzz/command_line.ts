import { parse } from "@optique/core/parser";
import { commands } from "../../src/cli/program.ts";
import { EXIT } from "../../src/errors.ts";
import { Dice } from "../support/random.ts";
import { runProgram } from "../support/program.ts";
import { type Finding, shrink } from "./shrink.ts";
import { type FuzzOptions, type FuzzReport, Tally } from "./target.ts";
import { oddText } from "./texts.ts";

const WORDS = [
  "run",
  "once",
  "status",
  "query",
  "quarantine",
  "replay",
  "import",
  "migrate",
  "sql",
  "doctor",
  "health",
  "alert",
  "db",
  "simulate",
  "demo",
  "diff",
  "adopt",
  "restore",
  "history",
  "list",
  "show",
  "discard",
  "test",
  "psql",
  "url",
  "start",
  "stop",
  "--json",
  "--watch",
  "--dry-run",
  "--window",
  "--from",
  "--until",
  "--since",
  "--batch",
  "--reason",
  "--note",
  "--port",
  "--offers",
  "--seed",
  "--limit",
  "--format",
  "--csv",
  "--force",
  "--plan",
  "--help",
  "--version",
  "-h",
  "-V",
  "--",
  "-",
  "completion",
  "bash",
  "--offers=1",
  "--json=true",
  "--no-json",
  "--port=99999",
  "--seed=-1",
] as const;
/** They work for long, or for ever, with what they are given. */
const LONG = new Set(["run", "demo", "simulate", "db", "completion"]);
/** One in so many is run as a process. */
const PROCESS_EACH = 400;
const SLOWEST_MILLISECONDS = 1000;

/** Random arguments: parsed or refused, by a documented exit code, without a trace or a look at the database. */
export async function fuzzCommandLine({ cases, seed, say }: FuzzOptions): Promise<FuzzReport> {
  const dice = new Dice(seed);
  const findings = new Map<string, Finding>();
  const seen = new Tally();
  using database = countConnections();
  for (let i = 0; i < cases; i++) {
    const args = Array.from(
      { length: Math.floor(dice.between(0, 7)) },
      (_, at) =>
        dice.next() < (at === 0 ? 0.95 : 0.7)
          ? dice.pick([...WORDS] as [string, ...string[]])
          : oddText(dice),
    );
    const note = async (
      what: string | undefined,
      fails: (some: readonly string[]) => Promise<string | undefined>,
    ): Promise<void> => {
      if (what === undefined || findings.has(what)) return;
      say(`${what}: ${JSON.stringify(args).slice(0, 200)}`);
      const smallest = await shrink(args, async (some) => await fails(some) === what, 30);
      findings.set(what, { what, detail: "", input: JSON.stringify(smallest) });
    };
    await note(await badParse(args, seen), badParse);
    if (i % PROCESS_EACH === 0) {
      const run = (some: readonly string[]) => badProcess(some, database, seen);
      await note(await run(args), run);
    }
  }
  return { cases, findings: [...findings.values()], seen: seen.counts };
}

async function badParse(args: readonly string[], seen?: Tally): Promise<string | undefined> {
  const began = performance.now();
  try {
    const { success } = await parse(commands, args);
    seen?.add(success ? "parsed" : "refused");
  } catch (error) {
    return `the parser throws ${error instanceof Error ? error.message : "?"}`;
  }
  return performance.now() - began > SLOWEST_MILLISECONDS ? "parsing is too slow" : undefined;
}

async function badProcess(
  args: readonly string[],
  database: { readonly port: number; connections: number },
  seen: Tally,
): Promise<string | undefined> {
  if (args.some((arg) => arg.includes("\0") || arg.length > 50_000)) return undefined; // no process can be given it
  const isCommand = (await parse(commands, args)).success;
  if (isCommand && args.some((arg) => LONG.has(arg))) return undefined;
  database.connections = 0;
  const { code, stderr } = await runProgram(args, {
    DATABASE_URL: `postgres://u:p@127.0.0.1:${database.port}/d`,
    BINANCE_BASE_URL: "http://127.0.0.1:1",
    BYBIT_BASE_URL: "http://127.0.0.1:1",
  }, "");
  seen.add(`exit ${code}`);
  if (!Object.values(EXIT).some((known) => known === code)) return `exit code ${code}`;
  if (code === EXIT.bug || /^\s+at .*:\d+:\d+/m.test(stderr)) {
    return `a bug: ${stderr.split("\n")[0]}`;
  }
  const asksOnly = /(^|\s)(--help|-h|--version|-V)(\s|$)/.test(args.join(" "));
  if (!isCommand && !asksOnly && args[0] !== "completion" && code !== EXIT.usage) {
    return `nonsense ends with ${code}`;
  }
  return code === EXIT.usage && database.connections > 0
    ? "a usage error after a look at the database"
    : undefined;
}

/** A port that hangs up at once, and knows how often somebody came. */
function countConnections(): Disposable & { readonly port: number; connections: number } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const counter = {
    port: listener.addr.port,
    connections: 0,
    [Symbol.dispose]: () => listener.close(),
  };
  void (async () => {
    for await (const connection of listener) {
      counter.connections++;
      connection.close();
    }
  })().catch(() => {});
  return counter;
}
