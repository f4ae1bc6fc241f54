-- A function as the server stores it, with its comment, as a script that makes it again in any session.
create or replace function p2p.function_definition(p_function oid)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  select
    replace(pg_get_functiondef(p.oid), E'\r', '')
    || E';\n'
    || coalesce(
      E'\ncomment on function ' || p.oid::regprocedure || ' is ' || quote_literal(obj_description(p.oid, 'pg_proc')) || E';\n',
      ''
    )
  from pg_proc p
  where p.oid = p_function
    and p.prokind in ('f', 'p') -- the server has no such text of an aggregate
$function$;

comment on function p2p.function_definition(oid) is 'A function with its comment, as the server stores it';

revoke execute on function p2p.function_definition(oid) from public;

grant execute on function p2p.function_definition(oid) to p2p_worker;

-- A function or view as the server stores it, with its comments, as a script that makes it again. Every name is
-- qualified, so that the script and the comparison do not depend on anybody's search_path.
-- Expects what schema_objects.identity holds, e.g. view p2p.freshness. NULL where there is no such object.
create or replace function p2p.live_definition(p_identity text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_function regprocedure := case when p_identity like 'function %' then to_regprocedure(substr(p_identity, 10)) end;
  v_view regclass := (
    select c.oid
    from pg_class c
    where p_identity like 'view %'
      and c.oid = to_regclass(substr(p_identity, 6))
      and c.relkind = 'v'
  );
begin
  if v_function is not null then
    return p2p.function_definition(v_function);
  elsif v_view is not null then
    return (
      select
        format('create or replace view %s', v_view)
        || coalesce(' with (' || array_to_string(c.reloptions, ', ') || ')', '')
        || E' as\n'
        || pg_get_viewdef(v_view, true)
        || coalesce(E'\n\ncomment on view ' || v_view || ' is ' || quote_literal(obj_description(v_view, 'pg_class')) || ';', '')
        || coalesce(
          (
            select string_agg(
              format(E'\ncomment on column %s.%I is %L;', v_view, a.attname, col_description(v_view, a.attnum)),
              ''
              order by a.attnum
            )
            from pg_attribute a
            where a.attrelid = v_view
              and col_description(v_view, a.attnum) is not null
          ),
          ''
        )
        || E'\n'
      from pg_class c
      where c.oid = v_view
    );
  end if;

  return null;
end
$function$;

comment on function p2p.live_definition(text) is 'A function or view with its comments, as the server stores it; NULL where it is missing';

revoke execute on function p2p.live_definition(text) from public;

grant execute on function p2p.live_definition(text) to p2p_worker;
