-- One market at a time, so that a name (fiat_code = 'VES') reaches the index of the numbers: `distinct on`
-- changes no row, it keeps the planner from joining before.
create or replace view p2p.market_daily as
select
  e.code as exchange,
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  m.trade_type,
  s.day as time_bucket,
  s.snapshots,
  s.best_open,
  s.best_high,
  s.best_low,
  s.best_close,
  s.median_open,
  s.median_high,
  s.median_low,
  s.median_close,
  s.price_volume_sum / nullif(s.volume_sum, 0) as weighted_avg_price,
  s.spread_sum / nullif(s.spread_count, 0) as avg_spread_percentage,
  s.volume_sum / s.snapshots as avg_volume,
  s.offers_sum::numeric / s.snapshots as avg_offers,
  s.offers_max as max_offers,
  s.snapshots_with_offers,
  s.min_price,
  s.max_price,
  s.volume_high,
  s.volume_low,
  s.spread_open,
  s.spread_high,
  s.spread_low,
  s.spread_close,
  people.merchants,
  people.advertisers
from p2p.dim_markets m
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
cross join lateral (
  select distinct on (h.day) h.*
  from p2p.market_days h
  where h.exchange_id = m.exchange_id
    and h.fiat_id = m.fiat_id
    and h.crypto_id = m.crypto_id
    and h.trade_type = m.trade_type
) as s
-- A left join, so that it is left out where nobody selects its columns.
left join lateral (
  select
    case when counted.is_known then counted.merchants end as merchants,
    case when counted.is_known then counted.advertisers end as advertisers
  from (
    select
      count(*) > 0 or s.snapshots_with_offers = 0 as is_known,
      count(distinct a.advertiser_id) filter (where a.is_merchant) as merchants,
      count(distinct a.advertiser_id) as advertisers
    from p2p.merchant_days o
    join p2p.dim_advertisers a using (advertiser_sk)
    where o.exchange_id = s.exchange_id
      and o.fiat_id = s.fiat_id
      and o.crypto_id = s.crypto_id
      and o.trade_type = s.trade_type
      and o.day = s.day
  ) as counted
) as people on true;

comment on view p2p.market_daily is 'Each market by day (UTC): open, high, low, close of the best and the median price, spread, volume and offers';
comment on column p2p.market_daily.best_open is 'Best price for the taker in the first snapshot of the day that had offers';
comment on column p2p.market_daily.weighted_avg_price is 'Weighted by available amount over all snapshots of the day';
comment on column p2p.market_daily.avg_volume is 'Available amount in a snapshot, on average';
comment on column p2p.market_daily.snapshots_with_offers is 'Snapshots in which the book was not empty';
comment on column p2p.market_daily.min_price is 'Lowest price of any offer; best_low is the lowest of the best prices';
comment on column p2p.market_daily.spread_open is 'spread_percentage in the first snapshot of the day that had one; high, low and close likewise';
comment on column p2p.market_daily.merchants is 'Distinct ones with an offer in the day, who were merchants then; NULL where that is no longer kept. Counted when it is asked for: leave it out where many days are read';
comment on column p2p.market_daily.advertisers is 'Distinct ones with an offer in the day, merchants or not';

grant select on p2p.market_daily to p2p_reader;
