-- What stands in the database under the name of a file, if anything does: somebody may have made it before us.
create or replace function p2p.object_named(p_name text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  with named as (
    select regexp_replace(p_name, '^.*/|\.sql$', '', 'g') as object
  )
  select case
    when p_name like 'views/%' then (select 'view ' || to_regclass(format('p2p.%I', n.object)))
    else (
      select 'function ' || min(p.oid::regprocedure::text)
      from pg_proc p
      where p.pronamespace = 'p2p'::regnamespace
        and p.proname = n.object
      having count(*) = 1
    )
  end
  from named n
$function$;

comment on function p2p.object_named(text) is 'What stands in the database under the name of a file of sql/; used by the migrate command';

revoke execute on function p2p.object_named(text) from public;

-- Brings one shipped object to the text of a release, unless somebody changed it live:
--   missing, or as it was shipped     it becomes what the release ships
--   changed to what is shipped now    it counts as shipped
--   changed otherwise                 it stays; the release's text is kept beside it, for object_states and `sql diff`
--   changed, and the release has it   the new one is made, the changed one stays: both exist
--   with another signature
-- Returns applied, made again, kept, left behind, or NULL where nothing was to be done.
create or replace function p2p.apply_object(p_name text, p_sha256 text, p_body text, p_program_version text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_known p2p.schema_objects := (select o from p2p.schema_objects o where o.name = p_name);
  v_is_known constant boolean := v_known.identity is not null;
  v_is_same_text constant boolean := v_is_known and v_known.sha256 = p_sha256;
  v_live text := p2p.live_definition(v_known.identity);
  v_there text := coalesce(v_known.identity, p2p.object_named(p_name));
  v_identity text;
  v_definition text;
  v_outcome text := 'applied';
begin
  if v_is_same_text and v_live is not null then
    return null;
  end if;

  select d.identity, d.definition
  into v_identity, v_definition
  from p2p.definition_of(p_name, p_body, v_there) as d;

  if not v_is_known then
    v_live := p2p.live_definition(v_identity); -- somebody may have one of this name already
  end if;

  if v_is_known and v_live is null then
    v_outcome := 'made again';
  elsif v_is_known and v_identity <> v_known.identity then
    if v_live = v_known.definition then
      execute 'drop ' || v_known.identity;
    else
      v_outcome := 'left behind';
    end if;
  elsif v_live <> v_definition and (v_live = v_known.definition) is not true then
    v_outcome := 'kept';
  end if;

  if v_outcome <> 'applied' then
    insert into p2p.schema_object_history (name, identity, action, program_version, definition)
    values (p_name, coalesce(v_known.identity, v_identity), v_outcome, p_program_version, v_live);
  end if;

  if v_outcome = 'kept' then
    insert into p2p.schema_objects as o (
      name, sha256, body, program_version, identity, definition, server_major
    )
    values (
      p_name, p_sha256, p_body, p_program_version, v_identity, v_definition,
      current_setting('server_version_num')::integer / 10000
    )
    on conflict (name) do update
    set
      sha256 = excluded.sha256,
      body = excluded.body,
      program_version = excluded.program_version,
      applied_at = clock_timestamp(),
      identity = excluded.identity,
      definition = excluded.definition;

    return v_outcome;
  end if;

  perform p2p.make_object(p_name, p_body, v_identity);
  perform p2p.record_as_shipped(p_name, p_sha256, p_body, p_program_version, v_identity, v_definition);

  return v_outcome;
end
$function$;

comment on function p2p.apply_object(text, text, text, text) is 'Brings one function or view to the text of a release unless it was changed live; used by the migrate command';

revoke execute on function p2p.apply_object(text, text, text, text) from public;

-- Writes down that the live object is what this text makes. A change that was adopted is over.
create or replace function p2p.record_as_shipped(
  p_name text,
  p_sha256 text,
  p_body text,
  p_program_version text,
  p_identity text,
  p_definition text
)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $function$
  insert into p2p.schema_objects as o (
    name, sha256, body, program_version, identity, definition, server_major, base_body, base_definition, base_version
  )
  values (
    p_name, p_sha256, p_body, p_program_version, p_identity, p_definition,
    current_setting('server_version_num')::integer / 10000,
    case when p_identity is not null then p_body end,
    p_definition,
    case when p_identity is not null then p_program_version end
  )
  on conflict (name) do update
  set
    sha256 = excluded.sha256,
    body = excluded.body,
    program_version = excluded.program_version,
    applied_at = clock_timestamp(),
    identity = excluded.identity,
    definition = excluded.definition,
    server_major = excluded.server_major,
    base_body = excluded.base_body,
    base_definition = excluded.base_definition,
    base_version = excluded.base_version,
    adopted_definition = null,
    adopted_at = null,
    adopted_by = null,
    adopted_note = null
$function$;

comment on function p2p.record_as_shipped(text, text, text, text, text, text) is 'Notes that an object is as it was shipped; used by migrate and restore_object';

revoke execute on function p2p.record_as_shipped(text, text, text, text, text, text) from public;
