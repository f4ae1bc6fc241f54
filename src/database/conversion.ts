import { DEADLINES } from "../deadlines.ts";
import type { Database } from "./connection.ts";
import type { SqlFile } from "./sql_files.ts";

/** A table that `migrate` would make a hypertable of. */
export interface ConvertedTable {
  readonly table: string;
  /** As the server's statistics estimate them. */
  readonly rows: number;
  readonly bytes: number;
  /** Nobody reads or writes the table for about so long: its rows are read once, and not copied. */
  readonly secondsLocked: number;
}

/** Rows whose bounds are checked in a second, from a disk that is not fast (measured: 20 million from memory). */
const BYTES_A_SECOND = 200_000_000;

const CONVERSION = "timescaledb/migrations/0001_hypertables.sql";

/** What converting to TimescaleDB means for the tables that are there; none where that is not among the migrations. */
export async function tablesToConvert(
  database: Database,
  migrations: readonly SqlFile[],
): Promise<ConvertedTable[]> {
  if (!migrations.some(({ name }) => name === CONVERSION)) return [];
  const rows = await database.run(
    `select
       t.name,
       sum(greatest(c.reltuples, 0)) as rows,
       sum(pg_total_relation_size(c.oid)) as bytes,
       sum(pg_table_size(c.oid)) as table_bytes
     from unnest(array['fact_offers', 'fact_market_depth', 'stg_responses']) as t (name)
     join pg_class parent on parent.oid = to_regclass('p2p.' || t.name)
     join pg_class c on c.oid = parent.oid or c.oid in (select i.inhrelid from pg_inherits i where i.inhparent = parent.oid)
     where c.relkind = 'r'
     group by t.name
     order by t.name`,
    [],
    DEADLINES.statementSeconds,
  );
  return rows.map((row) => ({
    table: String(row["name"]),
    rows: Number(row["rows"]),
    bytes: Number(row["bytes"]),
    secondsLocked: Math.ceil(Number(row["table_bytes"]) / BYTES_A_SECOND),
  }));
}
