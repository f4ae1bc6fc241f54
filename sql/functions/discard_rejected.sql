-- Takes offers out of the quarantine for good: they are kept, marked with who, when and why. NULL stands for any
-- reason or batch. Returns what was marked, by reason; with p_is_dry_run what would be, and changes nothing.
-- A second call finds them gone. Raises where there is no such reason or batch, and without a note.
create or replace function p2p.discard_rejected(
  p_note text,
  p_reason text default null,
  p_batch_id uuid default null,
  p_is_dry_run boolean default false
)
returns table (reason text, offers bigint, batches bigint)
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  if coalesce(trim(p_note), '') = '' then
    raise exception 'a note must say why'
      using errcode = 'P2P02', hint = 'e.g. ''prices of a test of the exchange, 2026-08-07''';
  end if;

  perform p2p.require_in_quarantine(p_reason, p_batch_id);

  return query
  select o.reason, count(*), count(distinct o.batch_id)
  from p2p.ops_rejected_offers o
  where o.discarded_at is null
    and (p_reason is null or o.reason = p_reason)
    and (p_batch_id is null or o.batch_id = p_batch_id)
  group by o.reason
  order by count(*) desc, o.reason;

  if not p_is_dry_run then
    update p2p.ops_rejected_offers o
    set
      discarded_at = clock_timestamp(),
      discarded_by = session_user,
      discard_note = trim(p_note)
    where o.discarded_at is null
      and (p_reason is null or o.reason = p_reason)
      and (p_batch_id is null or o.batch_id = p_batch_id);
  end if;
end
$function$;

comment on function p2p.discard_rejected(text, text, uuid, boolean) is 'Marks rejected offers as needing no repair; they are kept';

grant execute on function p2p.discard_rejected(text, text, uuid, boolean) to p2p_worker;
