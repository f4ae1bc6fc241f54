/** What a benchmark has to say in one line: the closing table, README.md and docs/bench.md are made of these. */
export interface Finding {
  readonly scenario: string;
  /** What is measured, or compared with what. */
  readonly what: string;
  readonly value: number;
  /** `×` for ratios, nothing for counts. */
  readonly unit: "×" | "s" | "ms" | "MB" | "bytes" | "offers/s" | "%" | "";
  /** Least and most of the repetitions. */
  readonly spread?: readonly [least: number, most: number];
  readonly target?: { readonly atMost: number } | { readonly atLeast: number };
}

/** Whether the target is met; undefined without one. */
export function isMet({ value, target }: Finding): boolean | undefined {
  if (target === undefined) return undefined;
  return "atMost" in target ? value <= target.atMost : value >= target.atLeast;
}

/** Three digits that count: `0.123`, `1.23`, `12.3`, `1,234`. */
export function figure(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/** Without its unit: counts in full, all else in three digits. */
const shown = (value: number, unit: Finding["unit"]): string =>
  unit === "" ? value.toLocaleString("en") : figure(value);

/** What was measured, with its unit. */
export const amountOf = ({ value, unit }: Finding): string =>
  `${shown(value, unit)} ${unit}`.trim();

/** Empty without a target. */
export function goalOf({ target, unit }: Finding): string {
  if (target === undefined) return "";
  return "atMost" in target
    ? `≤ ${shown(target.atMost, unit)}`
    : `≥ ${shown(target.atLeast, unit)}`;
}

/**
 * A markdown table that is also readable in a terminal.
 * @param texts columns that are aligned to the left; the others are numbers
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  texts = 1,
): string {
  const widths = head.map((_, i) =>
    Math.max(3, ...[head, ...rows].map((cells) => (cells[i] ?? "").length))
  );
  const line = (cells: readonly string[]): string => {
    const padded = widths.map((width, i) =>
      i < texts ? (cells[i] ?? "").padEnd(width) : (cells[i] ?? "").padStart(width)
    );
    return `| ${padded.join(" | ")} |`;
  };
  const rule = widths.map((width, i) =>
    i < texts ? "-".repeat(width) : `${"-".repeat(width - 1)}:`
  );
  return [line(head), `| ${rule.join(" | ")} |`, ...rows.map(line)].join("\n");
}

/** The closing table. */
export function summary(findings: readonly Finding[]): string {
  return table(
    ["scenario", "what", "number", "spread", "target", "met"],
    findings.map((finding) => {
      const { scenario, what, unit, spread } = finding;
      const met = isMet(finding);
      return [
        scenario,
        what,
        amountOf(finding),
        spread === undefined ? "" : spread.map((each) => shown(each, unit)).join(" – "),
        goalOf(finding),
        met === undefined ? "" : met ? "yes" : "**no**",
      ];
    }),
    2,
  );
}

/** Median, least and most of repetitions, as a finding has them. */
export function repeated(values: readonly number[]): Required<Pick<Finding, "value" | "spread">> {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const [low, high] = [sorted[Math.floor(middle)] ?? NaN, sorted[Math.ceil(middle)] ?? NaN];
  return { value: (low + high) / 2, spread: [sorted[0] ?? NaN, sorted.at(-1) ?? NaN] };
}
