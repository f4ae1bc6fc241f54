-- The continuous aggregate, and what had been stored before the conversion of days whose facts are gone.
create or replace view p2p.merchant_days as
select
  exchange_id, fiat_id, crypto_id, trade_type, advertiser_sk, day, snapshots, offers_sum, volume_sum,
  orders_30_days_max
from p2p.merchant_days_v1
union all
select
  exchange_id, fiat_id, crypto_id, trade_type, advertiser_sk, day, snapshots, offers_sum, volume_sum,
  orders_30_days_max
from p2p.stored_merchant_days;

comment on view p2p.merchant_days is 'Each advertiser by market and day (UTC) as sums, by ids: what merchant_daily is made of';
comment on column p2p.merchant_days.snapshots is 'Snapshots in which they had an offer there';
comment on column p2p.merchant_days.offers_sum is 'Offers of all snapshots together: divide it by snapshots';
comment on column p2p.merchant_days.volume_sum is 'Available amount of all snapshots together: divide it by snapshots';

grant select on p2p.merchant_days to p2p_reader, p2p_worker;
