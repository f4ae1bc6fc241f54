-- The batches that have offers in quarantine, the oldest first: what quarantine replay loads again. NULL stands for
-- any reason, batch or time. A batch that is being fetched is left out: loading it would end its fetching.
-- Raises where there is no such reason or batch. Changes nothing.
create or replace function p2p.quarantine_batches(
  p_reason text default null,
  p_batch_id uuid default null,
  p_since timestamptz default null,
  p_until timestamptz default null
)
returns table (batch_id uuid, batch_start_time timestamptz, offers bigint, can_be_loaded boolean)
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
begin
  perform p2p.require_in_quarantine(p_reason, p_batch_id);

  return query
  select
    r.batch_id,
    r.batch_start_time,
    count(*),
    p2p.has_its_pages(r)
  from p2p.ops_rejected_offers o
  join p2p.ops_batch_runs r using (batch_id)
  where o.discarded_at is null
    and r.status <> 'running'
    and (p_reason is null or o.reason = p_reason)
    and (p_batch_id is null or r.batch_id = p_batch_id)
    and (p_since is null or r.batch_start_time >= p_since)
    and (p_until is null or r.batch_start_time <= p_until)
  group by r.batch_id
  order by r.batch_start_time;
end
$function$;

comment on function p2p.quarantine_batches(text, uuid, timestamptz, timestamptz) is 'Batches that have offers in quarantine, oldest first';

grant execute on function p2p.quarantine_batches(text, uuid, timestamptz, timestamptz) to p2p_worker;
