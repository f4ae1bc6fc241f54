-- Closes the work queue of a batch before it is loaded, or the part of it that is one exchange's: markets without a page
-- are deferred to the next batch, others are incomplete. One that the plan had no room for keeps that as its reason.
-- Returns how many were cut off; a second call finds none.
create or replace function p2p.end_fetching(p_batch_id uuid, p_reason text, p_exchange_id smallint default null)
returns integer
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_market_ids integer[];
begin
  -- As a rule a load finds nothing left, and must not keep others from the queue for as long as it takes.
  if not exists (select from p2p.unfetched_markets(p_batch_id)) then
    return 0;
  end if;

  perform
  from p2p.ops_batch_runs r
  where r.batch_id = p_batch_id
  for no key update;

  perform p2p.lock_queue(p_batch_id, true);

  with cut_off as (
    update p2p.ops_batch_markets bm
    set
      status = case when bm.pages_stored > 0 then 'incomplete' else 'deferred' end,
      finished_at = clock_timestamp(),
      reason = case when bm.status = 'deferred' then bm.reason else p_reason end
    from p2p.unfetched_markets(p_batch_id) u
    join p2p.dim_markets m using (market_id)
    where bm.batch_id = p_batch_id
      and bm.market_id = u.market_id
      and (p_exchange_id is null or m.exchange_id = p_exchange_id)
    returning bm.market_id
  )
  select array_agg(c.market_id)
  into v_market_ids
  from cut_off c;

  perform p2p.note_visits(p_batch_id, v_market_ids);
  return coalesce(cardinality(v_market_ids), 0);
end
$function$;

comment on function p2p.end_fetching(uuid, text, smallint) is 'Closes the work queue of a batch: what was not fetched is deferred';

grant execute on function p2p.end_fetching(uuid, text, smallint) to p2p_worker;
