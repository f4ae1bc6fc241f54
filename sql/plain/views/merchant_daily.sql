-- One market at a time, so that a name (fiat_code = 'VES') reaches the index of the numbers. Names of advertisers are
-- joined below each aggregate, so that one of them (advertiser = 'Trader') reaches the index on advertiser_sk: a
-- condition goes down through `group by` and `union all`, a join does not.
-- Somebody who changed their identity within the day has several rows below, and one here: a snapshot sees one identity,
-- so that snapshots add up.
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
    made.advertiser_id,
    made.nickname as advertiser,
    made.is_merchant,
    made.day,
    sum(made.snapshots) as snapshots,
    sum(made.offers_sum) as offers_sum,
    sum(made.volume_sum) as volume_sum,
    max(made.orders_30_days_max) as orders_30_days
  from (
    select
      now_called.advertiser_sk, now_called.advertiser_id, now_called.nickname, now_called.is_merchant,
      s.day, s.snapshots, s.offers_sum, s.volume_sum, s.orders_30_days_max
    from p2p.stored_merchant_days s
    join p2p.dim_advertisers a using (advertiser_sk)
    join p2p.dim_advertisers now_called
      on now_called.exchange_id = a.exchange_id
      and now_called.advertiser_id = a.advertiser_id
      and now_called.is_current
    where s.exchange_id = m.exchange_id
      and s.fiat_id = m.fiat_id
      and s.crypto_id = m.crypto_id
      and s.trade_type = m.trade_type
    union all
    -- The day under way: its hours that are stored.
    select
      h.advertiser_sk, h.advertiser_id, h.nickname, h.is_merchant,
      o.day, h.snapshots, h.offers_sum, h.volume_sum, h.orders_30_days_max
    from p2p.open_days o
    cross join lateral (
      select
        now_called.advertiser_sk, now_called.advertiser_id, now_called.nickname, now_called.is_merchant,
        s.snapshots, s.offers_sum, s.volume_sum, s.orders_30_days_max
      from p2p.stored_merchant_hours s
      join p2p.dim_advertisers a using (advertiser_sk)
      join p2p.dim_advertisers now_called
        on now_called.exchange_id = a.exchange_id
        and now_called.advertiser_id = a.advertiser_id
        and now_called.is_current
      where s.exchange_id = m.exchange_id
        and s.fiat_id = m.fiat_id
        and s.crypto_id = m.crypto_id
        and s.trade_type = m.trade_type
        and s.hour >= o.day
        and s.hour < o.day + interval '24 hours'
    ) as h
    union all
    -- … and the one that is not.
    select
      h.advertiser_sk, h.advertiser_id, h.nickname, h.is_merchant,
      o.day, h.snapshots, h.offers_sum, h.volume_sum, h.orders_30_days_max
    from p2p.open_days o
    join p2p.open_hours under_way on under_way.hour >= o.day and under_way.hour < o.day + interval '24 hours'
    cross join lateral (
      select
        now_called.advertiser_sk,
        now_called.advertiser_id,
        now_called.nickname,
        now_called.is_merchant,
        count(distinct s.extraction_timestamp) as snapshots,
        count(*) as offers_sum,
        sum(s.available_amount) as volume_sum,
        max(s.total_orders_count) as orders_30_days_max
      from p2p.fact_offers s
      join p2p.dim_advertisers a using (advertiser_sk)
      join p2p.dim_advertisers now_called
        on now_called.exchange_id = a.exchange_id
        and now_called.advertiser_id = a.advertiser_id
        and now_called.is_current
      where s.exchange_id = m.exchange_id
        and s.fiat_id = m.fiat_id
        and s.crypto_id = m.crypto_id
        and s.trade_type = m.trade_type
        and s.extraction_timestamp >= under_way.hour
        -- Not as the end of a range: of one the planner expects so few rows that it would look up each offer's advertiser.
        and s.extraction_timestamp - under_way.hour < interval '1 hour'
      group by now_called.advertiser_sk
    ) as h
  ) as made
  group by made.advertiser_sk, made.day, made.advertiser_id, made.nickname, made.is_merchant
) as d;

comment on view p2p.merchant_daily is 'Offers and available amount of every advertiser by market and day (UTC), under their present name';
comment on column p2p.merchant_daily.snapshots is 'Snapshots of the day in which they had an offer';
comment on column p2p.merchant_daily.avg_volume is 'Available amount in those snapshots, on average';
comment on column p2p.merchant_daily.orders_30_days is 'Orders in the last 30 days, of all their markets: the highest number of the day';

grant select on p2p.merchant_daily to p2p_reader;
