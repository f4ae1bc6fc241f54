import type { Database, Row } from "../../src/database/connection.ts";

export interface WeekOptions {
  /** The books there are; `WORLD` or `ONE_BOOK`. */
  readonly books: readonly Book[];
  readonly hours: number;
  readonly minutesBetweenBatches: number;
  readonly onBatch?: (done: number, of: number) => void;
}

export interface Book {
  readonly market: string;
  /** At noon of a working day. */
  readonly ads: number;
  /** Hours ahead of UTC. */
  readonly zone: number;
}

const SECONDS = 120;
const START = "2026-03-02T00:00:00Z";

/** Fiats with their time zones and the size of their USDT book, large to tiny. */
const FIATS: readonly (readonly [fiat: string, zone: number, ads: number])[] = [
  ["VES", -4, 300],
  ["CNY", 8, 240],
  ["BOB", -4, 170],
  ["EUR", 1, 160],
  ["NGN", 1, 150],
  ["INR", 5, 90],
  ["TRY", 3, 60],
  ["AUD", 10, 30],
  ["UYU", -3, 12],
];
const ASSETS: readonly (readonly [asset: string, share: number])[] = [
  ["USDT", 1],
  ["BTC", 0.25],
  ["ETH", 0.1],
  ["DAI", 0.02],
];

/** A few dozen books in eight time zones, from 300 ads to none. */
export const WORLD: readonly Book[] = FIATS.flatMap(([fiat, zone, ads]) =>
  ASSETS.flatMap(([asset, share]) =>
    ["BUY", "SELL"].map((side) => ({
      market: `${fiat}/${asset} ${side}`,
      ads: Math.round(ads * share * (side === "SELL" ? 1.3 : 1)),
      zone,
    }))
  )
);

/** What `MARKETS=BOB/USDT` on one side amounts to. */
export const ONE_BOOK: readonly Book[] = [{ market: "BOB/USDT BUY", ads: 170, zone: -4 }];

/** Makes the batches one by one, each watched and checked by the real functions before the next one comes. */
export async function liveNormally(database: Database, options: WeekOptions): Promise<void> {
  const { books, minutesBetweenBatches: minutes, hours } = options;
  const batches = Math.floor(hours * 60 / minutes);
  const sql = await Deno.readTextFile(new URL("normal_week.sql", import.meta.url));
  await database.runScript(sql, SECONDS);
  const listed = books.map(({ market }) => {
    const [, fiat = "", asset = "", side = ""] = /^(.+)\/(.+) (.+)$/.exec(market) ?? [];
    return { fiat, asset, assetName: asset, side };
  });
  const fiats = [...new Set(listed.map(({ fiat }) => fiat))].map((code) => ({ code }));
  await database.run(
    "select p2p.store_market_list('binance', $1::text::jsonb, $2::text::jsonb, '{}', '{}')",
    [JSON.stringify(fiats), JSON.stringify(listed)],
    SECONDS,
  );
  await database.run("select week.prepare($1::text::jsonb, $2, $3, $4)", [
    JSON.stringify(books),
    START,
    batches,
    minutes,
  ], SECONDS);
  for (let step = 0; step < batches; step++) {
    await database.run(
      "select week.make_batch($1, $2, $3)",
      [START, step, minutes],
      SECONDS,
    );
    if (step % 50 === 0) await database.runScript("analyze", SECONDS);
    options.onBatch?.(step + 1, batches);
  }
}

/** How often each rule fired, and how far its metric came. */
export async function ruleRates(database: Database): Promise<readonly Row[]> {
  return await database.run(
    `select q.name as rule, count(d.*)::integer as batches, count(d.metric_value)::integer as judged,
       (count(*) filter (where d.result = 'warning'))::integer as warnings,
       (count(*) filter (where d.result in ('error', 'broken')))::integer as errors,
       round(100.0 * (count(*) filter (where not d.passed)) / greatest(count(d.*), 1), 2)::float as fired_percent,
       round(case q.is_bad_when when 'above' then max(d.metric_value) else min(d.metric_value) end, 4)::float as worst,
       coalesce(q.warning_threshold, q.error_threshold)::float as first_threshold
     from p2p.quality_rules q left join p2p.ops_data_quality d on d.metric_name = q.name
     where q.is_enabled group by q.name order by q.name`,
    [],
    SECONDS,
  );
}
