import assert from "node:assert/strict";
import { holdTable } from "../support/sessions.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const A = "VES/A BUY";
const DAY = 86_400_000;

const day = (start: string, after: number): string =>
  new Date(Date.parse(start) + after * DAY).toISOString();

/** Names of partitions, without those that stand ready for days to come. */
const partitions = (sql: SqlFixture, table: string): Promise<unknown[]> =>
  sql.values(
    `select regexp_replace(p.partition_name, '^p2p_partitions\\.' || p.table_name || '_', '')
     from p2p.partitions p
     where p.table_name = $1
       and p.starts_at <= (select max(batch_start_time) from p2p.ops_batch_runs)
     order by p.starts_at`,
    table,
  );

/** In which partition the rows of a table are. */
const homes = (sql: SqlFixture, table: string): Promise<unknown[]> =>
  sql.values(
    `select distinct regexp_replace(tableoid::regclass::text, '^.*_', '') from p2p.${table} order by 1`,
  );

const set = (sql: SqlFixture, name: string, value: number): Promise<unknown> =>
  sql.rows("update p2p.settings set value = $2 where name = $1", name, String(value));

Deno.test("a batch of any time finds its partitions", async () => {
  await using sql = await SqlFixture.create();
  await set(sql, "raw_retention_days", 36500);
  await set(sql, "offers_retention_days", 36500);
  await set(sql, "depth_retention_days", 36500);
  const times = [
    "2026-03-10T12:00:00Z",
    "2033-07-15T12:00:00Z",
    "1999-12-31T23:59:59.999Z",
    "2026-03-10T00:00:00Z",
    "2026-03-09T23:59:59.999Z",
  ];
  for (const at of times) {
    const batch = await sql.loadBatch(at, { [A]: [offer()] });
    assert.equal((await batch.load())["status"], "completed", at);
  }
  const days = ["19991231", "20260309", "20260310", "20330715"];
  assert.deepEqual(await homes(sql, "fact_offers"), days);
  assert.deepEqual(await homes(sql, "stg_responses"), days);
  assert.deepEqual(await homes(sql, "fact_market_depth"), ["199912", "202603", "203307"]);
  assert.equal(await sql.value("select count(*)::integer from p2p.fact_offers"), times.length);
});

Deno.test("days are those of UTC, whatever the session calls them", async () => {
  await using sql = await SqlFixture.create();
  const name = String(await sql.value("select current_database()"));
  await sql.rows(`alter database ${name} set timezone = 'Asia/Kolkata'`);
  await using session = SqlFixture.connect(sql.url);
  assert.equal(await session.value("show timezone"), "Asia/Kolkata");
  for (const at of ["2026-03-10T00:00:00Z", "2026-03-10T23:59:59.999Z", "2026-03-11T00:00:00Z"]) {
    await session.loadBatch(at, { [A]: [offer()] });
  }
  assert.deepEqual(await homes(session, "fact_offers"), ["20260310", "20260311"]);
  // Days before months, in another zone: bounds are read from text.
  await session.rows(
    `create function public.bounds() returns text language sql set timezone = 'America/Caracas' set datestyle = 'SQL, DMY' as $$
       select concat(starts_at = '2026-03-10 00:00Z', ' ', ends_at = '2026-03-11 00:00Z', ' ', starts_at)
       from p2p.partitions
       where partition_name like '%offers_20260310'
     $$`,
  );
  assert.equal(await session.value("select public.bounds()"), "t t 09/03/2026 20:00:00 -04");
  assert.equal(
    (await session.work("select p2p.make_room('2026-03-10 05:29:59+05:30') as made"))["made"],
    2,
  );
  assert.equal(
    (await session.work("select p2p.make_room('2026-03-10 05:30:00+05:30') as made"))["made"],
    0,
  );
});

Deno.test("sessions that make the same room at once make it once", async () => {
  await using sql = await SqlFixture.create();
  const sessions = Array.from({ length: 6 }, () => SqlFixture.connect(sql.url));
  try {
    const made = await Promise.all(
      sessions.map((each) => each.work("select p2p.make_room('2030-01-01') as made")),
    );
    assert.deepEqual(made.map((row) => Number(row["made"])).sort(), [0, 0, 0, 0, 0, 7]);
  } finally {
    for (const each of sessions) await each[Symbol.asyncDispose]();
  }
});

Deno.test("midnight alone is no reason to say that partitions are missing; days without a batch are", async () => {
  await using sql = await SqlFixture.create();
  const missing = () =>
    sql.values(
      "select subject from p2p.policy_audit where rule like 'partitions%' and status = 'violated' order by 1",
    );
  const before = (interval: string) =>
    sql.value("select (date_trunc('day', now(), 'UTC') - $1::interval)::text", interval);
  await sql.loadBatch(String(await before("2 days")), { [A]: [offer()] });
  assert.deepEqual(await missing(), ["fact_offers", "stg_responses"]);
  await sql.loadBatch(String(await before("1 minute")), { [A]: [offer()] });
  assert.deepEqual(await missing(), [], "the last batch of yesterday made them");
});

Deno.test("a table that stands in the way of a partition is named", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-10T12:00:00Z", { [A]: [offer()] });
  await sql.rows(
    "alter table p2p.fact_offers detach partition p2p_partitions.fact_offers_20260310",
  );
  await assert.rejects(
    sql.work("select p2p.make_room('2026-03-10 13:00Z')"),
    /there is a table p2p_partitions\.fact_offers_20260310, but it is no partition of p2p\.fact_offers/,
  );
});

Deno.test("a load reads and writes the partitions of its own day", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows(
    // Counters go on over transactions until the server takes them away, so that only differences speak.
    `create function public.counters() returns table (partition text, touched bigint) language sql as $$
       select s.relname::text, s.seq_scan + coalesce(s.idx_scan, 0) + s.n_tup_ins + s.n_tup_upd + s.n_tup_del
       from pg_stat_xact_user_tables s
       where s.schemaname = 'p2p_partitions'
     $$;`,
  );
  await sql.rows(
    `create function public.partitions_touched(p_batch_id uuid) returns setof text language plpgsql as $$
       declare
         v_before constant jsonb := (select jsonb_object_agg(c.partition, c.touched) from public.counters() c);
       begin
         perform p2p.load_batch(p_batch_id);
         return query
         select c.partition
         from public.counters() c
         where c.touched <> coalesce((v_before ->> c.partition)::bigint, 0)
         order by 1;
       end
     $$`,
  );
  await set(sql, "raw_retention_days", 400);
  const batches = [];
  for (let i = 0; i < 7; i++) {
    // Some advertisers come back, one has another name each day.
    batches.push(
      await sql.loadBatch(day("2026-03-01T10:00:00Z", i * 5), {
        [A]: [offer(), offer({ user: "stays" }), offer({ user: "changes", nick: `n${i}` })],
      }),
    );
  }
  const late = batches[3];
  assert.ok(late);
  for (let load = 0; load < 8; load++) { // plans of a session change after the fifth time
    assert.deepEqual(
      await sql.values("select public.partitions_touched($1)", late.id),
      [
        "fact_market_depth_202603",
        "fact_offers_20260316",
        "stg_responses_20260316",
        ...["market_days", "market_hours", "merchant_days", "merchant_hours"].map((name) =>
          `stored_${name}_202603`
        ),
      ],
      `load ${load}`,
    );
  }
});

Deno.test("over a month old days go one by one, and the disk stays as full as it is", async () => {
  await using sql = await SqlFixture.create();
  await set(sql, "raw_retention_days", 3);
  await set(sql, "offers_retention_days", 30);
  await set(sql, "ledger_retention_days", 30);
  const start = "2026-01-01T10:00:00Z";
  const kept: Record<string, number[]> = { stg_responses: [], fact_offers: [] };
  for (let i = 0; i < 40; i++) {
    await sql.loadBatch(day(start, i), { [A]: [offer(), offer(), offer()] });
    for (const [table, sizes] of Object.entries(kept)) {
      sizes.push(
        Number(
          await sql.value(
            `select sum(pg_total_relation_size(p.partition_name::regclass)) from p2p.partitions p where p.table_name = $1`,
            table,
          ),
        ),
      );
    }
  }
  // With the day under way, and the one of which a part is not old enough.
  assert.deepEqual(
    await partitions(sql, "stg_responses"),
    ["20260205", "20260206", "20260207", "20260208", "20260209"].slice(1),
  );
  assert.equal((await partitions(sql, "fact_offers")).length, 31);
  assert.deepEqual(
    [...new Set(kept["stg_responses"]?.slice(4))].length,
    1,
    `${kept["stg_responses"]}`,
  );
  assert.deepEqual(
    [...new Set(kept["fact_offers"]?.slice(31))].length,
    1,
    `${kept["fact_offers"]}`,
  );
  assert.deepEqual(
    await sql.rows(
      `select table_name, to_char(dropped_before at time zone 'UTC', 'MM-DD HH24:MI') as dropped_before, held_up_by
       from p2p.dropped_facts order by 1`,
    ),
    [
      { table_name: "fact_offers", dropped_before: "01-10 00:00", held_up_by: null },
      { table_name: "stg_responses", dropped_before: "02-06 00:00", held_up_by: null },
    ],
  );
  assert.deepEqual(
    await sql.row(
      `select
         count(*) filter (where raw_deleted_at is not null)::integer as without_pages,
         count(*) filter (where raw_deleted_at is null and not exists (
           select from p2p.stg_responses s where s.extraction_timestamp = r.batch_start_time
         ))::integer as untold
       from p2p.ops_batch_runs r`,
    ),
    { without_pages: 36, untold: 0 },
  );
  assert.equal(
    await sql.value(
      "select max(starts_at)::text from p2p.partitions where table_name = 'fact_offers' and starts_at < '2026-03-01'",
    ),
    "2026-02-12 00:00:00+00",
    "three days stand ready",
  );
  assert.equal(
    await sql.value(
      "select t.partitions = (select count(*) from p2p.partitions p where p.table_name = t.table_name) from p2p.table_sizes t where t.table_name = 'fact_offers'",
    ),
    true,
  );
});

Deno.test("who reads for long keeps old days from going, and no load from ending", async () => {
  await using sql = await SqlFixture.create();
  await set(sql, "raw_retention_days", 3);
  await set(sql, "offers_retention_days", 30);
  await sql.loadBatch("2026-01-01T10:00:00Z", { [A]: [offer()] });
  const heldUp = () =>
    sql.row(
      "select held_up_since, held_up_by from p2p.dropped_facts where table_name = 'fact_offers'",
    );
  let since: unknown;
  {
    await using _reader = await holdTable(sql.url, "p2p.fact_offers", "access share");
    // Databases of one template have the same numbers for their tables.
    await using other = await SqlFixture.create();
    await using _other = await holdTable(other.url, "p2p.fact_offers", "access share");
    for (const at of ["2026-03-01T10:00:00Z", "2026-03-01T10:10:00Z"]) {
      await sql.loadBatch(at, { [A]: [offer()] }); // the lock is held still
      const { held_up_by, held_up_since } = await heldUp();
      assert.match(String(held_up_by), /^read by \S+ \(pid \d+\)$/);
      since ??= held_up_since;
      assert.deepEqual(held_up_since, since, "since the first time");
    }
    assert.deepEqual(await homes(sql, "fact_offers"), ["20260101", "20260301"]);
    assert.deepEqual(await homes(sql, "stg_responses"), ["20260301"], "others do not wait for it");
  }
  await sql.loadBatch("2026-03-01T10:20:00Z", { [A]: [offer()] });
  assert.deepEqual(await homes(sql, "fact_offers"), ["20260301"]);
  assert.deepEqual(await heldUp(), { held_up_since: null, held_up_by: null });
});

Deno.test("a day that something stands on is kept, and what it is is told", async () => {
  await using sql = await SqlFixture.create();
  await set(sql, "offers_retention_days", 30);
  await sql.loadBatch("2026-01-01T10:00:00Z", { [A]: [offer()] });
  await sql.rows(
    "create view public.new_year as select * from p2p_partitions.fact_offers_20260101",
  );
  await sql.loadBatch("2026-03-01T10:00:00Z", { [A]: [offer()] });
  assert.deepEqual(await homes(sql, "fact_offers"), ["20260101", "20260301"]);
  const { told } = await sql.work(
    "select p2p.apply_retention(null) -> 'held_up' ->> 'fact_offers' as told",
  );
  assert.match(
    String(told),
    /^view public\.new_year depends on table p2p_partitions\.fact_offers_20260101$/,
  );
  const retention = () =>
    sql.values(
      "select finding from p2p.diagnose() where topic = 'policies' and finding like '%old enough%'",
    );
  assert.deepEqual(await retention(), [], "not worth a word on the first day");
  await sql.rows(
    "update p2p.dropped_facts set held_up_since = held_up_since - interval '25 hours'",
  );
  assert.match(
    String(await retention()),
    /^fact_offers: what is old enough is dropped — violated: waits since .*: view public\.new_year depends/,
  );
  await assert.rejects(
    sql.work("select p2p.drop_older('fact_offers', 'infinity')"),
    /lacks a privilege/,
  );
  await assert.rejects(
    sql.rows("select p2p.drop_older('settings', 'infinity')"),
    /table settings is not kept by day or month/,
  );
});

Deno.test("facts that were dropped come back where their pages are kept", async () => {
  await using sql = await SqlFixture.create();
  await set(sql, "raw_retention_days", 400);
  await set(sql, "offers_retention_days", 30);
  const old = await sql.loadBatch("2026-01-01T10:00:00Z", { [A]: [offer()] });
  await sql.loadBatch("2026-03-01T10:00:00Z", { [A]: [offer()] });
  assert.deepEqual(await homes(sql, "fact_offers"), ["20260301"]);
  assert.equal((await old.load())["status"], "completed");
  assert.deepEqual(await homes(sql, "fact_offers"), ["20260101", "20260301"]);
});

Deno.test("rows written are counted where they are kept", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.loadBatch("2026-03-01T10:00:00Z", { [A]: [offer(), offer()] });
  const replay = async () =>
    Number(
      (await sql.work("select rows_written from p2p.replay_batch($1)", batch.id))["rows_written"],
    );
  assert.equal(await replay(), 0);
  await sql.rows("update p2p.fact_offers set price = price + 1");
  await sql.rows("delete from p2p.fact_market_depth");
  assert.equal(
    await replay(),
    4,
    "two offers, a book, and the row of the batch, which counts them",
  );
});
