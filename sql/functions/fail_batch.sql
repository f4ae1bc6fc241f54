-- Closes a batch of which nothing could be loaded: the SQL failed, not the fetching, so that the ledger and the pages
-- stay as they are. A second call with the same reason changes nothing.
create or replace function p2p.fail_batch(p_batch_id uuid, p_reason text)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  with fetched as (
    select count(*) filter (where bm.status = 'complete') as complete
    from p2p.ops_batch_markets bm
    where bm.batch_id = p_batch_id
  ),
  lost as (
    select count(*) as errors
    from p2p.ops_extraction_errors e
    where e.batch_id = p_batch_id
  )
  update p2p.ops_batch_runs r
  set
    status = 'failed',
    batch_end_time = coalesce(r.batch_end_time, clock_timestamp()),
    execution_time_seconds = coalesce(
      r.execution_time_seconds,
      extract(epoch from clock_timestamp() - r.batch_start_time)
    ),
    total_errors = lost.errors,
    error_summary = p_reason,
    markets_completed = fetched.complete
  from fetched, lost
  where r.batch_id = p_batch_id
    and (r.status, r.total_errors, r.error_summary, r.markets_completed)
      is distinct from ('failed', lost.errors, p_reason, fetched.complete)
$function$;

comment on function p2p.fail_batch(uuid, text) is 'Closes a batch that the SQL could not load';

grant execute on function p2p.fail_batch(uuid, text) to p2p_worker;
