-- A worker goes: its markets are for others at once, and what it was loading is for another to load. A second call changes
-- only when it was last seen.
create or replace function p2p.leave(p_worker_id text)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  perform p2p.give_back(r.batch_id, p_worker_id, null)
  from p2p.ops_batch_runs r
  where r.status = 'running';

  update p2p.ops_workers w
  set
    doing = 'gone',
    last_seen_at = clock_timestamp(),
    lease_expires_at = clock_timestamp()
  where w.worker_id = p_worker_id;
end
$function$;

comment on function p2p.leave(text) is 'A worker goes: what it has in hand is for others at once';

grant execute on function p2p.leave(text) to p2p_worker;
