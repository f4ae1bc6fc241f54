-- Part of join_batch: writes down every due time between the last one accounted for and p_due_at (itself not) that got no
-- batch, with why; at most the newest 1,000. A schedule that has not begun missed nothing. A second call finds none.
create or replace function p2p.record_missed_batches(p_due_at timestamptz, p_interval_seconds double precision, p_worker_id text)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  with last_accounted as (
    select greatest(
      (select max(r.due_at) from p2p.ops_batch_runs r where r.due_at < p_due_at),
      (select max(s.due_at) from p2p.ops_skipped_batches s where s.due_at < p_due_at)
    ) as due_at
  )
  insert into p2p.ops_skipped_batches (due_at, reason, worker_id)
  select missed.due_at, p2p.why_late(missed.due_at), p_worker_id
  from last_accounted l
  cross join generate_series(
    1,
    least(1000, ceil(extract(epoch from p_due_at - l.due_at) / nullif(p_interval_seconds, 0)) - 1)::integer
  ) as step
  cross join lateral (
    select p_due_at - make_interval(secs => step * p_interval_seconds) as due_at
  ) as missed
  where missed.due_at > l.due_at
  on conflict (due_at) do nothing
$function$;

comment on function p2p.record_missed_batches(timestamptz, double precision, text) is 'Part of join_batch: writes down due times that got no batch';

grant execute on function p2p.record_missed_batches(timestamptz, double precision, text) to p2p_worker;
