-- Says that the live form of a function or view is meant to stay: drifted becomes tuned, and a release that moved on
-- underneath is taken notice of. The note says why. Raises for an object that is as shipped, or missing.
-- A second call changes the note. For the owner.
create or replace function p2p.adopt_object(p_name text, p_note text)
returns text
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_state p2p.object_states := (
    select s
    from p2p.object_states s
    where s.name = p2p.find_object(p_name)
  );
begin
  if coalesce(trim(p_note), '') = '' then
    raise exception 'a note is missing: why is % changed?', v_state.identity
      using errcode = 'P2P02';
  elsif v_state.is_missing then
    raise exception '% is missing: there is nothing to adopt', v_state.identity
      using errcode = 'P2P02', hint = 'p2p-ingest migrate makes it again';
  elsif v_state.state = 'shipped' then
    raise exception '% is as shipped: there is nothing to adopt', v_state.identity
      using errcode = 'P2P02';
  end if;

  update p2p.schema_objects o
  set
    adopted_definition = v_state.live_definition,
    adopted_at = clock_timestamp(),
    adopted_by = session_user,
    adopted_note = p_note,
    base_body = o.body,
    base_definition = o.definition,
    base_version = o.program_version
  where o.name = v_state.name;

  insert into p2p.schema_object_history (name, identity, action, program_version, note, definition)
  values (v_state.name, v_state.identity, 'adopted', v_state.shipped_version, p_note, v_state.live_definition);

  return v_state.identity;
end
$function$;

comment on function p2p.adopt_object(text, text) is 'Says that a live change of a shipped function or view is meant to stay';
