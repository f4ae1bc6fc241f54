import { logger } from "../log.ts";

/** One value of a gauge, as it is at the moment. */
export interface Sample {
  readonly metric: string;
  readonly help: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const METRIC = /^[a-z_:][a-z0-9_:]*$/i;
const LABEL = /^(?!__)[a-z_][a-z0-9_]*$/i;

const log = logger("metrics");

/** Problems that were told: a scrape comes every few seconds. */
const told = new Set<string>();
const MOST_TOLD = 1000;

/**
 * Gauges in the text format of Prometheus. What that would not take (which makes it drop the whole scrape) is left out,
 * and logged once: a DBA may write such rows.
 * @param taken names of other metrics
 */
export function renderSamples(samples: readonly Sample[], taken: ReadonlySet<string>): string {
  const metrics = new Map<string, { help: string; series: Map<string, number> }>();
  for (const { metric, help, labels, value } of samples) {
    const series = seriesOf(metric, labels);
    const problem = problemOf(metric, labels, taken) ??
      (metrics.get(metric)?.series.has(series) ? "is there twice" : undefined);
    if (problem !== undefined) {
      tellOnce(series, problem);
      continue;
    }
    const known = metrics.get(metric) ?? { help, series: new Map<string, number>() };
    known.series.set(series, value);
    metrics.set(metric, known);
  }
  return [...metrics].map(([metric, { help, series }]) =>
    `# HELP ${metric} ${escaped(help)}\n# TYPE ${metric} gauge\n` +
    [...series].map(([name, value]) => `${name} ${shown(value)}\n`).join("")
  ).join("");
}

function problemOf(
  metric: string,
  labels: Sample["labels"],
  taken: ReadonlySet<string>,
): string | undefined {
  if (!METRIC.test(metric)) return "has a name that no metric can have";
  if (taken.has(metric.replace(/_(bucket|sum|count)$/, "")) || taken.has(metric)) {
    return "has the name of another metric";
  }
  const wrong = Object.keys(labels).find((name) => !LABEL.test(name));
  return wrong === undefined ? undefined : `has a label that cannot be: ${wrong}`;
}

function tellOnce(series: string, problem: string): void {
  if (told.size >= MOST_TOLD || told.has(series)) return;
  told.add(series);
  log.warning("a sample of the database is left out: {series} {problem}", {
    series,
    problem,
  });
}

/** The same for the same labels, whatever their order. */
function seriesOf(metric: string, labels: Sample["labels"]): string {
  const pairs = Object.entries(labels).toSorted(([a], [b]) => a < b ? -1 : 1)
    .map(([name, value]) => `${name}="${escaped(value).replaceAll('"', '\\"')}"`);
  return pairs.length === 0 ? metric : `${metric}{${pairs.join(",")}}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function shown(value: number): string {
  return Number.isFinite(value)
    ? String(value)
    : Number.isNaN(value)
    ? "NaN"
    : value > 0
    ? "+Inf"
    : "-Inf";
}
