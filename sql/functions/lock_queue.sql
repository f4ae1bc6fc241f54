-- Holds the work queue of a batch until the transaction ends: store_page and record_lost_page share it, whoever changes
-- several markets at once (give_back, end_fetching) has it alone. So no two of them wait for each other's rows in
-- different order. Whoever locks the row of the batch as well does that first. Changes nothing.
create or replace function p2p.lock_queue(p_batch_id uuid, p_alone boolean)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  if p_alone then
    perform pg_advisory_xact_lock(hashtextextended('p2p.queue ' || p_batch_id, 0));
  else
    perform pg_advisory_xact_lock_shared(hashtextextended('p2p.queue ' || p_batch_id, 0));
  end if;
end
$function$;

comment on function p2p.lock_queue(uuid, boolean) is 'Holds the work queue of a batch, shared or alone, until the transaction ends';

grant execute on function p2p.lock_queue(uuid, boolean) to p2p_worker;
