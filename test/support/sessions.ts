/** Sessions of a test that are in the worker's way. */
import postgres from "postgres";
import type { Database } from "../../src/database/connection.ts";
import { rowsOf, valueOf } from "./batches.ts";
import { eventually } from "./program.ts";

/**
 * Holds a lock on a table until disposed; `access share` is what a reader holds until its transaction ends, under
 * `exclusive` others may read.
 */
export async function holdTable(
  url: string,
  table: string,
  mode: "access exclusive" | "access share" | "exclusive" = "access exclusive",
): Promise<AsyncDisposable> {
  const session = postgres(url, {
    max: 1,
    onnotice: () => {},
    connection: { application_name: "test lock" },
  });
  await session.unsafe(`begin; lock table ${table} in ${mode} mode`).simple();
  let isHeld = true;
  return {
    [Symbol.asyncDispose]: async () => {
      if (!isHeld) return;
      isHeld = false;
      await session.unsafe("rollback").simple();
      await session.end({ timeout: 2 });
    },
  };
}

/** Runs a statement in a transaction that stays open until it is ended. */
export async function holdStatement(
  url: string,
  statement: string,
): Promise<{ commit(): Promise<void> }> {
  const session = postgres(url, {
    max: 1,
    onnotice: () => {},
    connection: { application_name: "test transaction" },
  });
  await session.unsafe(`begin; ${statement}`).simple();
  return {
    commit: async () => {
      await session.unsafe("commit").simple();
      await session.end({ timeout: 2 });
    },
  };
}

/** Waits until a session of the program waits for a lock. */
export async function someoneWaits(database: Database): Promise<void> {
  await eventually("a session that waits for a lock", async () => {
    const count = await valueOf(
      database,
      `select count(*) from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock' and application_name like 'p2p-ingest%'`,
    );
    return count === "0" ? undefined : true;
  });
}

/** Waits until so many pages of the newest batch are stored; answers its id. */
export function pagesStored(database: Database, pages: number): Promise<string> {
  return eventually(`${pages} stored pages`, async () => {
    const [row] = await rowsOf(
      database,
      `select r.batch_id, count(*)::integer as pages
       from p2p.stg_responses s
       join p2p.ops_batch_runs r on r.batch_start_time = s.extraction_timestamp
       where r.status = 'running'
       group by r.batch_id`,
    );
    return Number(row?.["pages"] ?? 0) >= pages ? String(row?.["batch_id"]) : undefined;
  });
}

/** Ends the sessions of the program, as a restart of the server does. */
export async function killSessions(database: Database): Promise<number> {
  return Number(
    await valueOf(
      database,
      `select count(pg_terminate_backend(pid)) from pg_stat_activity
       where datname = current_database() and application_name like 'p2p-ingest%'`,
    ),
  );
}

/** As if the leases of workers of that name had run out, longer ago than a start of the server makes up for. */
export async function endLeases(database: Database, name = "%"): Promise<void> {
  await rowsOf(
    database,
    `update p2p.ops_workers set lease_expires_at = clock_timestamp() - interval '1 day'
     where doing <> 'gone' and worker_name like $1`,
    name,
  );
}

/** As if the time to fetch of the batch that runs were over. */
export async function endWindow(database: Database): Promise<void> {
  await rowsOf(
    database,
    "update p2p.ops_batch_runs set fetch_until = clock_timestamp() - interval '20 seconds' where status = 'running'",
  );
}
