import type { Database } from "../../../src/database/connection.ts";

/** Bytes of one table, or of one of its indexes. */
export interface Size {
  readonly name: string;
  readonly bytes: number;
  /** Of the same rows. */
  readonly offers: number;
}

export interface Sizes {
  /** fact_offers as rows: the heap, and each index. */
  readonly rows: readonly Size[];
  /** The columnstore: everything of the packed chunks. */
  readonly packed: Size | undefined;
  readonly depthBytes: number;
  readonly databaseBytes: number;
}

const SECONDS = 600;

/** The name of a table's own index: one of a chunk or a partition carries the name of its part. */
export function indexName(name: string): string {
  return name.replace(/^_hyper_\d+_\d+_chunk_|^\d+_(?=\D)/, "").replace(/_\d{6,8}_/, "_");
}

/** Partitions and chunks by the table they belong to; only what is kept as rows. */
const ROW_PARTS = `
  select i.inhrelid as relid from pg_inherits i where i.inhparent = 'p2p.fact_offers'::regclass`;

export async function sizesOf(database: Database, isTimescale: boolean): Promise<Sizes> {
  const unpacked = isTimescale
    ? `select format('%I.%I', chunk_schema, chunk_name)::regclass::oid as relid
       from timescaledb_information.chunks where hypertable_name = 'fact_offers' and not is_compressed`
    : ROW_PARTS;
  const rows = await database.run(
    `with parts as (${unpacked}),
     counted as (select sum(c.reltuples)::bigint as offers from parts p join pg_class c on c.oid = p.relid)
     select 'heap' as name, sum(pg_table_size(p.relid)) as bytes, max(counted.offers) as offers
     from parts p cross join counted
     union all
     select string_agg(a.attname, ', ' order by k.n), max(i.bytes), max(i.offers)
     from (
       select x.indkey::text as keys, min(x.indrelid) as relid, sum(pg_relation_size(x.indexrelid)) as bytes, max(counted.offers) as offers
       from parts p join pg_index x on x.indrelid = p.relid cross join counted
       group by x.indkey::text
     ) i
     cross join lateral unnest(string_to_array(i.keys, ' ')::smallint[]) with ordinality as k (attnum, n)
     join pg_attribute a on a.attrelid = i.relid and a.attnum = k.attnum
     group by i.keys`,
    [],
    SECONDS,
  );
  const [packed] = isTimescale
    ? await database.run(
      `select sum(s.after_compression_total_bytes) as bytes, (
         select count(*) from p2p.fact_offers f
         where f.extraction_timestamp < (
           select max(c.range_end) from timescaledb_information.chunks c
           where c.hypertable_name = 'fact_offers' and c.is_compressed
         )
       ) as offers
       from chunk_columnstore_stats('p2p.fact_offers') s where s.compression_status = 'Compressed'`,
      [],
      SECONDS,
    )
    : [];
  const [whole] = await database.run(
    `select pg_database_size(current_database()) as database, ${
      isTimescale
        ? "hypertable_size('p2p.fact_market_depth')"
        : "(select sum(pg_total_relation_size(i.inhrelid)) from pg_inherits i where i.inhparent = 'p2p.fact_market_depth'::regclass)"
    } as depth`,
    [],
    SECONDS,
  );
  return {
    rows: rows.filter(({ bytes }) => bytes !== null).map((row) => ({
      name: String(row["name"]),
      bytes: Number(row["bytes"]),
      offers: Number(row["offers"]),
    })),
    packed: packed?.["bytes"] === null || packed === undefined
      ? undefined
      : { name: "columnstore", bytes: Number(packed["bytes"]), offers: Number(packed["offers"]) },
    depthBytes: Number(whole?.["depth"]),
    databaseBytes: Number(whole?.["database"]),
  };
}

/** How often each index was used so far. */
export async function scansOf(database: Database): Promise<ReadonlyMap<string, number>> {
  const rows = await database.run(
    `select i.indexrelname as name, i.idx_scan as scans
     from pg_stat_user_indexes i
     where i.schemaname in ('p2p', 'p2p_partitions', '_timescaledb_internal')
       and i.indexrelname !~ '^(bgw|compress_)'
     order by 1`,
    [],
    SECONDS,
  );
  const scans = new Map<string, number>();
  for (const { name, scans: more } of rows) {
    const index = indexName(String(name));
    scans.set(index, (scans.get(index) ?? 0) + Number(more));
  }
  return scans;
}
