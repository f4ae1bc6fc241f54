-- The policies that the settings ask for, as they stand at p_now. Changes nothing.
-- A refresh looks back as far as batches can be loaded again (raw_retention_days; pages go by whole days), so that what
-- a late batch or a replay wrote is seen without anybody's doing; but never to facts that were dropped or soon will be:
-- that would delete what the aggregate has of them. It ends one bucket ago: a bucket is stored when it is over.
-- Facts are packed when columnstore_after_days have passed, aggregates a week after no policy refreshes them any more.
create or replace function p2p.wanted_policies(p_now timestamptz default now())
returns table (
  relation    text,
  policy      text,
  look_back   interval,
  stay_behind interval,
  pack_after  interval,
  every       interval
)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with recursive days as (
    select
      p2p.setting_number('raw_retention_days') as raw,
      p2p.setting_number('columnstore_after_days') as columnstore
  ),
  -- Dropped are whole chunks that are older than this.
  kept as (
    select
      k.table_name,
      p2p.setting_number(k.setting) as days
    from (
      values
        ('fact_offers', 'offers_retention_days'),
        ('fact_market_depth', 'depth_retention_days')
    ) as k (table_name, setting)
  ),
  refreshes as (
    select
      s.aggregate,
      s.stored_id,
      s.bucket,
      least(
        d.raw + 2,
        k.days - 1,
        case when isfinite(s.facts_since) then floor(extract(epoch from p_now - s.facts_since) / 86400) end
      ) as look_back_days
    from p2p.aggregate_sources s
    join kept k on k.table_name = s.table_name
    cross join days d
    where s.level = 1
    union all
    select
      s.aggregate,
      s.stored_id,
      s.bucket,
      r.look_back_days + 2
    from refreshes r
    join p2p.aggregate_sources s on s.source_id = r.stored_id
  )
  select
    r.aggregate,
    'refresh',
    r.look_back_days * interval '1 day',
    r.bucket,
    null,
    least(r.bucket / 2, interval '1 hour')
  from refreshes r
  union all
  select
    h.hypertable_name::text,
    'columnstore',
    null,
    null,
    d.columnstore * interval '1 day',
    null
  from timescaledb_information.hypertables h
  cross join days d
  where h.hypertable_schema = 'p2p'
    and h.hypertable_name in (select k.table_name from kept k)
    and h.compression_enabled
  union all
  select
    r.aggregate,
    'columnstore',
    null,
    null,
    (r.look_back_days + 7) * interval '1 day',
    null
  from refreshes r
  join timescaledb_information.continuous_aggregates ca
    on ca.view_schema = 'p2p'
    and ca.view_name = r.aggregate
    and ca.compression_enabled
$function$;

comment on function p2p.wanted_policies(timestamptz) is 'The policies of TimescaleDB that the settings ask for';

grant execute on function p2p.wanted_policies(timestamptz) to p2p_worker;
