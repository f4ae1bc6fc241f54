-- Whether this worker is the one to ask the exchange for its markets: one of the fleet is enough. False while another live
-- worker that serves the exchange is at it; else this one is discovering from now on, until a beat of it says something
-- else. A second call of the same worker returns true again.
create or replace function p2p.begin_discovery(p_worker_id text, p_exchange text)
returns boolean
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  perform pg_advisory_xact_lock(hashtextextended('p2p.begin_discovery', 0));

  if exists (
    select
    from p2p.live_workers() w
    join p2p.ops_worker_exchanges we using (worker_id)
    join p2p.dim_exchanges e using (exchange_id)
    where w.worker_id <> p_worker_id
      and w.doing = 'discovering'
      and e.code = p_exchange
  ) then
    return false;
  end if;

  update p2p.ops_workers w
  set doing = 'discovering'
  where w.worker_id = p_worker_id;

  return true;
end
$function$;

comment on function p2p.begin_discovery(text, text) is 'Whether this worker is the one to ask the exchange for its markets';

grant execute on function p2p.begin_discovery(text, text) to p2p_worker;
