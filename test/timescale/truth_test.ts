// On TimescaleDB every aggregate says what a query over the facts says, or still holds what the facts no longer have:
// after late batches, replays, packed chunks that were written to, and drops.
import assert from "node:assert/strict";
import { migrate } from "../../src/database/migrate.ts";
import { refreshAggregates } from "../../src/database/refresh.ts";
import { urlAs } from "../support/database.ts";
import { changeFunction, PARSER, PRICE } from "../support/live_functions.ts";
import { runProgram } from "../support/program.ts";
import { type MarketName, SqlFixture } from "../support/sql_fixture.ts";
import { type Item, offer } from "../support/sql_offer.ts";

const BUY: MarketName = "VES/USDT BUY";
const SELL: MarketName = "VES/USDT SELL";

/** One advertiser's ad; price and amount tell batches apart. */
const ad = (id: number, price: number, nick = `trader ${id}`): Item =>
  offer({ id: `${id}`, price: price.toFixed(2), amount: `${price * 10}`, user: `a${id}`, nick });

async function aggregates(sql: SqlFixture): Promise<{ name: string; definition: string }[]> {
  const rows = await sql.rows(
    `select s.aggregate as name, format('%I.%I', ca.direct_view_schema, ca.direct_view_name) as definition
     from p2p.aggregate_sources s
     join _timescaledb_catalog.continuous_agg ca on ca.mat_hypertable_id = s.stored_id
     order by s.level, 1`,
  );
  assert.equal(rows.length, 4);
  return rows as { name: string; definition: string }[];
}

/** What the aggregates say, and what their own queries say of the facts (or of the aggregate below) now. */
async function compare(sql: SqlFixture): Promise<Record<string, [unknown[], unknown[]]>> {
  const found: Record<string, [unknown[], unknown[]]> = {};
  for (const { name, definition } of await aggregates(sql)) {
    found[name] = [
      await sql.values(`select a::text from p2p.${name} a order by 1`),
      await sql.values(`select d::text from ${definition} d order by 1`),
    ];
  }
  return found;
}

async function assertTrue(sql: SqlFixture, why: string): Promise<void> {
  for (const [name, [said, facts]] of Object.entries(await compare(sql))) {
    assert.ok(facts.length > 0, name);
    assert.deepEqual(said, facts, `${name}: ${why}`);
  }
}

async function outdated(sql: SqlFixture): Promise<string[]> {
  const names: string[] = [];
  for (const [name, [said, facts]] of Object.entries(await compare(sql))) {
    if (JSON.stringify(said) !== JSON.stringify(facts)) names.push(name);
  }
  return names;
}

async function refreshAll(sql: SqlFixture): Promise<void> {
  const { left, reason } = await refreshAggregates(sql.database);
  assert.equal(left, 0, reason);
}

async function packAll(sql: SqlFixture): Promise<void> {
  await sql.rows(
    `select public.compress_chunk(c) from unnest(array['p2p.fact_offers', 'p2p.fact_market_depth']::regclass[]) as t (h)
     cross join lateral public.show_chunks(t.h) as c`,
  );
}

async function factsOf(sql: SqlFixture): Promise<unknown[]> {
  return await sql.values(
    `select f::text from p2p.fact_offers f
     union all
     select row(d.extraction_timestamp, d.trade_type, d.total_offers_count, d.median_price, d.best_bid, d.best_ask)::text
     from p2p.fact_market_depth d
     order by 1`,
  );
}

/** Every price of the batches one higher, as if the parser had been mended. */
async function mendParser(sql: SqlFixture): Promise<void> {
  const body = String(
    await sql.value("select body from p2p.schema_objects where name = 'functions/load_offers.sql'"),
  );
  const changed = body.replace("c.price, c.available_amount,", "c.price + 1, c.available_amount,");
  assert.notEqual(changed, body);
  await sql.database.runScript(changed, 60);
}

Deno.test("packed chunks are written to like others: late batches, loading again, histories; and stay true", async () => {
  const load = async (sql: SqlFixture, pack: boolean) => {
    const batches = [];
    for (const day of [1, 2, 3]) {
      for (const hour of ["10", "11"]) {
        batches.push(
          await sql.loadBatch(`2026-03-0${day} ${hour}:00+00`, {
            [BUY]: [ad(1, 40 + day), ad(2, 50, day === 3 ? "renamed" : "first name")],
            [SELL]: [ad(3, 39)],
          }),
        );
      }
    }
    await refreshAll(sql);
    if (pack) await packAll(sql);
    // One that changes nothing, one that came late and tells of another name, and all of them with other SQL.
    await batches[0]?.load();
    await sql.loadBatch("2026-03-02 10:30+00", {
      [BUY]: [ad(2, 51, "renamed"), ad(4, 52)],
      [SELL]: [],
    });
    await mendParser(sql);
    for (const batch of batches.slice(1, 4)) await batch.load();
    return batches;
  };
  await using plain = await SqlFixture.create();
  await load(plain, false);
  await using packed = await SqlFixture.create();
  // No more than this many rows are unpacked by one statement, unless load_batch lifts the limit.
  await packed.rows(
    `do $$ begin execute format('alter database %I set timescaledb.max_tuples_decompressed_per_dml_transaction = 1', current_database()); end $$`,
  );
  await using limited = SqlFixture.connect(packed.url);
  const batches = await load(limited, true);
  const withoutIds = (rows: unknown[]) =>
    rows.map((row) => String(row).replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, ""));
  assert.deepEqual(withoutIds(await factsOf(limited)), withoutIds(await factsOf(plain)));
  assert.ok((await outdated(limited)).length > 0, "what was written to old chunks is not seen yet");
  await refreshAll(limited);
  await assertTrue(limited, "after writing to packed chunks");

  const before = await factsOf(limited);
  await packAll(limited);
  assert.deepEqual(await factsOf(limited), before, "packed again");
  await batches[1]?.load();
  assert.deepEqual(await factsOf(limited), before, "a second call changes no row");
  await assertTrue(limited, "and nothing else");
});

Deno.test("replay refreshes what it touched, and no more; who may not, is told that a policy does", async () => {
  await using sql = await SqlFixture.create();
  const batches = [];
  for (const time of ["01 10:00", "01 10:10", "02 10:00", "05 10:00"]) {
    batches.push(await sql.loadBatch(`2026-03-${time}+00`, { [BUY]: [ad(1, 40), ad(2, 41)] }));
  }
  await migrate(sql.database);
  await assertTrue(sql, "after migrate");
  await mendParser(sql);
  const worker = await runProgram(
    ["replay", "--batch", batches[0]?.id ?? ""],
    { DATABASE_URL: urlAs("worker", sql.url), LOG_FORMAT: "text" },
  );
  assert.equal(worker.code, 0, worker.stderr);
  assert.match(worker.stderr, /not refreshed: .*must be owner.*policies refresh.*within the hour/s);
  assert.deepEqual(await outdated(sql), ["market_hours_v1"], "of merchants no price is kept");

  // What somebody else left outdated is theirs: the second of March stays as it is.
  await batches[2]?.load();
  const owner = await runProgram(
    ["replay", "--batch", batches[0]?.id ?? "", "--all", "--json"],
    { DATABASE_URL: sql.url, LOG_FORMAT: "text" },
  );
  assert.equal(owner.code, 0, owner.stderr);
  const { refreshed } = JSON.parse(owner.stdout);
  assert.equal(refreshed.left, 0, refreshed.reason);
  assert.deepEqual(Object.keys(refreshed.aggregates).sort(), [
    "market_days_v1",
    "market_hours_v1",
    "merchant_days_v1",
    "merchant_hours_v1",
  ]);
  const prices = async (day: string) =>
    await sql.value(
      "select max(best_high)::text from p2p.market_hours_v1 where hour::date = $1::text::date",
      day,
    );
  assert.equal(await prices("2026-03-01"), "41.00");
  assert.equal(await prices("2026-03-02"), "40.00", "not touched by that replay");
  await refreshAll(sql);
  await assertTrue(sql, "after all of it");
  assert.deepEqual(await sql.rows("select * from p2p.aggregates_to_refresh(null, null)"), []);
});

Deno.test("quarantine replay refreshes what it touched, as replay does", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [ad(1, 40), offer({ price: "0" })] });
  await migrate(sql.database);
  await assertTrue(sql, "after migrate");
  await changeFunction(
    sql.database,
    PARSER,
    PRICE,
    "replace(i.adv ->> 'price', '0', '7') as price",
  );
  const { code, stdout, stderr } = await runProgram(["quarantine", "replay", "--json"], {
    DATABASE_URL: sql.url,
    LOG_FORMAT: "text",
  });
  assert.equal(code, 0, stderr);
  const { repaired, refreshed } = JSON.parse(stdout);
  assert.deepEqual([repaired, refreshed.left], [1, 0]);
  await assertTrue(sql, "after quarantine replay");
});

Deno.test("facts are not dropped before every aggregate holds them, and what was dropped stays in the aggregates", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("update p2p.settings set value = '30' where name = 'offers_retention_days'");
  await sql.loadBatch("2026-01-01 10:00+00", { [BUY]: [ad(1, 40), ad(2, 41)] });
  await sql.loadBatch("2026-01-02 10:00+00", { [BUY]: [ad(1, 42)] });
  await sql.loadBatch("2026-02-20 10:00+00", { [BUY]: [ad(1, 43)] });
  const days = () =>
    sql.values("select distinct extraction_timestamp::date::text from p2p.fact_offers order by 1");
  assert.deepEqual(
    await days(),
    ["2026-01-01", "2026-01-02", "2026-02-20"],
    "nothing holds them yet",
  );
  const [held] = await sql.rows(
    "select * from p2p.policy_audit where rule = 'what is old enough is dropped' and status = 'violated'",
  );
  assert.match(String(held?.["finding"]), /merchant_hours_v1 does not hold all of 2026-01-01/);
  await refreshAll(sql);
  await assertTrue(sql, "before the drop");
  const history = await sql.values("select m::text from p2p.merchant_hours_v1 m order by 1");

  // Changed again after the refresh: the second of January has to wait once more.
  await sql.rows(
    "update p2p.fact_offers set available_amount = 7 where extraction_timestamp = '2026-01-02 10:00+00'",
  );
  const dropped = await sql.value("select p2p.apply_retention(null)") as Record<string, unknown>;
  assert.equal(dropped["fact_offers"], 1);
  assert.deepEqual(await days(), ["2026-01-02", "2026-02-20"]);
  await refreshAll(sql);
  await sql.rows("select p2p.apply_retention(null)");
  assert.deepEqual(await days(), ["2026-02-20"]);
  assert.equal(
    await sql.value(
      "select dropped_before::text from p2p.dropped_facts where table_name = 'fact_offers'",
    ),
    "2026-01-03 00:00:00+00",
  );
  await refreshAll(sql);
  const kept = await sql.values("select m::text from p2p.merchant_hours_v1 m order by 1");
  assert.equal(kept.length, history.length, "no hour went");
  assert.match(kept.join("\n"), /2026-01-02.*,7,/s);

  // Recorded batches of that time come again: the aggregate has more than they have, and keeps it. Of a time that it
  // has nothing of it takes them in, before they go.
  await sql.loadBatch("2026-01-01 10:30+00", { [BUY]: [ad(9, 99)] });
  await sql.loadBatch("2025-12-24 10:30+00", { [BUY]: [ad(9, 77)] });
  await refreshAll(sql);
  await sql.loadBatch("2026-02-20 10:10+00", { [BUY]: [ad(1, 43)] });
  await refreshAll(sql);
  const later = await sql.values(
    "select m::text from p2p.merchant_hours_v1 m where hour < '2026-02-01' order by 1",
  );
  assert.deepEqual(
    later.filter((row) => !String(row).includes("2025-12-24")),
    kept.filter((row) => !String(row).includes("2026-02-20")),
  );
  assert.equal(later.filter((row) => String(row).includes("2025-12-24")).length, 1);
  assert.deepEqual(await days(), ["2026-02-20"]);
});

Deno.test("a session that reads what is to be dropped holds it up, and nobody else", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("update p2p.settings set value = '30' where name = 'offers_retention_days'");
  await sql.loadBatch("2026-01-01 10:00+00", { [BUY]: [ad(1, 40)] });
  await sql.loadBatch("2026-02-10 10:00+00", { [BUY]: [ad(1, 40)] });
  await refreshAll(sql);
  await using reader = SqlFixture.connect(sql.url);
  const reading = reader.database.runScript(
    "begin; select count(*) from p2p.fact_offers where extraction_timestamp < '2026-01-02'; select pg_sleep(30)",
    60,
  ).catch(() => {});
  let pid: unknown;
  while (pid === undefined) {
    pid = await sql.value(
      "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'",
    );
  }
  const batch = await sql.loadBatch("2026-02-20 10:00+00", { [BUY]: [ad(1, 43)] });
  assert.match(
    String(
      await sql.value("select held_up_by from p2p.dropped_facts where table_name = 'fact_offers'"),
    ),
    /somebody reads/,
  );
  assert.equal(
    await sql.value("select status from p2p.ops_batch_runs where batch_id = $1", batch.id),
    "completed",
  );
  await sql.value("select pg_terminate_backend($1)", Number(pid));
  await reading;
  await sql.rows("select p2p.apply_retention(null)");
  assert.equal(await sql.value("select count(*) from p2p.fact_offers"), "2");
  assert.equal(
    await sql.value("select held_up_by from p2p.dropped_facts where table_name = 'fact_offers'"),
    null,
  );
});

Deno.test("six weeks day by day: no aggregate loses history, no gap, and chunks stay flat after the horizon", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("update p2p.settings set value = '30' where name = 'offers_retention_days'");
  const truth = new Map<string, Map<string, string>>();
  const chunks: string[] = [];
  const at = (day: number, time: string) =>
    `${new Date(Date.UTC(2026, 0, 1 + day)).toISOString().slice(0, 10)} ${time}+00`;
  const price = (day: number, time: number) => 40 + ((day * 7 + time) % 10);
  const recent = new Map<number, { load(): Promise<unknown> }>();
  for (let day = 0; day < 42; day += 1) {
    for (const [i, time] of ["00:00", "12:20", "23:50"].entries()) {
      const batch = await sql.loadBatch(at(day, time), {
        [BUY]: [ad(1, price(day, i)), ad(2, price(day, i) + 0.5), ad(10 + day, 60)],
        [SELL]: [ad(3, 39)],
      });
      recent.set(day, batch);
    }
    // A worker that was away brings a batch of four days ago; old pages are loaded again after the SQL was changed.
    if (day % 10 === 9) {
      await sql.loadBatch(at(day - 4, "06:00"), { [BUY]: [ad(1, 33), ad(77, 34)] });
    }
    if (day === 20) await mendParser(sql);
    if (day > 20 && day < 25) await recent.get(day - 6)?.load();

    const now = at(day + 1, "00:05");
    await sql.rows("select p2p.apply_policies()");
    const policies = await sql.rows(
      `select w.policy, w.relation, $1::timestamptz - w.look_back as since, $1::timestamptz - w.stay_behind as until,
         $1::timestamptz - w.pack_after as pack_before
       from p2p.wanted_policies($1::timestamptz) w
       left join p2p.aggregate_sources s on s.aggregate = w.relation
       order by w.policy desc, s.level`,
      now,
    );
    for (const { policy, relation, since, until, pack_before } of policies) {
      if (policy === "refresh") {
        await sql.rows(
          `call public.refresh_continuous_aggregate('p2p.${relation}', '${
            (since as Date).toISOString()
          }', '${(until as Date).toISOString()}')`,
        );
      } else {
        await sql.rows(
          `select public.compress_chunk(format('%I.%I', c.chunk_schema, c.chunk_name)::regclass, if_not_compressed => true)
           from timescaledb_information.chunks c
           where (c.hypertable_schema, c.hypertable_name) in (
               select 'p2p', $1::text
               union all
               select stored_schema, stored_table from p2p.aggregate_sources where aggregate = $1::text
             )
             and c.range_end <= $2::timestamptz
             and not c.is_compressed`,
          String(relation),
          pack_before as Date,
        );
      }
    }
    // What the facts say of the time that may still change.
    for (const { name, definition } of await aggregates(sql)) {
      const known = truth.get(name) ?? new Map<string, string>();
      truth.set(name, known);
      const bucket = name.includes("hours") ? "hour" : "day";
      for (
        const { key, row } of await sql.rows(
          `select concat_ws(' ', d.${bucket}, d.trade_type, to_jsonb(d) ->> 'advertiser_sk') as key, d::text as row
         from ${definition} d where d.${bucket} >= $1::timestamptz`,
          at(day - 9, "00:00"),
        )
      ) known.set(String(key), String(row));
    }
    chunks.push((await sql.values(
      `select format('%s %s', table_name, count(*)) from p2p.partitions group by table_name order by table_name`,
    )).join(", "));
  }
  for (const [name, rows] of truth) {
    assert.deepEqual(
      await sql.values(`select a::text from p2p.${name} a order by 1`),
      [...rows.values()].sort(),
      name,
    );
    assert.equal(
      await sql.value(
        `select count(distinct ${name.includes("hours") ? "hour" : "day"}::date) from p2p.${name}`,
      ),
      "42",
      `${name} has every day`,
    );
  }
  assert.equal(
    await sql.value("select count(distinct extraction_timestamp::date) from p2p.fact_offers"),
    "31",
  );
  // Raw pages of 8 days, offers of 31: the same number of chunks each day from then on.
  assert.deepEqual(
    new Set(chunks.slice(-8).map((text) => text.replace(/fact_market_depth \d+, /, ""))),
    new Set(["fact_offers 31, stg_responses 8"]),
  );
  assert.deepEqual(
    await sql.values(
      "select subject || rule from p2p.policy_audit where status = 'violated' and rule not like 'it holds all facts%'",
    ),
    [],
  );
});
