-- Whether a worker lives: its lease holds, and it has not left. This is the one place that decides it.
-- A server that was down is no fault of theirs: for ten seconds after its start every lease of its last hour holds.
-- A lease lasts seconds: one that ends in more than a minute was given while the clock was ahead. Who lives has a new one
-- with its next beat; who died then must not hold its markets until that time comes.
-- Changes nothing; p_server_started is for tests.
create or replace function p2p.is_alive(
  p_lease_expires_at timestamptz,
  p_doing text,
  p_server_started timestamptz default pg_postmaster_start_time()
)
returns boolean
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select p_doing <> 'gone'
    and (
      p_lease_expires_at > clock_timestamp()
      and p_lease_expires_at < clock_timestamp() + interval '60 seconds'
      or p_lease_expires_at > p_server_started - interval '1 hour'
      and p_server_started > clock_timestamp() - interval '10 seconds'
    )
$function$;

comment on function p2p.is_alive(timestamptz, text, timestamptz) is 'Whether a worker with that lease lives';

grant execute on function p2p.is_alive(timestamptz, text, timestamptz) to p2p_reader, p2p_worker;
