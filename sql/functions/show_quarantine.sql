-- Offers in quarantine, the newest first, with their place and the original JSON. NULL stands for any reason or
-- batch. Raises where there is no such reason or batch. Changes nothing.
create or replace function p2p.show_quarantine(p_reason text, p_batch_id uuid, p_limit integer)
returns table (
  reason text,
  batch_id uuid,
  batch_start_time timestamptz,
  place text,
  rejected_at timestamptz,
  can_be_loaded boolean,
  payload jsonb
)
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
begin
  perform p2p.require_in_quarantine(p_reason, p_batch_id);

  return query
  select
    q.reason,
    q.batch_id,
    q.batch_start_time,
    q.place,
    q.rejected_at,
    q.can_be_loaded,
    q.payload
  from p2p.offers_in_quarantine q
  where (p_reason is null or q.reason = p_reason)
    and (p_batch_id is null or q.batch_id = p_batch_id)
  order by q.batch_start_time desc, q.market_id, q.page_number, q.item_number
  limit p_limit;
end
$function$;

comment on function p2p.show_quarantine(text, uuid, integer) is 'Offers in quarantine by reason and batch, newest first';

grant execute on function p2p.show_quarantine(text, uuid, integer) to p2p_worker;
