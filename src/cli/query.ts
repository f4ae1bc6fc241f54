import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { argument, command, constant, flag } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { queryReadOnly, type TextTable } from "../database/read_only.ts";
import { EXIT, type ExitCode, UsageError } from "../errors.ts";
import { openDatabase, readEnvironment, untilStopped } from "./environment.ts";
import { examples, jsonFlag } from "./help.ts";
import { renderCsv, renderTable } from "./table.ts";
import { print, style, tell } from "./terminal.ts";

export const queryCommand = command(
  "query",
  object({
    command: constant("query"),
    statement: argument(string({ metavar: "SQL" }), {
      description: message`One statement; - reads it from standard input.`,
    }),
    json: jsonFlag(message`Print the rows as one JSON list; numbers keep all their digits.`),
    csv: withDefault(flag("--csv", { description: message`Print CSV with a header.` }), false),
  }),
  {
    brief: message`Run one read-only SQL statement.`,
    description: message`For machines without psql. The statement runs in a read-only transaction.`,
    footer: examples(
      [
        `p2p-ingest query "select * from p2p.mv_latest_market_state where fiat_code = 'VES' order by price limit 5"`,
        "an aligned table",
      ],
      [
        `p2p-ingest query --csv "select * from p2p.market_hourly" > hourly.csv`,
        "for a spreadsheet",
      ],
    ),
  },
);

export async function query(
  args: { statement: string; json: boolean; csv: boolean },
): Promise<ExitCode> {
  if (args.json && args.csv) throw new UsageError("--json and --csv exclude each other");
  const statement = args.statement === "-"
    ? await new Response(Deno.stdin.readable).text()
    : args.statement;
  if (statement.trim() === "") throw new UsageError("there is no statement");
  const config = await readEnvironment();
  await using opened = await openDatabase({
    config,
    purpose: "query",
    schema: "any",
    connections: 1,
  });
  const { columns, rows } = await answer(opened.database.url, statement, args.json);
  if (args.json) {
    print(`[${rows.map(([document]) => document).join(",\n ")}]\n`);
  } else if (args.csv) {
    print(renderCsv(columns.map(({ name }) => name), rows));
  } else {
    print(
      renderTable(columns, rows.map((row) => row.map((cell) => cell ?? "")), style(Deno.stdout)),
    );
    tell(`(${rows.length} ${rows.length === 1 ? "row" : "rows"})\n`);
  }
  return EXIT.done;
}

/** Ctrl-C ends the statement at the server, too; afterwards it ends the program at once, as of one that only prints. */
async function answer(url: string, statement: string, asJson: boolean): Promise<TextTable> {
  using signal = untilStopped();
  return await queryReadOnly(url, statement, asJson, signal);
}
