-- Puts a function or view back to the shipped text. The live text is kept in schema_object_history.
-- Returns what it is called; a second call changes nothing. For the owner.
create or replace function p2p.restore_object(p_name text)
returns text
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_object p2p.schema_objects := (
    select o
    from p2p.schema_objects o
    where o.name = p2p.find_object(p_name)
  );
  v_live text := p2p.live_definition(v_object.identity);
begin
  if v_live = v_object.definition then
    return v_object.identity;
  end if;

  insert into p2p.schema_object_history (name, identity, action, program_version, note, definition)
  values (
    v_object.name, v_object.identity, 'restored', v_object.program_version, v_object.adopted_note, v_live
  );

  perform p2p.make_object(v_object.name, v_object.body, v_object.identity);
  perform p2p.record_as_shipped(
    v_object.name, v_object.sha256, v_object.body, v_object.program_version, v_object.identity, v_object.definition
  );

  return v_object.identity;
end
$function$;

comment on function p2p.restore_object(text) is 'Puts a function or view back to the shipped text';
