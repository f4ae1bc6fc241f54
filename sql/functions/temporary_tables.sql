-- Temporary tables of this session. Changes nothing.
create or replace function p2p.temporary_tables()
returns oid[]
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select array(
    select c.oid
    from pg_class c
    where c.relnamespace = pg_my_temp_schema()
      and c.relkind in ('r', 'p')
  )
$function$;

comment on function p2p.temporary_tables() is 'Temporary tables of this session';

grant execute on function p2p.temporary_tables() to p2p_worker;
