-- What has to be refreshed after facts of these times were written. On plain PostgreSQL nothing ever: aggregates are
-- views, and load_batch keeps what it stores of merchants itself.
create or replace function p2p.aggregates_to_refresh(p_from timestamptz, p_until timestamptz)
returns table (aggregate text, window_start timestamptz, window_end timestamptz, statement text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select null::text, null::timestamptz, null::timestamptz, null::text
  where false
$function$;

comment on function p2p.aggregates_to_refresh(timestamptz, timestamptz) is 'Which aggregates to refresh after facts of these times were written, and for what window';

grant execute on function p2p.aggregates_to_refresh(timestamptz, timestamptz) to p2p_worker;
