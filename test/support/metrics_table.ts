/** The table of docs/metrics.md, made of a scrape. */

interface Documented {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  /** Of its series; empty too where it has none yet. */
  readonly labels: readonly string[];
  readonly hasSeries: boolean;
}

/** Every metric of a scrape, in its order. */
export function metricsIn(text: string): Documented[] {
  return [...text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\w+)$/gm)].map(
    ([, name = "", help = "", type = ""]) => {
      const series = new RegExp(`^${name}(?:_count)?(?:\\{(.*)\\})? `, "m").exec(text);
      const labels = [...(series?.[1] ?? "").matchAll(/(\w+)="/g)].map(([, label = ""]) => label);
      return { name, type, help, labels: labels.toSorted(), hasSeries: series !== null };
    },
  );
}

/** Its row, but for the spaces that align columns. */
export function rowOf({ name, type, labels, help }: Documented): string {
  return `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(" ")} | ${help} |`;
}
