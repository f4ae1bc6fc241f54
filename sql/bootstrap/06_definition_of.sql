-- What the server would store for a file: runs it and takes it back, so that only the text can differ from the live
-- object, never the way it is written. Changes nothing.
create or replace function p2p.definition_of(
  p_name text,
  p_body text,
  p_known text,
  out identity text,
  out definition text
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
  identity := p2p.make_object(p_name, p_body, p_known);
  definition := p2p.live_definition(identity);
  raise exception using errcode = 'P2P99', message = 'rolled back';
exception when sqlstate 'P2P99' then
  null; -- variables keep what was read
end
$function$;

comment on function p2p.definition_of(text, text, text) is 'What the server would store for a file of sql/functions or sql/views; changes nothing';

revoke execute on function p2p.definition_of(text, text, text) from public;

-- Reads the definitions of shipped texts anew where they were never read (release 0.1.0 kept none), or were written by
-- another version of PostgreSQL, which may write the same object differently.
create or replace function p2p.reread_definitions()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_major constant integer := current_setting('server_version_num')::integer / 10000;
  v_object p2p.schema_objects;
begin
  for v_object in
    select o.*
    from p2p.schema_objects o
    where o.name ~ '^(functions|views)/'
      and o.server_major is distinct from v_major
    order by o.name
  loop
    v_object.base_body := coalesce(v_object.base_body, v_object.body);
    v_object.base_version := coalesce(v_object.base_version, v_object.program_version);

    select d.identity, d.definition
    into v_object.identity, v_object.definition
    from p2p.definition_of(v_object.name, v_object.body, v_object.identity) as d;

    select d.definition
    into v_object.base_definition
    from p2p.definition_of(v_object.name, v_object.base_body, v_object.identity) as d;

    if v_object.adopted_definition is not null then
      select d.definition
      into v_object.adopted_definition
      from p2p.definition_of(v_object.name, v_object.adopted_definition, v_object.identity) as d;
    end if;

    update p2p.schema_objects o
    set
      identity = v_object.identity,
      definition = v_object.definition,
      server_major = v_major,
      base_body = v_object.base_body,
      base_definition = v_object.base_definition,
      base_version = v_object.base_version,
      adopted_definition = v_object.adopted_definition
    where o.name = v_object.name;
  end loop;
end
$function$;

comment on function p2p.reread_definitions() is 'Reads definitions anew after an upgrade of PostgreSQL, or of release 0.1.0; used by the migrate command';

revoke execute on function p2p.reread_definitions() from public;

select p2p.reread_definitions();
