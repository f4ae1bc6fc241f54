-- Closes the work queue of a batch before it is loaded: markets nobody began are deferred to the next batch, those
-- in the middle are incomplete, or deferred too where no page of theirs was stored. Returns how many were cut off.
create or replace function p2p.end_fetching(p_batch_id uuid, p_reason text)
returns integer
language sql
set search_path = p2p, pg_temp
as $function$
  with cut_off as (
    update p2p.ops_batch_markets bm
    set
      status = case when bm.pages_stored > 0 then 'incomplete' else 'deferred' end,
      finished_at = clock_timestamp(),
      reason = p_reason
    where bm.batch_id = p_batch_id
      and bm.status in ('pending', 'fetching')
    returning 1
  )
  select count(*)::integer
  from cut_off
$function$;

comment on function p2p.end_fetching(uuid, text) is 'Closes the work queue of a batch: what was not fetched is deferred';

grant execute on function p2p.end_fetching(uuid, text) to p2p_worker;
