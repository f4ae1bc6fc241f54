-- The file of a shipped function or view, by its name, its file, or what object_states calls it. Raises where there is
-- none. Changes nothing.
create or replace function p2p.find_object(p_name text)
returns text
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_plain constant text := regexp_replace(p_name, '^(sql/)?((functions|views)/|function |view )?(p2p\.)?|\(.*$|\.sql$', '', 'g');
  v_file text;
begin
  select o.name
  into v_file
  from p2p.schema_objects o
  where o.name in ('functions/' || v_plain || '.sql', 'views/' || v_plain || '.sql');

  if v_file is null then
    raise exception 'there is no shipped function or view %', p_name
      using errcode = 'P2P02', hint = 'select name from p2p.object_states lists them';
  end if;

  return v_file;
end
$function$;

comment on function p2p.find_object(text) is 'The file of a shipped function or view';

grant execute on function p2p.find_object(text) to p2p_worker;
