-- Ends the work on a market of a batch; what was stored and lost decides how. Changes a market that is being
-- fetched, no other.
-- Where a page before the end is neither stored nor lost, it goes back into the queue instead: the end came from an earlier
-- claim of the same worker, and was still on its way when the market had been another's.
create or replace function p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text)
returns void
language plpgsql
set search_path = p2p, pg_temp
set plan_cache_mode = force_generic_plan
as $function$
begin
  update p2p.ops_batch_markets bm
  set
    status = 'pending',
    worker_id = null
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id
    and bm.status = 'fetching'
    and p_reason is null
    and bm.pages_stored + cardinality(bm.lost_pages) < (
      select max(s.page_number)
      from p2p.stg_responses s
      join p2p.ops_batch_runs r on r.batch_start_time = s.extraction_timestamp
      where r.batch_id = p_batch_id
        and s.market_id = p_market_id
    );

  update p2p.ops_batch_markets bm
  set
    status = case
      when bm.pages_stored = 0 then 'failed'
      when bm.lost_pages <> '{}' or p_reason is not null then 'incomplete'
      else 'complete'
    end,
    finished_at = clock_timestamp(),
    reason = coalesce(
      p_reason,
      case when bm.lost_pages <> '{}' then 'lost pages: ' || array_to_string(bm.lost_pages, ', ') end
    )
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id
    and bm.status = 'fetching';

  if found then
    perform p2p.note_visits(p_batch_id, array[p_market_id]);
  end if;
end
$function$;

comment on function p2p.finish_market(uuid, integer, text) is 'Ends the work on a market: complete, incomplete or failed; or not yet, where a page before its end is missing';

grant execute on function p2p.finish_market(uuid, integer, text) to p2p_worker;
