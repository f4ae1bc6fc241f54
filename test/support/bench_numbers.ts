import { type Finding, isMet, shown, table } from "../bench/finding.ts";

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
  const [before, rest = ""] = readme.split(BEGIN);
  const [, after] = rest.split(END);
  if (after === undefined) throw new Error(`the README has no ${BEGIN} … ${END}`);
  const { program, processor, memory, PostgreSQL } = results.machine;
  const findings = results.findings.filter((finding) =>
    finding.target !== undefined || SHOWN.includes(finding.scenario)
  );
  const rows = findings.map((finding) => [
    finding.scenario,
    finding.what,
    `${shown(finding.value, finding.unit)} ${finding.unit}`.trim(),
    goalOf(finding),
  ]);
  return [
    before + BEGIN,
    `Version ${program}, ${
      results.at.slice(0, 10)
    }: ${processor}, ${memory}; PostgreSQL ${PostgreSQL}.`,
    table(["scenario", "what", "number", "goal"], rows, 2),
    END + after,
  ].join("\n\n");
}

function goalOf(finding: Finding): string {
  const { target, unit } = finding;
  if (target === undefined) return "";
  const goal = "atMost" in target
    ? `≤ ${shown(target.atMost, unit)}`
    : `≥ ${shown(target.atLeast, unit)}`;
  return isMet(finding) ? goal : `**missed:** ${goal}`;
}
