-- What the database knows, for the worker's /metrics: one row a sample, each of which becomes a gauge of Prometheus. The
-- worker asks at most every 5 seconds and waits no longer than 2, so that whatever stands here must be quick; what is
-- not belongs in audit_metrics(). Changes nothing.
-- A metric of your own is one more CTE with the same four columns, and one more line at the end; then
-- p2p-ingest sql adopt 'function p2p.database_metrics()' --note '…'. Names are p2p_…, with the unit in them; rows of one
-- metric have the same keys in labels, and no two rows the same labels. A row that breaks this is left out, and the
-- worker's log says so. Keep labels few: each combination is a series that Prometheus keeps.
create or replace function p2p.database_metrics()
returns table (metric text, help text, labels jsonb, value double precision)
language sql
stable
rows 50
set search_path = p2p, pg_temp
set jit = off
as $function$
  with newest as (
    select r.*
    from p2p.ops_batch_runs r
    where r.imported_from is null
    order by r.batch_start_time desc
    limit 1
  ),
  newest_ended as (
    select r.*
    from p2p.ops_batch_runs r
    where r.imported_from is null
      and r.status <> 'running'
    order by r.batch_start_time desc
    limit 1
  ),
  -- What a stop cut short is incomplete, and that is no news.
  newest_judged as (
    select r.*
    from p2p.ops_batch_runs r
    where r.imported_from is null
      and r.status <> 'running'
      and not r.is_cut_short
    order by r.batch_start_time desc
    limit 1
  ),
  newest_good as (
    select r.*
    from p2p.ops_batch_runs r
    where r.imported_from is null
      and r.status in ('completed', 'partial')
    order by r.batch_start_time desc
    limit 1
  ),
  -- A batch that failed has steps as well: those that were undone.
  newest_load as (
    select l.batch_id, l.load_number
    from p2p.ops_batch_loads l
    join newest_ended using (batch_id)
    order by l.load_number desc
    limit 1
  ),
  data_completeness as (
    select
      'p2p_data_completeness_ratio' as metric,
      'Share of the planned markets that the newest ended batch fetched whole, of those that no stop cut short' as help,
      '{}'::jsonb as labels,
      -- All of them not due: nothing is missing.
      coalesce(j.markets_completed::double precision / nullif(j.markets_expected, 0), (j.status = 'completed')::integer) as value
    from newest_judged j
  ),
  active_workers as (
    select
      'p2p_active_workers',
      'Workers of the fleet that have beaten lately',
      '{}'::jsonb,
      count(*)
    from p2p.live_workers()
  ),
  batch_status as (
    select
      'p2p_batch_status',
      '1 for the status of the newest batch',
      jsonb_build_object('status', s.status),
      (s.status = n.status)::integer
    from newest n
    cross join (values ('running'), ('completed'), ('partial'), ('failed')) as s (status)
  ),
  last_good_batch_age as (
    select
      'p2p_last_good_batch_age_seconds',
      'Since the end of the newest batch that was loaded, whole or in part; absent before the first',
      '{}'::jsonb,
      greatest(extract(epoch from clock_timestamp() - g.batch_end_time), 0)
    from newest_good g
  ),
  failed_batches as (
    select
      'p2p_failed_batches_in_a_row',
      'Batches up to the newest ended one that were not completed, one after the other',
      '{}'::jsonb,
      p2p.failures_in_a_row(e.batch_id)
    from newest_ended e
  ),
  queue_markets as (
    select
      'p2p_queue_markets',
      'Markets of the running batch; 0 while none runs',
      jsonb_build_object('status', s.status),
      count(bm.market_id)
    from (values ('pending'), ('fetching'), ('complete'), ('incomplete'), ('failed'), ('deferred')) as s (status)
    left join (
      p2p.ops_batch_runs r
      join p2p.ops_batch_markets bm using (batch_id)
    ) on r.status = 'running' and bm.status = s.status
    group by s.status
  ),
  deferred_markets as (
    select
      'p2p_deferred_markets',
      'Markets of the newest ended batch that there was no time for',
      '{}'::jsonb,
      count(bm.market_id)
    from newest_ended e
    left join p2p.ops_batch_markets bm on bm.batch_id = e.batch_id and bm.status = 'deferred'
  ),
  -- What each rule can become: its severity, and a warning on the way there.
  severities as (
    select r.name as rule, r.severity, r.severity as most
    from p2p.quality_rules r
    where r.is_enabled
    union
    select r.name, 'warning', r.severity
    from p2p.quality_rules r
    where r.is_enabled
      and r.warning_threshold is not null
  ),
  quality_check_failed as (
    select
      'p2p_quality_check_failed',
      '1 where the newest ended batch that no stop cut short breaks the rule so badly; a rule that is itself broken is as bad as it can be',
      jsonb_build_object('rule', s.rule, 'severity', s.severity),
      count(*) filter (where case q.result when 'broken' then s.most else q.result end = s.severity)
    from newest_judged j
    cross join severities s
    left join p2p.ops_data_quality q on q.batch_id = j.batch_id and q.metric_name = s.rule
    group by s.rule, s.severity
  ),
  pipeline_step as (
    select
      'p2p_pipeline_step_seconds',
      'Time of each step in the newest load',
      jsonb_build_object('step', s.step),
      s.seconds
    from newest_load
    join p2p.ops_batch_steps s using (batch_id, load_number)
  ),
  failed_steps as (
    select
      'p2p_failed_steps',
      'Steps that failed in the newest load',
      '{}'::jsonb,
      count(*)
    from newest_load
    join p2p.ops_batch_steps s using (batch_id, load_number)
    where s.status = 'failed'
  ),
  skipped_batches as (
    select
      'p2p_skipped_batches',
      'Due times of the last 24 hours that had no batch',
      '{}'::jsonb,
      count(*)
    from p2p.ops_skipped_batches s
    where s.due_at > clock_timestamp() - interval '24 hours'
  ),
  open_incidents as (
    select
      'p2p_open_incidents',
      'Incidents that are not over, by kind; of kinds that there were',
      jsonb_build_object('kind', i.kind),
      count(*) filter (where i.resolved_at is null)
    from p2p.ops_incidents i
    group by i.kind
  ),
  paused as (
    select
      'p2p_paused',
      '1 while the setting paused keeps new batches from beginning',
      '{}'::jsonb,
      p2p.setting_switch('paused')::integer
  )
  table data_completeness
  union all table active_workers
  union all table batch_status
  union all table last_good_batch_age
  union all table failed_batches
  union all table queue_markets
  union all table deferred_markets
  union all table quality_check_failed
  union all table pipeline_step
  union all table failed_steps
  union all table skipped_batches
  union all table open_incidents
  union all table paused
$function$;

comment on function p2p.database_metrics() is 'What the database knows, as metrics of Prometheus: add rows of your own';

grant execute on function p2p.database_metrics() to p2p_worker;
