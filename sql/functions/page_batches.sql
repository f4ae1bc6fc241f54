-- Batches, and due times without one, of so many hours up to the newest: for the status page, oldest first, at most 300.
-- Changes nothing; reads what a reader may.
create or replace function p2p.page_batches(p_hours integer)
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with newest as (
    select max(o.batch_start_time) as batch_start_time
    from p2p.batch_overview o
  ),
  batches as (
    select
      o.batch_start_time as at,
      o.status,
      o.markets_completed as complete,
      o.markets_expected as planned,
      o.offers,
      o.rejected,
      round(o.seconds, 1) as seconds,
      o.failed_checks,
      left(o.error_summary, 200) as why
    from newest n
    join p2p.batch_overview o
      on o.batch_start_time > n.batch_start_time - make_interval(hours => p_hours)
      and o.batch_start_time <= n.batch_start_time
      and o.status <> 'running'
    union all
    select s.due_at, s.outcome, 0, 0, 0, 0, 0, 0, s.why
    from newest n
    join p2p.schedule s
      on s.due_at > n.batch_start_time - make_interval(hours => p_hours)
      and s.outcome = 'skipped'
    order by 1 desc
    limit 300
  )
  select coalesce(
    json_agg(
      json_build_object(
        'start', extract(epoch from b.at),
        'status', b.status,
        'complete', b.complete,
        'planned', b.planned,
        'offers', b.offers,
        'rejected', b.rejected,
        'seconds', b.seconds,
        'failed_checks', b.failed_checks,
        'why', b.why
      )
      order by b.at
    ),
    '[]'
  )
  from batches b
$function$;

comment on function p2p.page_batches(integer) is 'Batches of the status page';

grant execute on function p2p.page_batches(integer) to p2p_reader, p2p_worker;
