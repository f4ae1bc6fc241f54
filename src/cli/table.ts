import { displayWidth, padded, type Style } from "./terminal.ts";

export interface Column {
  readonly name: string;
  readonly alignment: "left" | "right";
}

/** An aligned table: a header, a rule, the rows. Line breaks and tabs in cells are shown as \n and \t. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { bold }: Pick<Style, "bold">,
): string {
  const names = columns.map(({ name }) => visible(name));
  const cells = rows.map((row) => row.map(visible));
  const widths = names.map((name, i) =>
    cells.reduce((width, row) => Math.max(width, displayWidth(row[i] ?? "")), displayWidth(name))
  );
  const line = (row: readonly string[]) =>
    columns.map(({ alignment }, i) => padded(row[i] ?? "", widths[i] ?? 0, alignment)).join("  ")
      .trimEnd();
  const header = bold(line(names));
  const rule = widths.map((width) => "─".repeat(width)).join("  ");
  return [header, rule, ...cells.map(line)].join("\n") + "\n";
}

/** Rows as CSV (RFC 4180); NULL is an empty field, an empty text is "". */
export function renderCsv(
  columns: readonly string[],
  rows: readonly (readonly (string | null)[])[],
): string {
  const field = (value: string | null) =>
    value === null
      ? ""
      : value === "" || /[",\r\n]/.test(value)
      ? `"${value.replaceAll('"', '""')}"`
      : value;
  return [columns, ...rows].map((row) => row.map(field).join(",") + "\r\n").join("");
}

/** Data may hold anything: control characters must not reach the terminal. */
function visible(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => {
    const known = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
    return known ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}
