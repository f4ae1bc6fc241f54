-- What `p2p-ingest status` shows, as one document. Changes nothing.
create or replace function p2p.status_report(p_batches integer)
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with last_batch as (
    select r.batch_id
    from p2p.ops_batch_runs r
    where r.status <> 'running'
    order by r.batch_start_time desc
    limit 1
  ),
  newest as (
    select o.*
    from p2p.batch_overview o
    order by o.batch_start_time desc
    limit p_batches
  ),
  running as (
    select
      r.batch_id,
      case
        when not exists (select from p2p.workers_at_work()) then 'abandoned'
        when r.loader_id in (select w.worker_id from p2p.workers_at_work() w) then 'loading'
        when exists (select from p2p.unfetched_markets(r.batch_id)) then 'fetching'
        else 'closing'
      end as stage,
      round(extract(epoch from clock_timestamp() - r.batch_start_time)) as seconds,
      round(extract(epoch from r.fetch_until - clock_timestamp())) as seconds_left,
      r.markets_expected,
      queue.*
    from p2p.ops_batch_runs r
    cross join lateral (
      select
        count(*) filter (where bm.finished_at is not null) as markets_ended,
        count(*) filter (where bm.finished_at > clock_timestamp() - interval '1 minute') as markets_last_minute,
        count(*) filter (where bm.status = 'complete') as whole,
        count(*) filter (where bm.status = 'incomplete') as incomplete,
        count(*) filter (where bm.status = 'failed') as failed,
        count(*) filter (where bm.status = 'fetching') as in_hand,
        count(*) filter (where bm.status = 'pending') as to_come,
        count(*) filter (where bm.status = 'deferred') as deferred,
        coalesce(sum(bm.pages_stored), 0) as pages
      from p2p.ops_batch_markets bm
      where bm.batch_id = r.batch_id
        and bm.status <> 'not_due'
    ) as queue
    where r.status = 'running'
  ),
  served as (
    select count(distinct m.exchange_id) as exchanges
    from p2p.dim_markets m
    where m.is_active
  ),
  missing as (
    select
      m.status,
      count(*) as markets,
      array_to_string(
        (array_agg(
          concat_ws(
            ' ',
            case when served.exchanges > 1 then m.exchange end,
            format('%s/%s %s', m.fiat_code, m.crypto_symbol, m.trade_type)
          )
          order by m.fiat_code, m.crypto_symbol, m.trade_type, m.exchange
        ))[1:4],
        ', '
      ) as examples
    from p2p.missing_markets m
    join last_batch using (batch_id)
    cross join served
    group by m.status
  ),
  workers as (
    select
      w.worker_id as who,
      w.doing,
      e.code as exchange,
      we.rate_per_minute,
      we.ceiling_per_minute,
      we.breaker,
      ceil(greatest(extract(epoch from we.paused_until - clock_timestamp()), 0)) as paused_seconds,
      (
        select count(*)
        from p2p.ops_batch_runs r
        join p2p.ops_batch_markets bm using (batch_id)
        join p2p.dim_markets m using (market_id)
        where r.status = 'running'
          and bm.worker_id = w.worker_id
          and bm.status = 'fetching'
          and m.exchange_id = we.exchange_id
      ) as markets,
      round(extract(epoch from clock_timestamp() - w.last_seen_at)) as seconds_since_seen
    from p2p.live_workers() w
    join p2p.ops_worker_exchanges we using (worker_id)
    join p2p.dim_exchanges e using (exchange_id)
  ),
  open_incidents as (
    select
      to_char(i.raised_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') as since,
      i.kind,
      i.subject,
      i.message
    from p2p.ops_incidents i
    where i.resolved_at is null
  ),
  skipped as (
    select
      to_char(s.due_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') as due,
      s.reason
    from p2p.ops_skipped_batches s
    where s.due_at > clock_timestamp() - interval '24 hours'
    order by s.due_at desc
    limit 5
  )
  select json_build_object(
    'seconds_since_last_good_batch', (
      select round(extract(epoch from clock_timestamp() - max(r.batch_end_time)))
      from p2p.ops_batch_runs r
      where r.status in ('completed', 'partial')
    ),
    'running', (select to_json(running) from running),
    'batches', (
      select coalesce(
        json_agg(
          json_build_object(
            'started', to_char(n.batch_start_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"'),
            'status', n.status,
            'markets', n.markets_completed,
            'of', n.markets_expected,
            'percent', n.completeness_percent,
            'offers', n.offers,
            'rejected', n.rejected,
            'errors', n.errors,
            'seconds', round(n.seconds, 1),
            'failed_checks', n.failed_checks,
            'batch_id', n.batch_id,
            'imported_from', n.imported_from
          )
          order by n.batch_start_time desc
        ),
        '[]'
      )
      from newest n
    ),
    'missing_markets', (
      select coalesce(json_agg(to_json(missing) order by missing.markets desc), '[]')
      from missing
    ),
    'failed_checks', (
      select coalesce(
        json_agg(
          json_build_object(
            'check', q.metric_name,
            'result', q.result,
            'value', q.metric_value,
            'threshold', q.threshold_value
          )
          order by q.metric_name
        ),
        '[]'
      )
      from p2p.ops_data_quality q
      join last_batch using (batch_id)
      where not q.passed
    ),
    'failed_steps', (
      select coalesce(json_agg(json_build_object('step', s.step, 'error', s.error) order by s.step), '[]')
      from p2p.failed_steps s
      join last_batch using (batch_id)
      where s.is_still_so
    ),
    'workers', (
      select coalesce(json_agg(to_json(workers) order by workers.who, workers.exchange), '[]')
      from workers
    ),
    'incidents', (
      select coalesce(json_agg(to_json(open_incidents) order by open_incidents.since desc), '[]')
      from open_incidents
    ),
    'skipped_ticks', (
      select coalesce(json_agg(to_json(skipped) order by skipped.due desc), '[]')
      from skipped
    ),
    'tier', p2p.database_tier(),
    'violated_policies', (
      select count(*)
      from p2p.policy_audit a
      where a.status = 'violated'
    ),
    'is_paused', p2p.setting_switch('paused')
  )
$function$;

comment on function p2p.status_report(integer) is 'What p2p-ingest status shows';

grant execute on function p2p.status_report(integer) to p2p_worker;
