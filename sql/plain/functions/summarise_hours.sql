-- Step of load_batch, after load_depth: keeps market_hours, market_days, merchant_hours and merchant_days equal to what
-- the facts say.
--   the newest hour, and its day     stay open: the views make them of the facts
--   hours and days that are over     are stored, once: by the first batch of the next hour
--   the hour of a late batch, or of  is made anew, and its day
--     one that is loaded again          (with hours of that day that went by their own retention)
--   hours whose offers were pointed  are made anew for these advertisers, and their days
--     at another row of theirs
-- A second call changes no row.
create or replace function p2p.summarise_hours(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select r.batch_start_time from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_newest constant timestamptz := greatest(
    v_now,
    (
      select max(r.batch_start_time)
      from p2p.ops_batch_runs r
      where r.status in ('completed', 'partial')
    )
  );
  v_hour constant timestamptz := date_trunc('hour', v_now, 'UTC');
  v_newest_hour constant timestamptz := date_trunc('hour', v_newest, 'UTC');
  v_newest_day constant timestamptz := date_trunc('day', v_newest, 'UTC');
  v_period record;
  v_days timestamptz[] := '{}'::timestamptz[];
begin
  create temp table if not exists repointed_offers (
    extraction_timestamp timestamptz,
    advertiser_sks integer[]
  ) on commit drop;

  -- An hour that was stored before its time is kept true in the table.
  if not exists (select from p2p.stored_market_hours s where s.hour = v_newest_hour)
    and not exists (select from p2p.stored_merchant_hours s where s.hour = v_newest_hour)
  then
    insert into p2p.open_hours (hour)
    values (v_newest_hour)
    on conflict do nothing;
  end if;

  if not exists (select from p2p.stored_market_days s where s.day = v_newest_day)
    and not exists (select from p2p.stored_merchant_days s where s.day = v_newest_day)
  then
    insert into p2p.open_days (day)
    values (v_newest_day)
    on conflict do nothing;
  end if;

  for v_period in
    with whole_hours as (
      select o.hour
      from p2p.open_hours o
      where o.hour < v_newest_hour
      union
      -- Of batches that were loaded while the step was switched off.
      select date_trunc('hour', r.batch_start_time, 'UTC')
      from p2p.ops_batch_runs r
      where r.batch_start_time >= (select min(o.hour) from p2p.open_hours o)
        and r.batch_start_time < v_newest_hour
        and r.status in ('completed', 'partial')
      union
      select v_hour
      where not exists (
        select
        from p2p.open_hours o
        where o.hour = v_hour
      )
      union
      -- The day of a late batch is made of all its hours: those that went by their own retention come back for it.
      select date_trunc('hour', r.batch_start_time, 'UTC')
      from p2p.ops_batch_runs r
      where r.batch_start_time >= date_trunc('day', v_now, 'UTC')
        and r.batch_start_time < date_trunc('day', v_now, 'UTC') + interval '24 hours'
        and r.status in ('completed', 'partial')
        and exists (
          select
          from p2p.dropped_facts d
          where d.table_name = 'stored_merchant_hours'
            and d.dropped_before > v_now
        )
        and exists (
          select
          from p2p.fact_offers f
          where f.extraction_timestamp = r.batch_start_time
        )
        and not exists (
          select
          from p2p.stored_merchant_hours h
          where h.hour = date_trunc('hour', r.batch_start_time, 'UTC')
        )
        and not exists (
          select
          from p2p.open_hours o
          where o.hour = date_trunc('hour', r.batch_start_time, 'UTC')
        )
    ),
    repointed as (
      select
        date_trunc('hour', r.extraction_timestamp, 'UTC') as hour,
        array_agg(distinct sk.advertiser_sk) as advertisers
      from pg_temp.repointed_offers r
      cross join lateral unnest(r.advertiser_sks) as sk (advertiser_sk)
      group by 1
    )
    select w.hour, null::integer[] as advertisers
    from whole_hours w
    union all
    select r.hour, r.advertisers
    from repointed r
    where r.hour not in (select w.hour from whole_hours w)
      and r.hour not in (select o.hour from p2p.open_hours o)
    order by hour
  loop
    if p2p.store_period('hour', v_period.hour, v_period.advertisers) then
      v_days := v_days || date_trunc('day', v_period.hour, 'UTC');
    end if;
  end loop;

  for v_period in
    select o.day
    from p2p.open_days o
    where o.day < v_newest_day
    union
    select changed.day
    from unnest(v_days) as changed (day)
    where changed.day not in (select o.day from p2p.open_days o)
    order by day
  loop
    perform p2p.store_period('day', v_period.day);
  end loop;

  drop table pg_temp.repointed_offers;
end
$function$;

comment on function p2p.summarise_hours(uuid) is 'Step of load_batch: stores markets and advertisers of hours and days that are over';

grant execute on function p2p.summarise_hours(uuid) to p2p_worker;
