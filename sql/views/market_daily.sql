create or replace view p2p.market_daily as
select
  e.code as exchange,
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  d.trade_type,
  date_trunc('day', d.extraction_timestamp, 'UTC') as time_bucket,
  count(*) as snapshots,
  (array_agg(best.price order by d.extraction_timestamp) filter (where best.price is not null))[1] as best_open,
  max(best.price) as best_high,
  min(best.price) as best_low,
  (array_agg(best.price order by d.extraction_timestamp desc) filter (where best.price is not null))[1] as best_close,
  (array_agg(d.median_price order by d.extraction_timestamp) filter (where d.median_price is not null))[1] as median_open,
  max(d.median_price) as median_high,
  min(d.median_price) as median_low,
  (array_agg(d.median_price order by d.extraction_timestamp desc) filter (where d.median_price is not null))[1] as median_close,
  sum(d.weighted_avg_price * d.total_available_volume) / nullif(sum(d.total_available_volume), 0) as weighted_avg_price,
  avg(d.spread_percentage) as avg_spread_percentage,
  avg(d.total_available_volume) as avg_volume,
  avg(d.total_offers_count) as avg_offers,
  max(d.total_offers_count) as max_offers
from p2p.fact_market_depth d
cross join lateral (
  select case d.trade_type when 'BUY' then d.min_price else d.max_price end as price
) as best
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
group by e.code, c.symbol, f.currency_code, d.trade_type, date_trunc('day', d.extraction_timestamp, 'UTC');

comment on view p2p.market_daily is 'Each market by day (UTC): open, high, low, close of the best and the median price, spread, volume and offers';
comment on column p2p.market_daily.best_open is 'Best price for the taker in the first snapshot of the day that had offers';
comment on column p2p.market_daily.avg_volume is 'Available amount in a snapshot, on average';

grant select on p2p.market_daily to p2p_reader;
