-- A name of this database that is the same for everybody, by whichever address they reach it: alerts of several workers
-- about one incident go by it. Changes nothing.
create or replace function p2p.database_key()
returns text
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select left(md5(concat_ws(' ', current_database(), min(m.applied_at) at time zone 'UTC')), 12)
  from p2p.schema_migrations m
$function$;

comment on function p2p.database_key() is 'A name of this database, the same by whichever address it is reached';

grant execute on function p2p.database_key() to p2p_worker;
