// deno-lint-ignore-file no-console
// `deno task bench week [--hours N] [--books one|world]`: one normal week of batches, once as a filter on a single book
// and once as a world of 72 books, and how often each quality rule fires in it. It should be never.
import { parseArgs } from "node:util";
import type { Database } from "../../src/database/connection.ts";
import { liveNormally, ONE_BOOK, ruleRates, WORLD } from "../support/normal_week.ts";
import { wholeNumbers } from "../support/options.ts";
import { type Finding, table } from "./finding.ts";
import { BenchDatabase, BenchServer } from "./server.ts";

async function tell(database: Database, title: string, statement: string): Promise<void> {
  const rows = await database.run(statement, [], 120);
  tellRows(title, rows);
}

function tellRows(title: string, rows: readonly Readonly<Record<string, unknown>>[]): void {
  const names = Object.keys(rows[0] ?? {});
  const cells = rows.map((row) => names.map((name) => String(row[name] ?? "")));
  console.log(`\n${title}\n\n${rows.length === 0 ? "none" : table(names, cells)}`);
}

export async function benchWeek(args: readonly string[]): Promise<Finding[]> {
  const { values } = parseArgs({
    args: [...args],
    options: { hours: { type: "string", default: "168" }, books: { type: "string", default: "" } },
  });
  const { hours } = wholeNumbers({ hours: values.hours }, { hours: 1 });
  await using server = await BenchServer.start();
  const findings: Finding[] = [];
  for (const [title, books] of [["one book", ONE_BOOK], ["a world", WORLD]] as const) {
    if (!title.includes(values.books)) continue;
    await using created = await BenchDatabase.migrated(server.cluster.url);
    const { database } = created;
    await liveNormally(database, {
      books,
      hours,
      minutesBetweenBatches: 10,
      onBatch: (done, of) => {
        if (done % 100 === 0) console.error(`${title}: ${done} of ${of} batches`);
      },
    });
    const rates = await ruleRates(database);
    tellRows(`${title}: ${books.length} books, ${hours} hours`, rates.map((row) => ({ ...row })));
    await tell(
      database,
      "books of 130 to 300 ads, half-hour steps",
      "select * from week.likeness()",
    );
    await tell(
      database,
      "shape events",
      "select event, path, json_type, count(*)::integer from p2p.ops_shape_events group by 1, 2, 3",
    );
    findings.push({
      scenario: "week",
      what: `${title}, ${hours} normal hours: results of quality rules that are not ok`,
      value: rates.reduce((sum, row) => sum + Number(row["warnings"]) + Number(row["errors"]), 0),
      unit: "",
      target: { atMost: 0 },
    });
  }
  return findings;
}
