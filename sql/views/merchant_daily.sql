create or replace view p2p.merchant_daily as
with offers_a_snapshot as (
  select
    f.exchange_id,
    a.advertiser_id,
    f.crypto_id,
    f.fiat_id,
    f.trade_type,
    f.extraction_timestamp,
    count(*) as offers,
    sum(f.available_amount) as volume,
    max(f.total_orders_count) as orders_30_days
  from p2p.fact_offers f
  join p2p.dim_advertisers a using (advertiser_sk)
  group by f.exchange_id, a.advertiser_id, f.crypto_id, f.fiat_id, f.trade_type, f.extraction_timestamp
)
select
  e.code as exchange,
  o.advertiser_id,
  now_called.nickname as advertiser,
  now_called.is_merchant,
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  o.trade_type,
  date_trunc('day', o.extraction_timestamp, 'UTC') as time_bucket,
  count(*) as snapshots,
  avg(o.offers) as avg_offers,
  avg(o.volume) as avg_volume,
  max(o.orders_30_days) as orders_30_days
from offers_a_snapshot o
join p2p.dim_advertisers now_called
  on now_called.exchange_id = o.exchange_id
  and now_called.advertiser_id = o.advertiser_id
  and now_called.is_current
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e on e.exchange_id = o.exchange_id
group by
  e.code, o.advertiser_id, now_called.nickname, now_called.is_merchant, c.symbol, f.currency_code, o.trade_type,
  date_trunc('day', o.extraction_timestamp, 'UTC');

comment on view p2p.merchant_daily is 'Offers and available amount of every advertiser by market and day (UTC), under their present name';
comment on column p2p.merchant_daily.snapshots is 'Snapshots of the day in which they had an offer';
comment on column p2p.merchant_daily.avg_volume is 'Available amount in those snapshots, on average';

grant select on p2p.merchant_daily to p2p_reader;
