// deno-lint-ignore-file no-console
// `deno task bench`: every scenario, each with its tables, and at the end one table of what they found. Markdown goes to
// stdout, how far it is to stderr. `deno task bench <scenario> [its options]`: one of them. See docs/bench.md.
import { describe, EXIT, P2pError } from "../../src/errors.ts";
import { configureLog } from "../../src/log.ts";
import { isWrongCommandLine } from "../support/options.ts";
import { readCommandLine, USAGE } from "./command_line.ts";
import { type Finding, isMet, summary } from "./finding.ts";
import { describeMachine, type Machine } from "./machine.ts";
import { SCENARIOS } from "./scenarios.ts";
import { BenchDatabase, BenchServer } from "./server.ts";

interface Broken {
  readonly scenario: string;
  readonly error: string;
}

async function machine(): Promise<Machine> {
  await using server = await BenchServer.start();
  await using created = await BenchDatabase.migrated(server.cluster.url);
  return await describeMachine(created.database);
}

async function main(args: readonly string[]): Promise<number> {
  const { isHelp, only, options, jsonFile } = readCommandLine(args);
  if (isHelp) {
    console.log(USAGE);
    return EXIT.done;
  }
  await configureLog("warning", "text");
  if (jsonFile !== undefined) await Deno.writeTextFile(jsonFile, ""); // better now than after a quarter of an hour
  const began = performance.now();
  const at = new Date().toISOString();
  const where = await machine();
  const findings: Finding[] = [];
  const broken: Broken[] = [];
  if (only === undefined) {
    console.log("# Results\n\nOne run of all benchmarks; [bench.md](bench.md) says what each is.");
  }
  for (const [name, { about, run, inAll }] of Object.entries(SCENARIOS)) {
    const given = only === undefined ? inAll : only === name ? options : undefined;
    if (given === undefined) continue;
    console.log(`\n## ${[name, ...given].join(" ")}\n\n${about}\n`);
    const start = performance.now();
    try {
      findings.push(...await run(given));
    } catch (error) {
      if (isWrongCommandLine(error)) throw error;
      console.error(error, error instanceof SuppressedError ? error.suppressed : "");
      broken.push({ scenario: name, error: reasonOf(error) });
    }
    console.log(`\n(${((performance.now() - start) / 60_000).toFixed(1)} minutes)`);
  }
  const minutes = (performance.now() - began) / 60_000;
  console.log(
    `\n## Summary\n\n${at.slice(0, 16).replace("T", " ")} UTC, ${minutes.toFixed(1)} minutes\n`,
  );
  for (const [name, value] of Object.entries(where)) console.log(`- ${name}: ${value}`);
  console.log(`\n${summary(findings)}`);
  const verdicts = findings.map(isMet).filter((met) => met !== undefined);
  const missed = verdicts.filter((met) => !met).length;
  if (verdicts.length > 0) {
    console.log(`\nTargets: ${verdicts.length - missed} met, ${missed} missed.`);
  }
  for (const { scenario, error } of broken) console.log(`\n**${scenario} broke off: ${error}**`);
  if (jsonFile !== undefined) {
    const told = findings.map((finding) => ({ ...finding, met: isMet(finding) ?? null }));
    const document = { at, minutes, machine: where, findings: told, broken };
    await Deno.writeTextFile(jsonFile, JSON.stringify(document, null, 2) + "\n");
  }
  return broken.length > 0 ? EXIT.batchIncomplete : EXIT.done;
}

/** What broke, not what failed while it was cleared away. */
function reasonOf(error: unknown): string {
  return error instanceof SuppressedError ? reasonOf(error.suppressed) : describe(error);
}

try {
  Deno.exit(await main(Deno.args));
} catch (error) {
  if (!(error instanceof P2pError) && !isWrongCommandLine(error)) throw error;
  console.error(`${error.message}\n\n${USAGE}`);
  Deno.exit(error instanceof P2pError ? error.exitCode : EXIT.usage);
}
