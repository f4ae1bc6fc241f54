// Aggregates on TimescaleDB: packed chunks that are written to, and what a plain database had stored before it was
// converted. The rest is test/sql/aggregates_test.ts, the same on both tiers.
import assert from "node:assert/strict";
import { migrate } from "../../src/database/migrate.ts";
import { refreshAggregates } from "../../src/database/refresh.ts";
import { differences, TRUTH } from "../support/aggregate_truth.ts";
import { testDatabase } from "../support/database.ts";
import { changeFunction, PARSER, PRICE } from "../support/live_functions.ts";
import { runProgram } from "../support/program.ts";
import { Folder, recorded } from "../support/recordings.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";

async function check(sql: SqlFixture, where: Readonly<Record<string, string>> = {}): Promise<void> {
  const { left, reason } = await refreshAggregates(sql.database);
  assert.deepEqual([left, reason], [0, undefined]);
  for (const view of Object.keys(TRUTH)) {
    assert.deepEqual(await sql.rows(differences(view, where[view])), [], view);
  }
}

/** Facts and aggregates. */
async function packAll(sql: SqlFixture): Promise<number> {
  const packed = await sql.values(
    `select public.compress_chunk(chunk, true)
     from unnest(array['fact_offers', 'fact_market_depth', 'market_hours_v1', 'market_days_v1', 'merchant_hours_v1', 'merchant_days_v1']) as name
     cross join lateral public.show_chunks(('p2p.' || name)::regclass) as chunk`,
  );
  return packed.length;
}

Deno.test("after packed chunks were written to: a batch loaded again with changed SQL, a late one", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("update p2p.settings set value = '3650' where name like '%retention_days'");
  const books = (price: string) => ({
    [BUY]: [offer({ price, user: "s1" }), offer({ price: "41", user: "s2", amount: "7" })],
    [SELL]: [offer({ price: "39", user: "s1" })],
  });
  const first = await sql.loadBatch("2026-03-01 10:00+00", books("40.10"));
  for (const at of ["10:10", "11:00", "23:50"]) {
    await sql.loadBatch(`2026-03-01 ${at}+00`, books("40"));
  }
  await sql.loadBatch("2026-03-03 00:00+00", books("42"));
  await check(sql);
  assert.ok(await packAll(sql) >= 6, "facts and the four aggregates");
  await check(sql);

  await changeFunction(sql.database, PARSER, PRICE, "nullif(i.adv ->> 'price', '41') as price");
  await first.load();
  await check(sql);
  await packAll(sql);
  await sql.loadBatch("2026-03-01 10:20+00", {
    [BUY]: [offer({ price: "43", user: "s1", nick: "another" })],
  });
  await check(sql);
});

Deno.test("a plain database that dropped offers keeps their hours and days when it is converted", async () => {
  await using own = await testDatabase("bare");
  await migrate(own.database);
  await using sql = SqlFixture.connect(own.url);
  const set = (days: number) =>
    sql.rows(
      "update p2p.settings set value = $1 where name in ('offers_retention_days', 'raw_retention_days')",
      String(days),
    );
  await set(400);
  const load = (at: string) =>
    sql.loadBatch(at, { [BUY]: [offer({ user: "s1" }), offer({ user: "s2" })], [SELL]: [] });
  for (const at of ["2026-01-10T23:50Z", "2026-01-11T00:00Z", "2026-03-01T10:00Z"]) await load(at);
  await set(30);
  for (const at of ["2026-03-01T11:00Z", "2026-03-02T00:00Z"]) await load(at);
  assert.equal(
    await sql.value(
      "select count(*)::integer from p2p.fact_offers where extraction_timestamp < '2026-02-01Z'",
    ),
    0,
  );
  const said = async () => ({
    hours: await sql.values("select row(h.*)::text from p2p.merchant_hours h order by 1"),
    days: await sql.values("select row(d.*)::text from p2p.merchant_days d order by 1"),
    daily: await sql.values("select row(d.*)::text from p2p.merchant_daily d order by 1"),
  });
  const before = await said();
  assert.equal(before.hours.length, 10);

  await own.database.run("create extension timescaledb schema public", [], 60);
  await migrate(own.database);
  assert.deepEqual(await said(), before);
  assert.equal(await sql.value("select count(*)::integer from p2p.stored_merchant_hours"), 4);
  assert.equal(await sql.value("select count(*)::integer from p2p.stored_market_hours"), 0);
  const recent = "time_bucket >= '2026-02-01Z'";
  await load("2026-03-02T01:00Z");
  await check(sql, {
    merchant_hours: "hour >= '2026-02-01Z'",
    merchant_days: "day >= '2026-02-01Z'",
    merchant_daily: recent,
    market_hourly: recent,
    market_daily: recent,
  });
});

Deno.test("an import that is repeated refreshes what the one before it had loaded when it was stopped", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer()] });
  await sql.loadBatch("2026-03-03 10:00+00", { [BUY]: [offer()] });
  await check(sql);
  const late = offer({ id: "2", price: "50" });
  await sql.loadBatch("2026-03-01 11:00+00", { [SELL]: [late] });
  const file = await folder.file("a.jsonl", [recorded("2026-03-01T11:00:00Z", SELL, [late])]);
  const { code, stdout } = await runProgram(["import", "--json", file], { DATABASE_URL: sql.url });
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout)["batches"]["there_already"], 1);
  for (const view of ["market_hours", "market_days", "merchant_hours", "merchant_days"]) {
    assert.deepEqual(await sql.rows(differences(view)), [], view);
  }
});
