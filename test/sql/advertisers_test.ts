import assert from "node:assert/strict";
import { type MarketName, SqlFixture } from "../support/sql_fixture.ts";
import { offer, type OfferOptions } from "../support/sql_offer.ts";

const MARKET = "VES/USDT BUY";
const HISTORY =
  `select nickname || ' ' || to_char(effective_date at time zone 'UTC', 'HH24:MI') || '–'
    || coalesce(to_char(nullif(expiration_date, 'infinity') at time zone 'UTC', 'HH24:MI'), '')
    || case when is_current then ' now' else '' end
  from p2p.dim_advertisers where advertiser_id = $1 order by effective_date`;
const NAMES_OF_FACTS =
  `select to_char(f.extraction_timestamp at time zone 'UTC', 'HH24:MI') || ' ' || a.nickname
  from p2p.fact_offers f join p2p.dim_advertisers a using (advertiser_sk)
  where a.advertiser_id = $1 and f.extraction_timestamp >= a.effective_date and f.extraction_timestamp < a.expiration_date
  order by f.extraction_timestamp`;

/** Loads one batch for each entry, e.g. `10:00 A`; `-` stands for a batch without the advertiser. */
async function load(sql: SqlFixture, ...sightings: readonly string[]): Promise<void> {
  for (const sighting of sightings) {
    const [time, nick = ""] = sighting.split(" ");
    const items = [offer({ user: "other" }), ...nick === "-" ? [] : [offer({ user: "s7", nick })]];
    await sql.loadBatch(`2026-03-01 ${time}+00`, { [MARKET]: items });
  }
}

const history = (sql: SqlFixture, user = "s7"): Promise<unknown[]> => sql.values(HISTORY, user);
const names = (sql: SqlFixture): Promise<unknown[]> => sql.values(NAMES_OF_FACTS, "s7");

/** What was loaded, in that order, and the history it makes. */
const CASES: Readonly<Record<string, { loaded: readonly string[]; history: readonly string[] }>> = {
  "the same identity is one row": {
    loaded: ["10:00 A", "10:10 A", "10:20 A"],
    history: ["A 10:00– now"],
  },
  "a rename": {
    loaded: ["10:00 A", "10:10 B"],
    history: ["A 10:00–10:10", "B 10:10– now"],
  },
  "a rename and back": {
    loaded: ["10:00 A", "10:10 B", "10:20 A"],
    history: ["A 10:00–10:10", "B 10:10–10:20", "A 10:20– now"],
  },
  "away and back": {
    loaded: ["10:00 A", "10:10 -", "10:20 A"],
    history: ["A 10:00– now"],
  },
  "renamed while away": {
    loaded: ["10:00 A", "10:10 -", "10:20 B"],
    history: ["A 10:00–10:20", "B 10:20– now"],
  },
  "late, between two of the same name": {
    loaded: ["10:00 A", "10:20 A", "10:10 B"],
    history: ["A 10:00–10:10", "B 10:10–10:20", "A 10:20– now"],
  },
  "late, with the name before": {
    loaded: ["10:00 A", "10:20 B", "10:10 A"],
    history: ["A 10:00–10:20", "B 10:20– now"],
  },
  "late, with the name after": {
    loaded: ["10:00 A", "10:20 B", "10:10 B"],
    history: ["A 10:00–10:10", "B 10:10– now"],
  },
  "late, with a third name": {
    loaded: ["10:00 A", "10:20 B", "10:10 C"],
    history: ["A 10:00–10:10", "C 10:10–10:20", "B 10:20– now"],
  },
  "before the first, the same name": {
    loaded: ["10:10 A", "10:00 A"],
    history: ["A 10:00– now"],
  },
  "before the first, another name": {
    loaded: ["10:10 A", "10:00 B"],
    history: ["B 10:00–10:10", "A 10:10– now"],
  },
  "late, a first sight": {
    loaded: ["10:20 -", "10:10 A"],
    history: ["A 10:10– now"],
  },
  "late, in the middle of a long stretch": {
    loaded: ["10:00 A", "10:10 A", "10:30 A", "10:40 A", "10:20 B"],
    history: ["A 10:00–10:20", "B 10:20–10:30", "A 10:30– now"],
  },
};

for (const [name, { loaded, history: expected }] of Object.entries(CASES)) {
  Deno.test(`advertisers: ${name}`, async () => {
    await using sql = await SqlFixture.create();
    await load(sql, ...loaded);
    assert.deepEqual(await history(sql), expected);
    assert.deepEqual(await names(sql), loaded.filter((each) => !each.endsWith("-")).toSorted());
    assert.equal((await history(sql, "other")).length, 1, "others are left alone");

    const before = await sql.dump();
    for (
      const id of await sql.values("select batch_id from p2p.ops_batch_runs order by random()")
    ) {
      await sql.rows("select p2p.load_batch($1)", String(id));
    }
    assert.deepEqual(await sql.dump(), before, "loading again changes no row");
  });
}

Deno.test("each part of an identity makes a new row, a measurement does not", async () => {
  await using sql = await SqlFixture.create();
  const identities: OfferOptions["advertiser"][] = [
    {},
    { monthOrderCount: 1, monthFinishRate: 0.5, positiveRate: 0.5, activeTimeInSecond: 1 },
    { registrationTime: 1600000000000 },
    { nickName: null },
    { nickName: null, userType: "merchant" },
    { nickName: null, userType: null },
    { nickName: null, userType: null, userGrade: 3 },
    { nickName: null, userType: null, userGrade: 3, userIdentity: "MASS_MERCHANT" },
    { nickName: null, userType: null, userGrade: 3, userIdentity: "MASS_MERCHANT", vipLevel: 1 },
  ];
  for (const [i, advertiser = {}] of identities.entries()) {
    await sql.loadBatch(`2026-03-01 10:0${i}+00`, { [MARKET]: [offer({ advertiser })] });
  }
  assert.deepEqual(
    await sql.values(
      "select extract(minute from effective_date)::integer from p2p.dim_advertisers order by effective_date",
    ),
    [0, 3, 4, 5, 6, 7, 8],
  );
});

Deno.test("of two identities in one batch the one read last counts", async () => {
  await using sql = await SqlFixture.create();
  const markets = [MARKET, "ARS/USDT BUY"] as const;
  const batch = await sql.openBatch({ markets, at: "2026-03-01 10:00+00" });
  const late = (user: string, market: MarketName) =>
    batch.page(market, [offer({ user, nick: "late" })], { page: 1, last: false, seenAfter: 30 });
  const early = (user: string, market: MarketName) =>
    batch.page(market, [offer({ user, nick: "early" })], { page: 2, seenAfter: 5 });
  await late("s7", MARKET);
  await early("s8", MARKET);
  await late("s8", "ARS/USDT BUY");
  await early("s7", "ARS/USDT BUY");
  await batch.load();
  assert.deepEqual(await history(sql, "s7"), ["late 10:00– now"]);
  assert.deepEqual(await history(sql, "s8"), ["late 10:00– now"]);
  assert.equal((await names(sql)).length, 2, "both facts point at it");
});

Deno.test("a changed reading of a batch in the middle is put into the history", async () => {
  await using sql = await SqlFixture.create();
  await load(sql, "10:00 A", "10:10 A", "10:20 A");
  const middle =
    "select batch_id from p2p.ops_batch_runs order by batch_start_time offset 1 limit 1";
  const reread = async (from: string, to: string) => {
    await sql.rows(
      `update p2p.stg_responses set body = replace(body::text, '"nickName": "${from}"', '"nickName": "${to}"')::jsonb
       where batch_id = (${middle})`,
    );
    await sql.rows(`select p2p.load_batch((${middle}))`);
  };
  await reread("A", "B");
  assert.deepEqual(await history(sql), ["A 10:00–10:10", "B 10:10–10:20", "A 10:20– now"]);
  assert.deepEqual(await names(sql), ["10:00 A", "10:10 B", "10:20 A"]);
  await reread("B", "A");
  assert.deepEqual(await history(sql), ["A 10:00– now"]);
  assert.deepEqual(await names(sql), ["10:00 A", "10:10 A", "10:20 A"]);
});

Deno.test("a changed reading of the newest batch replaces what it began", async () => {
  await using sql = await SqlFixture.create();
  await load(sql, "10:00 A", "10:10 B");
  const reread = async (from: string, to: string) => {
    const id = String(
      await sql.value(
        "select batch_id from p2p.ops_batch_runs order by batch_start_time desc limit 1",
      ),
    );
    await sql.rows(
      `update p2p.stg_responses set body = replace(body::text, '"nickName": "${from}"', '"nickName": "${to}"')::jsonb
       where batch_id = $1`,
      id,
    );
    await sql.rows("select p2p.load_batch($1)", id);
  };
  await reread("B", "C");
  assert.deepEqual(await history(sql), ["A 10:00–10:10", "C 10:10– now"]);
  await reread("C", "A");
  assert.deepEqual(await history(sql), ["A 10:00– now"]);
  await reread("A", "D");
  assert.deepEqual(await history(sql), ["A 10:00–10:10", "D 10:10– now"]);
  assert.deepEqual(await names(sql), ["10:00 A", "10:10 D"]);
});
