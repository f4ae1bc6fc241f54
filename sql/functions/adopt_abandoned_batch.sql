-- Gives a running batch whose worker is dead (its lease ran out) to this worker, who is to load what is there:
-- every page that was stored is kept, markets that were not finished become incomplete or deferred.
-- Returns the batch, or NULL where there is none.
create or replace function p2p.adopt_abandoned_batch(p_worker_id text, p_lease_seconds double precision)
returns uuid
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch_id uuid;
begin
  update p2p.ops_batch_runs r
  set
    worker_id = p_worker_id,
    lease_expires_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
  where r.status = 'running'
    and r.lease_expires_at < clock_timestamp()
  returning r.batch_id
  into v_batch_id;

  if v_batch_id is not null then
    perform p2p.end_fetching(v_batch_id, 'the worker died');
  end if;

  return v_batch_id;
end
$function$;

comment on function p2p.adopt_abandoned_batch(text, double precision) is 'Takes over the batch of a dead worker, to load what it had stored';

grant execute on function p2p.adopt_abandoned_batch(text, double precision) to p2p_worker;
