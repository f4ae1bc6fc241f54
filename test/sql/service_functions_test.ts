// begin_discovery and failures_in_a_row.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { Database } from "../../src/database/connection.ts";
import { rowsOf, valueOf } from "../support/batches.ts";
import { testDatabase } from "../support/database.ts";

async function beat(
  database: Database,
  worker: string,
  doing: string,
  ...exchanges: string[]
): Promise<void> {
  const served = exchanges.map((exchange) => ({
    exchange,
    filter: [{ fiat: "*", asset: "*" }],
    rate_per_minute: 100,
    breaker: "closed",
  }));
  await rowsOf(
    database,
    "select p2p.beat($1, $1, '0.4.0', 'run', $2, 15, $3::text::jsonb)",
    worker,
    doing,
    JSON.stringify(served),
  );
}

const begins = (database: Database, worker: string, exchange: string) =>
  valueOf(database, "select p2p.begin_discovery($1, $2)", worker, exchange);

Deno.test("one worker of the fleet asks an exchange for its markets", async () => {
  await using test = await testDatabase();
  const { database } = test;
  await beat(database, "a", "idle", "binance");
  await beat(database, "b", "idle", "binance", "bybit");
  await beat(database, "c", "idle", "bybit");
  strictEqual(await begins(database, "a", "binance"), "true");
  strictEqual(await begins(database, "a", "binance"), "true", "a second call changes nothing");
  strictEqual(await begins(database, "b", "binance"), "false");
  strictEqual(await begins(database, "c", "bybit"), "true", "another exchange");
  strictEqual(
    await valueOf(
      database,
      "select string_agg(doing, ' ' order by worker_id) from p2p.ops_workers",
    ),
    "discovering idle discovering",
  );
  await beat(database, "a", "fetching", "binance");
  strictEqual(await begins(database, "b", "binance"), "true", "the first has ended");
  await rowsOf(database, "select p2p.leave('b')");
  strictEqual(await begins(database, "a", "binance"), "true", "the first is gone");
});

Deno.test("two that ask at the same moment: one of them is it", async () => {
  await using test = await testDatabase();
  await beat(test.database, "a", "idle", "binance");
  await beat(test.database, "b", "idle", "binance");
  const answers = await Promise.all(["a", "b"].map((w) => begins(test.database, w, "binance")));
  deepStrictEqual(answers.sort(), ["false", "true"]);
});

Deno.test("batches that were not completed, one after the other", async () => {
  await using test = await testDatabase();
  await rowsOf(
    test.database,
    `insert into p2p.ops_batch_runs (batch_start_time, batch_end_time, status, worker_id, imported_from)
     select t, case when status <> 'running' then t end, status, 'x', string_to_array(source, ',')
     from (
       values
         (timestamptz '2026-01-01 00:00Z', 'partial', null),
         ('2026-01-01 00:10Z', 'completed', null),
         ('2026-01-01 00:20Z', 'failed', null),
         ('2026-01-01 00:30Z', 'completed', 'a file'),
         ('2026-01-01 00:40Z', 'partial', null),
         ('2026-01-01 00:50Z', 'running', null)
     ) as v (t, status, source)`,
  );
  const rows = await rowsOf(
    test.database,
    `select p2p.failures_in_a_row(batch_id) as failures from p2p.ops_batch_runs
     where imported_from is null and status <> 'running' order by batch_start_time`,
  );
  deepStrictEqual(rows.map(({ failures }) => failures), [1, 0, 1, 2]);
});
