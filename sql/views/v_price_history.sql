create or replace view p2p.v_price_history as
select
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  d.trade_type,
  date_trunc('hour', d.extraction_timestamp, 'UTC') as time_bucket,
  sum(d.weighted_avg_price * d.total_available_volume) / nullif(sum(d.total_available_volume), 0) as avg_price,
  min(d.min_price) as min_price,
  max(d.max_price) as max_price,
  stddev_samp(d.median_price) as price_volatility,
  avg(d.total_available_volume) as total_volume,
  round(avg(d.total_offers_count))::integer as offer_count,
  e.code as exchange
from p2p.fact_market_depth d
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
group by e.code, f.currency_code, c.symbol, d.trade_type, date_trunc('hour', d.extraction_timestamp, 'UTC');

comment on view p2p.v_price_history is 'Prices of each market by hour';
comment on column p2p.v_price_history.avg_price is 'Weighted by available amount over all snapshots of the hour';
comment on column p2p.v_price_history.price_volatility is 'Standard deviation of the median price between the snapshots of the hour; NULL for one snapshot';
comment on column p2p.v_price_history.total_volume is 'Available amount, the average of the snapshots: an offer stands in many snapshots and must not be added up';
comment on column p2p.v_price_history.offer_count is 'Offers in a snapshot, on average';

grant select on p2p.v_price_history to p2p_reader;
