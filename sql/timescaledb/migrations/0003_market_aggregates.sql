-- Markets by hour, and by day on top of that, as continuous aggregates. They hold ids and sums: a refresh does not see a
-- change in a dimension. Views read them as market_hours and market_days: a later change makes _v2, fills it, and moves
-- the view over. Refresh and packing are policies (apply_policies).
do $$
declare
  v_schema constant text := (select x.extnamespace::regnamespace::text from pg_extension x where x.extname = 'timescaledb');
begin
  execute format(
    $statement$
      create materialized view p2p.market_hours_v1
      with (
        timescaledb.continuous,
        timescaledb.materialized_only = false,
        timescaledb.create_group_indexes = false
      ) as
      select
        d.exchange_id,
        d.fiat_id,
        d.crypto_id,
        d.trade_type,
        %1$s.time_bucket('1 hour', d.extraction_timestamp) as hour,
        count(*) as snapshots,
        count(d.min_price) as snapshots_with_offers,
        %1$s.first(case d.trade_type when 'BUY' then d.min_price else d.max_price end, d.extraction_timestamp) filter (where case d.trade_type when 'BUY' then d.min_price else d.max_price end is not null) as best_open,
        max(case d.trade_type when 'BUY' then d.min_price else d.max_price end) as best_high,
        min(case d.trade_type when 'BUY' then d.min_price else d.max_price end) as best_low,
        %1$s.last(case d.trade_type when 'BUY' then d.min_price else d.max_price end, d.extraction_timestamp) filter (where case d.trade_type when 'BUY' then d.min_price else d.max_price end is not null) as best_close,
        %1$s.first(d.median_price, d.extraction_timestamp) filter (where d.median_price is not null) as median_open,
        max(d.median_price) as median_high,
        min(d.median_price) as median_low,
        %1$s.last(d.median_price, d.extraction_timestamp) filter (where d.median_price is not null) as median_close,
        min(d.min_price) as min_price,
        max(d.max_price) as max_price,
        sum(d.weighted_avg_price * d.total_available_volume) as price_volume_sum,
        sum(d.total_available_volume) as volume_sum,
        max(d.total_available_volume) as volume_high,
        min(d.total_available_volume) as volume_low,
        count(d.spread_percentage) as spread_count,
        sum(d.spread_percentage) as spread_sum,
        %1$s.first(d.spread_percentage, d.extraction_timestamp) filter (where d.spread_percentage is not null) as spread_open,
        max(d.spread_percentage) as spread_high,
        min(d.spread_percentage) as spread_low,
        %1$s.last(d.spread_percentage, d.extraction_timestamp) filter (where d.spread_percentage is not null) as spread_close,
        sum(d.total_offers_count) as offers_sum,
        max(d.total_offers_count) as offers_max,
        count(d.median_price) as median_count,
        sum(d.median_price) as median_sum,
        sum(d.median_price * d.median_price) as median_square_sum
      from p2p.fact_market_depth d
      group by d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type, hour
      with no data
    $statement$,
    v_schema
  );
end
$$;

alter materialized view p2p.market_hours_v1 set (
  timescaledb.enable_columnstore,
  timescaledb.segmentby = 'exchange_id, fiat_id, crypto_id, trade_type',
  timescaledb.orderby = 'hour'
);

comment on view p2p.market_hours_v1 is 'Each market by hour: read it as market_hours';

create index market_hours_v1_by_market
on p2p.market_hours_v1 (exchange_id, fiat_id, crypto_id, trade_type, hour);

do $$
declare
  v_schema constant text := (select x.extnamespace::regnamespace::text from pg_extension x where x.extname = 'timescaledb');
begin
  execute format(
    $statement$
      create materialized view p2p.market_days_v1
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
        %1$s.time_bucket('1 day', h.hour) as day,
        sum(h.snapshots)::bigint as snapshots,
        sum(h.snapshots_with_offers)::bigint as snapshots_with_offers,
        %1$s.first(h.best_open, h.hour) filter (where h.best_open is not null) as best_open,
        max(h.best_high) as best_high,
        min(h.best_low) as best_low,
        %1$s.last(h.best_close, h.hour) filter (where h.best_close is not null) as best_close,
        %1$s.first(h.median_open, h.hour) filter (where h.median_open is not null) as median_open,
        max(h.median_high) as median_high,
        min(h.median_low) as median_low,
        %1$s.last(h.median_close, h.hour) filter (where h.median_close is not null) as median_close,
        min(h.min_price) as min_price,
        max(h.max_price) as max_price,
        sum(h.price_volume_sum) as price_volume_sum,
        sum(h.volume_sum) as volume_sum,
        max(h.volume_high) as volume_high,
        min(h.volume_low) as volume_low,
        sum(h.spread_count)::bigint as spread_count,
        sum(h.spread_sum) as spread_sum,
        %1$s.first(h.spread_open, h.hour) filter (where h.spread_open is not null) as spread_open,
        max(h.spread_high) as spread_high,
        min(h.spread_low) as spread_low,
        %1$s.last(h.spread_close, h.hour) filter (where h.spread_close is not null) as spread_close,
        sum(h.offers_sum)::bigint as offers_sum,
        max(h.offers_max) as offers_max,
        sum(h.median_count)::bigint as median_count,
        sum(h.median_sum) as median_sum,
        sum(h.median_square_sum) as median_square_sum
      from p2p.market_hours_v1 h
      group by h.exchange_id, h.fiat_id, h.crypto_id, h.trade_type, day
      with no data
    $statement$,
    v_schema
  );
end
$$;

alter materialized view p2p.market_days_v1 set (
  timescaledb.enable_columnstore,
  timescaledb.segmentby = 'exchange_id, fiat_id, crypto_id, trade_type',
  timescaledb.orderby = 'day'
);

comment on view p2p.market_days_v1 is 'Each market by day, on top of the hours: read it as market_days';

create index market_days_v1_by_market
on p2p.market_days_v1 (exchange_id, fiat_id, crypto_id, trade_type, day);

grant select
on p2p.market_hours_v1, p2p.market_days_v1
to p2p_reader;

-- What was stored of facts that are still there comes from the aggregates now. Facts are dropped by whole days.
delete from p2p.stored_market_hours s
where s.hour >= coalesce((select d.dropped_before from p2p.dropped_facts d where d.table_name = 'fact_market_depth'), '-infinity');

-- So does an hour that retention had passed, but whose batches were all loaded again.
delete from p2p.stored_market_hours s
using (
  select date_trunc('hour', r.batch_start_time, 'UTC') as hour
  from p2p.ops_batch_runs r
  cross join lateral (
    select exists (
      select
      from p2p.fact_market_depth f
      where f.extraction_timestamp = r.batch_start_time
    ) as is_there
  ) as facts
  where r.status in ('completed', 'partial')
    and r.total_offers_inserted > 0
  group by 1
  having bool_and(facts.is_there)
) as whole
where s.hour = whole.hour;

delete from p2p.stored_market_days s
where not exists (
  select
  from p2p.stored_market_hours h
  where h.hour >= s.day
    and h.hour < s.day + interval '24 hours'
);

delete from p2p.partitioned_tables t
where t.table_name in ('stored_market_hours', 'stored_market_days');
