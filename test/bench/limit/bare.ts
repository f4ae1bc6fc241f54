/** The least that PostgreSQL has to do: the same pages as jsonb, the same finished rows, the same kind of tables. */
import type { Database, Parameter } from "../../../src/database/connection.ts";
import type { FetchedPage } from "../../../src/extract/batch_types.ts";

const MINUTES = 600;

/** What a batch writes, and which rows of each table are of it. */
const WRITTEN: Readonly<Record<string, string>> = {
  dim_offers: "t.first_seen_at = r.batch_start_time",
  dim_advertisers: "t.effective_date = r.batch_start_time",
  fact_offers: "t.extraction_timestamp = r.batch_start_time",
  fact_market_depth: "t.extraction_timestamp = r.batch_start_time",
  ops_batch_markets: "t.batch_id = r.batch_id",
  ops_rejected_offers: "t.batch_id = r.batch_id",
  ops_extraction_errors: "t.batch_id = r.batch_id",
  ops_data_quality: "t.batch_id = r.batch_id",
  ops_batch_steps: "t.batch_id = r.batch_id",
  ops_batch_loads: "t.batch_id = r.batch_id",
};

const CLOSE_FORMER = `update bare.dim_advertisers d set expiration_date = new.effective_date
  from ready.dim_advertisers new
  where d.exchange_id = new.exchange_id and d.advertiser_id = new.advertiser_id and d.is_current`;

/** Tables of the same columns, indexes, constraints and compression as those of schema p2p, partitioned as they are. */
export async function makeBareTables(database: Database): Promise<void> {
  const partitioned = ["stg_responses", "fact_offers", "fact_market_depth"];
  const statements = ["create schema bare"];
  for (const table of ["stg_responses", ...Object.keys(WRITTEN)]) {
    const isPartitioned = partitioned.includes(table);
    statements.push(
      `create table bare.${table} (like p2p.${table} including all)` +
        (isPartitioned ? " partition by range (extraction_timestamp)" : ""),
    );
    if (isPartitioned) {
      statements.push(
        `create table bare.${table}_all partition of bare.${table} for values from (minvalue) to (maxvalue)`,
      );
    }
  }
  await database.runScript(statements.join(";"), MINUTES);
}

/** Sets the finished rows of a batch aside, and gives the one statement that inserts them. */
export async function prepareRows(
  database: Database,
  batchId: string,
): Promise<{ rows: number; script: string }> {
  let rows = 0;
  const inserts: string[] = [];
  await database.run("drop schema if exists ready cascade", [], MINUTES);
  await database.run("create schema ready", [], MINUTES);
  for (const [table, isOfBatch] of Object.entries(WRITTEN)) {
    await database.runScript(
      `create table ready.${table} as
       select t.* from p2p.${table} t, p2p.ops_batch_runs r where r.batch_id = '${batchId}' and ${isOfBatch}`,
      MINUTES,
    );
    const columns = await database.run(
      `select quote_ident(attname) as name from pg_attribute
       where attrelid = 'bare.${table}'::regclass and attnum > 0 and attgenerated = '' and not attisdropped`,
      [],
      MINUTES,
    );
    const list = columns.map(({ name }) => name).join(", ");
    const [count] = await database.run(`select count(*) as n from ready.${table}`, [], MINUTES);
    rows += Number(count?.["n"]);
    if (table === "dim_advertisers") inserts.push(CLOSE_FORMER);
    inserts.push(
      `insert into bare.${table} (${list}) overriding system value select ${list} from ready.${table}`,
    );
  }
  await database.run("vacuum analyze", [], MINUTES); // so that reading what was set aside writes nothing
  return { rows, script: inserts.join(";") };
}

/** One statement, as many pages as the worker sends; all that the row holds is known beforehand. */
export async function insertPages(
  database: Database,
  batch: { readonly batchId: string; readonly startedAt: Date },
  pages: readonly FetchedPage[],
): Promise<void> {
  const parameters: Parameter[] = [];
  const rows = pages.map((page) => {
    const first = parameters.length;
    const values: Parameter[] = [
      batch.startedAt,
      page.market.marketId,
      page.page,
      batch.batchId,
      page.observedAt,
      page.attempt,
      page.status,
      page.durationMilliseconds,
      page.body.bytes,
      page.body.sha256,
      page.parser,
      page.body.sha256,
      page.body.text,
    ];
    parameters.push(...values);
    const types = [
      "timestamptz",
      "int",
      "int",
      "uuid",
      "timestamptz",
      "smallint",
      "smallint",
      "int",
      "int",
      "bytea",
      "text",
      "bytea",
      "text::jsonb",
    ];
    return `(${types.map((type, i) => `$${first + i + 1}::${type}`).join(", ")})`;
  });
  await database.run(
    `insert into bare.stg_responses (
       extraction_timestamp, market_id, page_number, batch_id, observed_at, attempt, http_status, duration_ms,
       body_bytes, body_sha256, parser, stored_sha256, body
     ) values ${rows.join(", ")}`,
    parameters,
    MINUTES,
  );
}
