-- Part of finish_market and end_fetching: keeps for plan_batch what became of markets of a batch that were just ended.
-- A market that failed, or was deferred, keeps what its last visit found.
-- Changes ops_market_visits; a second call changes no value.
create or replace function p2p.note_visits(p_batch_id uuid, p_market_ids integer[])
returns void
language plpgsql
set search_path = p2p, pg_temp
set plan_cache_mode = force_generic_plan -- it would be planned anew for each market, which takes four times as long as the work
as $function$
begin
  insert into p2p.ops_market_visits (market_id, visited_at, pages, offers, empty_since, waiting_since)
  select
    bm.market_id,
    case when visit.has_pages then r.batch_start_time else v.visited_at end,
    case
      when bm.status = 'complete' then bm.pages_stored + cardinality(bm.lost_pages)
      else greatest(v.pages, bm.pages_stored + cardinality(bm.lost_pages), 1)
    end,
    case when visit.has_pages then bm.offers_reported else v.offers end,
    case
      when not visit.has_pages then v.empty_since
      when bm.status = 'complete' and bm.offers_reported = 0 then coalesce(v.empty_since, r.batch_start_time)
    end,
    case when bm.status = 'deferred' then coalesce(v.waiting_since, r.batch_start_time) end
  from p2p.ops_batch_markets bm
  join p2p.ops_batch_runs r using (batch_id)
  left join p2p.ops_market_visits v using (market_id)
  cross join lateral (
    select bm.status in ('complete', 'incomplete') as has_pages
  ) as visit
  where bm.batch_id = p_batch_id
    and bm.market_id = any (p_market_ids)
  on conflict (market_id) do update
  set
    visited_at = excluded.visited_at,
    pages = excluded.pages,
    offers = excluded.offers,
    empty_since = excluded.empty_since,
    waiting_since = excluded.waiting_since;
end
$function$;

comment on function p2p.note_visits(uuid, integer[]) is 'Part of finish_market and end_fetching: keeps what plan_batch goes by';

grant execute on function p2p.note_visits(uuid, integer[]) to p2p_worker;
