-- See the one of plain PostgreSQL. A continuous aggregate is a union that no join reaches into: read is where it is
-- stored, by the name that TimescaleDB gave that table, up to its watermark, and the facts from there on, just as
-- merchant_days_v1 does. Of the facts advertisers are grouped first, by market: looking up the names of all their offers
-- took longer in a large market than one advertiser's question gained.
do $do$
declare
  v_days constant p2p.aggregate_sources := (select s from p2p.aggregate_sources s where s.aggregate = 'merchant_days_v1');
  v_hours constant p2p.aggregate_sources := (select s from p2p.aggregate_sources s where s.aggregate = 'merchant_hours_v1');
  v_schema constant text := (select x.extnamespace::regnamespace::text from pg_extension x where x.extname = 'timescaledb');
begin
  execute format(
    $statement$
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
          from %2$I.%3$I s
          join p2p.dim_advertisers a using (advertiser_sk)
          join p2p.dim_advertisers now_called
            on now_called.exchange_id = a.exchange_id
            and now_called.advertiser_id = a.advertiser_id
            and now_called.is_current
          where s.exchange_id = m.exchange_id
            and s.fiat_id = m.fiat_id
            and s.crypto_id = m.crypto_id
            and s.trade_type = m.trade_type
            and s.day < coalesce(_timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(%4$s)), '-infinity')
          union all
          -- From before the conversion, of days whose facts are gone.
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
          -- Days that are not stored: their hours that are.
          select
            now_called.advertiser_sk, now_called.advertiser_id, now_called.nickname, now_called.is_merchant,
            %1$s.time_bucket('1 day', s.hour) as day, s.snapshots, s.offers_sum, s.volume_sum, s.orders_30_days_max
          from %5$I.%6$I s
          join p2p.dim_advertisers a using (advertiser_sk)
          join p2p.dim_advertisers now_called
            on now_called.exchange_id = a.exchange_id
            and now_called.advertiser_id = a.advertiser_id
            and now_called.is_current
          where s.exchange_id = m.exchange_id
            and s.fiat_id = m.fiat_id
            and s.crypto_id = m.crypto_id
            and s.trade_type = m.trade_type
            and s.hour >= coalesce(_timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(%4$s)), '-infinity')
            and s.hour < coalesce(_timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(%7$s)), '-infinity')
          union all
          -- … and those that are not.
          select
            now_called.advertiser_sk, now_called.advertiser_id, now_called.nickname, now_called.is_merchant, h.day,
            h.snapshots, h.offers_sum, h.volume_sum, h.orders_30_days_max
          from (
            select
              f.exchange_id,
              f.fiat_id,
              f.crypto_id,
              f.trade_type,
              f.advertiser_sk,
              %1$s.time_bucket('1 day', f.extraction_timestamp) as day,
              count(distinct f.extraction_timestamp) as snapshots,
              count(*) as offers_sum,
              sum(f.available_amount) as volume_sum,
              max(f.total_orders_count) as orders_30_days_max
            from p2p.fact_offers f
            where f.extraction_timestamp >= coalesce(_timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(%4$s)), '-infinity')
              and f.extraction_timestamp >= coalesce(_timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(%7$s)), '-infinity')
            group by f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type, f.advertiser_sk, day
          ) as h
          join p2p.dim_advertisers a using (advertiser_sk)
          join p2p.dim_advertisers now_called
            on now_called.exchange_id = a.exchange_id
            and now_called.advertiser_id = a.advertiser_id
            and now_called.is_current
          where h.exchange_id = m.exchange_id
            and h.fiat_id = m.fiat_id
            and h.crypto_id = m.crypto_id
            and h.trade_type = m.trade_type
        ) as made
        group by made.advertiser_sk, made.day, made.advertiser_id, made.nickname, made.is_merchant
      ) as d
    $statement$,
    v_schema,
    v_days.stored_schema,
    v_days.stored_table,
    v_days.stored_id,
    v_hours.stored_schema,
    v_hours.stored_table,
    v_hours.stored_id
  );
end
$do$;

comment on view p2p.merchant_daily is 'Offers and available amount of every advertiser by market and day (UTC), under their present name';
comment on column p2p.merchant_daily.snapshots is 'Snapshots of the day in which they had an offer';
comment on column p2p.merchant_daily.avg_volume is 'Available amount in those snapshots, on average';
comment on column p2p.merchant_daily.orders_30_days is 'Orders in the last 30 days, of all their markets: the highest number of the day';

grant select on p2p.merchant_daily to p2p_reader;
