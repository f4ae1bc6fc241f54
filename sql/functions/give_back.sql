-- Puts the markets that a worker has in hand back into the queue, those of one exchange or (NULL) all. Their pages stay:
-- whoever claims one goes on after the last. Returns how many; a second call finds none.
create or replace function p2p.give_back(p_batch_id uuid, p_worker_id text, p_exchange text)
returns integer
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_markets integer;
begin
  perform p2p.lock_queue(p_batch_id, true);

  update p2p.ops_batch_markets bm
  set
    status = 'pending',
    worker_id = null
  from p2p.dim_markets m
  join p2p.dim_exchanges e using (exchange_id)
  where bm.batch_id = p_batch_id
    and bm.worker_id = p_worker_id
    and bm.status = 'fetching'
    and m.market_id = bm.market_id
    and (p_exchange is null or e.code = p_exchange);

  get diagnostics v_markets = row_count;
  return v_markets;
end
$function$;

comment on function p2p.give_back(uuid, text, text) is 'Puts the markets that a worker has in hand back into the queue, with their pages';

grant execute on function p2p.give_back(uuid, text, text) to p2p_worker;
