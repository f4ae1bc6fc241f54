-- What the continuous aggregate has stored, what had been stored before the conversion of hours whose facts are gone, and
-- the hours from its watermark on, made of the facts just as merchant_hours_v1 does, but hour by hour: a question for one
-- that is stored reads no facts (market_hourly asks for each hour by itself).
do $do$
declare
  v_hours constant p2p.aggregate_sources := (select s from p2p.aggregate_sources s where s.aggregate = 'merchant_hours_v1');
  v_schema constant text := (select x.extnamespace::regnamespace::text from pg_extension x where x.extname = 'timescaledb');
begin
  execute format(
    $statement$
      create or replace view p2p.merchant_hours as
      select
        exchange_id, fiat_id, crypto_id, trade_type, advertiser_sk, hour, snapshots, offers_sum, volume_sum,
        orders_30_days_max
      from %2$I.%3$I
      where hour < coalesce(_timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(%4$s)), '-infinity')
      union all
      select
        exchange_id, fiat_id, crypto_id, trade_type, advertiser_sk, hour, snapshots, offers_sum, volume_sum,
        orders_30_days_max
      from p2p.stored_merchant_hours
      union all
      select
        made.exchange_id, made.fiat_id, made.crypto_id, made.trade_type, made.advertiser_sk, o.hour, made.snapshots,
        made.offers_sum, made.volume_sum, made.orders_30_days_max
      -- An array: of a set the planner would think a thousand.
      from unnest(
        array(
          select generate_series(
            %1$s.time_bucket('1 hour', min(f.extraction_timestamp)),
            max(f.extraction_timestamp),
            interval '1 hour'
          )
          from p2p.fact_offers f
          where f.extraction_timestamp >= coalesce(_timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(%4$s)), '-infinity')
        )
      ) as o (hour)
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
        where f.extraction_timestamp >= coalesce(_timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(%4$s)), '-infinity')
          and f.extraction_timestamp >= o.hour
          and f.extraction_timestamp < o.hour + interval '1 hour'
        group by f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type, f.advertiser_sk
      ) as made
    $statement$,
    v_schema,
    v_hours.stored_schema,
    v_hours.stored_table,
    v_hours.stored_id
  );
end
$do$;

comment on view p2p.merchant_hours is 'Each advertiser by market and hour (UTC) as sums, by ids: distinct merchants are counted here';
comment on column p2p.merchant_hours.snapshots is 'Snapshots in which they had an offer there';
comment on column p2p.merchant_hours.offers_sum is 'Offers of all snapshots together: divide it by snapshots';
comment on column p2p.merchant_hours.volume_sum is 'Available amount of all snapshots together: divide it by snapshots';

grant select on p2p.merchant_hours to p2p_reader, p2p_worker;
