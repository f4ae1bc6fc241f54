// What the aggregates must say, as queries over the facts: one for each view, written apart from the SQL of the views.
// Books: each value is looked up by itself. Merchants: snapshot by snapshot first, then averages.

const BOOKS = `
  select d.*, case d.trade_type when 'BUY' then d.min_price else d.max_price end as best,
    to_timestamp(floor(extract(epoch from d.extraction_timestamp) / @width) * @width) as bucket
  from p2p.fact_market_depth d`;

const KEYS = "exchange_id, fiat_id, crypto_id, trade_type";
const SAME =
  "x.exchange_id = g.exchange_id and x.fiat_id = g.fiat_id and x.crypto_id = g.crypto_id " +
  "and x.trade_type = g.trade_type and x.bucket = g.bucket";

const end = (column: string, name: string): string => `
  (select x.${column} from books x where ${SAME} and x.${column} is not null order by x.extraction_timestamp limit 1) as ${name}_open,
  (select x.${column} from books x where ${SAME} and x.${column} is not null order by x.${column} desc limit 1) as ${name}_high,
  (select x.${column} from books x where ${SAME} and x.${column} is not null order by x.${column} limit 1) as ${name}_low,
  (select x.${column} from books x where ${SAME} and x.${column} is not null order by x.extraction_timestamp desc limit 1) as ${name}_close`;

const one = (expression: string): string => `(select ${expression} from books x where ${SAME})`;

/** As rows of market_hours or market_days. */
const market = (width: number, unit: string): string => `
  with books as (${BOOKS.replaceAll("@width", String(width))})
  select ${KEYS.replaceAll(/(\w+)/g, "g.$1")}, g.bucket as ${unit},
    ${one("count(*)")} as snapshots,
    ${one("count(*) filter (where x.total_offers_count > 0)")} as snapshots_with_offers,
    ${end("best", "best")}, ${end("median_price", "median")}, ${end("spread_percentage", "spread")},
    ${one("min(x.min_price)")} as min_price, ${one("max(x.max_price)")} as max_price,
    ${one("sum(x.weighted_avg_price * x.total_available_volume)")} as price_volume_sum,
    ${one("sum(x.total_available_volume)")} as volume_sum,
    ${one("max(x.total_available_volume)")} as volume_high, ${
  one("min(x.total_available_volume)")
} as volume_low,
    ${
  one("count(*) filter (where x.best_ask is not null and x.best_bid is not null)")
} as spread_count,
    ${one("sum(x.spread_percentage)")} as spread_sum,
    ${one("sum(x.total_offers_count)")} as offers_sum, ${
  one("max(x.total_offers_count)")
} as offers_max,
    ${one("count(*) filter (where x.total_offers_count > 0)")} as median_count,
    ${one("sum(x.median_price)")} as median_sum, ${
  one("sum(power(x.median_price, 2))")
} as median_square_sum
  from (select distinct ${KEYS}, bucket from books) as g`;

/** As rows of merchant_hours or merchant_days. */
const merchant = (width: number, unit: string): string => `
  select ${KEYS}, advertiser_sk, bucket as ${unit}, count(*) as snapshots, sum(offers) as offers_sum,
    sum(volume) as volume_sum, max(orders) as orders_30_days_max
  from (
    select ${KEYS}, advertiser_sk, extraction_timestamp, count(*) as offers, sum(available_amount) as volume,
      max(total_orders_count) as orders,
      to_timestamp(floor(extract(epoch from extraction_timestamp) / ${width}) * ${width}) as bucket
    from p2p.fact_offers
    group by ${KEYS}, advertiser_sk, extraction_timestamp
  ) as snapshot
  group by ${KEYS}, advertiser_sk, bucket`;

const NAMES = `join p2p.dim_cryptocurrencies c using (crypto_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_exchanges e using (exchange_id)`;

/** As rows of market_hourly or market_daily; of the base, only what is computed from several of its columns. */
const people = (width: number): string => `
  with books as (${BOOKS.replaceAll("@width", String(width))}),
  offers as (
    select o.*, a.advertiser_id, a.is_merchant, to_timestamp(floor(extract(epoch from o.extraction_timestamp) / ${width}) * ${width}) as bucket
    from p2p.fact_offers o join p2p.dim_advertisers a using (advertiser_sk)
  )
  select e.code as exchange, c.symbol as crypto_symbol, f.currency_code as fiat_code, g.trade_type, g.bucket as time_bucket,
    g.snapshots, g.weighted_avg_price as weighted_avg_price, g.avg_spread_percentage as avg_spread_percentage,
    g.avg_volume as avg_volume, g.avg_offers as avg_offers, g.max_offers,
    (select count(distinct x.advertiser_id) from offers x where ${SAME} and x.is_merchant) as merchants,
    (select count(distinct x.advertiser_id) from offers x where ${SAME}) as advertisers
  from (
    select ${KEYS}, bucket, count(*) as snapshots,
      sum(weighted_avg_price * total_available_volume) / nullif(sum(total_available_volume), 0) as weighted_avg_price,
      avg(spread_percentage) as avg_spread_percentage, avg(total_available_volume) as avg_volume,
      avg(total_offers_count) as avg_offers, max(total_offers_count) as max_offers
    from books group by ${KEYS}, bucket
  ) as g ${NAMES}`;

const HOUR = 3600;
const DAY = 86_400;

/** By view. Columns that a query does not have are not compared. */
export const TRUTH: Readonly<Record<string, string>> = {
  market_hours: market(HOUR, "hour"),
  market_days: market(DAY, "day"),
  merchant_hours: merchant(HOUR, "hour"),
  merchant_days: merchant(DAY, "day"),
  market_hourly: people(HOUR),
  market_daily: people(DAY),
  v_price_history: `
    with books as (${BOOKS.replaceAll("@width", String(HOUR))})
    select c.symbol as crypto_symbol, f.currency_code as fiat_code, b.trade_type, b.bucket as time_bucket,
      sum(b.weighted_avg_price * b.total_available_volume) / nullif(sum(b.total_available_volume), 0) as avg_price,
      min(b.min_price) as min_price, max(b.max_price) as max_price, stddev_samp(b.median_price) as price_volatility,
      avg(b.total_available_volume) as total_volume, round(avg(b.total_offers_count))::integer as offer_count,
      e.code as exchange
    from books b ${NAMES}
    group by e.code, f.currency_code, c.symbol, b.trade_type, b.bucket`,
  merchant_daily: `
    select e.code as exchange, s.advertiser_id, n.nickname as advertiser, n.is_merchant, c.symbol as crypto_symbol,
      f.currency_code as fiat_code, s.trade_type, s.bucket as time_bucket, count(*) as snapshots,
      avg(s.offers) as avg_offers, avg(s.volume) as avg_volume, max(s.orders) as orders_30_days
    from (
      select o.exchange_id, o.fiat_id, o.crypto_id, o.trade_type, a.advertiser_id, o.extraction_timestamp,
        to_timestamp(floor(extract(epoch from o.extraction_timestamp) / ${DAY}) * ${DAY}) as bucket,
        count(*) as offers, sum(o.available_amount) as volume, max(o.total_orders_count) as orders
      from p2p.fact_offers o join p2p.dim_advertisers a using (advertiser_sk)
      group by o.exchange_id, o.fiat_id, o.crypto_id, o.trade_type, a.advertiser_id, o.extraction_timestamp
    ) as s
    join p2p.dim_advertisers n on n.exchange_id = s.exchange_id and n.advertiser_id = s.advertiser_id and n.is_current
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_exchanges e on e.exchange_id = s.exchange_id
    group by e.code, s.advertiser_id, n.nickname, n.is_merchant, c.symbol, f.currency_code, s.trade_type, s.bucket`,
};

/** Rounded alike on both sides, trailing zeros gone: order of columns and digits of a division do not count. */
const TEXT = `(
  select string_agg(coalesce(format('%s=%s', k.key, case jsonb_typeof(k.value) when 'number' then trim_scale(round(k.value::text::numeric, 11))::text else k.value::text end)), ' ' order by k.key)
  from jsonb_each(to_jsonb(t)) as k
  where k.value <> 'null' and k.key = any ((@columns))
)`;

/**
 * A query that returns each row of a view that is not what the facts say (`view`), and each that it lacks (`facts`).
 * @param where on the columns of the view and of the facts: both sides are cut alike
 */
export function differences(view: string, where = "true"): string {
  const truth = TRUTH[view] ?? "";
  const text = TEXT.replace("@columns", "(select keys from columns)::text[]");
  return `
    with truth as (${truth}),
    columns as (select array(select jsonb_object_keys(to_jsonb(t)) from truth t limit 100) as keys),
    said as (select ${text} as row from p2p.${view} t where ${where}),
    meant as (select ${text} as row from truth t where ${where})
    select 'view' as only_in, row from (table said except all table meant) as a
    union all
    select 'facts', row from (table meant except all table said) as b
    order by 2, 1
    limit 20`;
}
