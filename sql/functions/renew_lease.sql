-- Says that the worker lives. Returns whether the batch is still its own: a worker that was silent for longer than
-- its lease may have lost it.
create or replace function p2p.renew_lease(p_batch_id uuid, p_worker_id text, p_lease_seconds double precision)
returns boolean
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  update p2p.ops_batch_runs r
  set lease_expires_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
  where r.batch_id = p_batch_id
    and r.worker_id = p_worker_id
    and r.status = 'running';

  return found;
end
$function$;

comment on function p2p.renew_lease(uuid, text, double precision) is 'Heartbeat of the worker that fetches the batch';

grant execute on function p2p.renew_lease(uuid, text, double precision) to p2p_worker;
