// Aggregates say what the facts say, whatever happened: on plain PostgreSQL and on TimescaleDB. What is outdated there is
// refreshed first, exactly what aggregates_to_refresh names.
import assert from "node:assert/strict";
import { migrate } from "../../src/database/migrate.ts";
import { refreshAggregates } from "../../src/database/refresh.ts";
import { differences, TRUTH } from "../support/aggregate_truth.ts";
import { isTimescale, testDatabase } from "../support/database.ts";
import { changeFunction, PARSER, PRICE } from "../support/live_functions.ts";
import { formerRelease, installRelease } from "../support/releases.ts";
import { type MarketName, SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { type Item, offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";
const ARS = "ARS/BTC BUY";
const MARKETS: readonly MarketName[] = [BUY, SELL, ARS];

async function refresh(sql: SqlFixture): Promise<void> {
  const { left, reason } = await refreshAggregates(sql.database);
  assert.deepEqual([left, reason], [0, undefined]);
}

/** Every aggregate column of every view equals a query over the facts. */
async function check(sql: SqlFixture, when: string): Promise<void> {
  await refresh(sql);
  for (const view of Object.keys(TRUTH)) {
    assert.deepEqual(await sql.rows(differences(view)), [], `${view}, ${when}`);
  }
}

type Random = (below: number) => number;

/** Mulberry32: the same numbers for the same seed. */
function random(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 2 ** 32 * below);
  };
}

/** Times that lie on borders and beside them, in hours that follow one another and hours that do not. */
const TIMES = [
  "2026-02-28T22:59:59.999Z",
  "2026-02-28T23:00:00Z",
  "2026-02-28T23:59:59.999999Z",
  "2026-03-01T00:00:00Z",
  "2026-03-01T00:10:00.5Z",
  "2026-03-01T00:50:00Z",
  "2026-03-01T01:00:00Z",
  // Clocks change in much of the world; UTC does not.
  "2026-03-29T00:50:00Z",
  "2026-03-29T01:10:00Z",
  "2026-03-29T02:00:00Z",
  "2026-04-01T00:00:00Z",
];

function randomOffers(next: Random): Item[] {
  // 0: an empty book.
  return Array.from({ length: next(5) }, () => {
    const user = `s${next(4)}`;
    const kind = next(3);
    return offer({
      price: `${30 + next(10)}.${next(100)}`,
      amount: ["0", "0.5", "10.00", "333.3333"][next(4)] ?? "1",
      user,
      nick: `${user} called ${next(2)}`,
      advertiser: { monthOrderCount: next(50), userType: kind === 0 ? "merchant" : "user" },
    });
  });
}

async function randomBatch(sql: SqlFixture, next: Random, at: string): Promise<TestBatch> {
  // A market may vanish and come back.
  const markets = MARKETS.filter(() => next(5) > 0);
  const batch = await sql.openBatch({ markets, at });
  for (const market of markets) {
    if (next(8) === 0) await batch.lose(market);
    else await batch.page(market, randomOffers(next));
  }
  await batch.load();
  return batch;
}

for (const seed of [1, 2, 3]) {
  Deno.test(`batches in any order, loaded again, with changed SQL: seed ${seed}`, async () => {
    await using sql = await SqlFixture.create();
    await sql.rows("update p2p.settings set value = '3650' where name like '%retention_days'");
    const next = random(seed);
    // In order or late: each time stands once.
    const times = TIMES.map((time) => [seed % 2 === 0 ? 0 : next(1000), time] as const)
      .toSorted(([a], [b]) => a - b).map(([, time]) => time);
    const batches: TestBatch[] = [];
    for (const time of times) {
      batches.push(await randomBatch(sql, next, time));
      if (next(3) === 0) await check(sql, `after ${time}`);
    }
    await check(sql, "after all batches");

    const before = await sql.dump();
    for (const batch of batches) await batch.load();
    assert.deepEqual(await sql.dump(), before, "loading again writes nothing");

    // An hour, a day: who changed their name within it, differently now.
    await changeFunction(
      sql.database,
      PARSER,
      PRICE,
      "nullif(i.adv ->> 'price', '35.50') as price",
    );
    await changeFunction(sql.database, PARSER, "'nickName'", "'userNo'");
    for (const batch of batches.filter(() => next(2) === 0)) {
      await batch.load();
      if (next(3) === 0) await check(sql, "between");
    }
    await check(sql, "after changed SQL");
    for (const batch of batches) await batch.load();
    await check(sql, "after all were loaded with changed SQL");
    assert.equal(await sql.value("select count(*)::integer from p2p.failed_steps"), 0);
  });
}

Deno.test("a load that fails changes nothing, and the next one makes it good", async () => {
  await using sql = await SqlFixture.create();
  const first = await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer({ price: "10" })] });
  await sql.loadBatch("2026-03-01 11:00+00", { [BUY]: [offer({ price: "11" })] });
  await sql.database.runScript(
    `create function public.fails(p_batch_id uuid) returns void language plpgsql as $$ begin raise 'no'; end $$;
     insert into p2p.pipeline_steps (name, position, function, is_required, comment) values ('fails', 500, 'public.fails', true, 'x')`,
    20,
  );
  await changeFunction(sql.database, PARSER, PRICE, "'77' as price");
  await assert.rejects(first.load(), /step fails failed/);
  await check(sql, "after a failed load again");
  const third = await sql.openBatch({ markets: [BUY], at: "2026-03-01 12:00+00" });
  await third.page(BUY, [offer()]);
  assert.equal((await third.load())["status"], "failed");
  await check(sql, "after a failed batch");
  await sql.rows("delete from p2p.pipeline_steps where name = 'fails'");
  for (const batch of [third, first]) await batch.load();
  await check(sql, "after it was mended");
  assert.equal(await sql.value("select count(*)::integer from p2p.market_hours"), 3);
});

Deno.test("what was made of facts that retention dropped stays, whatever is loaded later", async () => {
  await using sql = await SqlFixture.create();
  const settings = (days: number) =>
    sql.rows(
      "update p2p.settings set value = $1 where name in ('offers_retention_days', 'raw_retention_days')",
      String(days),
    );
  await settings(400);
  const next = random(7);
  for (
    const time of ["10T23:50", "11T00:00", "11T00:10", "11T23:50", "12T00:00", "12T05:00"]
  ) {
    await randomBatch(sql, next, `2026-01-${time}:00Z`);
  }
  await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer()] });
  await check(sql, "before");
  const kept = async (where: string): Promise<unknown[]> => {
    const rows: unknown[] = [];
    for (const [view, time] of [["merchant_hours", "hour"], ["merchant_days", "day"]]) {
      rows.push(
        await sql.values(
          `select row(v.*)::text from p2p.${view} v where v.${time} ${where} order by 1`,
        ),
      );
    }
    return rows;
  };
  const history = await kept("< '2026-02-01Z'");
  assert.ok((history[0] as unknown[]).length > 4);

  await settings(30);
  await sql.loadBatch("2026-03-01 11:00+00", { [BUY]: [offer()] });
  assert.equal(
    await sql.value(
      "select count(*)::integer from p2p.fact_offers where extraction_timestamp < '2026-02-01Z'",
    ),
    0,
    "the offers are gone",
  );
  await refresh(sql);
  assert.deepEqual(await kept("< '2026-02-01Z'"), history);

  // A late batch of those days is one snapshot of six: it must not pass for the whole.
  await settings(400);
  await sql.loadBatch("2026-01-11T00:05:00Z", { [BUY]: [offer()], [SELL]: [], [ARS]: [] });
  await refresh(sql);
  assert.deepEqual(await kept("< '2026-02-01Z'"), history);
  for (const view of ["merchant_hours", "merchant_days"]) {
    const time = view === "merchant_hours" ? "hour" : "day";
    assert.deepEqual(await sql.rows(differences(view, `${time} >= '2026-02-01Z'`)), [], view);
  }
});

Deno.test("hours of advertisers that were dropped before their offers come back whole or not at all", async () => {
  await using sql = await SqlFixture.create();
  if (await sql.value("select p2p.database_tier()") !== "plain") return;
  await sql.rows("update p2p.settings set value = '3650' where name like '%retention_days'");
  const of = (nick: string) => [offer({ user: "s1", nick }), offer({ user: "s2" })];
  for (const time of ["01-10T10:00Z", "01-10T12:00Z", "03-20T10:00Z"]) {
    await sql.loadBatch(`2026-${time}`, { [BUY]: of("a") });
  }
  await sql.rows(
    "update p2p.settings set value = '30' where name = 'merchant_hours_retention_days'",
  );
  await sql.rows("select p2p.apply_retention(null)");
  await sql.loadBatch("2026-01-10T11:00Z", { [BUY]: of("b") }); // so that the offers of 12:00 get another row
  assert.deepEqual(
    await sql.rows(
      "select to_char(time_bucket at time zone 'UTC', 'HH24') as hour, advertisers::integer from p2p.market_hourly order by time_bucket",
    ),
    [["10", 2], ["11", 2], ["12", 2], ["10", 2]].map(([hour, advertisers]) => ({
      hour,
      advertisers,
    })),
  );
  assert.deepEqual(
    await sql.values(
      "select snapshots::integer from p2p.merchant_daily where advertiser_id = 's2' order by time_bucket",
    ),
    [3, 1],
    "the day is made of all its hours",
  );
});

Deno.test("hours of batches that were loaded while the step was switched off are made up for", async () => {
  await using sql = await SqlFixture.create();
  if (await sql.value("select p2p.database_tier()") !== "plain") return; // the step is of the plain tier
  const next = random(11);
  const step = (isEnabled: boolean) =>
    sql.rows(
      "update p2p.pipeline_steps set is_enabled = $1 where name = 'summarise_hours'",
      isEnabled,
    );
  for (const again of ["2026-03-01T11:20Z", undefined]) {
    const day = again === undefined ? "04" : "01";
    await randomBatch(sql, next, `2026-03-${day}T10:00Z`);
    await step(false);
    for (const hour of ["11:20", "11:30", "13:00", "23:59"]) {
      await randomBatch(sql, next, `2026-03-${day}T${hour}Z`);
    }
    await randomBatch(sql, next, `2026-03-0${Number(day) + 1}T00:00Z`);
    await step(true);
    // The first load afterwards may be one of an old batch.
    if (again !== undefined) {
      await sql.work(
        "select p2p.load_batch((select batch_id from p2p.ops_batch_runs where batch_start_time = $1::timestamptz))",
        again,
      );
      await check(sql, "after an old batch was loaded again");
    }
    await randomBatch(sql, next, `2026-03-0${Number(day) + 2}T12:00Z`);
    await check(sql, "after the next batch");
  }
});

Deno.test("an old batch that is imported among new ones", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("update p2p.settings set value = '3650' where name like '%retention_days'");
  const next = random(8);
  for (const time of ["2026-03-01T10:00Z", "2026-03-01T11:00Z", "2026-03-02T11:00Z"]) {
    await randomBatch(sql, next, time);
  }
  await check(sql, "before");
  for (const time of ["2024-02-29T23:50Z", "2024-02-29T23:55Z", "2026-03-01T10:05Z"]) {
    await randomBatch(sql, next, time);
    await check(sql, `after the import of ${time}`);
  }
  await randomBatch(sql, next, "2026-03-02T12:00Z");
  await check(sql, "after the next batch");
});

Deno.test("a late batch of a day whose hours went by their own retention, and whose offers did not", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("update p2p.settings set value = '3650' where name = 'offers_retention_days'");
  const next = random(9);
  for (const time of ["2024-02-20T10:00Z", "2024-02-20T10:10Z", "2024-02-20T12:00Z"]) {
    await randomBatch(sql, next, time);
  }
  for (const time of ["2026-03-01T10:00Z", "2026-03-01T11:00Z"]) {
    await randomBatch(sql, next, time);
    await refresh(sql);
  }
  const days = async (when: string) => {
    await refresh(sql);
    for (const view of ["merchant_days", "market_hours", "market_days"]) {
      assert.deepEqual(await sql.rows(differences(view)), [], `${view}, ${when}`);
    }
  };
  await days("before");
  await randomBatch(sql, next, "2024-02-20T12:05Z");
  await days("after an hour that was there");
  await randomBatch(sql, next, "2026-03-01T12:00Z");
  await randomBatch(sql, next, "2024-02-20T15:00Z");
  await days("after an hour of its own");
});

Deno.test("a database of release 0.2.0 has all hours and days of its facts after migrate", async () => {
  await using old = await testDatabase("empty");
  const release = formerRelease("0.2.0");
  await installRelease(old.database, release);
  await old.database.runScript(release.batches, 60);
  await using sql = SqlFixture.connect(old.url);
  const next = random(10);
  for (const time of [...TIMES, "2026-04-01T00:10:00Z"]) await randomBatch(sql, next, time);
  await migrate(old.database);
  await check(sql, "after migrate");
  for (const time of ["2026-04-01T00:20Z", "2026-03-01T00:20Z", "2026-04-02T00:00Z"]) {
    await randomBatch(sql, next, time);
    await check(sql, `after ${time}`);
  }
});

Deno.test("loads and readers in another time zone", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows(
    "alter database " + new URL(sql.url).pathname.slice(1) + " set timezone = 'Asia/Kathmandu'",
  );
  await using own = SqlFixture.connect(sql.url);
  const next = random(9);
  for (const time of TIMES.slice(0, 7)) await randomBatch(own, next, time);
  await check(own, "in Kathmandu");
  assert.deepEqual(
    (await own.values(
      "select distinct extract(epoch from day)::bigint % 86400 from p2p.market_days",
    )).map(String),
    ["0"],
  );
});

Deno.test("an advertiser who changes identity within the hour counts once; a merchant counts as one", async () => {
  await using sql = await SqlFixture.create();
  const of = (nick: string, userType: string) =>
    offer({ user: "s1", nick, advertiser: { userType } });
  await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [of("a", "user"), of("a", "user")] });
  await sql.loadBatch("2026-03-01 10:10+00", {
    [BUY]: [of("b", "merchant"), offer({ user: "s2" })],
  });
  await sql.loadBatch("2026-03-01 11:00+00", { [BUY]: [] });
  for (const view of ["market_hourly", "market_daily"]) {
    assert.deepEqual(
      await sql.row(
        `select merchants::integer, advertisers::integer from p2p.${view} order by time_bucket limit 1`,
      ),
      { merchants: 1, advertisers: 2 },
    );
  }
  assert.deepEqual(
    await sql.row(
      "select merchants::integer, advertisers::integer, best_open from p2p.market_hourly order by time_bucket desc limit 1",
    ),
    { merchants: 0, advertisers: 0, best_open: null },
    "an hour of empty books",
  );
  await check(sql, "with two identities");
});

Deno.test("one market and a range of time reach the index: names, sides and times are pushed down", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("update p2p.settings set value = '3650' where name like '%retention_days'");
  for (const time of ["2026-01-01T10:00Z", "2026-02-01T10:00Z", "2026-02-01T11:00Z"]) {
    await randomBatch(sql, random(1), time);
  }
  await refresh(sql);
  for (const view of ["market_hourly", "market_daily", "v_price_history", "merchant_daily"]) {
    const plan = await planOf(
      sql,
      `select * from (select time_bucket, ${
        view === "v_price_history" ? "avg_price" : "snapshots"
      }, fiat_code, crypto_symbol, trade_type from p2p.${view}) as v where fiat_code = 'VES' and crypto_symbol = 'USDT' and trade_type = 'BUY'
         and time_bucket >= '2026-02-01Z' and time_bucket < '2026-03-01Z'`,
    );
    const conditions = plan.split("\n").filter((line) => line.includes("Index Cond"));
    assert.ok(
      conditions.some((line) => /fiat_id = /.test(line) && /(hour|day) >= /.test(line)),
      `${view}\n${plan}`,
    );
    assert.ok(
      !(view.endsWith("daily") ? /_days_202601/ : /_hours_202601/).test(plan),
      `${view} reads a month that was not asked for\n${plan}`,
    );
  }
});

Deno.test("one advertiser is looked up in each part of their days, and an hour that is stored without the facts", async () => {
  await using sql = await SqlFixture.create();
  for (const time of ["2026-02-01T10:00Z", "2026-02-01T11:00Z"]) {
    await randomBatch(sql, random(1), time);
  }
  await refresh(sql);
  const days = await planOf(sql, "select * from p2p.merchant_daily where advertiser = 'Somebody'");
  // TimescaleDB leaves out parts that have no chunk.
  assert.ok(days.split("nickname = 'Somebody'").length > (isTimescale() ? 2 : 3), days);
  assert.match(days, /Index Cond: .*advertiser_sk = a/);
  const hours = await planOf(
    sql,
    "(analyze) select * from p2p.merchant_hours where hour = (select timestamptz '2026-02-01 10:00Z')",
  );
  assert.match(hours, /Aggregate .*never executed/);
});

async function planOf(sql: SqlFixture, statement: string): Promise<string> {
  await sql.database.runScript(
    `create or replace function public.plan_of(p_statement text) returns setof text language plpgsql
       set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
       begin return query execute 'explain ' || p_statement; end $$`,
    20,
  );
  return (await sql.values("select * from public.plan_of($1)", statement)).join("\n");
}
