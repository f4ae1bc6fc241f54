-- Advertisers by market and hour, and by day on top of that, as continuous aggregates; see 0003. In a packed segment the
-- hour comes first: distinct merchants are counted hour by hour.
do $$
declare
  v_schema constant text := (select x.extnamespace::regnamespace::text from pg_extension x where x.extname = 'timescaledb');
begin
  execute format(
    $statement$
      create materialized view p2p.merchant_hours_v1
      with (
        timescaledb.continuous,
        timescaledb.materialized_only = false,
        timescaledb.create_group_indexes = false
      ) as
      select
        f.exchange_id,
        f.fiat_id,
        f.crypto_id,
        f.trade_type,
        f.advertiser_sk,
        %1$s.time_bucket('1 hour', f.extraction_timestamp) as hour,
        count(distinct f.extraction_timestamp) as snapshots,
        count(*) as offers_sum,
        sum(f.available_amount) as volume_sum,
        max(f.total_orders_count) as orders_30_days_max
      from p2p.fact_offers f
      group by f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type, hour, f.advertiser_sk
      with no data
    $statement$,
    v_schema
  );
end
$$;

alter materialized view p2p.merchant_hours_v1 set (
  timescaledb.enable_columnstore,
  timescaledb.segmentby = 'exchange_id, fiat_id, crypto_id, trade_type',
  timescaledb.orderby = 'hour, advertiser_sk'
);

comment on view p2p.merchant_hours_v1 is 'Each advertiser by market and hour: read it as merchant_hours';

create index merchant_hours_v1_by_market
on p2p.merchant_hours_v1 (exchange_id, fiat_id, crypto_id, trade_type, hour);

create index merchant_hours_v1_by_advertiser
on p2p.merchant_hours_v1 (advertiser_sk, hour);

do $$
declare
  v_schema constant text := (select x.extnamespace::regnamespace::text from pg_extension x where x.extname = 'timescaledb');
begin
  execute format(
    $statement$
      create materialized view p2p.merchant_days_v1
      with (
        timescaledb.continuous,
        timescaledb.materialized_only = false,
        timescaledb.create_group_indexes = false
      ) as
      select
        h.exchange_id,
        h.fiat_id,
        h.crypto_id,
        h.trade_type,
        h.advertiser_sk,
        %1$s.time_bucket('1 day', h.hour) as day,
        sum(h.snapshots)::bigint as snapshots,
        sum(h.offers_sum)::bigint as offers_sum,
        sum(h.volume_sum) as volume_sum,
        max(h.orders_30_days_max) as orders_30_days_max
      from p2p.merchant_hours_v1 h
      group by h.exchange_id, h.fiat_id, h.crypto_id, h.trade_type, day, h.advertiser_sk
      with no data
    $statement$,
    v_schema
  );
end
$$;

alter materialized view p2p.merchant_days_v1 set (
  timescaledb.enable_columnstore,
  timescaledb.segmentby = 'exchange_id, fiat_id, crypto_id, trade_type',
  timescaledb.orderby = 'day, advertiser_sk'
);

comment on view p2p.merchant_days_v1 is 'Each advertiser by market and day, on top of the hours: read it as merchant_days';

create index merchant_days_v1_by_market
on p2p.merchant_days_v1 (exchange_id, fiat_id, crypto_id, trade_type, day);

create index merchant_days_v1_by_advertiser
on p2p.merchant_days_v1 (advertiser_sk, day);

grant select
on p2p.merchant_hours_v1, p2p.merchant_days_v1
to p2p_reader;

-- What was stored of facts that are still there comes from the aggregates now. Facts are dropped by whole days.
delete from p2p.stored_merchant_hours s
where s.hour >= coalesce((select d.dropped_before from p2p.dropped_facts d where d.table_name = 'fact_offers'), '-infinity');

-- So does an hour that retention had passed, but whose batches were all loaded again.
delete from p2p.stored_merchant_hours s
using (
  select date_trunc('hour', r.batch_start_time, 'UTC') as hour
  from p2p.ops_batch_runs r
  cross join lateral (
    select exists (
      select
      from p2p.fact_offers f
      where f.extraction_timestamp = r.batch_start_time
    ) as is_there
  ) as facts
  where r.status in ('completed', 'partial')
    and r.total_offers_inserted > 0
  group by 1
  having bool_and(facts.is_there)
) as whole
where s.hour = whole.hour;

delete from p2p.stored_merchant_days s
where not exists (
  select
  from p2p.stored_merchant_hours h
  where h.hour >= s.day
    and h.hour < s.day + interval '24 hours'
);

delete from p2p.partitioned_tables t
where t.table_name in ('stored_merchant_hours', 'stored_merchant_days');

-- TimescaleDB keeps the aggregates true: no step of a load does.
alter table p2p.pipeline_steps disable trigger user;

delete from p2p.pipeline_steps s
where s.name = 'summarise_hours';

alter table p2p.pipeline_steps enable trigger user;

delete from p2p.open_hours;

delete from p2p.open_days;
