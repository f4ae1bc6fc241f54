-- One market at a time, so that a name (fiat_code = 'VES') reaches the index of the numbers. Somebody who changed their
-- identity within the day has several rows below, and one here: a snapshot sees one identity, so that snapshots add up.
create or replace view p2p.merchant_daily as
select
  e.code as exchange,
  d.advertiser_id,
  d.advertiser,
  d.is_merchant,
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  m.trade_type,
  d.day as time_bucket,
  d.snapshots::bigint as snapshots,
  d.offers_sum / d.snapshots as avg_offers,
  d.volume_sum / d.snapshots as avg_volume,
  d.orders_30_days
from p2p.dim_markets m
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
cross join lateral (
  select
    a.advertiser_id,
    now_called.nickname as advertiser,
    now_called.is_merchant,
    o.day,
    sum(o.snapshots) as snapshots,
    sum(o.offers_sum) as offers_sum,
    sum(o.volume_sum) as volume_sum,
    max(o.orders_30_days_max) as orders_30_days
  from p2p.merchant_days o
  join p2p.dim_advertisers a using (advertiser_sk)
  join p2p.dim_advertisers now_called
    on now_called.exchange_id = a.exchange_id
    and now_called.advertiser_id = a.advertiser_id
    and now_called.is_current
  where o.exchange_id = m.exchange_id
    and o.fiat_id = m.fiat_id
    and o.crypto_id = m.crypto_id
    and o.trade_type = m.trade_type
  group by a.advertiser_id, now_called.nickname, now_called.is_merchant, o.day
) as d;

comment on view p2p.merchant_daily is 'Offers and available amount of every advertiser by market and day (UTC), under their present name';
comment on column p2p.merchant_daily.snapshots is 'Snapshots of the day in which they had an offer';
comment on column p2p.merchant_daily.avg_volume is 'Available amount in those snapshots, on average';
comment on column p2p.merchant_daily.orders_30_days is 'Orders in the last 30 days, of all their markets: the highest number of the day';

grant select on p2p.merchant_daily to p2p_reader;
