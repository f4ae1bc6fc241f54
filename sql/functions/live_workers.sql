-- The workers that live: those whose lease holds, and that have not left. This is the one place that decides it.
-- A server that was down is no fault of theirs: for ten seconds after its start every lease of its last hour holds.
-- Changes nothing.
create or replace function p2p.live_workers()
returns setof p2p.ops_workers
language sql
stable
rows 5
set search_path = p2p, pg_temp
as $function$
  select w.*
  from p2p.ops_workers w
  where w.doing <> 'gone'
    and (
      w.lease_expires_at > clock_timestamp()
      or w.lease_expires_at > pg_postmaster_start_time() - interval '1 hour'
      and pg_postmaster_start_time() + interval '10 seconds' > clock_timestamp()
    )
$function$;

comment on function p2p.live_workers() is 'Workers whose lease holds: markets in the hands of others may be taken';

grant execute on function p2p.live_workers() to p2p_worker;
