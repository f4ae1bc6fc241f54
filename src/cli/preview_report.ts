import type { Effect, Example, ReplayableBatch } from "../database/replay.ts";
import { visible } from "../log.ts";
import { style } from "./terminal.ts";

/** What a dry run found. */
export interface Preview {
  readonly found: readonly ReplayableBatch[];
  /** Names of the candidate's files. */
  readonly files: readonly string[];
  readonly effects: readonly Effect[];
  readonly seconds: number;
}

/** `replay --dry-run --json`; names are part of the contract. */
export function previewDocument({ found, files, effects, seconds }: Preview): unknown {
  const rows = (effect: Effect | undefined) => ({
    rows: effect?.rows ?? 0,
    examples: effect?.examples ?? [],
  });
  const tables = [...Map.groupBy(effects, ({ table }) => table)].map(([table, of]) => {
    const whole = (name: Effect["effect"]) =>
      of.find(({ effect, column }) => effect === name && column === undefined);
    return {
      table,
      appears: rows(whole("appears")),
      vanishes: rows(whole("vanishes")),
      changes: {
        rows: whole("changes")?.rows ?? 0,
        columns: of.filter(({ column }) => column !== undefined)
          .map((effect) => ({ column: effect.column, ...rows(effect) })),
      },
    };
  });
  return {
    dry_run: true,
    with: files,
    batches: found.filter(({ obstacle }) => obstacle === undefined).map(({ batchId }) => batchId),
    skipped: found.filter(({ obstacle }) => obstacle !== undefined)
      .map(({ batchId, obstacle }) => ({ batch_id: batchId, reason: obstacle })),
    tables,
    seconds: Number(seconds.toFixed(1)),
  };
}

const number = new Intl.NumberFormat("en");
const many = (count: number, one: string, more: string): string =>
  `${number.format(count)} ${count === 1 ? one : more}`;

/** The same for people. */
export function describePreview(preview: Preview): string {
  const { bold, dim } = style(Deno.stdout);
  const { found, files, effects, seconds } = preview;
  const loaded = found.filter(({ obstacle }) => obstacle === undefined);
  const times = [loaded[0], loaded.at(-1)].map((batch) => batch?.startedAt.toISOString());
  const lines = [
    `Dry run of ${many(loaded.length, "batch", "batches")} (${
      [...new Set(times)].join(" to ")
    }) with ${files.length === 0 ? "the SQL that is installed" : files.join(", ")}, ${
      seconds.toFixed(1)
    } s. Nothing was changed.`,
    ...found.filter(({ obstacle }) => obstacle !== undefined)
      .map(({ batchId, obstacle }) => `left out: batch ${batchId}: ${obstacle}`),
  ];
  if (effects.length === 0) lines.push("No row of any table would change.");
  const hidden = new Set(loaded.length === 1 ? BATCH_COLUMNS : []);
  for (const [table, of] of Map.groupBy(effects, (effect) => effect.table)) {
    lines.push("", bold(table));
    for (const effect of of) lines.push(...describeEffect(effect, hidden, dim));
  }
  return lines.join("\n") + "\n";
}

/** The same in every example of one batch. */
const BATCH_COLUMNS = ["batch_id", "extraction_timestamp"];
/** Told by the name of the market. */
const MARKET_COLUMNS = ["exchange_id", "fiat_id", "crypto_id", "trade_type", "market_id"];

const VERBS: Readonly<Record<Effect["effect"], readonly [one: string, more: string]>> = {
  appears: ["row would appear", "rows would appear"],
  vanishes: ["row would vanish", "rows would vanish"],
  changes: ["row would change", "rows would change"],
};

/** For a person; `--json` has more of them. */
const EXAMPLES = 3;

function describeEffect(
  { effect, column, rows, examples }: Effect,
  hidden: ReadonlySet<string>,
  dim: (text: string) => string,
): string[] {
  const title = column === undefined
    ? `  ${many(rows, ...VERBS[effect])}`
    : `    ${column}: ${many(rows, "row", "rows")}`;
  const indent = column === undefined ? "    " : "      ";
  return [
    title,
    ...examples.slice(0, EXAMPLES)
      .map((example) => indent + dim(describeExample(example, column, hidden))),
  ];
}

/** Long enough for a price or a name, short enough for a line. */
const VALUE_LENGTH = 60;
const ROW_LENGTH = 160;

function describeExample(
  { key, market, before, after }: Example,
  column: string | undefined,
  hidden: ReadonlySet<string>,
): string {
  const told = new Set([...hidden, ...(market === null ? [] : MARKET_COLUMNS)]);
  const where = [market ?? "", fields(key ?? {}, told)].filter((text) => text !== "").join(", ");
  if (column !== undefined) {
    return `${where}${where === "" ? "" : ": "}${value(before)} → ${value(after)}`;
  }
  for (const name of Object.keys(key ?? {})) told.add(name);
  const row = fields((after ?? before ?? {}) as Record<string, string | null>, told);
  return shortened([where, row].filter((text) => text !== "").join(": "));
}

function fields(
  row: Readonly<Record<string, string | null>>,
  without: ReadonlySet<string>,
): string {
  return Object.entries(row)
    .filter(([name, content]) => content !== null && !without.has(name))
    .map(([name, content]) => `${name} ${value(content)}`).join(", ");
}

function value(content: Example["before"]): string {
  if (content === null || content === undefined) return "NULL";
  const text = visible(typeof content === "string" ? content : JSON.stringify(content));
  if (text === "") return "''";
  return text.length > VALUE_LENGTH ? `${text.slice(0, VALUE_LENGTH - 1)}…` : text;
}

function shortened(line: string): string {
  return line.length > ROW_LENGTH ? `${line.slice(0, ROW_LENGTH - 1)}…` : line;
}
