/** Dry runs of loads. */
import type { SqlFixture, TestBatch } from "./sql_fixture.ts";
import { offer } from "./sql_offer.ts";

export const BUY = "VES/USDT BUY";
export const SELL = "VES/USDT SELL";

/** One of its ads has no price that counts. */
export async function oneBatch(sql: SqlFixture, at = "2026-03-01 10:00+00"): Promise<TestBatch> {
  return await sql.loadBatch(at, {
    [BUY]: [
      offer({ id: "1", price: "461.50" }),
      offer({ id: "2", price: "470" }),
      offer({ id: "3", price: "0" }),
    ],
    [SELL]: [offer({ id: "4", price: "455.1", user: "s2" })],
  });
}

export interface Shown {
  readonly rows: number;
  readonly examples: readonly Record<string, unknown>[];
}

/** What a dry run reports of loading these batches again, by `table` or `table.column` and what becomes of the rows. */
export async function preview(
  sql: SqlFixture,
  batches: readonly TestBatch[],
  candidate: string | null = null,
): Promise<Map<string, Shown>> {
  const rows = await sql.rows(
    "select * from p2p.preview_load($1::text::uuid[], $2)",
    `{${batches.map(({ id }) => id)}}`,
    candidate,
  );
  return new Map(rows.map((row) => [
    [row["table_name"], row["column_name"]].filter((name) => name !== null).join(".") + " " +
    row["effect"],
    {
      rows: Number(row["row_count"]),
      examples: row["examples"] as Record<string, unknown>[],
    },
  ]));
}

export const counts = (report: ReadonlyMap<string, Shown>): Record<string, number> =>
  Object.fromEntries([...report].map(([name, { rows }]) => [name, rows]));

/** Whatever a dry run could leave behind. */
export async function traces(sql: SqlFixture): Promise<unknown> {
  return [
    [...await sql.dump()],
    await sql.values(
      "select xmin::text || pg_get_functiondef(oid) from pg_proc where pronamespace = 'p2p'::regnamespace order by oid",
    ),
    await sql.values(
      "select oid::text || xmin::text || relname from pg_class where relnamespace = 'p2p'::regnamespace or relpersistence = 't' order by oid",
    ),
  ];
}
