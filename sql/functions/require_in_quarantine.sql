-- Refuses a reason that no offer in quarantine has, and a batch that does not exist: a slip of the pen must not look
-- like an empty quarantine. NULL stands for any. Changes nothing.
create or replace function p2p.require_in_quarantine(p_reason text, p_batch_id uuid)
returns void
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_reasons text;
begin
  if p_batch_id is not null and not exists (select from p2p.ops_batch_runs r where r.batch_id = p_batch_id) then
    raise exception 'there is no batch %', p_batch_id
      using errcode = 'P2P02', hint = 'p2p-ingest status';
  end if;

  if p_reason is null
    or exists (select from p2p.ops_rejected_offers o where o.reason = p_reason and o.discarded_at is null)
  then
    return;
  end if;

  select string_agg(distinct format('"%s"', o.reason), ', ')
  into v_reasons
  from p2p.ops_rejected_offers o
  where o.discarded_at is null;

  raise exception 'no offer in quarantine has the reason "%"', p_reason
    using errcode = 'P2P02', hint = coalesce('there are: ' || v_reasons, 'the quarantine is empty');
end
$function$;

comment on function p2p.require_in_quarantine(text, uuid) is 'Refuses reasons and batches that the quarantine does not know';

grant execute on function p2p.require_in_quarantine(text, uuid) to p2p_worker;
