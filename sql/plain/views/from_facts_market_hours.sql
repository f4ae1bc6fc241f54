-- The hours of open_hours, made of the books at each reading. Each through the index on time.
create or replace view p2p.from_facts_market_hours as
select
  made.exchange_id, made.fiat_id, made.crypto_id, made.trade_type, o.hour, made.snapshots,
  made.snapshots_with_offers, made.best_open, made.best_high, made.best_low, made.best_close, made.median_open,
  made.median_high, made.median_low, made.median_close, made.min_price, made.max_price, made.price_volume_sum,
  made.volume_sum, made.volume_high, made.volume_low, made.spread_count, made.spread_sum, made.spread_open,
  made.spread_high, made.spread_low, made.spread_close, made.offers_sum, made.offers_max, made.median_count,
  made.median_sum, made.median_square_sum
from p2p.open_hours o
cross join lateral (
  select
    d.exchange_id,
    d.fiat_id,
    d.crypto_id,
    d.trade_type,
    count(*) as snapshots,
    count(d.min_price) as snapshots_with_offers,
    (array_agg(best.price order by d.extraction_timestamp) filter (where best.price is not null))[1] as best_open,
    max(best.price) as best_high,
    min(best.price) as best_low,
    (array_agg(best.price order by d.extraction_timestamp desc) filter (where best.price is not null))[1] as best_close,
    (array_agg(d.median_price order by d.extraction_timestamp) filter (where d.median_price is not null))[1] as median_open,
    max(d.median_price) as median_high,
    min(d.median_price) as median_low,
    (array_agg(d.median_price order by d.extraction_timestamp desc) filter (where d.median_price is not null))[1] as median_close,
    min(d.min_price) as min_price,
    max(d.max_price) as max_price,
    sum(d.weighted_avg_price * d.total_available_volume) as price_volume_sum,
    sum(d.total_available_volume) as volume_sum,
    max(d.total_available_volume) as volume_high,
    min(d.total_available_volume) as volume_low,
    count(d.spread_percentage) as spread_count,
    sum(d.spread_percentage) as spread_sum,
    (array_agg(d.spread_percentage order by d.extraction_timestamp) filter (where d.spread_percentage is not null))[1] as spread_open,
    max(d.spread_percentage) as spread_high,
    min(d.spread_percentage) as spread_low,
    (array_agg(d.spread_percentage order by d.extraction_timestamp desc) filter (where d.spread_percentage is not null))[1] as spread_close,
    sum(d.total_offers_count) as offers_sum,
    max(d.total_offers_count) as offers_max,
    count(d.median_price) as median_count,
    sum(d.median_price) as median_sum,
    sum(d.median_price * d.median_price) as median_square_sum
  from p2p.fact_market_depth d
  cross join lateral (
    select case d.trade_type when 'BUY' then d.min_price else d.max_price end as price
  ) as best
  where d.extraction_timestamp >= o.hour
    and d.extraction_timestamp < o.hour + interval '1 hour'
  group by d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type
) as made;

comment on view p2p.from_facts_market_hours is 'Part of market_hours: the hours that are not stored yet, made of the books';
