-- Part of join_batch: why no batch was begun at a due time. Changes nothing.
create or replace function p2p.why_late(p_due_at timestamptz)
returns text
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select
    case
      when exists (
        select
        from p2p.ops_batch_runs r
        where r.imported_from is null
          and r.batch_start_time <= p_due_at
          and r.batch_start_time > p_due_at - interval '1 day'
          and coalesce(r.batch_end_time, 'infinity') > p_due_at
      ) then 'the batch before was still running'
      when exists (
        select
        from p2p.ops_workers w
        where w.purpose = 'run'
          and w.started_at <= p_due_at
          and w.last_seen_at > p_due_at
      ) then 'workers could not begin it in time' -- a lost database, a clock that is wrong: their log says
      else 'no worker was running'
    end
$function$;

comment on function p2p.why_late(timestamptz) is 'Part of join_batch: why no batch was begun at a due time';

grant execute on function p2p.why_late(timestamptz) to p2p_worker;
