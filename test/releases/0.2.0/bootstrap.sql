-- What `migrate` itself stands on: the files of this folder, in their order, as one implicit transaction at the
-- beginning of a `migrate` that has anything to do. Each statement may run any number of times.
-- Migrators queue here: `create … if not exists` alone is not safe against a second one.
select pg_advisory_xact_lock(hashtextextended('p2p.migrate', 0));

create schema if not exists p2p;

-- Two group roles of the whole server: give them to logins (grant p2p_worker to ingest). The owner is whoever migrates.
do $$
declare
  v_role text;
begin
  foreach v_role in array array['p2p_reader', 'p2p_worker'] loop
    continue when exists (select from pg_roles where rolname = v_role);

    begin
      execute format('create role %I nologin', v_role);
    exception
      when duplicate_object or unique_violation then
        null; -- another database of this server is migrated at the same time
      when insufficient_privilege then
        raise exception 'role % is missing, and this user may not create roles', v_role
          using errcode = 'P2P01', hint = 'have an administrator run: create role p2p_reader; create role p2p_worker';
    end;
  end loop;
end
$$;

comment on schema p2p is 'Binance P2P, every ten minutes. Start with: select * from p2p.mv_latest_market_state limit 10';

grant usage on schema p2p to p2p_reader, p2p_worker;

-- What follows belongs to the owner of the schema, whoever runs it. Until the end of this transaction.
select set_config('role', pg_get_userbyid(n.nspowner), true)
from pg_namespace n
where n.nspname = 'p2p';

-- What ran here, and what the live functions and views are compared with.

create table if not exists p2p.schema_migrations (
  name            text        primary key,
  sha256          text        not null,
  body            text        not null,
  program_version text        not null,
  applied_at      timestamptz not null default clock_timestamp()
);

comment on table p2p.schema_migrations is 'Files of sql/migrations that ran here, with the text that ran: frozen, never run twice';

create table if not exists p2p.schema_objects (
  name            text        primary key,
  sha256          text        not null,
  body            text        not null,
  program_version text        not null,
  applied_at      timestamptz not null default clock_timestamp()
);

alter table p2p.schema_objects
add column if not exists identity           text,
add column if not exists definition         text,
add column if not exists server_major       integer,
add column if not exists base_body          text,
add column if not exists base_definition    text,
add column if not exists base_version       text,
add column if not exists adopted_definition text,
add column if not exists adopted_at         timestamptz,
add column if not exists adopted_by         text,
add column if not exists adopted_note       text;

comment on table p2p.schema_objects is 'Every shipped function and view: the text of the release, the text its live form began from, and what was adopted. Read object_states';
comment on column p2p.schema_objects.name is 'File below sql/';
comment on column p2p.schema_objects.body is 'Text of the file in the release that migrated last';
comment on column p2p.schema_objects.identity is 'The object the file makes, e.g. function p2p.load_offers(uuid); NULL for the files of bootstrap';
comment on column p2p.schema_objects.definition is 'What the server makes of body: live objects are compared with this, not with the file';
comment on column p2p.schema_objects.server_major is 'Version of the server that wrote the definitions: another one may write them differently';
comment on column p2p.schema_objects.base_body is 'The shipped text that the live object was made or changed from; older than body where a changed object was kept';
comment on column p2p.schema_objects.adopted_definition is 'The change that is meant to stay, as the server writes it; NULL where there is none';

create table if not exists p2p.schema_object_history (
  event_id        bigint      generated always as identity primary key,
  name            text        not null,
  identity        text        not null,
  happened_at     timestamptz not null default clock_timestamp(),
  changed_by      text        not null default session_user,
  action          text        not null
                  check (action in ('kept', 'made again', 'adopted', 'restored', 'left behind', 'dropped')),
  program_version text        not null,
  note            text,
  definition      text
);

comment on table p2p.schema_object_history is 'What became of changed functions and views, with the live text at that moment: nothing that somebody wrote is lost';
comment on column p2p.schema_object_history.action is 'kept: a release did not overwrite it; made again: it was missing; adopted: meant to stay; restored: put back to the shipped text; left behind: no longer shipped, or another signature is; dropped: no longer shipped and unchanged';
comment on column p2p.schema_object_history.definition is 'The live text before the action';

-- Runs one file of sql/migrations unless it ran before. Raises when its text is not the text that ran.
-- Returns whether it ran now.
create or replace function p2p.apply_migration(p_name text, p_sha256 text, p_body text, p_program_version text)
returns boolean
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_known text;
  v_detail text;
  v_hint text;
begin
  perform pg_advisory_xact_lock(hashtextextended('p2p.migrate', 0));

  select m.sha256
  into v_known
  from p2p.schema_migrations m
  where m.name = p_name;

  if v_known = p_sha256 then
    return false;
  elsif v_known is not null then
    raise exception 'sql/% was edited after it ran in this database', p_name
      using errcode = 'P2P01', hint = 'put the old text back and write a new migration';
  end if;

  -- What it makes belongs to the owner of the schema, whoever runs it.
  perform set_config('role', pg_get_userbyid(n.nspowner), true)
  from pg_namespace n
  where n.nspname = 'p2p';

  begin
    execute p_body;
  exception when others then
    get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
    raise exception 'sql/%: %', p_name, concat_ws(E'\n', sqlerrm, nullif(v_detail, ''))
      using errcode = sqlstate, hint = v_hint;
  end;

  insert into p2p.schema_migrations (name, sha256, body, program_version)
  values (p_name, p_sha256, p_body, p_program_version);

  return true;
end
$function$;

comment on function p2p.apply_migration(text, text, text, text) is 'Runs one file of sql/migrations once; used by the migrate command';

revoke execute on function p2p.apply_migration(text, text, text, text) from public;

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

-- The grants on an object to others than its owner, as statements.
create or replace function p2p.grants_on(p_identity text)
returns setof text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  select
    format(
      'grant %s on %s to %s%s',
      a.privilege_type,
      regexp_replace(p_identity, '^view ', ''),
      case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
      case when a.is_grantable then ' with grant option' else '' end
    )
  from (
    select p.proacl as acl, p.proowner as owner
    from pg_proc p
    where p_identity like 'function %'
      and p.oid = to_regprocedure(substr(p_identity, 10))
    union all
    select c.relacl, c.relowner
    from pg_class c
    where p_identity like 'view %'
      and c.oid = to_regclass(substr(p_identity, 6))
  ) as object
  cross join aclexplode(object.acl) as a
  where a.grantee not in (0, object.owner)
$function$;

comment on function p2p.grants_on(text) is 'Grants on a function or view, as statements; used by the migrate command';

revoke execute on function p2p.grants_on(text) from public;

-- What removes the comments on an object and its columns, as statements.
create or replace function p2p.uncomment(p_identity text)
returns setof text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  select
    case
      when d.objsubid = 0 then format('comment on %s is null', p_identity)
      else format('comment on column %s.%I is null', v.view, a.attname)
    end
  from (
    select
      case when p_identity like 'function %' then to_regprocedure(substr(p_identity, 10)) end as function,
      case when p_identity like 'view %' then to_regclass(substr(p_identity, 6)) end as view
  ) as v
  join pg_description d
    on d.classoid = 'pg_proc'::regclass and d.objoid = v.function
    or d.classoid = 'pg_class'::regclass and d.objoid = v.view
  left join pg_attribute a on a.attrelid = v.view and a.attnum = d.objsubid and a.attnum > 0
$function$;

comment on function p2p.uncomment(text) is 'What removes the comments on a function or view; used by migrate and restore_object';

revoke execute on function p2p.uncomment(text) from public;

-- Runs a file of sql/functions or sql/views, which makes the one object that the file is named after. Returns its
-- identity. Where `create or replace` cannot go (other columns, another result), the object p_known is dropped first
-- and gets its grants back; what depends on it is never dropped: that raises.
-- Nothing of ours is for public.
create or replace function p2p.make_object(p_name text, p_body text, p_known text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set check_function_bodies = off
as $function$
declare
  v_object text := regexp_replace(p_name, '^.*/|\.sql$', '', 'g');
  v_before text[] := array(
    select row(p.oid, p.ctid)::text
    from pg_proc p
    where p.pronamespace = 'p2p'::regnamespace
      and p.proname = v_object
  );
  v_identity text;
  v_grant text;
  v_grants text[] := '{}'::text[];
  v_comment text;
  v_role constant text := current_setting('role');
begin
  -- Whoever runs this, the object belongs to the owner of the schema: all who have that role can replace it again.
  perform set_config('role', pg_get_userbyid(n.nspowner), true)
  from pg_namespace n
  where n.nspname = 'p2p';

  -- `create or replace` leaves comments in place, also those that the file does not have.
  for v_comment in select c.statement from p2p.uncomment(p_known) as c (statement) loop
    execute v_comment;
  end loop;

  begin
    execute p_body;
  exception when invalid_table_definition or invalid_function_definition then
    if p_known is null then
      raise;
    end if;

    v_grants := array(select p2p.grants_on(p_known));
    execute 'drop ' || p_known;
    execute p_body;
  end;

  if p_name like 'views/%' then
    v_identity := 'view ' || to_regclass(format('p2p.%I', v_object));
  else
    -- `create or replace` writes a new version of the row: that tells which of several of one name the file made.
    select 'function ' || p.oid::regprocedure
    into v_identity
    from pg_proc p
    where p.pronamespace = 'p2p'::regnamespace
      and p.proname = v_object
      and row(p.oid, p.ctid)::text <> all (v_before);
  end if;

  if v_identity is null then
    raise exception 'it makes no object p2p.%', v_object
      using errcode = 'P2P01', hint = 'a file is named after the one object it makes';
  end if;

  foreach v_grant in array v_grants loop
    execute v_grant;
  end loop;

  if v_identity like 'function %' then
    execute format('revoke execute on %s from public', v_identity);
  end if;

  perform set_config('role', v_role, true);

  return v_identity;
end
$function$;

comment on function p2p.make_object(text, text, text) is 'Runs a file of sql/functions or sql/views and names what it made; used by migrate and restore_object';

revoke execute on function p2p.make_object(text, text, text) from public;

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

-- Release 0.1.0 had another result. Only that one is dropped: whoever calls the function at this moment must find it.
do $$
begin
  if exists (
    select
    from pg_proc p
    where p.oid = to_regprocedure('p2p.apply_objects(jsonb,text)')
      and p.prorettype = 'text'::regtype
  ) then
    drop function p2p.apply_objects(jsonb, text);
  end if;
end
$$;

-- Brings the functions and views to a release, all of them or none; see apply_object. Those that the release no longer
-- has are dropped if nobody changed them and nothing depends on them.
-- Expects a json array of {name, sha256, body}, in the order to apply: functions may call each other (their bodies are
-- not checked here), views come after what they read. Files of bootstrap have run already and are only noted.
-- Returns what was done, for each object with which anything was.
create or replace function p2p.apply_objects(p_files jsonb, p_program_version text)
returns table (object_name text, outcome text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_file record;
  v_detail text;
  v_hint text;
begin
  perform pg_advisory_xact_lock(hashtextextended('p2p.migrate', 0));

  for v_file in
    select f.value ->> 'name' as name, f.value ->> 'sha256' as sha256, f.value ->> 'body' as body
    from jsonb_array_elements(p_files) with ordinality as f (value, position)
    order by f.position
  loop
    object_name := v_file.name;

    if v_file.name like 'bootstrap/%' then
      continue when exists (
        select
        from p2p.schema_objects o
        where o.name = v_file.name
          and o.sha256 = v_file.sha256
      );
      perform p2p.record_as_shipped(v_file.name, v_file.sha256, v_file.body, p_program_version, null, null);
      outcome := 'applied';
      return next;
      continue;
    end if;

    begin
      outcome := p2p.apply_object(v_file.name, v_file.sha256, v_file.body, p_program_version);
    exception when others then
      get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
      raise exception 'sql/%: %', v_file.name, concat_ws(E'\n', sqlerrm, nullif(v_detail, ''))
        using errcode = sqlstate, hint = v_hint;
    end;

    if outcome is not null then
      return next;
    end if;
  end loop;

  for object_name, outcome in
    select r.object_name, r.outcome
    from p2p.retire_objects(
      array(select f.value ->> 'name' from jsonb_array_elements(p_files) as f (value)),
      p_program_version
    ) as r
  loop
    return next;
  end loop;
end
$function$;

comment on function p2p.apply_objects(jsonb, text) is 'Brings functions and views to a release; used by the migrate command';

revoke execute on function p2p.apply_objects(jsonb, text) from public;

-- Part of apply_objects: what the release no longer has. Changed objects, and those that something depends on, stay and
-- are no longer ours.
create or replace function p2p.retire_objects(p_shipped text[], p_program_version text)
returns table (object_name text, outcome text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_object p2p.schema_objects;
  v_live text;
begin
  for v_object in
    select o.*
    from p2p.schema_objects o
    where o.name <> all (p_shipped)
    order by o.name desc -- views go before functions
  loop
    v_live := p2p.live_definition(v_object.identity);
    object_name := v_object.name;
    outcome := 'left behind';

    if v_live = v_object.definition then
      begin
        execute 'drop ' || v_object.identity;
        outcome := 'dropped';
      exception when dependent_objects_still_exist then
        null;
      end;
    end if;

    if v_live is not null then
      insert into p2p.schema_object_history (name, identity, action, program_version, definition)
      values (v_object.name, v_object.identity, outcome, p_program_version, v_live);
      return next;
    end if;

    delete from p2p.schema_objects o
    where o.name = v_object.name;
  end loop;
end
$function$;

comment on function p2p.retire_objects(text[], text) is 'Drops what a release no longer has; used by the migrate command';

revoke execute on function p2p.retire_objects(text[], text) from public;
