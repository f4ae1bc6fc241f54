-- The live workers that are at a batch: they fetch, load, or wait to. One that has just been told what to do by join_batch
-- counts. Changes nothing.
create or replace function p2p.workers_at_work()
returns setof p2p.ops_workers
language sql
stable
rows 5
set search_path = p2p, pg_temp
as $function$
  select w.*
  from p2p.live_workers() w
  where w.doing <> 'idle'
$function$;

comment on function p2p.workers_at_work() is 'Live workers that are at a batch';

grant execute on function p2p.workers_at_work() to p2p_worker;
