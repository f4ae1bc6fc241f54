import { visible } from "../log.ts";
import { displayWidth, padded, type Style } from "./terminal.ts";

export interface Column {
  readonly name: string;
  readonly alignment: "left" | "right";
}

/** An aligned table: a header, a rule, the rows. Line breaks and tabs are shown as \n and \t. */
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

/** A column of these is aligned to the right; the database hands out exact numbers as text. */
const NUMBER = /^-?[\d.,]+$/;

/** Records as a table with the columns `names`. Columns of nothing but numbers are aligned to the right. */
export function renderRecords(
  names: readonly string[],
  records: readonly Readonly<Record<string, unknown>>[],
  style: Pick<Style, "bold">,
  label: (name: string) => string = (name) => name,
): string {
  const rows = records.map((record) => names.map((name) => String(record[name] ?? "")));
  const columns = names.map((name, i): Column => ({
    name: label(name),
    alignment: rows.every((row) => !row[i] || NUMBER.test(row[i])) ? "right" : "left",
  }));
  return renderTable(columns, rows, style);
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
