-- What people should know of now, as far as the database can see it: one row a kind and subject. `opens` false: no reason
-- to begin an incident, but one that is open stays so. What has no row is over. Changes nothing.
-- Judges the newest batch that has ended (imported ones count neither way), the workers that live, and how long the
-- service has been without a good batch. What is dated in the future was written while the server's clock was ahead: such a
-- batch is not the newest, as for join_batch, and such an incident lasts no longer than its cause is seen.
-- Expects p_interval_minutes NULL where no service runs, as with `once`: a missing batch is nobody's fault then.
create or replace function p2p.incident_causes(p_interval_minutes integer, p_alert_on_failures integer)
returns table (kind text, subject text, message text, opens boolean)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with last_batch as (
    select r.batch_id, r.is_cut_short, r.error_summary, p2p.failures_in_a_row(r.batch_id) as failures
    from p2p.ops_batch_runs r
    where r.status <> 'running'
      and r.imported_from is null
      and r.batch_start_time < clock_timestamp() + interval '1 minute'
    order by r.batch_start_time desc
    limit 1
  ),
  last_good as (
    select r.batch_end_time
    from p2p.ops_batch_runs r
    where r.status in ('completed', 'partial')
      and r.imported_from is null
      and r.batch_start_time < clock_timestamp() + interval '1 minute'
    order by r.batch_start_time desc
    limit 1
  ),
  open_incidents as (
    select i.kind, i.subject, i.raised_at
    from p2p.ops_incidents i
    where i.resolved_at is null
  ),
  patience as (
    select make_interval(mins => p_interval_minutes) * p2p.setting_number('no_good_batch_intervals')::double precision as longest
  ),
  -- A service that was away has until then to load a batch; one that starts again and again has no longer.
  serving as (
    select min(w.started_at) as since
    from p2p.ops_workers w
    cross join patience
    where w.purpose = 'run'
      and w.last_seen_at > clock_timestamp() - patience.longest
  ),
  waiting as (
    select
      clock_timestamp() - greatest(serving.since, (select g.batch_end_time from last_good g)) as lasted,
      patience.longest
    from serving
    cross join patience
    where serving.since is not null
      and not p2p.setting_switch('paused')
  ),
  shut_out as (
    select
      e.code,
      bool_or(we.breaker <> 'closed' or we.paused_until > clock_timestamp() + interval '2 minutes') as is_long,
      string_agg(distinct w.worker_name, ', ') as workers,
      coalesce(min(we.breaker_reason) filter (where we.breaker <> 'closed'), 'it asked for a pause') as reason
    from p2p.live_workers() w
    join p2p.ops_worker_exchanges we using (worker_id)
    join p2p.dim_exchanges e using (exchange_id)
    where we.breaker <> 'closed'
      or we.paused_until > clock_timestamp()
    group by e.code
  )
  -- What a stop left out is no news.
  select a.kind, '', a.message, not (b.is_cut_short and a.kind = 'completeness')
  from last_batch b
  cross join p2p.batch_alerts(b.batch_id) as a
  union all
  -- A load that failed has checked nothing.
  select unchecked.kind, '', '', false
  from last_batch b
  cross join (values ('structure_changed'), ('rule_failed'), ('completeness')) as unchecked (kind)
  where not exists (
    select
    from p2p.ops_data_quality q
    where q.batch_id = b.batch_id
  )
  union all
  select
    'batch_failed',
    '',
    concat_ws(': ', format('%s batches in a row were not completed', b.failures), b.error_summary),
    b.failures >= p_alert_on_failures
  from last_batch b
  where b.failures > 0
  union all
  select
    'no_good_batch',
    '',
    format('no batch was loaded for %s minutes', floor(extract(epoch from w.lasted) / 60)),
    true
  from waiting w
  where w.lasted > w.longest
  union all
  select
    'breaker_open',
    s.code,
    format('nothing is sent to %s: %s (%s)', s.code, s.reason, s.workers),
    s.is_long
  from shut_out s
  union all
  -- These end with a batch that was loaded: it fills many pages.
  select i.kind, i.subject, '', false
  from open_incidents i
  where i.kind in ('no_good_batch', 'disk_full')
    and i.raised_at > coalesce((select g.batch_end_time from last_good g), '-infinity')
    and i.raised_at <= clock_timestamp()
$function$;

comment on function p2p.incident_causes(integer, integer) is 'What people should know of now, as far as the database can see it';

grant execute on function p2p.incident_causes(integer, integer) to p2p_worker;
