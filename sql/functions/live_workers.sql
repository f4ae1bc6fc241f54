-- The workers that live: markets and loads of others may be taken. Changes nothing.
create or replace function p2p.live_workers()
returns setof p2p.ops_workers
language sql
stable
rows 5
set search_path = p2p, pg_temp
as $function$
  select w.*
  from p2p.ops_workers w
  where p2p.is_alive(w.lease_expires_at, w.doing)
$function$;

comment on function p2p.live_workers() is 'Workers whose lease holds: markets in the hands of others may be taken';

grant execute on function p2p.live_workers() to p2p_worker;
