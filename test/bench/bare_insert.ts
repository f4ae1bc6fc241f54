import type { Database } from "../../src/database/connection.ts";

/**
 * Seconds that PostgreSQL needs to insert the newest batch's typed offers into an empty table with the same columns
 * and indexes, and nothing else: what no way of loading can be faster than.
 */
export async function bareInsertSeconds(database: Database): Promise<number> {
  await database.run("drop table if exists public.bare_offers", [], 60);
  await database.run(
    "create table public.bare_offers (like p2p.fact_offers including all)",
    [],
    60,
  );
  const began = performance.now();
  await database.run(
    "insert into public.bare_offers select * from p2p.fact_offers " +
      "where extraction_timestamp = (select max(batch_start_time) from p2p.ops_batch_runs)",
    [],
    60,
  );
  return (performance.now() - began) / 1000;
}
