-- The continuous aggregate, and what had been stored before the conversion of hours whose facts are gone.
create or replace view p2p.merchant_hours as
select
  exchange_id, fiat_id, crypto_id, trade_type, advertiser_sk, hour, snapshots, offers_sum, volume_sum,
  orders_30_days_max
from p2p.merchant_hours_v1
union all
select
  exchange_id, fiat_id, crypto_id, trade_type, advertiser_sk, hour, snapshots, offers_sum, volume_sum,
  orders_30_days_max
from p2p.stored_merchant_hours;

comment on view p2p.merchant_hours is 'Each advertiser by market and hour (UTC) as sums, by ids: distinct merchants are counted here';
comment on column p2p.merchant_hours.snapshots is 'Snapshots in which they had an offer there';
comment on column p2p.merchant_hours.offers_sum is 'Offers of all snapshots together: divide it by snapshots';
comment on column p2p.merchant_hours.volume_sum is 'Available amount of all snapshots together: divide it by snapshots';

grant select on p2p.merchant_hours to p2p_reader, p2p_worker;
