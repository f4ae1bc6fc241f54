/** Printed output without what differs from run to run. */

const ANYTHING = "…";

/** Numbers, times, ids and widths are all alike. */
function masked(line: string): string {
  return line
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "‹id›")
    .replaceAll(/\d{4}-\d\d-\d\d[T ][\d:.+Z]*/g, "‹time›")
    .replaceAll(/[\d][\d,.:]*/g, "0")
    .replaceAll(/[-─█░]{2,}/g, "─")
    .replaceAll(/\s+/g, " ").trim();
}

const RULE = /^ *(-+(\+-+)*|─+( +─+)*)$/;

/** One entry a line; of a table its headings, and `row` for each row. */
export function shapeOf(output: string): string[] {
  const lines = output.replace(/\n+$/, "").split("\n");
  const shape: string[] = [];
  let isTable = false;
  for (const [i, line] of lines.entries()) {
    if (line.trim() === ANYTHING) {
      shape.push(ANYTHING);
    } else if (RULE.test(lines[i + 1] ?? "")) {
      shape.push(
        line.split(/\||\s{2,}/).map((name) => name.trim()).filter((name) => name).join(" | "),
      );
    } else if (RULE.test(line)) {
      isTable = true;
    } else if (isTable && line.trim() !== "" && !/^\(\d+ rows?\)$/.test(line)) {
      shape.push("row");
    } else {
      isTable = false;
      shape.push(masked(line));
    }
  }
  return shape.filter((entry) => entry !== "");
}

/** The first line of what is shown that does not fit what came; undefined if all fits. `…` stands for any lines. */
export function misfit(shown: string, came: string): string | undefined {
  const actual = shapeOf(came);
  const parts: string[][] = [[]];
  for (const entry of shapeOf(shown)) {
    if (entry === ANYTHING) parts.push([]);
    else parts.at(-1)?.push(entry);
  }
  let from = 0;
  for (const [i, part] of parts.entries()) {
    const fits = (at: number) => part.every((entry, j) => actual[at + j] === entry);
    const last = actual.length - part.length;
    const [first, most] = i === 0 ? [0, 0] : [from, last];
    const isEnd = i === parts.length - 1;
    let at = isEnd ? last : first;
    while (!isEnd && at <= most && !fits(at)) at++;
    if (at < from || at > (isEnd ? last : most) || (i === 0 && at !== 0) || !fits(at)) {
      const j = part.findIndex((entry, k) => actual[Math.max(at, 0) + k] !== entry);
      return part[j] ?? `${actual.length - from} lines that are not shown`;
    }
    from = at + part.length;
  }
  return undefined;
}
