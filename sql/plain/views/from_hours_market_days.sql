-- The days of open_days, made of the hours at each reading: those that are stored, and the one under way.
create or replace view p2p.from_hours_market_days as
select
  made.exchange_id, made.fiat_id, made.crypto_id, made.trade_type, o.day, made.snapshots,
  made.snapshots_with_offers, made.best_open, made.best_high, made.best_low, made.best_close, made.median_open,
  made.median_high, made.median_low, made.median_close, made.min_price, made.max_price, made.price_volume_sum,
  made.volume_sum, made.volume_high, made.volume_low, made.spread_count, made.spread_sum, made.spread_open,
  made.spread_high, made.spread_low, made.spread_close, made.offers_sum, made.offers_max, made.median_count,
  made.median_sum, made.median_square_sum
from p2p.open_days o
cross join lateral (
  select
    h.exchange_id,
    h.fiat_id,
    h.crypto_id,
    h.trade_type,
    sum(h.snapshots)::bigint as snapshots,
    sum(h.snapshots_with_offers)::bigint as snapshots_with_offers,
    (array_agg(h.best_open order by h.hour) filter (where h.best_open is not null))[1] as best_open,
    max(h.best_high) as best_high,
    min(h.best_low) as best_low,
    (array_agg(h.best_close order by h.hour desc) filter (where h.best_close is not null))[1] as best_close,
    (array_agg(h.median_open order by h.hour) filter (where h.median_open is not null))[1] as median_open,
    max(h.median_high) as median_high,
    min(h.median_low) as median_low,
    (array_agg(h.median_close order by h.hour desc) filter (where h.median_close is not null))[1] as median_close,
    min(h.min_price) as min_price,
    max(h.max_price) as max_price,
    sum(h.price_volume_sum) as price_volume_sum,
    sum(h.volume_sum) as volume_sum,
    max(h.volume_high) as volume_high,
    min(h.volume_low) as volume_low,
    sum(h.spread_count)::bigint as spread_count,
    sum(h.spread_sum) as spread_sum,
    (array_agg(h.spread_open order by h.hour) filter (where h.spread_open is not null))[1] as spread_open,
    max(h.spread_high) as spread_high,
    min(h.spread_low) as spread_low,
    (array_agg(h.spread_close order by h.hour desc) filter (where h.spread_close is not null))[1] as spread_close,
    sum(h.offers_sum)::bigint as offers_sum,
    max(h.offers_max) as offers_max,
    sum(h.median_count)::bigint as median_count,
    sum(h.median_sum) as median_sum,
    sum(h.median_square_sum) as median_square_sum
  from (
    select *
    from p2p.stored_market_hours
    union all
    select *
    from p2p.from_facts_market_hours
  ) as h
  where h.hour >= o.day
    and h.hour < o.day + interval '24 hours'
  group by h.exchange_id, h.fiat_id, h.crypto_id, h.trade_type
) as made;

comment on view p2p.from_hours_market_days is 'Part of market_days: the days that are not stored yet, made of the hours';
