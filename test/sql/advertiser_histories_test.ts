import assert from "node:assert/strict";
import { SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const MARKET = "VES/USDT BUY";
const HISTORIES = 15;
const BATCHES = 8;
const ADVERTISERS = 6;
const MINUTE = 60_000;

/** Rows that break what must hold of every history. */
const INVARIANTS: Readonly<Record<string, string>> = {
  "one current row": `
    select advertiser_id from p2p.dim_advertisers
    group by advertiser_id having count(*) filter (where is_current) <> 1`,
  "no overlap, no gap, no end": `
    select advertiser_id
    from (
      select *, lead(effective_date, 1, 'infinity') over (partition by advertiser_id order by effective_date) as next
      from p2p.dim_advertisers
    ) as d
    where d.expiration_date <> d.next`,
  "neighbours differ": `
    select advertiser_id
    from (
      select *, lag(row(nickname, user_grade)) over (partition by advertiser_id order by effective_date) as before
      from p2p.dim_advertisers
    ) as d
    where row(d.nickname, d.user_grade) = d.before`,
  "facts point at the row of their time": `
    select f.offer_external_id
    from p2p.fact_offers f
    left join p2p.dim_advertisers a
      on a.advertiser_sk = f.advertiser_sk
      and f.extraction_timestamp >= a.effective_date
      and f.extraction_timestamp < a.expiration_date
    where a.advertiser_sk is null`,
};

type Random = () => number;

/** Mulberry32: the same numbers for the same seed. */
function random(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled<T>(list: readonly T[], next: Random): T[] {
  return list.map((each) => [next(), each] as const).sort(([a], [b]) => a - b).map(([, each]) =>
    each
  );
}

interface Sighting {
  readonly user: string;
  readonly nick: string;
  readonly grade: number;
}

/** What an advertiser is called in a batch; undefined: not there. */
function sighting(user: string, next: Random): Sighting | undefined {
  const dice = next();
  if (dice < 0.25) return undefined;
  return { user, nick: dice < 0.65 ? "A" : "B", grade: next() < 0.8 ? 2 : 3 };
}

/** The rows that loading in order makes: user, identity, from, until. */
function expectedRows(batches: readonly (readonly Sighting[])[], times: readonly Date[]): string[] {
  const rows: { user: string; identity: string; from: string; until: string }[] = [];
  for (const [i, seen] of batches.entries()) {
    const now = times[i]?.toISOString() ?? "";
    for (const { user, nick, grade } of seen) {
      const identity = `${nick}${grade}`;
      const current = rows.find((row) => row.user === user && row.until === "infinity");
      if (current?.identity === identity) continue;
      if (current !== undefined) current.until = now;
      rows.push({ user, identity, from: now, until: "infinity" });
    }
  }
  return rows.map(({ user, identity, from, until }) => `${user} ${identity} ${from} ${until}`)
    .sort();
}

function expectedFacts(
  batches: readonly (readonly Sighting[])[],
  times: readonly Date[],
): string[] {
  return batches.flatMap((seen, i) =>
    seen.map(({ user, nick, grade }) => `${user} ${times[i]?.toISOString()} ${nick}${grade}`)
  ).sort();
}

const ISO = (column: string): string =>
  `case when ${column} = 'infinity' then 'infinity'
     else to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') end`;
const ROWS = `select advertiser_id || ' ' || nickname || user_grade || ' ' || ${
  ISO("effective_date")
} || ' ' ||
  ${ISO("expiration_date")} from p2p.dim_advertisers where advertiser_id like $1`;
const FACTS = `select a.advertiser_id || ' ' || ${
  ISO("f.extraction_timestamp")
} || ' ' || a.nickname || a.user_grade
  from p2p.fact_offers f join p2p.dim_advertisers a using (advertiser_sk)
  where a.advertiser_id like $1`;

Deno.test("any order of loading makes the history that loading in order makes", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("update p2p.settings set value = '400' where name ~ 'retention_days$'");
  const next = random(20260301);
  for (let round = 0; round < HISTORIES; round++) {
    const users = Array.from({ length: ADVERTISERS }, (_, i) => `r${round}-${i}`);
    const batches = Array.from(
      { length: BATCHES },
      () => users.map((user) => sighting(user, next)).filter((each) => each !== undefined),
    );
    const times = batches.map((_, i) => new Date(Date.UTC(2026, 0, 1 + round) + i * 10 * MINUTE));
    const indexes = [...batches.keys()];
    // The first one in order: so that the expectation itself is tested.
    const order = round === 0 ? indexes : shuffled(indexes, next);
    const loaded: TestBatch[] = [];
    for (const index of order) {
      const items = batches[index]?.map(({ user, nick, grade }) =>
        offer({ user, nick, advertiser: { userGrade: grade } })
      );
      loaded.push(await sql.loadBatch(times[index]?.toISOString(), { [MARKET]: items ?? [] }));
      if (next() < 0.4) await loaded[Math.floor(next() * loaded.length)]?.load();
    }
    const told = `history ${round}, loaded in the order ${order}`;
    const pattern = `r${round}-%`;
    assert.deepEqual((await sql.values(ROWS, pattern)).sort(), expectedRows(batches, times), told);
    assert.deepEqual(
      (await sql.values(FACTS, pattern)).sort(),
      expectedFacts(batches, times),
      told,
    );
    for (const [name, statement] of Object.entries(INVARIANTS)) {
      assert.deepEqual(await sql.rows(statement), [], `${name}: ${told}`);
    }
  }

  const before = await sql.dump();
  for (
    const id of shuffled(await sql.values("select batch_id from p2p.ops_batch_runs"), next).slice(
      0,
      40,
    )
  ) {
    await sql.rows("select p2p.load_batch($1)", String(id));
  }
  assert.deepEqual(await sql.dump(), before, "loading again changes no row");
});
