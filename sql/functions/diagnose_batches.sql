-- Batches, workers and what the last load said, for `diagnose`. Expects the interval at which batches are due. Changes nothing.
create or replace function p2p.diagnose_batches(p_interval_minutes integer)
returns table (topic text, state text, finding text, mend text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with last_batch as (
    select r.*
    from p2p.ops_batch_runs r
    where r.status <> 'running'
    order by r.batch_start_time desc
    limit 1
  ),
  last_good as (
    select extract(epoch from clock_timestamp() - max(r.batch_end_time)) as age_seconds
    from p2p.ops_batch_runs r
    where r.status in ('completed', 'partial')
  ),
  abandoned as (
    select r.*
    from p2p.ops_batch_runs r
    where r.status = 'running'
      and not exists (select from p2p.workers_at_work())
  ),
  -- Where nobody ever ran the service, batches are begun by hand or by cron.
  last_service as (
    select w.*
    from p2p.ops_workers w
    where w.purpose = 'run'
      and w.last_seen_at > clock_timestamp() - interval '7 days'
      and not exists (select from p2p.live_workers() l where l.purpose = 'run')
      and not exists (select from abandoned)
    order by w.last_seen_at desc
    limit 1
  ),
  skipped as (
    select count(*) as due_times, string_agg(distinct s.reason, '; ' order by s.reason) as reasons
    from p2p.ops_skipped_batches s
    where s.due_at > clock_timestamp() - interval '1 day'
  ),
  closed_exchanges as (
    select
      e.code,
      w.worker_name,
      case
        when we.breaker = 'open'
        then 'since ' || to_char(we.breaker_since, 'YYYY-MM-DD HH24:MI TZ')
          || ': ' || coalesce(we.breaker_reason, 'no reason is given')
        else 'until ' || to_char(we.paused_until, 'YYYY-MM-DD HH24:MI TZ')
          || ': it asked for a pause (Retry-After)'
      end as when_and_why
    from p2p.live_workers() w
    join p2p.ops_worker_exchanges we using (worker_id)
    join p2p.dim_exchanges e using (exchange_id)
    where we.breaker = 'open'
      or we.paused_until > clock_timestamp() + interval '1 minute'
  ),
  failing_rules as (
    select count(*) as rules, string_agg(q.metric_name, ', ' order by q.metric_name) as names
    from p2p.ops_data_quality q
    join last_batch using (batch_id)
    where not q.passed
  ),
  failing_steps as (
    select count(*) as steps, string_agg(s.step || ' (' || s.error || ')', ', ' order by s.step) as names
    from p2p.failed_steps s
    join last_batch using (batch_id)
    where s.is_still_so
  ),
  quarantined as (
    select
      count(*) as offers,
      extract(day from clock_timestamp() - min(r.batch_start_time)) as days
    from p2p.ops_rejected_offers o
    join p2p.ops_batch_runs r using (batch_id)
    where o.discarded_at is null
  )
  select
    'batches',
    case
      when a.batch_id is not null then 'warning'
      when g.age_seconds is null then 'warning'
      when g.age_seconds > 180 * p_interval_minutes then 'bad'
      when b.status = 'failed' then 'bad'
      else 'ok'
    end,
    case
      when a.batch_id is not null then format('nobody is at batch %s, which %s began', a.batch_id, a.worker_id)
      when g.age_seconds is null then 'no batch has been loaded yet'
      when g.age_seconds > 180 * p_interval_minutes
      then format('the last good batch ended %s minutes ago', round(g.age_seconds / 60))
      when b.status = 'failed' then format('the last batch failed: %s', b.error_summary)
      else format('the last good batch ended %s s ago', round(g.age_seconds))
    end,
    case
      when a.batch_id is not null then 'the next worker loads what it had stored: p2p-ingest once, or run'
      when g.age_seconds is null or g.age_seconds > 180 * p_interval_minutes then 'p2p-ingest once, or start the service'
      when b.status = 'failed' then 'select * from p2p.last_failures; after mending: p2p-ingest replay --last 1'
    end
  from last_good g
  left join last_batch b on true
  left join abandoned a on true
  union all
  select
    'workers',
    'warning',
    format(
      'no worker is running: %s %s at %s',
      s.worker_id,
      case s.doing when 'gone' then 'was stopped' else 'was last seen' end,
      to_char(s.last_seen_at, 'YYYY-MM-DD HH24:MI TZ')
    ),
    'systemctl start p2p-ingest, or p2p-ingest run'
  from last_service s
  union all
  select
    'schedule',
    'warning',
    format('%s due times of the last 24 hours had no batch: %s', s.due_times, s.reasons),
    'select * from p2p.schedule'
  from skipped s
  where s.due_times > 0
  union all
  select
    'workers',
    'warning',
    format('%s sends nothing to %s %s', worker_name, code, when_and_why),
    'it tries by itself; select * from p2p.workers'
  from closed_exchanges
  union all
  select
    'markets',
    case when markets_completed < markets_expected then 'warning' else 'ok' end,
    format('%s of %s markets whole in the last batch', markets_completed, markets_expected),
    case when markets_completed < markets_expected then 'select * from p2p.gaps' end
  from last_batch
  union all
  select 'rules', 'warning', format('failing in the last batch: %s', names), 'select * from p2p.failing_rules'
  from failing_rules
  where rules > 0
  union all
  select 'steps', 'bad', format('failed in the last load: %s', names), 'select * from p2p.failed_steps'
  from failing_steps
  where steps > 0
  union all
  select
    'quarantine',
    'warning',
    format('%s rejected offers', offers) || case when days >= 1 then format(', the oldest for %s days', days) else '' end,
    'p2p-ingest quarantine list; mend the function, then quarantine replay, or discard'
  from quarantined
  where offers > 0
$function$;

comment on function p2p.diagnose_batches(integer) is 'What is wrong with batches and workers, and what mends it';

grant execute on function p2p.diagnose_batches(integer) to p2p_worker;
