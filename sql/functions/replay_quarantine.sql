-- Loads a batch again from its pages, and tells what became of its offers in quarantine (NULL: of any reason):
-- repaired are those that are rejected no more. Nothing is fetched. May be called again at any time.
create or replace function p2p.replay_quarantine(p_batch_id uuid, p_reason text default null)
returns table (repaired bigint, still_rejected bigint, status text)
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_places jsonb;
  v_batch p2p.ops_batch_runs;
begin
  select coalesce(jsonb_agg(jsonb_build_array(o.market_id, o.page_number, o.item_number)), '[]')
  into v_places
  from p2p.ops_rejected_offers o
  where o.batch_id = p_batch_id
    and o.discarded_at is null
    and (p_reason is null or o.reason = p_reason);

  v_batch := p2p.load_batch(p_batch_id);

  return query
  select
    count(*) filter (where o.batch_id is null),
    count(*) filter (where o.batch_id is not null),
    v_batch.status
  from jsonb_array_elements(v_places) as place
  left join p2p.ops_rejected_offers o
    on o.batch_id = p_batch_id
    and o.market_id = (place ->> 0)::integer
    and o.page_number = (place ->> 1)::integer
    and o.item_number = (place ->> 2)::integer;
end
$function$;

comment on function p2p.replay_quarantine(uuid, text) is 'Loads a batch again and counts which of its offers in quarantine were repaired by that';

grant execute on function p2p.replay_quarantine(uuid, text) to p2p_worker;
