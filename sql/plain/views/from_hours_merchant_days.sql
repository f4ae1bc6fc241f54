-- The days of open_days, made of the hours at each reading: those that are stored, and the one under way.
create or replace view p2p.from_hours_merchant_days as
select
  made.exchange_id, made.fiat_id, made.crypto_id, made.trade_type, made.advertiser_sk, o.day, made.snapshots,
  made.offers_sum, made.volume_sum, made.orders_30_days_max
from p2p.open_days o
cross join lateral (
  select
    h.exchange_id,
    h.fiat_id,
    h.crypto_id,
    h.trade_type,
    h.advertiser_sk,
    sum(h.snapshots)::bigint as snapshots,
    sum(h.offers_sum)::bigint as offers_sum,
    sum(h.volume_sum) as volume_sum,
    max(h.orders_30_days_max) as orders_30_days_max
  from (
    select *
    from p2p.stored_merchant_hours
    union all
    select *
    from p2p.from_facts_merchant_hours
  ) as h
  where h.hour >= o.day
    and h.hour < o.day + interval '24 hours'
  group by h.exchange_id, h.fiat_id, h.crypto_id, h.trade_type, h.advertiser_sk
) as made;

comment on view p2p.from_hours_merchant_days is 'Part of merchant_days: the days that are not stored yet, made of the hours';
