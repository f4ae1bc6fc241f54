-- The schema that TimescaleDB is in: its functions are called by it, because no search_path of ours has it. Already quoted.
-- Changes nothing.
create or replace function p2p.timescaledb_schema()
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  select quote_ident(n.nspname)
  from pg_extension x
  join pg_namespace n on n.oid = x.extnamespace
  where x.extname = 'timescaledb'
$function$;

comment on function p2p.timescaledb_schema() is 'The schema that TimescaleDB is in';

grant execute on function p2p.timescaledb_schema() to p2p_worker;
