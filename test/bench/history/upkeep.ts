import type { Database } from "../../../src/database/connection.ts";

/** What it took to keep aggregates, and to pack old chunks. */
export interface Upkeep {
  packSeconds: number;
  packedOffers: number;
  refreshSeconds: number;
}

const HOUR = 3_600;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1_000;
}

/** All of the history at once: aggregates first, then what is old enough by the settings is packed. */
export async function packAndRefresh(
  database: Database,
  isTimescale: boolean,
  upkeep: Upkeep,
): Promise<void> {
  if (!isTimescale) {
    upkeep.refreshSeconds += await timed(() => storePeriods(database));
    return;
  }
  const windows = await database.run(
    "select aggregate, window_start::text as a, window_end::text as b from p2p.aggregates_to_refresh(null, null)",
    [],
    HOUR,
  );
  upkeep.refreshSeconds += await timed(async () => {
    for (const { aggregate, a, b } of windows) {
      const name = String(aggregate).includes(".") ? aggregate : `p2p.${aggregate}`;
      await database.run(`call refresh_continuous_aggregate('${name}', '${a}', '${b}')`, [], HOUR);
    }
  });
  const chunks = await database.run(
    `select format('%I.%I', c.chunk_schema, c.chunk_name) as chunk
     from timescaledb_information.chunks c
     join timescaledb_information.hypertable_columnstore_settings s
       on s.hypertable = format('%I.%I', c.hypertable_schema, c.hypertable_name)::regclass
     where c.hypertable_schema = 'p2p'
       and s.orderby is not null
       and c.range_end <= (select max(batch_start_time) from p2p.ops_batch_runs)
         - make_interval(days => p2p.setting_number('columnstore_after_days')::integer)
     order by c.range_start`,
    [],
    HOUR,
  );
  upkeep.packSeconds += await timed(async () => {
    for (const { chunk } of chunks) {
      await database.run(`select compress_chunk('${chunk}')`, [], HOUR);
    }
  });
}

/** On the plain tier: what load_batch stores hour by hour. */
async function storePeriods(database: Database): Promise<void> {
  for (const unit of ["hour", "day"]) {
    await database.run(
      `select p2p.store_period($1, period)
       from history.world w
       cross join generate_series(w.starts_at, w.starts_at + make_interval(days => w.days) - interval '1 ${unit}'
         - case $1 when 'hour' then interval '1 hour' else interval '0' end, interval '1 ${unit}') as period
       where not (period = w.starts_at + make_interval(days => w.days - 1) and $1 = 'day')`,
      [unit],
      HOUR,
    );
  }
}
