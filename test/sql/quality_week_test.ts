// A normal day and a half, on which no rule may fire, and then the days that each rule is made for.
import assert from "node:assert/strict";
import { liveNormally, ruleRates, WORLD } from "../support/normal_week.ts";
import { SqlFixture } from "../support/sql_fixture.ts";

const FIATS = ["VES", "BOB", "INR", "UYU"];
const BOOKS = WORLD.filter(({ market }) => FIATS.includes(market.slice(0, 3)));
const HOURS = 36;

/** Does something to the last batch, checks it, and takes everything back. */
const WHAT_FIRES = `
create function week.what_fires(p_twist text) returns text[] language plpgsql as $$
declare
  v_batch uuid := (select batch_id from p2p.ops_batch_runs order by batch_start_time desc limit 1);
  v_fired text[];
begin
  execute p_twist;
  perform p2p.load_depth(v_batch);
  select coalesce(array_agg(q.metric_name || ' ' || q.result order by q.metric_name), '{}') into v_fired
  from p2p.run_quality_checks(v_batch) q where not q.passed;
  raise exception 'back' using errcode = 'PZZZZ';
exception when sqlstate 'PZZZZ' then
  return v_fired;
end $$;
-- The last batch, by the names that the twists use.
create view week.last as select * from p2p.ops_batch_runs order by batch_start_time desc limit 1;
create view week.offers as select * from p2p.fact_offers where extraction_timestamp = (select batch_start_time from week.last);
create view week.pages as select * from p2p.stg_responses where extraction_timestamp = (select batch_start_time from week.last);
create view week.book as
  select m.market_id, f.currency_code || '/' || c.symbol || ' ' || m.trade_type as name, m.fiat_id, m.crypto_id, m.trade_type
  from p2p.dim_markets m join p2p.dim_fiat_currencies f using (fiat_id) join p2p.dim_cryptocurrencies c using (crypto_id);
create function week.is_in(o week.offers, p_book text) returns boolean language sql stable return exists (
  select from week.book b where b.name = p_book and (b.fiat_id, b.crypto_id, b.trade_type) = (o.fiat_id, o.crypto_id, o.trade_type));`;

const priceOf = (book: string, factor: number) =>
  `update week.offers o set price = price * ${factor} where week.is_in(o, '${book}')`;
const statusOf = (book: string, status: string) =>
  `update p2p.ops_batch_markets set status = '${status}' from week.last l, week.book b
   where ops_batch_markets.batch_id = l.batch_id and b.name = '${book}' and b.market_id = ops_batch_markets.market_id`;
const reject = (percent: number) =>
  `insert into p2p.ops_rejected_offers (batch_id, market_id, page_number, item_number, reason)
   select l.batch_id, b.market_id, 1000, n, 'no price' from week.last l, (select min(market_id) as market_id from week.book) b,
     generate_series(1, (select count(*) * ${percent} / 100 from week.offers)::integer) n`;
const pagesReadAfter = (time: string, loadedAfter = "5 minutes") =>
  `update p2p.ops_batch_runs set batch_end_time = batch_start_time + interval '${loadedAfter}' where batch_id = (select batch_id from week.last);
   update week.pages set observed_at = extraction_timestamp + interval '${time}' where market_id = 1`;
const observedAfter = (time: string) =>
  `update week.offers set observed_at = extraction_timestamp + interval '${time}' where offer_id = (select min(offer_id) from week.offers)`;
const promoteEvery = (nth: number) => `update week.offers set is_promoted = offer_id % ${nth} = 0`;
const loseTenths = (tenths: number) => `delete from week.offers where offer_id % 10 < ${tenths}`;
const shrinkAmounts =
  "update week.offers set available_amount = available_amount * 0.4 where crypto_id = (select crypto_id from p2p.dim_cryptocurrencies where symbol = 'USDT')";
const manyOffersBefore =
  "update p2p.fact_market_depth set total_offers_count = total_offers_count * 20";
const noHistory =
  "delete from p2p.fact_market_depth where extraction_timestamp < (select batch_start_time from week.last)";
const advertiserSince = (time: string) =>
  `update p2p.dim_advertisers set effective_date = (select batch_start_time from week.last) + interval '${time}'
   where advertiser_sk = (select advertiser_sk from week.offers limit 1)`;

/** What happens → the rules that fire, and no others. */
const DAYS: Readonly<Record<string, readonly [twist: string, ...fired: string[]]>> = {
  "nothing": ["select"],
  "a book's prices rise by a third": [priceOf("BOB/USDT BUY", 1.33), "price_anomaly error"],
  "they rise by 17 %": [priceOf("BOB/USDT BUY", 1.17), "price_anomaly warning"],
  "a near miss: by 12 %": [priceOf("BOB/USDT BUY", 1.12)],
  "by a third, of half a book": [
    `${priceOf("BOB/USDT BUY", 1.33)}; ${statusOf("BOB/USDT BUY", "incomplete")}`,
    "completeness error",
  ],
  "by a third, of a dozen ads": [priceOf("UYU/USDT BUY", 1.33)],
  "by a third, without history": [`${priceOf("BOB/USDT BUY", 1.33)}; ${noHistory}`],
  "six offers of ten vanish": [loseTenths(6), "volume_drop error"],
  "a near miss: three of ten vanish": [loseTenths(3)],
  "amounts fall by 60 % where offers are few: whales may do that": [shrinkAmounts],
  "amounts fall by 60 % where offers are many": [
    `${shrinkAmounts}; ${manyOffersBefore}`,
    "volume_drop error",
  ],
  "six of ten vanish, without history": [`${loseTenths(6)}; ${noHistory}`],
  "a market fails": [statusOf("INR/DAI BUY", "failed"), "completeness error"],
  "an ad stands in the snapshot twice": [
    `insert into p2p.dim_offers (offer_id, exchange_id, offer_external_id, first_seen_at) overriding system value
       values (-1, 1, 'twin', now());
     insert into p2p.fact_offers select (jsonb_populate_record(o::p2p.fact_offers, '{"offer_id": -1}')).*
       from p2p.fact_offers o join week.last l on o.extraction_timestamp = l.batch_start_time
       where o.offer_id = (select min(offer_id) from week.offers)`,
    "duplicate_offers error",
  ],
  "a fact points at nobody": [
    "update week.offers set payment_set_id = -1 where offer_id = (select min(offer_id) from week.offers)",
    "broken_references error",
  ],
  "8 % of the items are rejected": [reject(8), "rejected_share error"],
  "4 % of the items are rejected": [reject(4), "rejected_share warning"],
  "a near miss: 2 % of them": [reject(2)],
  "a fact was read before its batch began": [
    observedAfter("-2 minutes"),
    "temporal_consistency error",
  ],
  "a near miss: clocks differ by half a minute": [observedAfter("-30 seconds")],
  "an advertiser's row begins later": [advertiserSince("1 second"), "temporal_consistency error"],
  "a near miss: it begins with the batch": [advertiserSince("0")],
  "a page is dated after it was loaded": [pagesReadAfter("7 minutes"), "stale_timestamps error"],
  "a near miss: clocks differ by half a minute then": [pagesReadAfter("330 seconds")],
  "a page was read two hours into the batch": [
    pagesReadAfter("2 hours", "3 hours"),
    "stale_timestamps error",
  ],
  "a near miss: 59 minutes into it": [pagesReadAfter("59 minutes", "3 hours")],
  "a batch is loaded ten days late": [pagesReadAfter("1 minute", "10 days")],
  "every other offer is promoted": [promoteEvery(2), "promoted_share error"],
  "every fifth offer is promoted": [promoteEvery(5), "promoted_share warning"],
  "a near miss: one on every page": [promoteEvery(20)],
  "some medians cross": [
    "update week.offers set price = price * 1.125 where trade_type = 'SELL'",
    "crossed_median warning",
  ],
  "all medians cross": [
    "update week.offers set price = price * case trade_type when 'SELL' then 1.12 else 0.9 end",
    "crossed_median error",
  ],
  "the medians of a dozen ads cross": [priceOf("UYU/USDT SELL", 1.5)],
  "a near miss: they come closer": [
    "update week.offers set price = price * 1.04 where trade_type = 'SELL'",
  ],
  "the exchange calls the price cost": [
    `update week.pages set body = replace(body::text, '"price"', '"cost"')::jsonb`,
    "needed_keys error",
  ],
  "a near miss: on one page": [
    `update week.pages set body = replace(body::text, '"price"', '"cost"')::jsonb where market_id = 1`,
  ],
};

Deno.test("a normal day and a half is silent, and each rule fires on its own day only", async (t) => {
  await using sql = await SqlFixture.create();
  await liveNormally(sql.database, { books: BOOKS, hours: HOURS, minutesBetweenBatches: 60 });

  await t.step("no rule fires in hourly batches", async () => {
    for (const rate of await ruleRates(sql.database)) {
      const { rule, batches, judged, warnings, errors } = rate;
      assert.deepEqual(
        [rule, batches, warnings, errors],
        [rule, HOURS, 0, 0],
        String(rate["worst"]),
      );
      assert.ok(Number(judged) >= 10, `${rule} judged ${judged} batches`);
    }
  });

  await sql.database.runScript(WHAT_FIRES, 20);
  const before = await sql.dump();
  for (const [day, [twist, ...fired]] of Object.entries(DAYS)) {
    await t.step(day, async () => {
      assert.deepEqual(await sql.value("select to_jsonb(week.what_fires($1))", twist), fired);
    });
  }
  assert.deepEqual(await sql.dump(), before);
});
