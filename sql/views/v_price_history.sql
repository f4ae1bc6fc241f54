-- One market at a time, so that a name (fiat_code = 'VES') reaches the index of the numbers: `distinct` changes no row, it
-- keeps the planner from joining before.
create or replace view p2p.v_price_history as
select
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  m.trade_type,
  s.hour as time_bucket,
  s.price_volume_sum / nullif(s.volume_sum, 0) as avg_price,
  s.min_price,
  s.max_price,
  -- Exact until the root is drawn: numbers that are nearly the same leave no rounding behind.
  case
    when s.median_count > 1 then
      sqrt(
        (s.median_count * s.median_square_sum - s.median_sum * s.median_sum)
        / (s.median_count * (s.median_count - 1))
      )
  end as price_volatility,
  s.volume_sum / s.snapshots as total_volume,
  round(s.offers_sum::numeric / s.snapshots)::integer as offer_count,
  e.code as exchange
from p2p.dim_markets m
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
cross join lateral (
  select distinct h.*
  from p2p.market_hours h
  where h.exchange_id = m.exchange_id
    and h.fiat_id = m.fiat_id
    and h.crypto_id = m.crypto_id
    and h.trade_type = m.trade_type
) as s;

comment on view p2p.v_price_history is 'Prices of each market by hour';
comment on column p2p.v_price_history.avg_price is 'Weighted by available amount over all snapshots of the hour';
comment on column p2p.v_price_history.price_volatility is 'Standard deviation of the median price between the snapshots of the hour; NULL for one snapshot';
comment on column p2p.v_price_history.total_volume is 'Available amount, the average of the snapshots: an offer stands in many snapshots and must not be added up';
comment on column p2p.v_price_history.offer_count is 'Offers in a snapshot, on average';

grant select on p2p.v_price_history to p2p_reader;
