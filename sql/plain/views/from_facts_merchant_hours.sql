-- The hours of open_hours, made of the offers at each reading. Each through the index on time, or on the market.
create or replace view p2p.from_facts_merchant_hours as
select
  made.exchange_id, made.fiat_id, made.crypto_id, made.trade_type, made.advertiser_sk, o.hour, made.snapshots,
  made.offers_sum, made.volume_sum, made.orders_30_days_max
from p2p.open_hours o
cross join lateral (
  select
    f.exchange_id,
    f.fiat_id,
    f.crypto_id,
    f.trade_type,
    f.advertiser_sk,
    count(distinct f.extraction_timestamp) as snapshots,
    count(*) as offers_sum,
    sum(f.available_amount) as volume_sum,
    max(f.total_orders_count) as orders_30_days_max
  from p2p.fact_offers f
  where f.extraction_timestamp >= o.hour
    and f.extraction_timestamp < o.hour + interval '1 hour'
  group by f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type, f.advertiser_sk
) as made;

comment on view p2p.from_facts_merchant_hours is 'Part of merchant_hours: the hours that are not stored yet, made of the offers';
