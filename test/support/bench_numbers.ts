import { amountOf, type Finding, goalOf, isMet, table } from "../bench/finding.ts";
import { withBlock } from "./marked_block.ts";

/** What `deno task bench --json` writes, as far as the README shows it. */
export interface BenchResults {
  readonly at: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly findings: readonly Finding[];
  readonly broken: readonly unknown[];
}

const BEGIN = "<!-- numbers: docs/bench-results.json, by deno task reference -->";
const END = "<!-- end of numbers -->";

/** Scenarios of which everything is shown; of the others what has a goal. */
const SHOWN = ["naive", "fleet"];

/**
 * The README with its table of numbers made of one run of all benchmarks, missed goals included.
 * @throws Error where a scenario of that run broke off, or the README has no place for them
 */
export function withNumbers(readme: string, results: BenchResults): string {
  if (results.broken.length > 0) throw new Error("a scenario broke off: run the benchmarks again");
  const { program, processor, memory, PostgreSQL } = results.machine;
  const findings = results.findings.filter((finding) =>
    finding.target !== undefined || SHOWN.includes(finding.scenario)
  );
  const rows = findings.map((finding) => [
    finding.scenario,
    finding.what,
    amountOf(finding),
    isMet(finding) === false ? `**missed:** ${goalOf(finding)}` : goalOf(finding),
  ]);
  const where = `Version ${program}, ${
    results.at.slice(0, 10)
  }: ${processor}, ${memory}; PostgreSQL ${PostgreSQL}.`;
  const numbers = table(["scenario", "what", "number", "goal"], rows, 2);
  return withBlock(readme, BEGIN, END, `${where}\n\n${numbers}`);
}
