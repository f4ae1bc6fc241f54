-- Bootstrap, functions and views of release 0.5.0 (commit 02b7902) on plain PostgreSQL, file after file. Never edited: databases out there have these.
-- ════ bootstrap/01_schema.sql
-- What `migrate` itself stands on: the files of this folder, in their order, as one implicit transaction at the
-- beginning of a `migrate` that has anything to do. Each statement may run any number of times.
-- Migrators queue here: `create … if not exists` alone is not safe against a second one.
select pg_advisory_xact_lock(hashtextextended('p2p.migrate', 0));

-- `create schema if not exists` wants the right to create one even where it is there.
do $$
begin
  if to_regnamespace('p2p') is null then
    create schema p2p;
  end if;
exception when insufficient_privilege then
  raise exception 'schema p2p is missing, and this user may not create schemas'
    using
      errcode = 'P2P01',
      hint = format(
        'have an administrator run: create schema p2p authorization %1$I; create schema p2p_partitions authorization %1$I',
        current_user
      );
end
$$;

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
-- ════ bootstrap/02_tables.sql
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
-- ════ bootstrap/03_apply_migration.sql
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
-- ════ bootstrap/04_live_definition.sql
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
-- ════ bootstrap/05_make_object.sql
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
-- ════ bootstrap/06_definition_of.sql
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
-- ════ bootstrap/07_apply_object.sql
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
-- ════ bootstrap/08_apply_objects.sql
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
-- ════ bootstrap/09_dependents.sql
-- What stands on a table and must be made anew when another table takes its name: views and functions, theirs too, in
-- the order to make them; and obstacles, which nothing here can make anew. Functions count where the server itself
-- keeps the link: a body in `begin atomic`, an argument or result of the table's row type. Other bodies are text and
-- find the new table by its name.
create or replace function p2p.dependents_of(p_table regclass)
returns table (kind text, object_id oid, identity text, place bigint)
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  with recursive reached (class_id, object_id, distance) as (
    select 'pg_class'::regclass::oid, p_table::oid, 0
    union
    select
      coalesce(case when d.classid = 'pg_rewrite'::regclass then 'pg_class'::regclass::oid end, d.classid),
      coalesce(rule.ev_class, d.objid),
      r.distance + 1
    from reached r
    cross join lateral (
      select r.class_id, r.object_id
      union all
      select 'pg_type'::regclass::oid, row_type.type_id
      from pg_class c
      join pg_type t on t.oid = c.reltype
      cross join lateral unnest(array[t.oid, t.typarray]) as row_type (type_id)
      where r.class_id = 'pg_class'::regclass
        and c.oid = r.object_id
    ) as part
    join pg_depend d
      on d.refclassid = part.class_id
      and d.refobjid = part.object_id
      and d.deptype = 'n'
    left join pg_rewrite rule on d.classid = 'pg_rewrite'::regclass and rule.oid = d.objid
    left join pg_constraint k on d.classid = 'pg_constraint'::regclass and k.oid = d.objid
    left join pg_trigger t on d.classid = 'pg_trigger'::regclass and t.oid = d.objid
    left join pg_attrdef a on d.classid = 'pg_attrdef'::regclass and a.oid = d.objid
    left join pg_policy l on d.classid = 'pg_policy'::regclass and l.oid = d.objid
    -- What belongs to the object itself goes with it.
    where coalesce(rule.ev_class, k.conrelid, t.tgrelid, a.adrelid, l.polrelid) is distinct from r.object_id
  ),
  farthest as (
    select class_id, object_id, max(distance) as distance
    from reached
    where distance > 0
    group by class_id, object_id
  ),
  named as (
    select
      case
        when c.relkind = 'v' then 'view'
        when p.prokind in ('f', 'p') then 'function'
        else 'obstacle'
      end as kind,
      f.object_id,
      case
        when c.relkind = 'v' then 'view ' || c.oid::regclass
        when p.prokind = 'f' then 'function ' || p.oid::regprocedure
        when p.prokind = 'p' then 'procedure ' || p.oid::regprocedure
        else pg_describe_object(f.class_id, f.object_id, 0)
      end as identity,
      f.distance
    from farthest f
    left join pg_class c on f.class_id = 'pg_class'::regclass and c.oid = f.object_id
    left join pg_proc p on f.class_id = 'pg_proc'::regclass and p.oid = f.object_id
    union all
    -- These hang on the table itself, and say more than could be read out of the catalog and said again safely.
    select 'obstacle', l.oid, pg_describe_object('pg_policy'::regclass, l.oid, 0), 0
    from pg_policy l
    where l.polrelid = p_table
    union all
    select 'obstacle', c.oid, 'row level security of table ' || c.oid::regclass, 0
    from pg_class c
    where c.oid = p_table
      and (c.relrowsecurity or c.relforcerowsecurity)
    union all
    -- A table without rows has it valid, and would not take the old rows for a part of it.
    select 'obstacle', k.oid, pg_describe_object('pg_constraint'::regclass, k.oid, 0) || ' (not valid)', 0
    from pg_constraint k
    where k.conrelid = p_table
      and not k.convalidated
    union all
    select 'obstacle', r.oid, pg_describe_object('pg_publication_rel'::regclass, r.oid, 0), 0
    from pg_publication_rel r
    where r.prrelid = p_table
    union all
    select 'obstacle', r.oid, pg_describe_object('pg_rewrite'::regclass, r.oid, 0), 0
    from pg_rewrite r
    join pg_class c on c.oid = r.ev_class
    where (r.ev_class = p_table or r.ev_class in (select f.object_id from farthest f))
      and c.relkind in ('r', 'p', 'v')
      and r.rulename <> '_RETURN'
    union all
    select 'obstacle', i.inhrelid, 'table ' || i.inhrelid::regclass, 0
    from pg_inherits i
    join pg_class c on c.oid = i.inhparent and c.relkind = 'r'
    where i.inhparent = p_table
  )
  select n.kind, n.object_id, n.identity, row_number() over (order by n.distance, n.identity)
  from named n
$function$;

comment on function p2p.dependents_of(regclass) is 'What must be made anew when another table takes the name of this one; used by the migrate command';

revoke execute on function p2p.dependents_of(regclass) from public;

-- Grants on a table or view and its columns, as statements that give the same on p_to. Not those of its owner.
create or replace function p2p.relation_grants(p_relation regclass, p_to text)
returns setof text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  select
    format(
      'grant %s%s on %s to %s%s',
      a.privilege_type,
      ' (' || quote_ident(held.column_name) || ')',
      p_to,
      case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
      case when a.is_grantable then ' with grant option' end
    )
  from (
    select c.relacl as acl, null::name as column_name, c.relowner as owner
    from pg_class c
    where c.oid = p_relation
    union all
    select t.attacl, t.attname, c.relowner
    from pg_attribute t
    join pg_class c on c.oid = t.attrelid
    where t.attrelid = p_relation
      and t.attnum > 0
      and not t.attisdropped
  ) as held
  cross join aclexplode(held.acl) as a
  where a.grantee <> held.owner
$function$;

comment on function p2p.relation_grants(regclass, text) is 'Grants on a table or view, as statements; used by the migrate command';

revoke execute on function p2p.relation_grants(regclass, text) from public;

-- The triggers that somebody made on a table or view, with state and comment, as statements.
create or replace function p2p.relation_triggers(p_relation regclass)
returns setof text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  select statement
  from pg_trigger t
  cross join lateral (
    values
      (pg_get_triggerdef(t.oid)),
      (
        format(
          'alter table %s %s trigger %I',
          p_relation,
          case t.tgenabled when 'D' then 'disable' when 'A' then 'enable always' when 'R' then 'enable replica' end,
          t.tgname
        )
      ),
      (format('comment on trigger %I on %s is %L', t.tgname, p_relation, obj_description(t.oid, 'pg_trigger')))
  ) as made (statement)
  where t.tgrelid = p_relation
    and not t.tgisinternal
    and (made.statement not like 'alter table%' or t.tgenabled <> 'O')
    and (made.statement not like 'comment on%' or obj_description(t.oid, 'pg_trigger') is not null)
$function$;

comment on function p2p.relation_triggers(regclass) is 'Triggers of a table or view, as statements; used by the migrate command';

revoke execute on function p2p.relation_triggers(regclass) from public;

-- A view or function with all that was said about it, as statements: definition and comments, defaults, triggers,
-- grants, and last its owner.
create or replace function p2p.dependent_statements(p_kind text, p_object oid, p_identity text)
returns setof text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  select p2p.live_definition(p_identity)
  where p_kind = 'view'
  union all
  select format('alter view %s alter column %I set default %s', c.oid::regclass, a.attname, pg_get_expr(d.adbin, d.adrelid))
  from pg_class c
  join pg_attrdef d on d.adrelid = c.oid
  join pg_attribute a on a.attrelid = c.oid and a.attnum = d.adnum
  where p_kind = 'view'
    and c.oid = p_object
  union all
  select p2p.relation_triggers(p_object)
  where p_kind = 'view'
  union all
  select p2p.relation_grants(p_object, p_object::regclass::text)
  where p_kind = 'view'
  union all
  select format('alter view %s owner to %I', c.oid::regclass, pg_get_userbyid(c.relowner))
  from pg_class c
  where p_kind = 'view'
    and c.oid = p_object
    and pg_get_userbyid(c.relowner) <> current_user
  union all
  select p2p.function_definition(p_object)
  where p_kind = 'function'
  union all
  select format('revoke execute on %s from public', p_identity)
  from pg_proc p
  where p_kind = 'function'
    and p.oid = p_object
    and p.proacl is not null
  union all
  select
    format(
      'grant execute on %s to %s%s',
      p_identity,
      case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
      case when a.is_grantable then ' with grant option' end
    )
  from pg_proc p
  cross join aclexplode(p.proacl) as a
  where p_kind = 'function'
    and p.oid = p_object
    and a.grantee <> p.proowner
  union all
  select format('alter %s owner to %I', p_identity, pg_get_userbyid(p.proowner))
  from pg_proc p
  where p_kind = 'function'
    and p.oid = p_object
    and pg_get_userbyid(p.proowner) <> current_user
$function$;

comment on function p2p.dependent_statements(text, oid, text) is 'A view or function with all that was said about it, as statements; used by the migrate command';

revoke execute on function p2p.dependent_statements(text, oid, text) from public;
-- ════ bootstrap/10_replace_table.sql
-- Gives the keys and indexes of p_old to p_new, by the same names and with their comments; those of p_old are called
-- …_replaced from then on. For tables that have the same columns; a unique index that p_new cannot hold raises, with its name.
-- Foreign keys of p_old are its own and go along as well; checks come with `create table … (like …)`.
create or replace function p2p.take_indexes(p_old regclass, p_new regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_index record;
begin
  for v_index in
    select
      i.indexrelid::regclass as index,
      i.indexrelid as id,
      c.relname as name,
      n.nspname as schema,
      k.conname,
      pg_get_constraintdef(k.oid) as constraint_definition,
      pg_get_indexdef(i.indexrelid) as definition,
      obj_description(i.indexrelid, 'pg_class') as index_comment,
      obj_description(k.oid, 'pg_constraint') as constraint_comment
    from pg_index i
    join pg_class c on c.oid = i.indexrelid
    join pg_namespace n on n.oid = c.relnamespace
    left join pg_constraint k on k.conindid = i.indexrelid and k.conrelid = i.indrelid and k.contype in ('p', 'u', 'x')
    where i.indrelid = p_old
      and i.indisvalid
    order by i.indisprimary desc, c.relname
  loop
    -- Names that the server made up itself are cut, and differ at their end only.
    execute format(
      'alter index %s rename to %I',
      v_index.index,
      case when length(v_index.name) > 54 then left(v_index.name, 43) || '_' || v_index.id else v_index.name end || '_replaced'
    );

    begin
      if v_index.conname is not null then
        execute format('alter table %s add constraint %I %s', p_new, v_index.conname, v_index.constraint_definition);

        if v_index.constraint_comment is not null then
          execute format('comment on constraint %I on %s is %L', v_index.conname, p_new, v_index.constraint_comment);
        end if;
      else
        execute regexp_replace(
          v_index.definition,
          '^(CREATE (?:UNIQUE )?INDEX .+?) ON (?:ONLY )?.+? USING ',
          format('\1 ON %s USING ', replace(p_new::text, '\', '\\'))
        );
      end if;
    exception when feature_not_supported then
      raise exception 'table % cannot be converted while there is: index %: %', p_old, v_index.name, sqlerrm
        using errcode = 'P2P01', hint = 'drop it, run migrate, and make it again with the time in it';
    end;

    if v_index.index_comment is not null then
      execute format('comment on index %I.%I is %L', v_index.schema, v_index.name, v_index.index_comment);
    end if;
  end loop;

  for v_index in
    select k.conname, pg_get_constraintdef(k.oid) as definition
    from pg_constraint k
    where k.conrelid = p_old
      and k.contype = 'f'
      and k.conparentid = 0
  loop
    execute format('alter table %s add constraint %I %s', p_new, v_index.conname, v_index.definition);
  end loop;
end
$function$;

comment on function p2p.take_indexes(regclass, regclass) is 'Gives the keys and indexes of a table to the one that takes its place; used by the migrate command';

revoke execute on function p2p.take_indexes(regclass, regclass) from public;

-- p_new takes the place of p_old: its name, owner, grants, comments, triggers, the sequences it owns, and all views and
-- functions that stand on it (dependents_of), whoever made them. p_old is called …_replaced afterwards, in the same
-- schema, and has no grants and no triggers; its rows and indexes are the caller's business (take_indexes).
-- Expects that p_new has the columns of p_old. Locks out everybody else until the end of the transaction.
-- Raises where something cannot be carried over, with its name: nothing is lost silently.
create or replace function p2p.replace_table(p_old regclass, p_new regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set check_function_bodies = off
as $function$
declare
  v_schema constant text := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = p_old);
  v_name constant text := (select c.relname from pg_class c where c.oid = p_old);
  v_owner constant text := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = p_old);
  v_old text;
  v_obstacle text;
  v_dependent record;
  v_to_make jsonb[] := '{}'::jsonb[];
  v_item jsonb;
  v_statement text;
  v_trigger name;
begin
  execute format('lock table %s, %s in access exclusive mode', p_old, p_new);

  select string_agg(d.identity, ', ' order by d.place)
  into v_obstacle
  from p2p.dependents_of(p_old) d
  where d.kind = 'obstacle';

  if v_obstacle is not null then
    raise exception 'table % cannot be converted while there is: %', p_old, v_obstacle
      using errcode = 'P2P01', hint = 'keep its text, drop it, run migrate, and make it again';
  end if;

  for v_dependent in
    select d.kind, d.object_id, d.identity
    from p2p.dependents_of(p_old) d
    order by d.place
  loop
    v_to_make := v_to_make || jsonb_build_object(
      'identity', v_dependent.identity,
      'statements', to_jsonb(array(select p2p.dependent_statements(v_dependent.kind, v_dependent.object_id, v_dependent.identity)))
    );
  end loop;

  -- Of the table itself, with the name that both bear in turn.
  v_to_make := v_to_make || jsonb_build_object(
    'identity', 'triggers and grants of ' || p_old,
    'statements', to_jsonb(
      array(select p2p.relation_triggers(p_old))
      || array(select p2p.relation_grants(p_old, p_old::text))
      || array(
        select format('comment on %s is %L', coalesce('column ' || p_old || '.' || quote_ident(a.attname), 'table ' || p_old), d.description)
        from pg_description d
        left join pg_attribute a on a.attrelid = d.objoid and a.attnum = d.objsubid and d.objsubid > 0
        where d.classoid = 'pg_class'::regclass
          and d.objoid = p_old
      )
    )
  );

  for v_dependent in
    select d.identity
    from p2p.dependents_of(p_old) d
    order by d.place desc
  loop
    begin
      execute 'drop ' || v_dependent.identity;
    exception when dependent_objects_still_exist or insufficient_privilege then
      raise exception '% stands on table %, and cannot be made anew: %', v_dependent.identity, p_old, sqlerrm
        using errcode = 'P2P01', hint = 'keep its text, drop it, run migrate, and make it again';
    end;
  end loop;

  for v_trigger in
    select t.tgname
    from pg_trigger t
    where t.tgrelid = p_old
      and not t.tgisinternal
      and t.tgparentid = 0
  loop
    execute format('drop trigger %I on %s', v_trigger, p_old);
  end loop;

  for v_statement in
    -- Those on columns go with them.
    select distinct
      format('revoke all on %s from %s', p_old, case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
    from pg_class c
    left join pg_attribute t on t.attrelid = c.oid and t.attacl is not null
    cross join lateral (
      select e.grantee
      from aclexplode(c.relacl) as e
      union
      select e.grantee
      from aclexplode(t.attacl) as e
    ) as a
    where c.oid = p_old
      and a.grantee <> c.relowner
  loop
    execute v_statement;
  end loop;

  execute format('alter table %s owner to %I', p_new, v_owner);

  for v_statement in
    select format('alter sequence %s owned by %s.%I', s.oid::regclass, p_new, a.attname)
    from pg_depend d
    join pg_class s on s.oid = d.objid and s.relkind = 'S'
    join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where d.classid = 'pg_class'::regclass
      and d.refclassid = 'pg_class'::regclass
      and d.refobjid = p_old
      and d.deptype = 'a'
  loop
    execute v_statement;
  end loop;

  v_old := left(v_name, 54) || '_replaced';
  execute format('alter table %s rename to %I', p_old, v_old);
  execute format('alter table %s rename to %I', p_new, v_name);

  foreach v_item in array v_to_make loop
    for v_statement in select s.value from jsonb_array_elements_text(v_item -> 'statements') as s (value) loop
      begin
        execute v_statement;
      exception when others then
        raise exception '% cannot be made anew on the new table %.%: %', v_item ->> 'identity', v_schema, v_name, sqlerrm
          using errcode = 'P2P01', detail = v_statement, hint = 'keep its text, drop it, run migrate, and make it again';
      end;
    end loop;
  end loop;
end
$function$;

comment on function p2p.replace_table(regclass, regclass) is 'Puts one table in the place of another, with all that stands on it; used by the migrate command';

revoke execute on function p2p.replace_table(regclass, regclass) from public;
-- ════ bootstrap/11_tier.sql
-- Where facts are kept. plain: partitions and views, on any PostgreSQL. timescaledb: hypertables and continuous
-- aggregates, on TimescaleDB Community. Names, columns and answers are the same on both.

-- Which tier this database is on: the answer for all SQL of the project. Recorded by the conversion itself, so that a
-- database whose extension went missing is not taken for a plain one.
create or replace function p2p.database_tier()
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  select
    case
      when exists (
        select
        from p2p.schema_migrations m
        where m.name like 'timescaledb/%'
      ) then 'timescaledb'
      else 'plain'
    end
$function$;

comment on function p2p.database_tier() is 'plain or timescaledb: how facts are kept in this database';

revoke execute on function p2p.database_tier() from public;

grant execute on function p2p.database_tier() to p2p_worker;

-- Which tier this database could be on, and what keeps it from TimescaleDB: by what is there to be called, not by a
-- version. Reads system catalogs only: migrate asks with this very query before schema p2p exists (src/database/tier.ts).
create or replace function p2p.server_tier(out tier text, out reason text, out hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  with extension as (
    select
      x.extversion as version,
      x.extnamespace as schema
    from pg_catalog.pg_extension x
    where x.extname = 'timescaledb'
  ),
  missing as (
    select pg_catalog.string_agg(routine.name, ', ' order by routine.name) as routines
    from extension e
    cross join (
      values
        ('attach_chunk'),
        ('add_columnstore_policy'),
        ('add_continuous_aggregate_policy'),
        ('drop_chunks'),
        ('refresh_continuous_aggregate')
    ) as routine (name)
    where not exists (
      select
      from pg_catalog.pg_proc p
      where p.pronamespace = e.schema
        and p.proname = routine.name
    )
  ),
  facts as (
    select
      (select e.version from extension e) as version,
      pg_catalog.current_setting('timescaledb.license', true) as license,
      (select m.routines from missing m) as missing,
      exists (select from pg_catalog.pg_available_extensions a where a.name = 'timescaledb') as is_available
  ),
  obstacles as (
    select
      case
        when f.version is null and f.is_available then 'TimescaleDB is on this server, but not in this database'
        when f.version is null then 'this server has no TimescaleDB'
        when f.license is null then 'the library of TimescaleDB ' || f.version || ' is not loaded'
        when f.license <> 'timescale' then 'TimescaleDB ' || f.version || ' runs with timescaledb.license = ' || f.license
        when f.missing is not null then 'TimescaleDB ' || f.version || ' has no ' || f.missing
      end as obstacle,
      case
        when f.version is null and f.is_available then 'create extension timescaledb schema public'
        when f.version is null then null
        when f.license is null then 'shared_preload_libraries = timescaledb in postgresql.conf, and restart the server'
        when f.license <> 'timescale' then 'alter system set timescaledb.license = ''timescale'', and restart the server'
        when f.missing is not null then 'alter extension timescaledb update'
      end as remedy,
      f.version
    from facts f
  )
  select
    case when o.obstacle is null then 'timescaledb' else 'plain' end,
    coalesce(o.obstacle, 'TimescaleDB ' || o.version),
    o.remedy
  from obstacles o
$function$;

comment on function p2p.server_tier() is 'The tier this database could be on, why, and what would bring it to TimescaleDB';

revoke execute on function p2p.server_tier() from public;

grant execute on function p2p.server_tier() to p2p_worker;
-- ════ functions/aggregates_to_refresh.sql
-- What has to be refreshed after facts of these times were written. On plain PostgreSQL nothing ever: aggregates are
-- views, and load_batch keeps what it stores of merchants itself.
create or replace function p2p.aggregates_to_refresh(p_from timestamptz, p_until timestamptz)
returns table (aggregate text, window_start timestamptz, window_end timestamptz, statement text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select null::text, null::timestamptz, null::timestamptz, null::text
  where false
$function$;

comment on function p2p.aggregates_to_refresh(timestamptz, timestamptz) is 'Which aggregates to refresh after facts of these times were written, and for what window';

grant execute on function p2p.aggregates_to_refresh(timestamptz, timestamptz) to p2p_worker;
-- ════ functions/drop_older.sql
-- Drops the partitions of a table of partitioned_tables that end at or before p_before, the oldest first, and notes in
-- dropped_facts up to when rows are gone. Returns how many it dropped, and what kept it from the rest, if anything did:
-- that is noted too, and the next call tries again. A second call drops nothing.
-- A partition goes with all its rows, so that the heap of release 0.2.0 goes when the newest row in it is old enough.
-- Dropping needs a moment without readers of the table. It waits half a second for that (new readers wait behind it)
-- and gives up; from then on readers wait until the transaction ends. What stands on a partition is never dropped.
-- For the owner, who alone may drop tables: apply_retention calls it with those rights.
create or replace function p2p.drop_older(
  p_table text,
  p_before timestamptz,
  out dropped integer,
  out held_up_by text
)
language plpgsql
set search_path = p2p, pg_temp
set lock_timeout = '500ms'
as $function$
declare
  v_partition record;
  v_dropped_before timestamptz;
begin
  dropped := 0;

  if not exists (select from p2p.partitioned_tables t where t.table_name = p_table) then
    raise exception 'table % is not kept by day or month', p_table
      using errcode = 'P2P01', hint = 'select table_name from p2p.partitioned_tables';
  end if;

  for v_partition in
    select p.partition_name, p.ends_at
    from p2p.partitions p
    where p.table_name = p_table
      and p.ends_at <= p_before
    order by p.ends_at
  loop
    begin
      execute 'drop table ' || v_partition.partition_name; -- quoted in the view
      dropped := dropped + 1;
      v_dropped_before := v_partition.ends_at;
    exception
      when lock_not_available or object_in_use then
        select coalesce('read by ' || string_agg(distinct format('%s (pid %s)', a.usename, a.pid), ', '), 'locked')
        into held_up_by
        from pg_locks l
        join pg_stat_activity a on a.pid = l.pid
        where l.database = (select d.oid from pg_database d where d.datname = current_database())
          and l.relation in (to_regclass(format('p2p.%I', p_table)), to_regclass(v_partition.partition_name))
          and l.granted
          and l.pid <> pg_backend_pid();
        exit;
      when dependent_objects_still_exist then
        get stacked diagnostics held_up_by = pg_exception_detail; -- the message does not say what stands on it
        exit;
    end;
  end loop;

  if dropped > 0 or held_up_by is not null then
    insert into p2p.dropped_facts as d (table_name, dropped_before, dropped_at, held_up_since, held_up_by)
    values (
      p_table,
      coalesce(v_dropped_before, '-infinity'),
      case when dropped > 0 then clock_timestamp() end,
      case when held_up_by is not null then clock_timestamp() end,
      held_up_by
    )
    on conflict (table_name) do update
    set
      dropped_before = greatest(d.dropped_before, excluded.dropped_before),
      dropped_at = coalesce(excluded.dropped_at, d.dropped_at),
      held_up_since = case when excluded.held_up_by is not null then coalesce(d.held_up_since, excluded.held_up_since) end,
      held_up_by = excluded.held_up_by;
  else
    update p2p.dropped_facts d
    set
      held_up_since = null,
      held_up_by = null
    where d.table_name = p_table
      and d.held_up_by is not null;
  end if;
end
$function$;

comment on function p2p.drop_older(text, timestamptz) is 'Drops what ends at or before a time, in whole partitions; for the owner';

revoke execute on function p2p.drop_older(text, timestamptz) from public;
-- ════ functions/store_period.sql
-- Stores an hour or a day ('hour', 'day'; p_starts_at is where it begins) of markets and of advertisers, made anew of the
-- facts (a day: of the hours). Only rows that differ are written: a second call changes no row. Returns whether any was.
-- With p_advertisers only their rows are made, and no market.
-- What was stored stays where the facts no longer have all of it: retention has passed the hour (day), and offers of a
-- batch that was loaded in it are gone.
-- The period is not open afterwards: whoever calls it for the newest one opens it again.
create or replace function p2p.store_period(
  p_unit text,
  p_starts_at timestamptz,
  p_advertisers integer[] default null
)
returns boolean
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_open constant text := format('open_%ss', p_unit);
  v_kind record;
  v_is_stored boolean;
  v_is_gone boolean;
  v_rows bigint;
  v_is_changed boolean := false;
begin
  perform p2p.make_room(p_starts_at);

  execute format('insert into p2p.%I values ($1) on conflict do nothing', v_open)
  using p_starts_at;

  for v_kind in
    select
      k.name,
      k.facts,
      format('stored_%s_%ss', k.name, p_unit) as stored,
      case p_unit
        when 'hour' then format('from_facts_%s_hours', k.name)
        else format('from_hours_%s_days', k.name)
      end as source,
      case p_unit when 'hour' then k.facts else format('stored_%s_hours', k.name) end as made_of
    from (
      values ('market', 'fact_market_depth'), ('merchant', 'fact_offers')
    ) as k (name, facts)
  loop
    continue when v_kind.name = 'market' and p_advertisers is not null;

    execute format('select exists (select from p2p.%I s where s.%I = $1)', v_kind.stored, p_unit)
    into v_is_stored
    using p_starts_at;

    -- Retention dropped the hour before its offers: a few advertisers must not pass for all.
    continue when not v_is_stored and p_advertisers is not null;

    v_is_gone := exists (
      select
      from p2p.dropped_facts d
      where d.table_name = v_kind.made_of
        and d.dropped_before > p_starts_at
    );

    -- Batches that were loaded again have brought theirs back.
    if v_is_gone and p_unit = 'hour' then
      execute format(
        $statement$
          select exists (
            select
            from p2p.ops_batch_runs r
            where r.batch_start_time >= $1
              and r.batch_start_time < $1 + interval '1 hour'
              and r.status in ('completed', 'partial')
              and r.total_offers_inserted > 0
              and not exists (
                select
                from p2p.%I f
                where f.extraction_timestamp = r.batch_start_time
              )
          )
        $statement$,
        v_kind.made_of
      )
      into v_is_gone
      using p_starts_at;
    end if;

    -- Hours that have outlived their retention, and were made anew of offers that have not (summarise_hours).
    if v_is_gone and p_unit = 'day' then
      execute format(
        $statement$
          select exists (
            select
            from p2p.ops_batch_runs r
            where r.batch_start_time >= $1
              and r.batch_start_time < $1 + interval '24 hours'
              and r.status in ('completed', 'partial')
              and r.total_offers_inserted > 0
              and not (
                exists (
                  select
                  from p2p.%I h
                  where h.hour = date_trunc('hour', r.batch_start_time, 'UTC')
                )
                and exists (
                  select
                  from p2p.%I f
                  where f.extraction_timestamp = r.batch_start_time
                )
              )
          )
        $statement$,
        v_kind.made_of,
        v_kind.facts
      )
      into v_is_gone
      using p_starts_at;
    end if;

    continue when v_is_stored and v_is_gone;

    if not v_is_stored then
      execute format('insert into p2p.%I select m.* from p2p.%I m where m.%I = $1', v_kind.stored, v_kind.source, p_unit)
      using p_starts_at;
      get diagnostics v_rows = row_count;
      v_is_changed := v_is_changed or v_rows > 0;
      continue;
    end if;

    execute format(
      'create temp table made_rows on commit drop as select m.* from p2p.%I m where m.%I = $1 %s',
      v_kind.source,
      p_unit,
      case when p_advertisers is not null then 'and m.advertiser_sk = any ($2)' end
    )
    using p_starts_at, p_advertisers;

    -- As text: 461.50 equals 461.5, and is not the same.
    execute format(
      $statement$
        delete from p2p.%1$I s
        where s.%2$I = $1
          %3$s
          and not exists (
            select
            from pg_temp.made_rows m
            where (m.*)::text = (s.*)::text
          )
      $statement$,
      v_kind.stored,
      p_unit,
      case when p_advertisers is not null then 'and s.advertiser_sk = any ($2)' end
    )
    using p_starts_at, p_advertisers;
    get diagnostics v_rows = row_count;
    v_is_changed := v_is_changed or v_rows > 0;

    execute format(
      $statement$
        insert into p2p.%1$I
        select m.*
        from pg_temp.made_rows m
        where not exists (
          select
          from p2p.%1$I s
          where s.%2$I = $1
            and (s.*)::text = (m.*)::text
        )
      $statement$,
      v_kind.stored,
      p_unit
    )
    using p_starts_at;
    get diagnostics v_rows = row_count;
    v_is_changed := v_is_changed or v_rows > 0;

    drop table pg_temp.made_rows;
  end loop;

  execute format('delete from p2p.%I where %I = $1', v_open, p_unit)
  using p_starts_at;

  return v_is_changed;
end
$function$;

comment on function p2p.store_period(text, timestamptz, integer[]) is 'Stores an hour or a day of markets and advertisers, made anew of the facts';

grant execute on function p2p.store_period(text, timestamptz, integer[]) to p2p_worker;
-- ════ functions/summarise_hours.sql
-- Step of load_batch, after load_depth: keeps market_hours, market_days, merchant_hours and merchant_days equal to what
-- the facts say.
--   the newest hour, and its day     stay open: the views make them of the facts
--   hours and days that are over     are stored, once: by the first batch of the next hour
--   the hour of a late batch, or of  is made anew, and its day
--     one that is loaded again          (with hours of that day that went by their own retention)
--   hours whose offers were pointed  are made anew for these advertisers, and their days
--     at another row of theirs
-- A second call changes no row.
create or replace function p2p.summarise_hours(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select r.batch_start_time from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_newest constant timestamptz := greatest(
    v_now,
    (
      select max(r.batch_start_time)
      from p2p.ops_batch_runs r
      where r.status in ('completed', 'partial')
    )
  );
  v_hour constant timestamptz := date_trunc('hour', v_now, 'UTC');
  v_newest_hour constant timestamptz := date_trunc('hour', v_newest, 'UTC');
  v_newest_day constant timestamptz := date_trunc('day', v_newest, 'UTC');
  v_period record;
  v_days timestamptz[] := '{}'::timestamptz[];
begin
  create temp table if not exists repointed_offers (
    extraction_timestamp timestamptz,
    advertiser_sks integer[]
  ) on commit drop;

  -- An hour that was stored before its time is kept true in the table.
  if not exists (select from p2p.stored_market_hours s where s.hour = v_newest_hour)
    and not exists (select from p2p.stored_merchant_hours s where s.hour = v_newest_hour)
  then
    insert into p2p.open_hours (hour)
    values (v_newest_hour)
    on conflict do nothing;
  end if;

  if not exists (select from p2p.stored_market_days s where s.day = v_newest_day)
    and not exists (select from p2p.stored_merchant_days s where s.day = v_newest_day)
  then
    insert into p2p.open_days (day)
    values (v_newest_day)
    on conflict do nothing;
  end if;

  for v_period in
    with whole_hours as (
      select o.hour
      from p2p.open_hours o
      where o.hour < v_newest_hour
      union
      -- Of batches that were loaded while the step was switched off.
      select date_trunc('hour', r.batch_start_time, 'UTC')
      from p2p.ops_batch_runs r
      where r.batch_start_time >= (select min(o.hour) from p2p.open_hours o)
        and r.batch_start_time < v_newest_hour
        and r.status in ('completed', 'partial')
      union
      select v_hour
      where not exists (
        select
        from p2p.open_hours o
        where o.hour = v_hour
      )
      union
      -- The day of a late batch is made of all its hours: those that went by their own retention come back for it.
      select date_trunc('hour', r.batch_start_time, 'UTC')
      from p2p.ops_batch_runs r
      where r.batch_start_time >= date_trunc('day', v_now, 'UTC')
        and r.batch_start_time < date_trunc('day', v_now, 'UTC') + interval '24 hours'
        and r.status in ('completed', 'partial')
        and exists (
          select
          from p2p.dropped_facts d
          where d.table_name = 'stored_merchant_hours'
            and d.dropped_before > v_now
        )
        and exists (
          select
          from p2p.fact_offers f
          where f.extraction_timestamp = r.batch_start_time
        )
        and not exists (
          select
          from p2p.stored_merchant_hours h
          where h.hour = date_trunc('hour', r.batch_start_time, 'UTC')
        )
        and not exists (
          select
          from p2p.open_hours o
          where o.hour = date_trunc('hour', r.batch_start_time, 'UTC')
        )
    ),
    repointed as (
      select
        date_trunc('hour', r.extraction_timestamp, 'UTC') as hour,
        array_agg(distinct sk.advertiser_sk) as advertisers
      from pg_temp.repointed_offers r
      cross join lateral unnest(r.advertiser_sks) as sk (advertiser_sk)
      group by 1
    )
    select w.hour, null::integer[] as advertisers
    from whole_hours w
    union all
    select r.hour, r.advertisers
    from repointed r
    where r.hour not in (select w.hour from whole_hours w)
      and r.hour not in (select o.hour from p2p.open_hours o)
    order by hour
  loop
    if p2p.store_period('hour', v_period.hour, v_period.advertisers) then
      v_days := v_days || date_trunc('day', v_period.hour, 'UTC');
    end if;
  end loop;

  for v_period in
    select o.day
    from p2p.open_days o
    where o.day < v_newest_day
    union
    select changed.day
    from unnest(v_days) as changed (day)
    where changed.day not in (select o.day from p2p.open_days o)
    order by day
  loop
    perform p2p.store_period('day', v_period.day);
  end loop;

  drop table pg_temp.repointed_offers;
end
$function$;

comment on function p2p.summarise_hours(uuid) is 'Step of load_batch: stores markets and advertisers of hours and days that are over';

grant execute on function p2p.summarise_hours(uuid) to p2p_worker;
-- ════ functions/adopt_object.sql
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
-- ════ functions/announce_batch.sql
-- Tells listeners on channel p2p_batch what became of a batch: a JSON document of some 300 bytes, numbers only, so that
-- it always fits (8,000 bytes). They hear it when the load is committed. Changes nothing.
create or replace function p2p.announce_batch(p_batch_id uuid)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  select pg_notify(
    'p2p_batch',
    jsonb_build_object(
      'batch_id', r.batch_id,
      'batch_start_time', r.batch_start_time,
      'load_number', l.load_number,
      'status', r.status,
      'markets_expected', r.markets_expected,
      'markets_completed', r.markets_completed,
      'offers', r.total_offers_inserted,
      'offers_changed', l.offers_changed,
      'rejected', r.total_offers_rejected,
      'failed_steps', (
        select count(*)
        from p2p.ops_batch_steps s
        where s.batch_id = l.batch_id
          and s.load_number = l.load_number
          and s.status = 'failed'
      ),
      'failed_checks', (
        select count(*)
        from p2p.ops_data_quality q
        where q.batch_id = r.batch_id
          and not q.passed
      )
    )::text
  )
  from p2p.ops_batch_runs r
  join p2p.ops_batch_loads l on l.batch_id = r.batch_id
  where r.batch_id = p_batch_id
  order by l.load_number desc
  limit 1
$function$;

comment on function p2p.announce_batch(uuid) is 'Tells listeners on channel p2p_batch what became of a batch';

grant execute on function p2p.announce_batch(uuid) to p2p_worker;
-- ════ functions/apply_retention.sql
-- Drops what is older than the settings allow: whole partitions of pages as received, offers and books (drop_older), and
-- the ledger with errors and rejected offers by batch (rows of ops_batch_runs and results of checks stay). And makes
-- partitions for partitions_ahead_days to come. Made to be an optional step of load_batch.
-- Age counts from the newest batch, so that nothing is dropped while no batch comes, and never from a time to come. A
-- day, or month, goes when all of it is older, but never that of a batch that is running, nor a later one.
-- Of the ledger each call clears the oldest retention_batches_per_load batches at most, so that no load gets slow by an
-- old backlog.
-- As a step it acts only in the first load of a batch: loading again deletes nothing. With NULL instead of a batch a
-- DBA clears away at once: select p2p.apply_retention(null). Returns how many partitions, or rows of the ledger, went,
-- by table; and under held_up what could not go, and why (also in dropped_facts).
-- Runs with the rights of its owner: the worker may delete what the settings say, and no other page.
create or replace function p2p.apply_retention(p_batch_id uuid)
returns jsonb
language plpgsql
security definer
set search_path = p2p, pg_temp
as $function$
declare
  v_newest timestamptz;
  v_running timestamptz := (select min(r.batch_start_time) from p2p.ops_batch_runs r where r.status = 'running');
  v_kind record;
  v_drop record;
  v_before timestamptz;
  v_deleted jsonb := '{}'::jsonb;
  v_held_up jsonb := '{}'::jsonb;
  v_ledger jsonb;
begin
  if p_batch_id is not null
    and not exists (select from p2p.ops_batch_runs r where r.batch_id = p_batch_id and r.status = 'running')
  then
    return v_deleted;
  end if;

  select least(max(r.batch_start_time), clock_timestamp())
  into v_newest
  from p2p.ops_batch_runs r;

  perform p2p.make_room(v_newest + make_interval(days => day))
  from generate_series(1, p2p.setting_number('partitions_ahead_days')::integer) as day;

  for v_kind in
    select
      t.table_name,
      v_newest - make_interval(secs => p2p.setting_number(t.retention_setting)::double precision * 86400) as before
    from p2p.partitioned_tables t
    where t.retention_setting is not null
    order by t.table_name
  loop
    select d.dropped, d.held_up_by
    into v_drop
    from p2p.drop_older(v_kind.table_name, least(v_kind.before, v_running)) as d;

    if v_drop.dropped > 0 then
      v_deleted := v_deleted || jsonb_build_object(v_kind.table_name, v_drop.dropped);
    end if;

    if v_drop.held_up_by is not null then
      v_held_up := v_held_up || jsonb_build_object(v_kind.table_name, v_drop.held_up_by);
    end if;
  end loop;

  -- Batches that came late, after their day was dropped, have pages again.
  update p2p.ops_batch_runs r
  set raw_deleted_at = clock_timestamp()
  where v_deleted ? 'stg_responses'
    and r.raw_deleted_at is null
    and r.status <> 'running'
    and r.batch_start_time < (select d.dropped_before from p2p.dropped_facts d where d.table_name = 'stg_responses')
    and not exists (
      select
      from p2p.stg_responses s
      where s.extraction_timestamp = r.batch_start_time
    );

  v_before := v_newest - make_interval(secs => p2p.setting_number('ledger_retention_days')::double precision * 86400);

  with oldest as (
    select r.batch_id
    from p2p.ops_batch_runs r
    where r.ledger_deleted_at is null
      and r.batch_start_time < v_before
      and r.status <> 'running'
      and not exists (
        select
        from p2p.stg_responses s
        where s.extraction_timestamp = r.batch_start_time
      )
    order by r.batch_start_time
    limit p2p.setting_number('retention_batches_per_load')
  ),
  ledger as (
    delete from p2p.ops_batch_markets bm
    using oldest
    where bm.batch_id = oldest.batch_id
    returning 1
  ),
  errors as (
    delete from p2p.ops_extraction_errors e
    using oldest
    where e.batch_id = oldest.batch_id
    returning 1
  ),
  rejected as (
    delete from p2p.ops_rejected_offers o
    using oldest
    where o.batch_id = oldest.batch_id
    returning 1
  ),
  marked as (
    update p2p.ops_batch_runs r
    set
      ledger_deleted_at = clock_timestamp(),
      raw_deleted_at = coalesce(r.raw_deleted_at, clock_timestamp())
    from oldest
    where r.batch_id = oldest.batch_id
    returning 1
  )
  select
    jsonb_build_object(
      'ops_batch_markets', (select count(*) from ledger),
      'ops_extraction_errors', (select count(*) from errors),
      'ops_rejected_offers', (select count(*) from rejected)
    )
  into v_ledger
  where exists (select from marked);

  -- Discovery calls that failed belong to no batch.
  delete from p2p.ops_extraction_errors e
  where e.batch_id is null
    and e.error_timestamp < v_before;

  -- Nor do due times that got no batch, and workers that are long dead.
  delete from p2p.ops_skipped_batches s
  where s.due_at < v_before;

  delete from p2p.ops_workers w
  where w.last_seen_at < clock_timestamp() - interval '30 days';

  -- Nor do incidents that are over; open ones stay.
  delete from p2p.ops_incidents i
  where i.raised_at < v_before
    and i.resolved_at is not null;

  -- Nor do pages of an import that was killed, which only another import would clear away.
  delete from p2p.stg_imports i
  where i.seen_at < clock_timestamp() - interval '1 day';

  return v_deleted
    || coalesce(v_ledger, '{}')
    || case when v_held_up <> '{}' then jsonb_build_object('held_up', v_held_up) else '{}' end;
end
$function$;

comment on function p2p.apply_retention(uuid) is 'Drops what is older than the settings allow, and makes partitions for days to come';

revoke execute on function p2p.apply_retention(uuid) from public;

grant execute on function p2p.apply_retention(uuid) to p2p_worker;
-- ════ functions/audit_metrics.sql
-- What database_metrics() is too quick for: how the SQL and the policies stand, one row a sample, as there. Reads the text
-- of every function and the catalog of partitions: the worker asks once a minute, and nobody waits for it. Changes nothing.
-- A metric of your own that takes long is one more CTE here.
create or replace function p2p.audit_metrics()
returns table (metric text, help text, labels jsonb, value double precision)
language sql
stable
rows 10
set search_path = p2p, pg_temp
set jit = off -- the estimates of policy_audit are high, and compiling takes longer than all the rest
as $function$
  with sql_drift as (
    select
      'p2p_sql_drift_objects' as metric,
      'Shipped functions and views that were changed live, or dropped, and not adopted' as help,
      '{}'::jsonb as labels,
      count(*)::double precision as value
    from p2p.object_states o
    where o.state = 'drifted'
  ),
  policy_violations as (
    select
      'p2p_policy_violations',
      'Rules of the view policy_audit that are violated',
      '{}'::jsonb,
      count(*)
    from p2p.policy_audit a
    where a.status = 'violated'
  )
  table sql_drift
  union all table policy_violations
$function$;

comment on function p2p.audit_metrics() is 'How the SQL and the policies stand, as metrics of Prometheus: add rows of your own that take long';

grant execute on function p2p.audit_metrics() to p2p_worker;
-- ════ functions/batch_alerts.sql
-- What a person should be told of after a load of the batch, one row a kind; none where all is well. Changes nothing.
create or replace function p2p.batch_alerts(p_batch_id uuid)
returns table (kind text, message text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with failed_rules as (
    select q.metric_name, q.metric_value, q.threshold_value, q.result
    from p2p.ops_data_quality q
    where q.batch_id = p_batch_id
      and q.result in ('error', 'broken')
  ),
  changes as (
    select format('%s %s', e.path, e.event) as what
    from p2p.ops_shape_events e
    where e.batch_id = p_batch_id
      and e.is_needed
    union
    select format('%s %s', sample.value ->> 'path', 'missing or unreadable')
    from p2p.ops_data_quality q
    cross join jsonb_array_elements(coalesce(q.details -> 'samples', '[]')) as sample (value)
    where q.batch_id = p_batch_id
      and q.metric_name = 'needed_keys'
      and q.result = 'error'
  ),
  told as (
    select
      'structure_changed' as kind,
      'the answers have changed: ' || string_agg(c.what, ', ' order by c.what) as message
    from changes c
    union all
    select
      case f.metric_name when 'completeness' then 'completeness' else 'rule_failed' end,
      string_agg(
        case f.result
          when 'broken' then format('%s is broken', f.metric_name)
          else format('%s is %s, limit %s', f.metric_name, round(f.metric_value, 4), f.threshold_value)
        end,
        ', ' order by f.metric_name
      )
    from failed_rules f
    where f.metric_name <> 'needed_keys'
      or f.result = 'broken'
    group by 1
    union all
    select
      'step_failed',
      string_agg(format('%s: %s', s.step, s.error), ', ' order by s.step)
    from p2p.failed_steps s
    where s.batch_id = p_batch_id
      and s.is_still_so
  )
  select t.kind, t.message
  from told t
  where t.message is not null
$function$;

comment on function p2p.batch_alerts(uuid) is 'What a person should be told of after a load of the batch';

grant execute on function p2p.batch_alerts(uuid) to p2p_worker;
-- ════ functions/beat.sql
-- Says that a worker lives, what it does and what its exchanges allow it: registers it, and renews its lease. Called every
-- few seconds, also while batches are loaded, so that it writes nothing but ops_workers, ops_worker_exchanges and, once a
-- minute and when a breaker changes, ops_access_history; and waits for nobody.
-- Expects p_exchanges as [{"exchange": "binance", "filter": [{"fiat": "*", "asset": "*"}], "rate_per_minute": 100,
-- "ceiling_per_minute": null, "paused_seconds": 0, "breaker": "closed", "breaker_reason": null, "breaker_memory": null,
-- "requests": 0, "refused": 0, "retries": 0}]: all of the worker's.
-- Clears away workers that have been dead for a week and have a younger one of the same name, and history that is too old.
create or replace function p2p.beat(
  p_worker_id text,
  p_worker_name text,
  p_version text,
  p_purpose text,
  p_doing text,
  p_lease_seconds double precision,
  p_exchanges jsonb
)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := clock_timestamp();
  v_unknown text;
begin
  select string_agg(x.exchange, ', ')
  into v_unknown
  from jsonb_to_recordset(p_exchanges) as x (exchange text)
  where not exists (
    select
    from p2p.dim_exchanges e
    where e.code = x.exchange
  );

  if v_unknown is not null then
    raise exception 'there is no exchange %', v_unknown
      using errcode = 'P2P01', hint = 'select code, name from p2p.dim_exchanges';
  end if;

  insert into p2p.ops_workers as w (
    worker_id, worker_name, version, purpose, started_at, last_seen_at, lease_expires_at, doing
  )
  values (
    p_worker_id, p_worker_name, p_version, p_purpose, v_now, v_now, v_now + make_interval(secs => p_lease_seconds), p_doing
  )
  on conflict (worker_id) do update
  set
    last_seen_at = excluded.last_seen_at,
    lease_expires_at = excluded.lease_expires_at,
    doing = excluded.doing;

  insert into p2p.ops_worker_exchanges as we (
    worker_id, exchange_id, market_filter, rate_per_minute, ceiling_per_minute, paused_until, breaker, breaker_reason,
    breaker_since, breaker_memory, requests_total, refused_total, retries_total, updated_at
  )
  select
    p_worker_id,
    e.exchange_id,
    x.filter,
    x.rate_per_minute,
    x.ceiling_per_minute,
    case when x.paused_seconds > 0 then v_now + make_interval(secs => x.paused_seconds) end,
    x.breaker,
    x.breaker_reason,
    case when x.breaker <> 'closed' then v_now end,
    x.breaker_memory,
    coalesce(x.requests, 0),
    coalesce(x.refused, 0),
    coalesce(x.retries, 0),
    v_now
  from jsonb_to_recordset(p_exchanges) as x (
    exchange text, filter jsonb, rate_per_minute numeric, ceiling_per_minute numeric, paused_seconds double precision,
    breaker text, breaker_reason text, breaker_memory jsonb, requests bigint, refused bigint, retries bigint
  )
  join p2p.dim_exchanges e on e.code = x.exchange
  on conflict (worker_id, exchange_id) do update
  set
    market_filter = excluded.market_filter,
    rate_per_minute = excluded.rate_per_minute,
    ceiling_per_minute = excluded.ceiling_per_minute,
    paused_until = excluded.paused_until,
    breaker = excluded.breaker,
    breaker_reason = excluded.breaker_reason,
    breaker_since = case when we.breaker = excluded.breaker then we.breaker_since else excluded.breaker_since end,
    breaker_memory = excluded.breaker_memory,
    requests_total = excluded.requests_total,
    refused_total = excluded.refused_total,
    retries_total = excluded.retries_total,
    updated_at = excluded.updated_at;

  insert into p2p.ops_access_history as h (
    worker_id, exchange_id, noted_at, worker_name, rate_per_minute, ceiling_per_minute, breaker, breaker_reason,
    requests, refused, requests_total, refused_total
  )
  select
    we.worker_id,
    we.exchange_id,
    date_trunc('second', v_now),
    p_worker_name,
    we.rate_per_minute,
    we.ceiling_per_minute,
    we.breaker,
    we.breaker_reason,
    greatest(we.requests_total - coalesce(before.requests_total, 0), 0),
    greatest(we.refused_total - coalesce(before.refused_total, 0), 0),
    we.requests_total,
    we.refused_total
  from p2p.ops_worker_exchanges we
  left join lateral (
    select last.noted_at, last.breaker, last.requests_total, last.refused_total
    from p2p.ops_access_history last
    where last.worker_id = we.worker_id
      and last.exchange_id = we.exchange_id
    order by last.noted_at desc
    limit 1
  ) as before on true
  where we.worker_id = p_worker_id
    and we.updated_at = v_now
    and (
      before.noted_at is null
      or before.noted_at <= v_now - interval '1 minute'
      or before.breaker <> we.breaker
    )
  on conflict (worker_id, exchange_id, noted_at) do update -- twice in a second
  set
    rate_per_minute = excluded.rate_per_minute,
    ceiling_per_minute = excluded.ceiling_per_minute,
    breaker = excluded.breaker,
    breaker_reason = excluded.breaker_reason,
    requests = h.requests + excluded.requests,
    refused = h.refused + excluded.refused,
    requests_total = excluded.requests_total,
    refused_total = excluded.refused_total;

  if found then
    delete from p2p.ops_access_history h
    where h.ctid in (
      select old.ctid
      from p2p.ops_access_history old
      where old.noted_at < v_now - make_interval(secs => p2p.setting_number('access_retention_days')::double precision * 86400)
      limit 1000
      for update skip locked
    );
  end if;

  -- Skipping what is locked: another beat clears away the same rows.
  delete from p2p.ops_workers w
  where w.worker_id in (
    select dead.worker_id
    from p2p.ops_workers dead
    where dead.worker_name = p_worker_name
      and dead.worker_id <> p_worker_id
      and dead.last_seen_at < v_now - interval '7 days'
    for update skip locked
  );
end
$function$;

comment on function p2p.beat(text, text, text, text, text, double precision, jsonb) is 'Says that a worker lives, what it does and what its exchanges allow it';

grant execute on function p2p.beat(text, text, text, text, text, double precision, jsonb) to p2p_worker;
-- ════ functions/begin_discovery.sql
-- Whether this worker is the one to ask the exchange for its markets: one of the fleet is enough. False while another live
-- worker that serves the exchange is at it; else this one is discovering from now on, until a beat of it says something
-- else. A second call of the same worker returns true again.
create or replace function p2p.begin_discovery(p_worker_id text, p_exchange text)
returns boolean
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  perform pg_advisory_xact_lock(hashtextextended('p2p.begin_discovery', 0));

  if exists (
    select
    from p2p.live_workers() w
    join p2p.ops_worker_exchanges we using (worker_id)
    join p2p.dim_exchanges e using (exchange_id)
    where w.worker_id <> p_worker_id
      and w.doing = 'discovering'
      and e.code = p_exchange
  ) then
    return false;
  end if;

  update p2p.ops_workers w
  set doing = 'discovering'
  where w.worker_id = p_worker_id;

  return true;
end
$function$;

comment on function p2p.begin_discovery(text, text) is 'Whether this worker is the one to ask the exchange for its markets';

grant execute on function p2p.begin_discovery(text, text) to p2p_worker;
-- ════ functions/begin_import.sql
-- Begins an import of these files, and clears away what imports have left that were killed: those that gave no sign of
-- life for ten minutes. Changes only the room that imports sort their pages in. Returns the import's id.
create or replace function p2p.begin_import(p_worker_id text, p_files text[])
returns uuid
language sql
set search_path = p2p, pg_temp
as $function$
  delete from p2p.stg_imports i
  where i.seen_at < clock_timestamp() - interval '10 minutes';

  insert into p2p.stg_imports (worker_id, files)
  values (p_worker_id, p_files)
  returning import_id
$function$;

comment on function p2p.begin_import(text, text[]) is 'Begins an import of files with pages that others recorded';

grant execute on function p2p.begin_import(text, text[]) to p2p_worker;
-- ════ functions/check_pages.sql
-- Whether the pages of the batches that began in [p_since, p_until) are what was stored: computes their checksums again.
-- Where the bytes as received were kept (body_original), those are checked too, against the checksum of the worker.
-- Returns one row; damaged_pages names up to 1,000 of them, oldest first, each with its key in stg_responses. Reads
-- some 2,000 pages a second and changes nothing.
create or replace function p2p.check_pages(
  p_since timestamptz,
  p_until timestamptz,
  out pages_checked bigint,
  out pages_without_checksum bigint,
  out pages_damaged bigint,
  out damaged_pages jsonb
)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with compared as materialized (
    select
      s.extraction_timestamp,
      s.market_id,
      s.page_number,
      s.batch_id,
      s.stored_sha256,
      s.stored_sha256 <> sha256(convert_to(s.body::text, 'UTF8')) as is_altered,
      s.body_sha256 <> sha256(s.body_original) as is_original_altered
    from p2p.stg_responses s
    where s.extraction_timestamp >= p_since
      and s.extraction_timestamp < p_until
  ),
  damaged as (
    select
      c.*,
      row_number() over (order by c.extraction_timestamp, c.market_id, c.page_number) as place
    from compared c
    where c.is_altered
      or c.is_original_altered
  )
  select
    count(c.stored_sha256),
    count(*) - count(c.stored_sha256),
    (select count(*) from damaged),
    (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'batch_id', d.batch_id,
            'extraction_timestamp', d.extraction_timestamp,
            'market_id', d.market_id,
            'page_number', d.page_number,
            'differs', array_remove(
              array[case when d.is_altered then 'body' end, case when d.is_original_altered then 'body_original' end],
              null
            )
          )
          order by d.place
        ),
        '[]'
      )
      from damaged d
      where d.place <= 1000
    )
  from compared c
$function$;

comment on function p2p.check_pages(timestamptz, timestamptz) is 'Computes the checksums of raw pages again and names the pages that changed since they were stored';

grant execute on function p2p.check_pages(timestamptz, timestamptz) to p2p_worker;
-- ════ functions/check_pipeline_step.sql
-- Trigger of pipeline_steps: refuses a row whose function does not exist, or is none that takes the batch id, and
-- stores its name with the schema, so that nobody's search_path decides which function runs.
create or replace function p2p.check_pipeline_step()
returns trigger
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_function regprocedure;
  v_name text;
begin
  begin
    v_function := to_regprocedure(new.function || '(uuid)');
  exception when others then
    null; -- what is no name at all, or stands in a schema that this user may not look into
  end;

  select format('%I.%I', n.nspname, p.proname)
  into v_name
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where p.oid = v_function
    and p.prokind = 'f';

  if not found then
    raise exception 'step %: there is no function %(uuid)', new.name, new.function
      using
        errcode = 'undefined_function',
        hint = 'write the function first, with the batch id as its only argument, and name it with its schema: my.score, without ()';
  end if;

  new.function := v_name;
  return new;
end
$function$;

comment on function p2p.check_pipeline_step() is 'Trigger: refuses a step whose function does not exist';

create or replace trigger check_function
before insert or update of function
on p2p.pipeline_steps
for each row
execute function p2p.check_pipeline_step();
-- ════ functions/check_quality_rule.sql
-- Trigger of quality_rules: refuses a row whose function is not there as (uuid) returning p2p.rule_finding.
-- Writes the name of the function with its schema, as SQL would quote it. Changes nothing else.
create or replace function p2p.check_quality_rule()
returns trigger
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_name text[];
begin
  begin
    v_name := parse_ident(new.function);
  exception when invalid_parameter_value then
    v_name := '{}';
  end;

  if cardinality(v_name) not between 1 and 2 then
    raise exception 'rule %: "%" is no name of a function', new.name, new.function
      using errcode = 'P2P02', hint = 'write it as schema.function, without arguments: p2p.rule_completeness';
  elsif cardinality(v_name) = 1 then
    v_name := array['p2p'] || v_name;
  end if;

  if p2p.rule_function(format('%I.%I', v_name[1], v_name[2])) is null then
    raise exception 'rule %: there is no function %(uuid) that returns p2p.rule_finding', new.name, new.function
      using
        errcode = 'P2P02',
        hint = format(
          'create function %I.%I(p_batch_id uuid) returns p2p.rule_finding … and grant execute on it to p2p_worker',
          v_name[1],
          v_name[2]
        );
  end if;

  new.function := format('%I.%I', v_name[1], v_name[2]);
  return new;
end
$function$;

comment on function p2p.check_quality_rule() is 'Trigger of quality_rules: refuses a function that does not exist';

grant execute on function p2p.check_quality_rule() to p2p_worker;

create or replace trigger check_quality_rule
before insert or update on p2p.quality_rules
for each row
execute function p2p.check_quality_rule();
-- ════ functions/choose_offers.sql
-- Step 3 of load_batch: one offer once. The same ad comes again as a paid copy on page 1, and when the book moved
-- while it was read. The newest reading counts; a reading on the side the ad belongs to counts before any other.
-- Makes pg_temp.chosen_offers: one row an ad, promoted if any of its copies was.
create or replace function p2p.choose_offers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table chosen_offers on commit drop as
  with valid as (
    select
      m.exchange_id,
      m.crypto_id,
      m.fiat_id,
      m.trade_type,
      p.*
    from pg_temp.parsed_offers p
    join p2p.dim_markets m on m.market_id = p.market_id
    where not exists (
      select
      from p2p.ops_rejected_offers o
      where o.batch_id = p_batch_id
        and (o.market_id, o.page_number, o.item_number) = (p.market_id, p.page_number, p.item_number)
    )
  ),
  promoted as (
    select distinct v.exchange_id, v.offer_external_id
    from valid v
    where v.is_promoted
  )
  select distinct on (v.exchange_id, v.offer_external_id)
    v.*,
    promoted.offer_external_id is not null as was_promoted
  from valid v
  left join promoted using (exchange_id, offer_external_id)
  order by
    v.exchange_id,
    v.offer_external_id,
    v.is_own_side desc nulls last,
    v.observed_at desc,
    v.page_number desc,
    v.item_number desc,
    v.market_id; -- any of them, but the same each time

  analyze pg_temp.chosen_offers (exchange_id, offer_external_id, advertiser_id, payment_methods);
end
$function$;

comment on function p2p.choose_offers(uuid) is 'Step of load_batch: keeps one reading of each ad';

grant execute on function p2p.choose_offers(uuid) to p2p_worker;
-- ════ functions/claim_markets.sql
-- Gives the worker the next p_count markets of the batch that its filter takes in: first what nobody has begun, then what
-- workers have in hand that are dead, or at no batch (they lost the database, and could not give it back), then what the plan had no room for. Two workers never get the same one.
-- next_page is the first page that is not stored, or lost: what another worker has brought is not fetched again.
-- Returns nothing when none is left, the deadline came, or the batch is being loaded.
create or replace function p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_exchange text, p_count integer)
returns table (market_id integer, fiat text, asset text, side text, next_page integer, offers_reported integer)
language sql
set search_path = p2p, pg_temp
as $function$
  with at_work as materialized (
    select w.worker_id
    from p2p.workers_at_work() w
  ),
  patterns as materialized (
    select p.exchange_id, p.fiat, p.asset
    from p2p.market_patterns(p_worker_id) p
    join p2p.dim_exchanges e using (exchange_id)
    where e.code = p_exchange
  ),
  open_batch as materialized (
    select r.batch_id
    from p2p.ops_batch_runs r
    where r.batch_id = p_batch_id
      and r.status = 'running'
      and r.loader_id is null
      and r.fetch_until > clock_timestamp()
  ),
  pending as materialized (
    select bm.market_id
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    where bm.batch_id = (select o.batch_id from open_batch o)
      and bm.status = 'pending'
      and exists (
        select
        from patterns p
        where p.exchange_id = m.exchange_id
          and p.fiat in ('*', f.currency_code)
          and p.asset in ('*', c.symbol)
      )
    order by bm.plan_position
    limit p_count
    for update of bm skip locked
  ),
  -- Only looked for when nothing else is left, which spares a look at all markets of the batch.
  others as materialized (
    select bm.market_id
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    where (select count(*) from pending) < p_count
      and bm.batch_id = (select o.batch_id from open_batch o)
      and (
        bm.status = 'fetching' and bm.worker_id not in (select a.worker_id from at_work a)
        or bm.status = 'deferred' and bm.finished_at is null
      )
      and exists (
        select
        from patterns p
        where p.exchange_id = m.exchange_id
          and p.fiat in ('*', f.currency_code)
          and p.asset in ('*', c.symbol)
      )
    order by bm.status = 'deferred', bm.plan_position
    limit p_count - (select count(*) from pending)
    for update of bm skip locked
  ),
  claimed as (
    update p2p.ops_batch_markets bm
    set
      status = 'fetching',
      worker_id = p_worker_id,
      started_at = coalesce(bm.started_at, clock_timestamp()),
      reason = null
    where bm.batch_id = p_batch_id
      and bm.market_id in (select p.market_id from pending p union all select o.market_id from others o)
    returning bm.*
  )
  select
    c.market_id,
    f.currency_code,
    a.symbol,
    m.trade_type,
    coalesce(
      (
        select min(page.number)
        from generate_series(1, c.pages_stored + cardinality(c.lost_pages)) as page (number)
        where page.number <> all (c.lost_pages)
          and not exists (
            select
            from p2p.stg_responses s
            join p2p.ops_batch_runs r on r.batch_start_time = s.extraction_timestamp
            where r.batch_id = p_batch_id
              and s.market_id = c.market_id
              and s.page_number = page.number
          )
      ),
      c.pages_stored + cardinality(c.lost_pages) + 1
    ),
    c.offers_reported
  from claimed c
  join p2p.dim_markets m using (market_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies a using (crypto_id)
  order by c.plan_position
$function$;

comment on function p2p.claim_markets(uuid, text, text, integer) is 'Takes the next markets from the work queue of a batch';

grant execute on function p2p.claim_markets(uuid, text, text, integer) to p2p_worker;
-- ════ functions/close_batch.sql
-- What load_batch does when all its steps are done: counts, and the status that follows from the ledger. A second call
-- changes nothing unless the counts changed.
create or replace function p2p.close_batch(p_batch_id uuid)
returns p2p.ops_batch_runs
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_before p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
begin
  update p2p.ops_extraction_errors e
  set is_resolved = true
  from p2p.ops_batch_markets bm
  join p2p.dim_markets m using (market_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  where bm.batch_id = p_batch_id
    and bm.status = 'complete'
    and (e.exchange_id, e.fiat_code, e.crypto_symbol, e.trade_type)
      = (m.exchange_id, f.currency_code, c.symbol, m.trade_type)
    and e.error_timestamp < v_before.batch_start_time + interval '1 second' -- the start is cut to the second
    and not e.is_resolved;

  with ledger as (
    select
      count(*) filter (where bm.status <> 'not_due') as expected,
      count(*) filter (where bm.status = 'not_due') as not_due,
      count(*) filter (where bm.status = 'complete') as complete,
      count(*) filter (where bm.status = 'incomplete') as incomplete,
      count(*) filter (where bm.status = 'failed') as failed,
      count(*) filter (where bm.status = 'deferred') as deferred,
      max(bm.reason) filter (where bm.status = 'deferred') as why_deferred,
      count(distinct m.fiat_id) filter (where bm.pages_stored > 0) as fiats
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    where bm.batch_id = p_batch_id
  ),
  lost as (
    select
      coalesce(sum(e.errors), 0) as errors,
      string_agg(e.error_type || ' ' || e.errors, ', ' order by e.errors desc, e.error_type) as kinds
    from (
      select error_type, count(*) as errors
      from p2p.ops_extraction_errors
      where batch_id = p_batch_id
      group by error_type
    ) as e
  ),
  offers as (
    select
      v_before.total_offers_extracted as extracted,
      (select count(*) from p2p.ops_rejected_offers where batch_id = p_batch_id) as rejected,
      (select count(*) from p2p.fact_offers where extraction_timestamp = v_before.batch_start_time) as inserted
  ),
  outcome as (
    select
      case
        when l.complete = l.expected and l.expected + l.not_due > 0 then 'completed'
        when l.complete + l.incomplete > 0 then 'partial'
        else 'failed'
      end as status,
      nullif(
        concat_ws(
          '; ',
          case when l.expected + l.not_due = 0 then 'no market was planned' end,
          case when l.failed > 0 then format('markets failed: %s', l.failed) end,
          case when l.incomplete > 0 then format('markets incomplete: %s', l.incomplete) end,
          case when l.deferred > 0 then format('markets deferred: %s (%s)', l.deferred, l.why_deferred) end,
          'pages lost: ' || lost.kinds
        ),
        ''
      ) as error_summary
    from ledger l
    cross join lost
  )
  update p2p.ops_batch_runs r
  set
    status = outcome.status,
    batch_end_time = coalesce(r.batch_end_time, clock_timestamp()),
    execution_time_seconds = coalesce(
      r.execution_time_seconds,
      extract(epoch from clock_timestamp() - r.batch_start_time)
    ),
    total_fiats_processed = ledger.fiats,
    total_offers_extracted = offers.extracted,
    total_offers_inserted = offers.inserted,
    total_offers_rejected = offers.rejected,
    total_offers_duplicate = offers.extracted - offers.rejected - offers.inserted,
    total_errors = lost.errors,
    error_summary = outcome.error_summary,
    markets_completed = ledger.complete
  from ledger, lost, offers, outcome
  where r.batch_id = p_batch_id
    and (
      r.status, r.total_fiats_processed, r.total_offers_extracted, r.total_offers_inserted, r.total_offers_rejected,
      r.total_errors, r.error_summary, r.markets_completed
    ) is distinct from (
      outcome.status, ledger.fiats, offers.extracted, offers.inserted, offers.rejected,
      lost.errors, outcome.error_summary, ledger.complete
    );

  return (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
end
$function$;

comment on function p2p.close_batch(uuid) is 'Closes a batch that was loaded: counts and status';

grant execute on function p2p.close_batch(uuid) to p2p_worker;
-- ════ functions/compared_tables.sql
-- Which tables a dry run compares, and how. Reads the catalog, changes nothing.
-- Compared are the tables of schema p2p
--   that belong to batches: with a column extraction_timestamp or batch_id, those a DBA made among them;
--   three dimensions as wholes, because a load of one batch may rewrite any of their rows.
-- Not compared are raw pages, which a load only reads, and the bookkeeping about loads, which differs from load to
-- load (when, how long). Nor is the check sql_drift, which speaks of the database, not of a batch: a candidate is
-- always drift; of steps only failures of the newest load are. Nor are columns that say which number or which moment a row happened to get: identities,
-- and what defaults to clock_timestamp().
-- rows_statement selects the rows; its $1 are the batches, its $2 their start times. preview_key names a row before
-- and after: the primary key, else a unique index, of columns that are compared; a table that has neither is compared
-- as a bag of rows.
create or replace function p2p.compared_tables()
returns table (table_id oid, table_name text, key_columns text[], rows_statement text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with tables as (
    select
      c.oid as table_id,
      c.relname::text as table_name,
      c.relname in ('dim_advertisers', 'dim_payment_methods', 'dim_payment_sets') as is_whole
    from pg_class c
    where c.relnamespace = 'p2p'::regnamespace
      and c.relkind in ('r', 'p')
      and not c.relispartition
      and c.relname not in ('stg_responses', 'ops_batch_loads', 'ops_batch_steps')
      and has_table_privilege(c.oid, 'select')
  ),
  columns as (
    select
      t.table_id,
      a.attnum,
      a.attname,
      a.attnotnull,
      a.attidentity = ''
        and coalesce(pg_get_expr(d.adbin, d.adrelid), '') !~ '^(clock_timestamp|nextval)\(' as is_compared,
      a.attname = 'extraction_timestamp' and a.atttypid = 'timestamptz'::regtype as is_time,
      a.attname = 'batch_id' and a.atttypid = 'uuid'::regtype as is_batch
    from tables t
    join pg_attribute a on a.attrelid = t.table_id and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
  ),
  lists as (
    select
      c.table_id,
      string_agg(format('t.%I', c.attname), ', ' order by c.attnum) filter (where c.is_compared) as compared,
      bool_or(c.is_time) as has_time,
      bool_or(c.is_batch) as has_batch
    from columns c
    group by c.table_id
  ),
  keys as (
    select distinct on (i.indrelid)
      i.indrelid as table_id,
      k.key_columns,
      k.key_list
    from pg_index i
    cross join lateral (
      select
        array_agg(c.attname::text order by key.position) as key_columns,
        string_agg(format('t.%I', c.attname), ', ' order by key.position) as key_list,
        count(*) filter (where c.is_compared and c.attnotnull) = i.indnkeyatts as is_usable
      from unnest(i.indkey::smallint[]) with ordinality as key (attnum, position)
      join columns c on c.table_id = i.indrelid and c.attnum = key.attnum
      where key.position <= i.indnkeyatts
    ) as k
    where i.indisunique
      and i.indisvalid
      and i.indpred is null
      and k.is_usable
    order by i.indrelid, i.indisprimary desc, i.indexrelid
  )
  select
    t.table_id,
    t.table_name,
    coalesce(k.key_columns, '{}'),
    format(
      'select %s as preview_key, %s from p2p.%I t where %s',
      case
        when k.key_list is not null then format('row(%s)::text', k.key_list)
        else format('concat(row_number() over (partition by row(%1$s)::text), row(%1$s)::text)', l.compared)
      end,
      l.compared,
      t.table_name,
      case
        when t.is_whole then 'true'
        when t.table_name = 'ops_data_quality' then 't.batch_id = any ($1) and t.metric_name <> ''sql_drift'''
        when l.has_time then 't.extraction_timestamp = any ($2)'
        else 't.batch_id = any ($1)'
      end
    )
  from tables t
  join lists l using (table_id)
  left join keys k using (table_id)
  where l.compared is not null
    and (t.is_whole or l.has_time or l.has_batch)
  union all
  select
    'p2p.ops_batch_steps'::regclass,
    'ops_batch_steps',
    array['batch_id', 'step'],
    $statement$
      select row(t.batch_id, t.step)::text as preview_key, t.batch_id, t.step, t.error
      from p2p.ops_batch_steps t
      where t.batch_id = any ($1)
        and t.status = 'failed'
        and t.load_number = (
          select max(l.load_number)
          from p2p.ops_batch_loads l
          where l.batch_id = t.batch_id
        )
    $statement$
$function$;

comment on function p2p.compared_tables() is 'Which tables preview_load compares, and how';

grant execute on function p2p.compared_tables() to p2p_worker;
-- ════ functions/current_sql.sql
-- The SQL that a load would run now: every function of schema p2p but those of `migrate` itself, those elsewhere that
-- steps and rules name, and the rows that decide what is run and how it is judged. One row each, with its text.
-- state: as in object_states, own for what no release ships. Reads the catalog and changes nothing; takes a few
-- milliseconds. The search_path is the catalog's, so that texts are written with schemas and run in any session.
create or replace function p2p.current_sql()
returns table (identity text, state text, fingerprint text, definition text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  with shipped as (
    select o.identity, o.state, o.live_definition as definition
    from p2p.object_states o
    where o.identity like 'function %'
      and not o.is_missing
  ),
  named (function) as (
    select s.function
    from p2p.pipeline_steps s
    where s.is_enabled
    union
    select r.function
    from p2p.quality_rules r
    where r.is_enabled
  ),
  of_migrate as materialized (
    select distinct made.name[1] as name
    from p2p.schema_objects o
    cross join regexp_matches(o.body, 'create or replace function p2p\.(\w+)\(', 'g') as made (name)
    where o.name like 'bootstrap/%'
  ),
  functions as materialized (
    select p.oid, 'function ' || p.oid::regprocedure as identity
    from pg_namespace n
    join pg_proc p on p.pronamespace = n.oid
    where n.nspname not in ('pg_catalog', 'information_schema')
      and p.prokind = 'f'
      and (
        n.nspname = 'p2p' and p.proname not in (select m.name from of_migrate m)
        or format('%I.%I', n.nspname, p.proname) in (select named.function from named)
      )
  ),
  own as (
    select f.identity, p2p.function_definition(f.oid) as definition
    from functions f
    where f.identity not in (select shipped.identity from shipped)
  ),
  texts as (
    select shipped.identity, shipped.state, shipped.definition
    from shipped
    union all
    select own.identity, 'own', own.definition
    from own
    union all
    select
      'rows of p2p.pipeline_steps',
      'own',
      string_agg(
        concat_ws(' ', s.position, s.name, s.function, case when s.is_required then 'required' else 'optional' end),
        E'\n' order by s.position
      )
    from p2p.pipeline_steps s
    where s.is_enabled
    union all
    select 'rows of p2p.quality_rules', 'own', string_agg((to_jsonb(r) - 'comment')::text, E'\n' order by r.name)
    from p2p.quality_rules r
    where r.is_enabled
  )
  select
    t.identity,
    t.state,
    encode(sha256(convert_to(t.definition, 'UTF8')), 'hex'),
    t.definition
  from texts t
  where t.definition is not null
  order by t.identity collate "C"
$function$;

comment on function p2p.current_sql() is 'The SQL that a load would run now, one row an object, with its text';

grant execute on function p2p.current_sql() to p2p_worker;
-- ════ functions/current_sql_set.sql
-- The number of the set of SQL that a load would run now. Writes it down when it was never used before, with those of
-- its versions that are new; a second call finds it and changes nothing.
create or replace function p2p.current_sql_set()
returns integer
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_fingerprint constant text := p2p.sql_fingerprint();
  v_set integer;
begin
  select s.sql_set_id
  into v_set
  from p2p.sql_sets s
  where s.fingerprint = v_fingerprint;

  if found then
    return v_set;
  end if;

  -- Two loads may meet new SQL at once.
  insert into p2p.sql_sets (fingerprint)
  values (v_fingerprint)
  on conflict (fingerprint) do nothing
  returning sql_set_id
  into v_set;

  if not found then
    return (select s.sql_set_id from p2p.sql_sets s where s.fingerprint = v_fingerprint);
  end if;

  insert into p2p.sql_versions (identity, fingerprint, definition)
  select c.identity, c.fingerprint, c.definition
  from p2p.current_sql() c
  where not exists (
    select
    from p2p.sql_versions v
    where v.identity = c.identity
      and v.fingerprint = c.fingerprint
  )
  on conflict (identity, fingerprint) do nothing;

  insert into p2p.sql_set_versions (sql_set_id, version_id, state)
  select v_set, v.version_id, c.state
  from p2p.current_sql() c
  join p2p.sql_versions v
    on v.identity = c.identity
    and v.fingerprint = c.fingerprint;

  return v_set;
end
$function$;

comment on function p2p.current_sql_set() is 'The number of the set of SQL that a load would run now';

grant execute on function p2p.current_sql_set() to p2p_worker;
-- ════ functions/database_key.sql
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
-- ════ functions/database_metrics.sql
-- What the database knows, for the worker's /metrics: one row a sample, each of which becomes a gauge of Prometheus. The
-- worker asks at most every 5 seconds and waits no longer than 2, so that whatever stands here must be quick; what is
-- not belongs in audit_metrics(). Changes nothing.
-- A metric of your own is one more CTE with the same four columns, and one more line at the end; then
-- p2p-ingest sql adopt 'function p2p.database_metrics()' --note '…'. Names are p2p_…, with the unit in them; rows of one
-- metric have the same keys in labels, and no two rows the same labels. A row that breaks this is left out, and the
-- worker's log says so. Keep labels few: each combination is a series that Prometheus keeps.
create or replace function p2p.database_metrics()
returns table (metric text, help text, labels jsonb, value double precision)
language sql
stable
rows 50
set search_path = p2p, pg_temp
set jit = off
as $function$
  with newest as (
    select r.*
    from p2p.ops_batch_runs r
    where r.imported_from is null
    order by r.batch_start_time desc
    limit 1
  ),
  newest_ended as (
    select r.*
    from p2p.ops_batch_runs r
    where r.imported_from is null
      and r.status <> 'running'
    order by r.batch_start_time desc
    limit 1
  ),
  newest_good as (
    select r.*
    from p2p.ops_batch_runs r
    where r.imported_from is null
      and r.status in ('completed', 'partial')
    order by r.batch_start_time desc
    limit 1
  ),
  -- A batch that failed has steps as well: those that were undone.
  newest_load as (
    select l.batch_id, l.load_number
    from p2p.ops_batch_loads l
    join newest_ended using (batch_id)
    order by l.load_number desc
    limit 1
  ),
  data_completeness as (
    select
      'p2p_data_completeness_ratio' as metric,
      'Share of the planned markets that the newest ended batch fetched whole' as help,
      '{}'::jsonb as labels,
      -- All of them not due: nothing is missing.
      coalesce(e.markets_completed::double precision / nullif(e.markets_expected, 0), (e.status = 'completed')::integer) as value
    from newest_ended e
  ),
  active_workers as (
    select
      'p2p_active_workers',
      'Workers of the fleet that have beaten lately',
      '{}'::jsonb,
      count(*)
    from p2p.live_workers()
  ),
  batch_status as (
    select
      'p2p_batch_status',
      '1 for the status of the newest batch',
      jsonb_build_object('status', s.status),
      (s.status = n.status)::integer
    from newest n
    cross join (values ('running'), ('completed'), ('partial'), ('failed')) as s (status)
  ),
  last_good_batch_age as (
    select
      'p2p_last_good_batch_age_seconds',
      'Since the end of the newest batch that was loaded, whole or in part; absent before the first',
      '{}'::jsonb,
      greatest(extract(epoch from clock_timestamp() - g.batch_end_time), 0)
    from newest_good g
  ),
  failed_batches as (
    select
      'p2p_failed_batches_in_a_row',
      'Batches up to the newest ended one that were not completed, one after the other',
      '{}'::jsonb,
      p2p.failures_in_a_row(e.batch_id)
    from newest_ended e
  ),
  queue_markets as (
    select
      'p2p_queue_markets',
      'Markets of the running batch; 0 while none runs',
      jsonb_build_object('status', s.status),
      count(bm.market_id)
    from (values ('pending'), ('fetching'), ('complete'), ('incomplete'), ('failed'), ('deferred')) as s (status)
    left join (
      p2p.ops_batch_runs r
      join p2p.ops_batch_markets bm using (batch_id)
    ) on r.status = 'running' and bm.status = s.status
    group by s.status
  ),
  deferred_markets as (
    select
      'p2p_deferred_markets',
      'Markets of the newest ended batch that there was no time for',
      '{}'::jsonb,
      count(bm.market_id)
    from newest_ended e
    left join p2p.ops_batch_markets bm on bm.batch_id = e.batch_id and bm.status = 'deferred'
  ),
  -- What each rule can become: its severity, and a warning on the way there.
  severities as (
    select r.name as rule, r.severity, r.severity as most
    from p2p.quality_rules r
    where r.is_enabled
    union
    select r.name, 'warning', r.severity
    from p2p.quality_rules r
    where r.is_enabled
      and r.warning_threshold is not null
  ),
  quality_check_failed as (
    select
      'p2p_quality_check_failed',
      '1 where the newest ended batch breaks the rule so badly; a rule that is itself broken is as bad as it can be',
      jsonb_build_object('rule', s.rule, 'severity', s.severity),
      count(*) filter (where case q.result when 'broken' then s.most else q.result end = s.severity)
    from newest_ended e
    cross join severities s
    left join p2p.ops_data_quality q on q.batch_id = e.batch_id and q.metric_name = s.rule
    group by s.rule, s.severity
  ),
  pipeline_step as (
    select
      'p2p_pipeline_step_seconds',
      'Time of each step in the newest load',
      jsonb_build_object('step', s.step),
      s.seconds
    from newest_load
    join p2p.ops_batch_steps s using (batch_id, load_number)
  ),
  failed_steps as (
    select
      'p2p_failed_steps',
      'Steps that failed in the newest load',
      '{}'::jsonb,
      count(*)
    from newest_load
    join p2p.ops_batch_steps s using (batch_id, load_number)
    where s.status = 'failed'
  ),
  skipped_batches as (
    select
      'p2p_skipped_batches',
      'Due times of the last 24 hours that had no batch',
      '{}'::jsonb,
      count(*)
    from p2p.ops_skipped_batches s
    where s.due_at > clock_timestamp() - interval '24 hours'
  ),
  open_incidents as (
    select
      'p2p_open_incidents',
      'Incidents that are not over, by kind; of kinds that there were',
      jsonb_build_object('kind', i.kind),
      count(*) filter (where i.resolved_at is null)
    from p2p.ops_incidents i
    group by i.kind
  ),
  paused as (
    select
      'p2p_paused',
      '1 while the setting paused keeps new batches from beginning',
      '{}'::jsonb,
      p2p.setting_switch('paused')::integer
  )
  table data_completeness
  union all table active_workers
  union all table batch_status
  union all table last_good_batch_age
  union all table failed_batches
  union all table queue_markets
  union all table deferred_markets
  union all table quality_check_failed
  union all table pipeline_step
  union all table failed_steps
  union all table skipped_batches
  union all table open_incidents
  union all table paused
$function$;

comment on function p2p.database_metrics() is 'What the database knows, as metrics of Prometheus: add rows of your own';

grant execute on function p2p.database_metrics() to p2p_worker;
-- ════ functions/diagnose.sql
-- What is wrong here and what mends it, as far as the database can tell; `p2p-ingest doctor` adds what it cannot.
-- Expects the interval at which batches are due. state: ok, warning (worth a look) or bad (wants mending).
-- Changes nothing; for owner and worker.
create or replace function p2p.diagnose(p_interval_minutes integer default 10)
returns table (topic text, state text, finding text, mend text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select d.*
  from p2p.diagnose_server() d
  union all
  select
    'policies',
    case when a.subject is null then 'ok' else 'bad' end,
    case
      when a.subject is null then 'every rule of policy_audit holds'
      else format('%s: %s — violated: %s', a.subject, a.rule, a.finding)
    end,
    a.mends
  from (values (true)) as one
  left join p2p.policy_audit a on a.status = 'violated'
  union all
  select d.*
  from p2p.diagnose_rights() d
  union all
  select d.*
  from p2p.diagnose_sql() d
  union all
  select d.*
  from p2p.diagnose_batches(p_interval_minutes) d
  union all
  select
    'settings',
    'warning',
    format('paused: no batch is begun (since %s)', to_char(c.changed_at, 'YYYY-MM-DD HH24:MI TZ')),
    $$update p2p.settings set value = 'off' where name = 'paused'$$
  from p2p.settings s
  left join lateral (
    select max(l.changed_at) as changed_at
    from p2p.change_log l
    where l.table_name = 'settings'
      and l.row_key = 'paused'
  ) as c on true
  where s.name = 'paused'
    and s.value = 'on'
$function$;

comment on function p2p.diagnose(integer) is 'What is wrong in this database, and what mends it';

grant execute on function p2p.diagnose(integer) to p2p_worker;
-- ════ functions/diagnose_batches.sql
-- Batches, workers and what the last load said, for `diagnose`. Expects the interval at which batches are due. Changes nothing.
create or replace function p2p.diagnose_batches(p_interval_minutes integer)
returns table (topic text, state text, finding text, mend text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with last_batch as (
    select r.*
    from p2p.ops_batch_runs r
    where r.status <> 'running'
    order by r.batch_start_time desc
    limit 1
  ),
  last_good as (
    select extract(epoch from clock_timestamp() - max(r.batch_end_time)) as age_seconds
    from p2p.ops_batch_runs r
    where r.status in ('completed', 'partial')
  ),
  abandoned as (
    select r.*
    from p2p.ops_batch_runs r
    where r.status = 'running'
      and not exists (select from p2p.workers_at_work())
  ),
  -- Where nobody ever ran the service, batches are begun by hand or by cron.
  last_service as (
    select w.*
    from p2p.ops_workers w
    where w.purpose = 'run'
      and w.last_seen_at > clock_timestamp() - interval '7 days'
      and not exists (select from p2p.live_workers() l where l.purpose = 'run')
      and not exists (select from abandoned)
    order by w.last_seen_at desc
    limit 1
  ),
  skipped as (
    select count(*) as due_times, string_agg(distinct s.reason, '; ' order by s.reason) as reasons
    from p2p.ops_skipped_batches s
    where s.due_at > clock_timestamp() - interval '1 day'
  ),
  closed_exchanges as (
    select
      e.code,
      w.worker_name,
      case
        when we.breaker = 'open'
        then 'since ' || to_char(we.breaker_since, 'YYYY-MM-DD HH24:MI TZ')
          || ': ' || coalesce(we.breaker_reason, 'no reason is given')
        else 'until ' || to_char(we.paused_until, 'YYYY-MM-DD HH24:MI TZ')
          || ': it asked for a pause (Retry-After)'
      end as when_and_why
    from p2p.live_workers() w
    join p2p.ops_worker_exchanges we using (worker_id)
    join p2p.dim_exchanges e using (exchange_id)
    where we.breaker = 'open'
      or we.paused_until > clock_timestamp() + interval '1 minute'
  ),
  failing_rules as (
    select count(*) as rules, string_agg(q.metric_name, ', ' order by q.metric_name) as names
    from p2p.ops_data_quality q
    join last_batch using (batch_id)
    where not q.passed
  ),
  failing_steps as (
    select count(*) as steps, string_agg(s.step || ' (' || s.error || ')', ', ' order by s.step) as names
    from p2p.failed_steps s
    join last_batch using (batch_id)
    where s.is_still_so
  ),
  quarantined as (
    select
      count(*) as offers,
      extract(day from clock_timestamp() - min(r.batch_start_time)) as days
    from p2p.ops_rejected_offers o
    join p2p.ops_batch_runs r using (batch_id)
    where o.discarded_at is null
  )
  select
    'batches',
    case
      when a.batch_id is not null then 'warning'
      when g.age_seconds is null then 'warning'
      when g.age_seconds > 180 * p_interval_minutes then 'bad'
      when b.status = 'failed' then 'bad'
      else 'ok'
    end,
    case
      when a.batch_id is not null then format('nobody is at batch %s, which %s began', a.batch_id, a.worker_id)
      when g.age_seconds is null then 'no batch has been loaded yet'
      when g.age_seconds > 180 * p_interval_minutes
      then format('the last good batch ended %s minutes ago', round(g.age_seconds / 60))
      when b.status = 'failed' then format('the last batch failed: %s', b.error_summary)
      else format('the last good batch ended %s s ago', round(g.age_seconds))
    end,
    case
      when a.batch_id is not null then 'the next worker loads what it had stored: p2p-ingest once, or run'
      when g.age_seconds is null or g.age_seconds > 180 * p_interval_minutes then 'p2p-ingest once, or start the service'
      when b.status = 'failed' then 'select * from p2p.last_failures; after mending: p2p-ingest replay --last 1'
    end
  from last_good g
  left join last_batch b on true
  left join abandoned a on true
  union all
  select
    'workers',
    'warning',
    format(
      'no worker is running: %s %s at %s',
      s.worker_id,
      case s.doing when 'gone' then 'was stopped' else 'was last seen' end,
      to_char(s.last_seen_at, 'YYYY-MM-DD HH24:MI TZ')
    ),
    'systemctl start p2p-ingest, or p2p-ingest run'
  from last_service s
  union all
  select
    'schedule',
    'warning',
    format('%s due times of the last 24 hours had no batch: %s', s.due_times, s.reasons),
    'select * from p2p.schedule'
  from skipped s
  where s.due_times > 0
  union all
  select
    'workers',
    'warning',
    format('%s sends nothing to %s %s', worker_name, code, when_and_why),
    'it tries by itself; select * from p2p.workers'
  from closed_exchanges
  union all
  select
    'markets',
    case when markets_completed < markets_expected then 'warning' else 'ok' end,
    format('%s of %s markets whole in the last batch', markets_completed, markets_expected),
    case when markets_completed < markets_expected then 'select * from p2p.gaps' end
  from last_batch
  union all
  select 'rules', 'warning', format('failing in the last batch: %s', names), 'select * from p2p.failing_rules'
  from failing_rules
  where rules > 0
  union all
  select 'steps', 'bad', format('failed in the last load: %s', names), 'select * from p2p.failed_steps'
  from failing_steps
  where steps > 0
  union all
  select
    'quarantine',
    'warning',
    format('%s rejected offers', offers) || case when days >= 1 then format(', the oldest for %s days', days) else '' end,
    'p2p-ingest quarantine list; mend the function, then quarantine replay, or discard'
  from quarantined
  where offers > 0
$function$;

comment on function p2p.diagnose_batches(integer) is 'What is wrong with batches and workers, and what mends it';

grant execute on function p2p.diagnose_batches(integer) to p2p_worker;
-- ════ functions/diagnose_rights.sql
-- What the login of the caller, and the role p2p_worker, may not do that a worker does, for `diagnose`. Changes nothing.
create or replace function p2p.diagnose_rights()
returns table (topic text, state text, finding text, mend text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with me as (
    select
      current_user as name,
      pg_has_role(current_user, n.nspowner, 'usage') as is_owner,
      pg_has_role(current_user, 'p2p_worker', 'usage') as is_worker,
      has_database_privilege(current_database(), 'temporary') as may_make_temporary_tables,
      n.nspowner::regrole as owner
    from pg_namespace n
    where n.nspname = 'p2p'
  ),
  denied as (
    select
      o.identity,
      format(
        'grant %s to p2p_worker;',
        case
          when o.identity like 'function %' then 'execute on ' || o.identity
          else 'select on ' || substr(o.identity, 6)
        end
      ) as mend
    from p2p.schema_objects o
    where o.body ~ '\ngrant [^;]* to [^;]*p2p_worker'
      and not case
        when o.identity like 'function %'
        then has_function_privilege('p2p_worker', to_regprocedure(substr(o.identity, 10)), 'execute')
        else has_table_privilege('p2p_worker', to_regclass(substr(o.identity, 6)), 'select')
      end
  )
  select
    'rights',
    case
      when not (is_owner or is_worker) then 'bad'
      when not may_make_temporary_tables then 'bad'
      else 'ok'
    end,
    case
      when not (is_owner or is_worker) then format('%s has not the role of a worker', name)
      when not may_make_temporary_tables then format('%s may not make temporary tables, which load_batch needs', name)
      when is_owner then format('%s owns the schema; a worker needs only the role p2p_worker', name)
      else format('%s works with the role p2p_worker', name)
    end,
    case
      when not (is_owner or is_worker) then format('as %s: grant p2p_worker to %I;', owner, name)
      when not may_make_temporary_tables
      then format('as the owner of the database: grant temporary on database %I to p2p_worker;', current_database())
    end
  from me
  union all
  select
    'rights',
    'bad',
    format('p2p_worker may not use %s', string_agg(identity, ', ' order by identity)),
    format('as the owner: %s', string_agg(mend, ' ' order by identity))
  from denied
  having count(*) > 0
  union all
  select
    'rights',
    'warning',
    format('%s may not read as p2p_reader does, as the status page reads: it stays empty', name),
    'as who made the roles, or a superuser: grant p2p_reader to p2p_worker;'
  from me
  -- From PostgreSQL 16 on to be a member and to be allowed to act as one are two things.
  where not pg_has_role(name, 'p2p_reader', case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end)
  union all
  select
    'rights',
    'bad',
    format('p2p_worker may not %s', string_agg(format('%s %s', lower(w.privilege), w.table_name), ', ' order by w.table_name, w.privilege)),
    format(
      'as the owner: %s',
      string_agg(format('grant %s on p2p.%I to p2p_worker;', lower(w.privilege), w.table_name), ' ' order by w.table_name, w.privilege)
    )
  from p2p.worker_rights() w
  where not case
    when w.privilege = 'USAGE' then has_sequence_privilege('p2p_worker', to_regclass('p2p.' || w.table_name), w.privilege)
    else has_table_privilege('p2p_worker', to_regclass('p2p.' || w.table_name), w.privilege)
  end
  having count(*) > 0
$function$;

comment on function p2p.diagnose_rights() is 'What a worker may not do here, and what mends it';

grant execute on function p2p.diagnose_rights() to p2p_worker;
-- ════ functions/diagnose_server.sql
-- The server and its settings, for `diagnose`: what stops a worker from writing, breaks off its loads, or leaves it no
-- connection. Changes nothing.
create or replace function p2p.diagnose_server()
returns table (topic text, state text, finding text, mend text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with hurting as (
    select
      s.name,
      s.source,
      case when s.name = 'default_transaction_read_only' then 'off' else '0' end as wanted,
      case
        when s.name = 'default_transaction_read_only' then 'nothing can be written'
        else format('what takes longer than %s ms is broken off, and a load may', s.setting)
      end as effect
    from pg_settings s
    where s.name = 'default_transaction_read_only' and s.setting = 'on'
      or s.name in ('statement_timeout', 'lock_timeout', 'transaction_timeout') and s.setting::bigint between 1 and 299999
  ),
  connections as (
    select
      (select sum(d.numbackends) from pg_stat_database d) as taken,
      current_setting('max_connections')::integer as most,
      nullif(db.datconnlimit, -1) as for_database,
      nullif(r.rolconnlimit, -1) as for_role
    from pg_database db
    join pg_roles r on r.rolname = current_user
    where db.datname = current_database()
  )
  select
    'server',
    case when t.database = 'plain' and t.tier = 'timescaledb' then 'warning' else 'ok' end,
    format(
      'PostgreSQL %s, %s (%s)',
      current_setting('server_version'),
      case t.database when 'plain' then 'plain tables' else 'tables of TimescaleDB' end,
      t.reason
    ),
    case
      when t.database = 'plain' and t.tier = 'timescaledb' then 'p2p-ingest migrate converts the tables; what it would do: migrate --dry-run'
      when t.hint like 'create extension%' then t.hint || ', then p2p-ingest migrate'
    end
  from (
    select p2p.database_tier() as database, s.*
    from p2p.server_tier() s
  ) as t
  union all
  select 'server', 'bad', 'this server is a standby: nothing can be written', 'DATABASE_URL must name the primary'
  where pg_is_in_recovery()
  union all
  select
    'server',
    case when h.name = 'default_transaction_read_only' then 'bad' else 'warning' end,
    format('%s is set for %s: %s', h.name, case when h.source like '%user' then current_user::text else 'this database' end, h.effect),
    case h.source
      when 'user' then format('alter role %I reset %s', current_user, h.name)
      when 'database user' then format('alter role %I in database %I reset %s', current_user, current_database(), h.name)
      when 'database' then format('alter database %I reset %s', current_database(), h.name)
      else format('alter database %I set %s = %s', current_database(), h.name, h.wanted)
    end
  from hurting h
  union all
  select
    'server',
    'warning',
    format('%s of %s connections are taken', c.taken, c.most),
    'select * from pg_stat_activity; or alter system set max_connections = …, and restart'
  from connections c
  where c.most - c.taken < 8
  union all
  select
    'server',
    'warning',
    format('%s may have %s connections; a worker takes up to 7', who.name, who.least),
    who.mend
  from connections c
  cross join lateral (
    values
      (format('database %I', current_database()), c.for_database, format('alter database %I connection limit -1', current_database())),
      (format('login %I', current_user), c.for_role, format('alter role %I connection limit -1', current_user))
  ) as who (name, least, mend)
  where who.least < 9
  union all
  select
    'server',
    'ok',
    'jit is on: it compiles queries over many chunks for longer than they run',
    format('alter database %I set jit = off', current_database())
  where current_setting('jit')::boolean
    and pg_jit_available()
    and p2p.database_tier() = 'timescaledb'
$function$;

comment on function p2p.diagnose_server() is 'What is wrong with the server, and what mends it';

grant execute on function p2p.diagnose_server() to p2p_worker;
-- ════ functions/diagnose_sql.sql
-- Functions, views, triggers and steps that are not as the release has them, for `diagnose`. Changes nothing.
create or replace function p2p.diagnose_sql()
returns table (topic text, state text, finding text, mend text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with objects as (
    select
      count(*) filter (where o.state = 'drifted' and not o.is_missing) as drifted,
      count(*) filter (where o.is_missing) as missing,
      count(*) filter (where o.has_moved_on) as moved_on,
      count(*) filter (where o.state = 'tuned') as tuned,
      string_agg(o.identity, ', ' order by o.identity) filter (where o.state = 'drifted') as names
    from p2p.object_states o
  ),
  switched_off as (
    select count(*) as steps, string_agg(s.name, ', ' order by s.position) as names
    from p2p.pipeline_steps s
    where s.is_required
      and not s.is_enabled
  ),
  idle_triggers as (
    select
      expected.made_by,
      expected.table_name,
      expected.trigger_name,
      t.oid is null as is_missing
    from (
      values
        ('log_change', 'settings', 'log_change'),
        ('log_change', 'pipeline_steps', 'log_change'),
        ('log_change', 'quality_rules', 'log_change'),
        ('guard_setting', 'settings', 'guard_setting'),
        ('check_pipeline_step', 'pipeline_steps', 'check_function'),
        ('check_quality_rule', 'quality_rules', 'check_quality_rule'),
        ('make_room_for_batch', 'ops_batch_runs', 'make_room_for_batch')
    ) as expected (made_by, table_name, trigger_name)
    left join pg_trigger t
      on t.tgrelid = to_regclass('p2p.' || expected.table_name)
      and t.tgname = expected.trigger_name
    where t.oid is null
      or t.tgenabled = 'D'
  )
  select
    'sql',
    case when drifted + missing > 0 then 'bad' when moved_on > 0 then 'warning' else 'ok' end,
    case
      when drifted + missing > 0 then format('changed live and not adopted, or missing: %s', names)
      when moved_on > 0 then format('tuned objects whose shipped text has moved on: %s', moved_on)
      when tuned > 0 then format('%s tuned, all others as shipped', tuned)
      else 'all functions and views as shipped'
    end,
    case
      when drifted > 0 then 'p2p-ingest sql diff, then sql adopt … --note … or sql restore …'
      when missing > 0 then 'p2p-ingest migrate makes what is missing again'
      when moved_on > 0 then 'p2p-ingest sql diff, merge by hand, then sql adopt … --note …'
    end
  from objects
  union all
  select
    'steps',
    'warning',
    format('required steps that are switched off: %s', names),
    'update p2p.pipeline_steps set is_enabled = true where name = …'
  from switched_off
  where steps > 0
  union all
  select
    'triggers',
    'bad',
    format('trigger %s on p2p.%s is %s', trigger_name, table_name, case when is_missing then 'missing' else 'disabled' end),
    case
      when is_missing then format('in psql: select body from p2p.schema_objects where name = %L \gexec', 'functions/' || made_by || '.sql')
      else format('alter table p2p.%I enable trigger %I', table_name, trigger_name)
    end
  from idle_triggers
$function$;

comment on function p2p.diagnose_sql() is 'What is not as the release has it, and what mends it';

grant execute on function p2p.diagnose_sql() to p2p_worker;
-- ════ functions/discard_rejected.sql
-- Takes offers out of the quarantine for good: they are kept, marked with who, when and why. NULL stands for any
-- reason or batch. Returns what was marked, by reason; with p_is_dry_run what would be, and changes nothing.
-- A second call finds them gone. Raises where there is no such reason or batch, and without a note.
create or replace function p2p.discard_rejected(
  p_note text,
  p_reason text default null,
  p_batch_id uuid default null,
  p_is_dry_run boolean default false
)
returns table (reason text, offers bigint, batches bigint)
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  if coalesce(trim(p_note), '') = '' then
    raise exception 'a note must say why'
      using errcode = 'P2P02', hint = 'e.g. ''prices of a test of the exchange, 2026-08-07''';
  end if;

  perform p2p.require_in_quarantine(p_reason, p_batch_id);

  return query
  select o.reason, count(*), count(distinct o.batch_id)
  from p2p.ops_rejected_offers o
  where o.discarded_at is null
    and (p_reason is null or o.reason = p_reason)
    and (p_batch_id is null or o.batch_id = p_batch_id)
  group by o.reason
  order by count(*) desc, o.reason;

  if not p_is_dry_run then
    update p2p.ops_rejected_offers o
    set
      discarded_at = clock_timestamp(),
      discarded_by = session_user,
      discard_note = trim(p_note)
    where o.discarded_at is null
      and (p_reason is null or o.reason = p_reason)
      and (p_batch_id is null or o.batch_id = p_batch_id);
  end if;
end
$function$;

comment on function p2p.discard_rejected(text, text, uuid, boolean) is 'Marks rejected offers as needing no repair; they are kept';

grant execute on function p2p.discard_rejected(text, text, uuid, boolean) to p2p_worker;
-- ════ functions/drop_temporary_tables.sql
-- Drops this session's temporary tables but those of p_keep: what the steps of a load made, whoever wrote them. So
-- several batches can be loaded in one transaction, and the tables of a session's own survive. A second call finds none.
create or replace function p2p.drop_temporary_tables(p_keep oid[])
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_table name;
begin
  for v_table in
    select c.relname
    from pg_class c
    where c.oid = any (p2p.temporary_tables())
      and c.oid <> all (p_keep)
  loop
    execute format('drop table if exists pg_temp.%I cascade', v_table);
  end loop;
end
$function$;

comment on function p2p.drop_temporary_tables(oid[]) is 'Drops the temporary tables that a load made';

grant execute on function p2p.drop_temporary_tables(oid[]) to p2p_worker;
-- ════ functions/end_fetching.sql
-- Closes the work queue of a batch before it is loaded, or the part of it that is one exchange's: markets without a page
-- are deferred to the next batch, others are incomplete. One that the plan had no room for keeps that as its reason.
-- Returns how many were cut off; a second call finds none.
create or replace function p2p.end_fetching(p_batch_id uuid, p_reason text, p_exchange_id smallint default null)
returns integer
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_market_ids integer[];
begin
  -- As a rule a load finds nothing left, and must not keep others from the queue for as long as it takes.
  if not exists (select from p2p.unfetched_markets(p_batch_id)) then
    return 0;
  end if;

  perform
  from p2p.ops_batch_runs r
  where r.batch_id = p_batch_id
  for no key update;

  perform p2p.lock_queue(p_batch_id, true);

  with cut_off as (
    update p2p.ops_batch_markets bm
    set
      status = case when bm.pages_stored > 0 then 'incomplete' else 'deferred' end,
      finished_at = clock_timestamp(),
      reason = case when bm.status = 'deferred' then bm.reason else p_reason end
    from p2p.unfetched_markets(p_batch_id) u
    join p2p.dim_markets m using (market_id)
    where bm.batch_id = p_batch_id
      and bm.market_id = u.market_id
      and (p_exchange_id is null or m.exchange_id = p_exchange_id)
    returning bm.market_id
  )
  select array_agg(c.market_id)
  into v_market_ids
  from cut_off c;

  perform p2p.note_visits(p_batch_id, v_market_ids);
  return coalesce(cardinality(v_market_ids), 0);
end
$function$;

comment on function p2p.end_fetching(uuid, text, smallint) is 'Closes the work queue of a batch: what was not fetched is deferred';

grant execute on function p2p.end_fetching(uuid, text, smallint) to p2p_worker;
-- ════ functions/end_import.sql
-- Ends an import, whether it came to its end or not: what still waits for its batch is forgotten. A second call changes
-- nothing.
create or replace function p2p.end_import(p_import_id uuid)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  delete from p2p.stg_imports i
  where i.import_id = p_import_id
$function$;

comment on function p2p.end_import(uuid) is 'Ends an import; pages that still wait for their batch are forgotten';

grant execute on function p2p.end_import(uuid) to p2p_worker;
-- ════ functions/fail_batch.sql
-- Closes a batch of which nothing could be loaded: the SQL failed, not the fetching, so that the ledger and the pages
-- stay as they are. A second call with the same reason changes nothing.
create or replace function p2p.fail_batch(p_batch_id uuid, p_reason text)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  with fetched as (
    select count(*) filter (where bm.status = 'complete') as complete
    from p2p.ops_batch_markets bm
    where bm.batch_id = p_batch_id
  ),
  lost as (
    select count(*) as errors
    from p2p.ops_extraction_errors e
    where e.batch_id = p_batch_id
  )
  update p2p.ops_batch_runs r
  set
    status = 'failed',
    batch_end_time = coalesce(r.batch_end_time, clock_timestamp()),
    execution_time_seconds = coalesce(
      r.execution_time_seconds,
      extract(epoch from clock_timestamp() - r.batch_start_time)
    ),
    total_errors = lost.errors,
    error_summary = p_reason,
    markets_completed = fetched.complete
  from fetched, lost
  where r.batch_id = p_batch_id
    and (r.status, r.total_errors, r.error_summary, r.markets_completed)
      is distinct from ('failed', lost.errors, p_reason, fetched.complete)
$function$;

comment on function p2p.fail_batch(uuid, text) is 'Closes a batch that the SQL could not load';

grant execute on function p2p.fail_batch(uuid, text) to p2p_worker;
-- ════ functions/failures_in_a_row.sql
-- How many batches up to this one, itself included, ended otherwise than completed, with no completed one between. Looks
-- no further back than 1,000 batches. Imported ones count neither way. Changes nothing.
create or replace function p2p.failures_in_a_row(p_batch_id uuid)
returns integer
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with ended as (
    select r.batch_start_time, r.status
    from p2p.ops_batch_runs r
    where r.batch_start_time <= (
        select this.batch_start_time
        from p2p.ops_batch_runs this
        where this.batch_id = p_batch_id
      )
      and r.status <> 'running'
      and r.imported_from is null
    order by r.batch_start_time desc
    limit 1000
  )
  select count(*)::integer
  from ended e
  where e.batch_start_time > coalesce(
      (
        select max(good.batch_start_time)
        from ended good
        where good.status = 'completed'
      ),
      '-infinity'
    )
$function$;

comment on function p2p.failures_in_a_row(uuid) is 'How many batches up to this one were not completed, one after the other';

grant execute on function p2p.failures_in_a_row(uuid) to p2p_worker;
-- ════ functions/find_object.sql
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
-- ════ functions/finish_market.sql
-- Ends the work on a market of a batch; what was stored and lost decides how. Changes a market that is being
-- fetched, no other.
-- Where a page before the end is neither stored nor lost, it goes back into the queue instead: the end came from an earlier
-- claim of the same worker, and was still on its way when the market had been another's.
create or replace function p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  update p2p.ops_batch_markets bm
  set
    status = 'pending',
    worker_id = null
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id
    and bm.status = 'fetching'
    and p_reason is null
    and bm.pages_stored + cardinality(bm.lost_pages) < (
      select max(s.page_number)
      from p2p.stg_responses s
      join p2p.ops_batch_runs r on r.batch_start_time = s.extraction_timestamp
      where r.batch_id = p_batch_id
        and s.market_id = p_market_id
    );

  update p2p.ops_batch_markets bm
  set
    status = case
      when bm.pages_stored = 0 then 'failed'
      when bm.lost_pages <> '{}' or p_reason is not null then 'incomplete'
      else 'complete'
    end,
    finished_at = clock_timestamp(),
    reason = coalesce(
      p_reason,
      case when bm.lost_pages <> '{}' then 'lost pages: ' || array_to_string(bm.lost_pages, ', ') end
    )
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id
    and bm.status = 'fetching';

  if found then
    perform p2p.note_visits(p_batch_id, array[p_market_id]);
  end if;
end
$function$;

comment on function p2p.finish_market(uuid, integer, text) is 'Ends the work on a market: complete, incomplete or failed; or not yet, where a page before its end is missing';

grant execute on function p2p.finish_market(uuid, integer, text) to p2p_worker;
-- ════ functions/give_back.sql
-- Puts the markets that a worker has in hand back into the queue, those of one exchange or (NULL) all. Their pages stay:
-- whoever claims one goes on after the last. Returns how many; a second call finds none.
create or replace function p2p.give_back(p_batch_id uuid, p_worker_id text, p_exchange text)
returns integer
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_markets integer;
begin
  perform p2p.lock_queue(p_batch_id, true);

  update p2p.ops_batch_markets bm
  set
    status = 'pending',
    worker_id = null
  from p2p.dim_markets m
  join p2p.dim_exchanges e using (exchange_id)
  where bm.batch_id = p_batch_id
    and bm.worker_id = p_worker_id
    and bm.status = 'fetching'
    and m.market_id = bm.market_id
    and (p_exchange is null or e.code = p_exchange);

  get diagnostics v_markets = row_count;
  return v_markets;
end
$function$;

comment on function p2p.give_back(uuid, text, text) is 'Puts the markets that a worker has in hand back into the queue, with their pages';

grant execute on function p2p.give_back(uuid, text, text) to p2p_worker;
-- ════ functions/guard_setting.sql
-- Trigger of settings: refuses what would break the functions that read them, and says what a value must be.
-- (The constraint settings_value_fits holds the values; this one only speaks more clearly, and earlier.)
create or replace function p2p.guard_setting()
returns trigger
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  if tg_op = 'TRUNCATE' then
    raise exception 'settings cannot be emptied: functions read them'
      using errcode = '23514', hint = 'change one: update p2p.settings set value = … where name = …';
  end if;

  if tg_op = 'DELETE' then
    if old.is_shipped then
      raise exception 'setting % cannot be deleted: functions of the release read it', old.name
        using errcode = '23514', hint = 'change its value instead';
    end if;
    return old;
  end if;

  if tg_op = 'UPDATE' and (new.name, new.kind, new.is_shipped) is distinct from (old.name, old.kind, old.is_shipped) then
    raise exception 'name and kind of setting % stay: functions read it by them', old.name
      using errcode = '23514', hint = 'change its value, its limits or its comment';
  end if;

  if new.kind = 'switch' and new.value not in ('on', 'off') then
    raise exception 'setting % is on or off, not "%"', new.name, new.value
      using errcode = '23514';
  end if;

  if new.kind = 'number' then
    if new.value !~ '^-?\d+(\.\d+)?$' or length(new.value) > 30 then
      raise exception 'setting % is a number (%), not "%"', new.name, new.unit, new.value
        using errcode = '23514';
    elsif not new.value::numeric between new.minimum and new.maximum then
      raise exception 'setting % is between % and % %, not %', new.name, new.minimum, new.maximum, new.unit, new.value
        using errcode = '23514';
    end if;
  end if;

  return new;
end
$function$;

comment on function p2p.guard_setting() is 'Trigger: refuses changes of settings that functions could not live with';

revoke execute on function p2p.guard_setting() from public;

create or replace trigger guard_setting
before insert or update or delete on p2p.settings
for each row execute function p2p.guard_setting();

create or replace trigger guard_settings
before truncate on p2p.settings
for each statement execute function p2p.guard_setting();
-- ════ functions/has_its_pages.sql
-- Whether the raw pages that made a batch are still here: apply_retention has not deleted them, and a backup that this
-- database may come from has not left them out. Without them it cannot be loaded again (parse_pages). Changes
-- nothing.
create or replace function p2p.has_its_pages(p_batch p2p.ops_batch_runs)
returns boolean
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select
    p_batch.raw_deleted_at is null
    and (
      select count(*)
      from p2p.stg_responses s
      where s.extraction_timestamp = p_batch.batch_start_time
    ) >= (
      select coalesce(sum(bm.pages_stored), 0)
      from p2p.ops_batch_markets bm
      where bm.batch_id = p_batch.batch_id
    )
$function$;

comment on function p2p.has_its_pages(p2p.ops_batch_runs) is 'Whether the raw pages of a batch are still here';

grant execute on function p2p.has_its_pages(p2p.ops_batch_runs) to p2p_worker;
-- ════ functions/import_markets.sql
-- Part of store_imported_batch: makes the fiats, assets and markets of pages of pg_temp.import_verdicts that the database does
-- not know, and writes their market_id there. Such a market is not active: no batch plans it until discovery lists it.
-- A second call changes nothing.
create or replace function p2p.import_markets(p_import_id uuid, p_time timestamptz)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table import_books on commit drop as
  select distinct s.exchange_id, s.fiat, s.asset, s.trade_type
  from pg_temp.import_verdicts v
  join p2p.stg_import_pages s
    on s.import_id = p_import_id
    and s.file_number = v.file_number
    and s.line_number = v.line_number
  where v.market_id is null
    and v.problem is null;

  if exists (select from pg_temp.import_books) then
    lock table p2p.dim_markets in share row exclusive mode; -- as store_market_list does

    -- `not exists` instead of `on conflict`, which takes a number from the sequence for each row that is there.
    insert into p2p.dim_fiat_currencies (currency_code)
    select distinct b.fiat
    from pg_temp.import_books b
    where not exists (
      select
      from p2p.dim_fiat_currencies f
      where f.currency_code = b.fiat
    );

    insert into p2p.dim_cryptocurrencies (symbol, binance_asset_code)
    select b.asset, max(case when e.code = 'binance' then b.asset end)
    from pg_temp.import_books b
    join p2p.dim_exchanges e using (exchange_id)
    where not exists (
      select
      from p2p.dim_cryptocurrencies c
      where c.symbol = b.asset
    )
    group by b.asset;

    insert into p2p.dim_markets (exchange_id, fiat_id, crypto_id, trade_type, is_active, first_listed_at, last_listed_at)
    select b.exchange_id, f.fiat_id, c.crypto_id, b.trade_type, false, p_time, p_time
    from pg_temp.import_books b
    join p2p.dim_fiat_currencies f on f.currency_code = b.fiat
    join p2p.dim_cryptocurrencies c on c.symbol = b.asset
    where not exists (
      select
      from p2p.dim_markets m
      where (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (b.exchange_id, f.fiat_id, c.crypto_id, b.trade_type)
    );

    update pg_temp.import_verdicts v
    set market_id = m.market_id
    from p2p.stg_import_pages s
    join p2p.dim_fiat_currencies f on f.currency_code = s.fiat
    join p2p.dim_cryptocurrencies c on c.symbol = s.asset
    join p2p.dim_markets m
      on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (s.exchange_id, f.fiat_id, c.crypto_id, s.trade_type)
    where v.market_id is null
      and v.problem is null
      and s.import_id = p_import_id
      and s.file_number = v.file_number
      and s.line_number = v.line_number;
  end if;

  drop table pg_temp.import_books;
end
$function$;

comment on function p2p.import_markets(uuid, timestamptz) is 'Makes the markets that an import brings, not active until discovery lists them';

grant execute on function p2p.import_markets(uuid, timestamptz) to p2p_worker;
-- ════ functions/import_next_batch.sql
-- Takes the oldest batch of an import out of what waits, stores its pages as a batch of its own time and loads it, all in
-- one transaction: readers see the batch whole or not at all, and what is killed in the middle never began.
-- The batch is not `running` at any moment, so that the worker's own batches go on beside it. Its times are those of the
-- recording. The same pages make the same batch, with the same id, in any database.
-- A batch whose pages are all there is not touched, unless it failed: then it is loaded again. With p_dry_run nothing is
-- changed but that the batch no longer waits.
-- Returns one row, or none where no batch waits. batch_id is NULL where none was or would be made. problems are why lines
-- are left out, at most 100 reasons: [{"file": 1, "line": 7, "lines": 3, "problem": …}], with the first line of each.
create or replace function p2p.import_next_batch(p_import_id uuid, p_dry_run boolean)
returns table (
  batch_start_time timestamptz,
  batch_id uuid,
  outcome text,
  status text,
  error_summary text,
  pages_stored integer,
  pages_there integer,
  pages_left_out integer,
  offers integer,
  problems jsonb
)
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_time timestamptz;
  v_batch p2p.ops_batch_runs;
begin
  update p2p.stg_imports i
  set seen_at = clock_timestamp()
  where i.import_id = p_import_id;

  if not found then
    raise exception 'import % is not under way: it was silent for ten minutes, or the server was restarted', p_import_id
      using errcode = 'P2P03', hint = 'call import again: what was loaded stays and is recognised';
  end if;

  select min(s.batch_start_time)
  into v_time
  from p2p.stg_import_pages s
  where s.import_id = p_import_id;

  if v_time is null then
    return;
  end if;

  -- As load_batch does, but first of all: another load, or another import, is waited for before anything is locked
  -- that the worker's next batch needs.
  if not p_dry_run then
    lock table p2p.dim_advertisers in share row exclusive mode;
  end if;

  create temp table import_verdicts on commit drop as
  select j.*
  from p2p.judge_import_pages(p_import_id, v_time) j;

  analyze pg_temp.import_verdicts;

  select
    v_time,
    count(*) filter (where j.problem is null and not j.is_there),
    count(*) filter (where j.problem is null and j.is_there),
    count(*) filter (where j.problem is not null),
    coalesce(
      (
        select jsonb_agg(
          jsonb_build_object(
            'file', shown.first_line[1], 'line', shown.first_line[2], 'lines', shown.lines, 'problem', shown.problem
          )
          order by shown.first_line
        )
        from (
          select
            v.problem,
            min(array[v.file_number, v.line_number]) as first_line,
            count(*) as lines
          from pg_temp.import_verdicts v
          where v.problem is not null
          group by v.problem
          order by first_line
          limit 100
        ) as shown
      ),
      '[]'
    )
  into batch_start_time, pages_stored, pages_there, pages_left_out, problems
  from pg_temp.import_verdicts j;

  select r.*
  into v_batch
  from p2p.ops_batch_runs r
  where r.batch_start_time = v_time;

  outcome := case
    when pages_stored = 0 and pages_there = 0 then 'left out'
    when pages_stored > 0 and v_batch.batch_id is null then 'new'
    when pages_stored > 0 then 'more pages'
    when v_batch.status = 'failed' and v_batch.imported_from is not null and v_batch.raw_deleted_at is null
    then 'loaded again'
    else 'there already'
  end;

  if p_dry_run then
    offers := (
      select coalesce(sum(jsonb_array_length(s.body -> 'data')), 0)
      from pg_temp.import_verdicts j
      join p2p.stg_import_pages s using (file_number, line_number)
      where s.import_id = p_import_id
        and j.problem is null
        and not j.is_there
        and jsonb_typeof(s.body -> 'data') = 'array'
    );
  elsif outcome in ('new', 'more pages', 'loaded again') then
    if pages_stored > 0 then
      v_batch.batch_id := p2p.store_imported_batch(p_import_id, v_time);
    end if;

    v_batch := p2p.load_batch(v_batch.batch_id);
    offers := v_batch.total_offers_inserted;
  else
    offers := coalesce(v_batch.total_offers_inserted, 0);
  end if;

  if outcome <> 'left out' then
    batch_id := v_batch.batch_id;
    status := v_batch.status;
    error_summary := v_batch.error_summary;
  end if;

  delete from p2p.stg_import_pages s
  where s.import_id = p_import_id
    and s.batch_start_time = v_time;

  drop table pg_temp.import_verdicts;
  return next;
end
$function$;

comment on function p2p.import_next_batch(uuid, boolean) is 'Makes a batch of the oldest pages of an import, and loads it';

grant execute on function p2p.import_next_batch(uuid, boolean) to p2p_worker;
-- ════ functions/import_obstacle.sql
-- Why a batch of that time must not be imported, with the statement that changes it where one does; NULL where nothing
-- stands against it: facts of its day were dropped, so that making aggregates of that time anew would lose what they
-- alone still hold (on plain PostgreSQL a day that never had any is open); or the next batch would drop it. p_newest is the newest batch that the import brings: age counts
-- from the newest batch, as in apply_retention. Pages are no obstacle: they go when they are older than
-- raw_retention_days, facts stay. Changes nothing.
create or replace function p2p.import_obstacle(p_time timestamptz, p_newest timestamptz)
returns text
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with newest as (
    select least(greatest(max(r.batch_start_time), p_newest), clock_timestamp()) as batch_start_time
    from p2p.ops_batch_runs r
  )
  select
    case
      when dropped.before > p_time
        and (
          p2p.database_tier() = 'timescaledb' -- a refresh there takes more days than one
          or exists (
            select
            from p2p.ops_batch_runs r
            where r.batch_start_time >= date_trunc('day', p_time, 'UTC')
              and r.batch_start_time < date_trunc('day', p_time, 'UTC') + interval '24 hours'
              and r.status in ('completed', 'partial')
              and r.total_offers_inserted > 0
              and not exists (
                select
                from p2p.fact_offers f
                where f.extraction_timestamp = r.batch_start_time
              )
          )
        )
      then format('facts before %s were dropped here, and aggregates hold what is left of them: nothing is added there', dropped.before)
      when p_time < n.batch_start_time
        - make_interval(secs => p2p.setting_number('offers_retention_days')::double precision * 86400)
      then format(
        'offers are kept %1$s days, and this batch is %2$s days older than the newest one: the next batch would delete '
          'them; update p2p.settings set value = ''%3$s'' where name = ''offers_retention_days''',
        p2p.setting_number('offers_retention_days'),
        ceil(extract(epoch from n.batch_start_time - p_time) / 86400),
        ceil(extract(epoch from n.batch_start_time - p_time) / 86400) + 1
      )
    end
  from newest n
  cross join (
    select max(d.dropped_before) as before
    from p2p.dropped_facts d
    where d.table_name in ('fact_offers', 'fact_market_depth')
  ) as dropped
$function$;

comment on function p2p.import_obstacle(timestamptz, timestamptz) is 'Why a batch of that time must not be imported, and the statement that changes it';

grant execute on function p2p.import_obstacle(timestamptz, timestamptz) to p2p_worker;
-- ════ functions/incident_causes.sql
-- What people should know of now, as far as the database can see it: one row a kind and subject. `opens` false: no reason
-- to begin an incident, but one that is open stays so. What has no row is over. Changes nothing.
-- Judges the newest batch that has ended (imported ones count neither way), the workers that live, and how long the
-- service has been without a good batch.
-- Expects p_interval_minutes NULL where no service runs, as with `once`: a missing batch is nobody's fault then.
create or replace function p2p.incident_causes(p_interval_minutes integer, p_alert_on_failures integer)
returns table (kind text, subject text, message text, opens boolean)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with last_batch as (
    select r.batch_id, r.error_summary, p2p.failures_in_a_row(r.batch_id) as failures
    from p2p.ops_batch_runs r
    where r.status <> 'running'
      and r.imported_from is null
    order by r.batch_start_time desc
    limit 1
  ),
  last_good as (
    select r.batch_end_time
    from p2p.ops_batch_runs r
    where r.status in ('completed', 'partial')
      and r.imported_from is null
    order by r.batch_start_time desc
    limit 1
  ),
  open_incidents as (
    select i.kind, i.subject, i.raised_at
    from p2p.ops_incidents i
    where i.resolved_at is null
  ),
  patience as (
    select make_interval(mins => p_interval_minutes) * p2p.setting_number('no_good_batch_intervals')::double precision as longest
  ),
  -- A service that was away has until then to load a batch; one that starts again and again has no longer.
  serving as (
    select min(w.started_at) as since
    from p2p.ops_workers w
    cross join patience
    where w.purpose = 'run'
      and w.last_seen_at > clock_timestamp() - patience.longest
  ),
  waiting as (
    select
      clock_timestamp() - greatest(serving.since, (select g.batch_end_time from last_good g)) as lasted,
      patience.longest
    from serving
    cross join patience
    where serving.since is not null
      and not p2p.setting_switch('paused')
  ),
  shut_out as (
    select
      e.code,
      bool_or(we.breaker <> 'closed' or we.paused_until > clock_timestamp() + interval '2 minutes') as is_long,
      string_agg(distinct w.worker_name, ', ') as workers,
      coalesce(min(we.breaker_reason) filter (where we.breaker <> 'closed'), 'it asked for a pause') as reason
    from p2p.live_workers() w
    join p2p.ops_worker_exchanges we using (worker_id)
    join p2p.dim_exchanges e using (exchange_id)
    where we.breaker <> 'closed'
      or we.paused_until > clock_timestamp()
    group by e.code
  )
  select a.kind, '', a.message, true
  from last_batch b
  cross join p2p.batch_alerts(b.batch_id) as a
  union all
  -- A load that failed has checked nothing.
  select unchecked.kind, '', '', false
  from last_batch b
  cross join (values ('structure_changed'), ('rule_failed'), ('completeness')) as unchecked (kind)
  where not exists (
    select
    from p2p.ops_data_quality q
    where q.batch_id = b.batch_id
  )
  union all
  select
    'batch_failed',
    '',
    concat_ws(': ', format('%s batches in a row were not completed', b.failures), b.error_summary),
    b.failures >= p_alert_on_failures
  from last_batch b
  where b.failures > 0
  union all
  select
    'no_good_batch',
    '',
    format('no batch was loaded for %s minutes', floor(extract(epoch from w.lasted) / 60)),
    true
  from waiting w
  where w.lasted > w.longest
  union all
  select
    'breaker_open',
    s.code,
    format('nothing is sent to %s: %s (%s)', s.code, s.reason, s.workers),
    s.is_long
  from shut_out s
  union all
  -- These end with a batch that was loaded: it fills many pages.
  select i.kind, i.subject, '', false
  from open_incidents i
  where i.kind in ('no_good_batch', 'disk_full')
    and i.raised_at > coalesce((select g.batch_end_time from last_good g), '-infinity')
$function$;

comment on function p2p.incident_causes(integer, integer) is 'What people should know of now, as far as the database can see it';

grant execute on function p2p.incident_causes(integer, integer) to p2p_worker;
-- ════ functions/incidents_told.sql
-- Notes that people were told of these incidents: of the beginning of some, of the end of others. Whoever calls has
-- delivered it, or given it up. A second call changes nothing.
create or replace function p2p.incidents_told(p_begun bigint[], p_ended bigint[])
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  update p2p.ops_incidents i
  set
    begin_told_at = case when i.incident_id = any (p_begun) then coalesce(i.begin_told_at, clock_timestamp()) else i.begin_told_at end,
    end_told_at = case when i.incident_id = any (p_ended) then coalesce(i.end_told_at, clock_timestamp()) else i.end_told_at end
  where i.incident_id = any (p_begun || p_ended)
$function$;

comment on function p2p.incidents_told(bigint[], bigint[]) is 'Notes that people were told of the beginning, or the end, of incidents';

grant execute on function p2p.incidents_told(bigint[], bigint[]) to p2p_worker;
-- ════ functions/is_alive.sql
-- Whether a worker lives: its lease holds, and it has not left. This is the one place that decides it.
-- A server that was down is no fault of theirs: for ten seconds after its start every lease of its last hour holds.
-- Changes nothing; p_server_started is for tests.
create or replace function p2p.is_alive(
  p_lease_expires_at timestamptz,
  p_doing text,
  p_server_started timestamptz default pg_postmaster_start_time()
)
returns boolean
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select p_doing <> 'gone'
    and (
      p_lease_expires_at > clock_timestamp()
      or p_lease_expires_at > p_server_started - interval '1 hour'
      and p_server_started > clock_timestamp() - interval '10 seconds'
    )
$function$;

comment on function p2p.is_alive(timestamptz, text, timestamptz) is 'Whether a worker with that lease lives';

grant execute on function p2p.is_alive(timestamptz, text, timestamptz) to p2p_reader, p2p_worker;
-- ════ functions/is_beyond.sql
-- Whether a metric lies beyond a threshold, on its bad side. False where either is NULL.
create or replace function p2p.is_beyond(p_metric numeric, p_is_bad_when text, p_threshold numeric)
returns boolean
language sql
immutable
set search_path = p2p, pg_temp
as $function$
  select coalesce(
    case p_is_bad_when
      when 'above' then p_metric > p_threshold
      when 'below' then p_metric < p_threshold
    end,
    false
  )
$function$;

comment on function p2p.is_beyond(numeric, text, numeric) is 'Whether a metric lies on the bad side of a threshold';

grant execute on function p2p.is_beyond(numeric, text, numeric) to p2p_worker;
-- ════ functions/join_batch.sql
-- What a worker is to do now: help with the batch that runs, open one, or let it be. One batch runs at a time in the
-- whole fleet.
-- Expects a worker that beats; p_due_at and p_interval_seconds of the schedule, or NULL for a batch begun by hand.
-- outcome:
--   opened  a batch was opened and planned
--   joined  a batch runs: help with it. Where seconds_left is 0 or less, all that is left is to load it (take_load). Once it is
--           loaded, call again with the same p_due_at: it may still be its turn
--   held    begun by hand, while others are at a batch; detail names them
--   done    this due time had its batch, or was skipped
--   late    it is longer past than schedule_grace_seconds: skipped. The first batch of a schedule is never late
--   paused  setting paused is on: skipped, unless it had its batch; detail says since when and by whom
-- Due times that got no batch are written to ops_skipped_batches, those since the last one accounted for as well.
-- A due time that is further ahead than schedule_grace_seconds (60 at least) is an error: the worker's clock is wrong.
-- A second call with the same p_due_at joins what the first has opened.
-- Waits for another worker that is just opening a batch, and for no load.
create or replace function p2p.join_batch(
  p_worker_id text,
  p_due_at timestamptz,
  p_interval_seconds double precision,
  p_deadline_seconds double precision
)
returns table (
  outcome text,
  batch_id uuid,
  batch_start_time timestamptz,
  markets_expected integer,
  seconds_left double precision,
  detail text
)
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_worker p2p.ops_workers;
  v_batch p2p.ops_batch_runs;
  v_others text;
  v_seconds_late double precision := extract(epoch from clock_timestamp() - p_due_at);
  v_is_accounted_for boolean;
begin
  -- Its batch would have all others believe, until then, that every due time had its batch.
  if -v_seconds_late > greatest(p2p.setting_number('schedule_grace_seconds'), 60) then
    raise exception 'the clock of worker % is at least % s ahead of the database', p_worker_id, -round(v_seconds_late)
      using errcode = 'P2P03', hint = 'set the clock of its machine, or of the database''s';
  end if;

  select w.*
  into v_worker
  from p2p.live_workers() w
  where w.worker_id = p_worker_id;

  if not found then
    raise exception 'worker % is not known, or its lease has run out', p_worker_id
      using errcode = 'P2P03', hint = 'beat comes first';
  end if;

  -- A batch that runs is joined without waiting for whoever opens the next.
  select r.*
  into v_batch
  from p2p.ops_batch_runs r
  where r.status = 'running';

  if not found then
    perform pg_advisory_xact_lock(hashtextextended('p2p.join_batch', 0));

    select r.*
    into v_batch
    from p2p.ops_batch_runs r
    where r.status = 'running';
  end if;

  if v_batch.batch_id is not null then
    outcome := 'joined';

    if v_worker.purpose = 'once' and v_batch.worker_id <> p_worker_id then
      select string_agg(format('%s (%s)', w.worker_id, w.doing), ', ' order by w.worker_id)
      into v_others
      from p2p.workers_at_work() w
      where w.worker_id <> p_worker_id;

      if v_others is not null then
        outcome := 'held';
        detail := v_others;
      end if;
    end if;
  else
    v_is_accounted_for := exists (select from p2p.ops_batch_runs r where r.due_at >= p_due_at)
      or exists (select from p2p.ops_skipped_batches s where s.due_at >= p_due_at);

    if not v_is_accounted_for then
      perform p2p.record_missed_batches(p_due_at, p_interval_seconds, p_worker_id);
    end if;

    if p2p.setting_switch('paused') then
      outcome := 'paused';
      detail := (
        select 'paused' || coalesce(
          ' since ' || to_char(p.paused_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"') || ' by ' || p.paused_by,
          ''
        )
        from p2p.pause_state() p
      );
    elsif v_is_accounted_for then
      outcome := 'done';
    elsif v_seconds_late > p2p.setting_number('schedule_grace_seconds')
      and exists (select from p2p.ops_batch_runs r where r.due_at is not null)
    then
      outcome := 'late';
      detail := format('%s; %s s late', p2p.why_late(p_due_at), round(v_seconds_late));
    else
      outcome := 'opened';
    end if;

    if outcome in ('paused', 'late') and p_due_at is not null and not v_is_accounted_for then
      insert into p2p.ops_skipped_batches (due_at, reason, worker_id)
      values (p_due_at, detail, p_worker_id);
    end if;
  end if;

  if outcome = 'opened' then
    insert into p2p.ops_batch_runs (batch_start_time, worker_id, due_at, fetch_until)
    values (
      -- The time of a batch is the key of its facts: no two share one, even where the clock steps back a little.
      -- Whole seconds: batches of a schedule are then exactly as far apart as it says, which costs the columnstore nothing;
      -- with milliseconds a time takes 3 bytes an offer.
      greatest(
        date_trunc('second', clock_timestamp()),
        (
          select max(r.batch_start_time) + interval '1 millisecond'
          from p2p.ops_batch_runs r
          where r.batch_start_time < clock_timestamp() + interval '1 minute'
        )
      ),
      p_worker_id,
      p_due_at,
      clock_timestamp() + make_interval(secs => p_deadline_seconds)
    )
    returning *
    into v_batch;

    v_batch.markets_expected := p2p.plan_batch(v_batch.batch_id, p_deadline_seconds);
  end if;

  if outcome in ('opened', 'joined') then
    -- Others see it at work before its next beat. Last, so that no beat waits for what came before.
    update p2p.ops_workers w
    set doing = 'fetching'
    where w.worker_id = p_worker_id
      and w.doing = 'idle';
  end if;

  batch_id := v_batch.batch_id;
  batch_start_time := v_batch.batch_start_time;
  markets_expected := v_batch.markets_expected;
  seconds_left := case
    when v_batch.batch_id is not null
    then coalesce(extract(epoch from v_batch.fetch_until - clock_timestamp()), 0)
  end;
  seconds_left := case when v_batch.loader_id is not null then least(seconds_left, 0) else seconds_left end;
  return next;
end
$function$;

comment on function p2p.join_batch(text, timestamptz, double precision, double precision) is 'What a worker is to do now: help with the batch that runs, open one, or let it be';

grant execute on function p2p.join_batch(text, timestamptz, double precision, double precision) to p2p_worker;
-- ════ functions/judge_import_pages.sql
-- What is to become of each page that an import has for the batch of p_time. Where a page was read several times, the
-- whole book counts before a filtered one, then the earliest reading: the order of lines and files does not matter.
-- problem is NULL where the page is to be stored (is_there false) or stored already (is_there true); else why it is left out.
-- Of a batch that the worker fetched, or whose pages are deleted, nothing is changed. Changes nothing.
create or replace function p2p.judge_import_pages(p_import_id uuid, p_time timestamptz)
returns table (file_number integer, line_number bigint, market_id integer, is_there boolean, problem text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with batch as materialized (
    select
      r.batch_id,
      r.batch_id is not null as is_known,
      r.status,
      r.imported_from,
      r.raw_deleted_at,
      r.ledger_deleted_at,
      case
        when r.batch_id is null
        then p2p.import_obstacle(
          p_time,
          (select max(s.batch_start_time) from p2p.stg_import_pages s where s.import_id = p_import_id)
        )
      end as obstacle
    from (values (p_time)) as asked (batch_start_time)
    left join p2p.ops_batch_runs r on r.batch_start_time = asked.batch_start_time
  ),
  readings as (
    select
      s.file_number,
      s.line_number,
      m.market_id,
      s.page_number,
      s.stored_sha256,
      row_number() over reading as place,
      first_value(s.stored_sha256) over reading as chosen_sha256,
      first_value(i.files[s.file_number] || ':' || s.line_number) over reading as chosen_line
    from p2p.stg_import_pages s
    join p2p.stg_imports i on i.import_id = s.import_id
    left join p2p.dim_fiat_currencies f on f.currency_code = s.fiat
    left join p2p.dim_cryptocurrencies c on c.symbol = s.asset
    left join p2p.dim_markets m
      on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (s.exchange_id, f.fiat_id, c.crypto_id, s.trade_type)
    where s.import_id = p_import_id
      and s.batch_start_time = p_time
    window reading as (
      partition by s.exchange_id, s.fiat, s.asset, s.trade_type, s.page_number
      order by
        s.filtered_by is not null,
        s.observed_at,
        s.stored_sha256,
        s.file_number,
        s.line_number
    )
  )
  select
    r.file_number,
    r.line_number,
    r.market_id,
    known.is_there or repeats.is_repeated,
    case
      when known.is_there or repeats.is_repeated then null
      when r.place > 1
      then format('its batch has another reading of this page, of %s', r.chosen_line)
      when page.stored_sha256 is not null
      then 'its batch has another reading of this page, stored before'
      when b.is_known and b.imported_from is null
      then format('batch %s of that very time was fetched by the worker: nothing is added to it', b.batch_id)
      when b.raw_deleted_at is not null
      then format('the pages of batch %s are deleted since: nothing can be added to it', b.batch_id)
      else b.obstacle
    end
  from readings r
  cross join batch b
  left join p2p.stg_responses page
    on page.extraction_timestamp = p_time
    and page.market_id = r.market_id
    and page.page_number = r.page_number
  cross join lateral (
    select
      coalesce(page.stored_sha256 = r.stored_sha256, false)
      -- Pages that are no longer kept were there if their market was.
      or b.raw_deleted_at is not null and (
        b.ledger_deleted_at is not null
        or exists (
          select
          from p2p.ops_batch_markets bm
          where bm.batch_id = b.batch_id
            and bm.market_id = r.market_id
            and r.page_number <= bm.pages_stored + cardinality(bm.lost_pages)
        )
      ) as is_there
  ) as known
  cross join lateral (
    select r.place > 1 and r.stored_sha256 = r.chosen_sha256 as is_repeated
  ) as repeats
$function$;

comment on function p2p.judge_import_pages(uuid, timestamptz) is 'What is to become of each page that an import has for a batch';

grant execute on function p2p.judge_import_pages(uuid, timestamptz) to p2p_worker;
-- ════ functions/known_fiats.sql
-- The fiats of an exchange that were asked for, whether their markets were read within discovery_every_hours, and how
-- many of those are active. fiat_code '*' stands for the list of all fiats. Changes nothing.
create or replace function p2p.known_fiats(p_exchange text)
returns table (fiat_code text, is_fresh boolean, active_markets bigint)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with markets as (
    select f.currency_code as fiat_code, count(*) filter (where m.is_active) as active_markets
    from p2p.dim_markets m
    join p2p.dim_exchanges e using (exchange_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    where e.code = p_exchange
    group by f.currency_code
  ),
  discoveries as (
    select d.fiat_code, d.discovered_at
    from p2p.ops_discoveries d
    join p2p.dim_exchanges e using (exchange_id)
    where e.code = p_exchange
  )
  select
    fiat_code,
    coalesce(d.discovered_at > clock_timestamp() - make_interval(secs => p2p.setting_number('discovery_every_hours')::double precision * 3600), false),
    coalesce(m.active_markets, 0)
  from discoveries d
  full join markets m using (fiat_code)
  where d.fiat_code is not null
    or m.active_markets > 0 -- a fiat that only an import knows is not asked for
$function$;

comment on function p2p.known_fiats(text) is 'Fiats seen so far (* = the list of them) and whether their markets were read lately enough (discovery_every_hours)';

grant execute on function p2p.known_fiats(text) to p2p_worker;
-- ════ functions/leave.sql
-- A worker goes: its markets are for others at once, and what it was loading is for another to load. A second call changes
-- only when it was last seen.
create or replace function p2p.leave(p_worker_id text)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  perform p2p.give_back(r.batch_id, p_worker_id, null)
  from p2p.ops_batch_runs r
  where r.status = 'running';

  update p2p.ops_workers w
  set
    doing = 'gone',
    last_seen_at = clock_timestamp(),
    lease_expires_at = clock_timestamp()
  where w.worker_id = p_worker_id;
end
$function$;

comment on function p2p.leave(text) is 'A worker goes: what it has in hand is for others at once';

grant execute on function p2p.leave(text) to p2p_worker;
-- ════ functions/live_workers.sql
-- The workers that live: markets and loads of others may be taken. Changes nothing.
create or replace function p2p.live_workers()
returns setof p2p.ops_workers
language sql
stable
rows 5
set search_path = p2p, pg_temp
as $function$
  select w.*
  from p2p.ops_workers w
  where p2p.is_alive(w.lease_expires_at, w.doing)
$function$;

comment on function p2p.live_workers() is 'Workers whose lease holds: markets in the hands of others may be taken';

grant execute on function p2p.live_workers() to p2p_worker;
-- ════ functions/load_advertisers.sql
-- Step 5 of load_batch: who advertises, and who they were before (SCD-2).
-- An identity is (nickname, merchant status, type, grade, identity, VIP level), as sent. What counts:
--   seen with another identity      the current row ends at this batch, a new one begins
--   seen with a former identity     a row of its own: A, B, A are three rows
--   not seen                        nothing: absence is not deletion
--   two identities in one batch     the one that was read last
--   a batch loaded late or again    the history becomes what it would be had all batches come in order
-- Makes pg_temp.seen_advertisers: identity and advertiser_sk of everybody in the batch. A second call changes nothing.
create or replace function p2p.load_advertisers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_now timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_is_late boolean := exists (
    select
    from p2p.ops_batch_runs
    where batch_start_time > v_now
      and status in ('completed', 'partial')
  );
begin
  create temp table seen_advertisers on commit drop as
  select distinct on (c.exchange_id, c.advertiser_id)
    c.exchange_id,
    c.advertiser_id,
    c.nickname,
    c.is_merchant,
    c.user_type,
    c.user_grade,
    c.user_identity,
    c.vip_level,
    c.registration_days,
    null::integer as advertiser_sk
  from pg_temp.chosen_offers c
  order by
    c.exchange_id,
    c.advertiser_id,
    c.observed_at desc,
    c.page_number desc,
    c.item_number desc,
    c.market_id; -- any of them, but the same each time

  create temp table changed_advertisers on commit drop as
  select
    seen.*,
    -- The plain case is a first sight, or a change after everything that is known. All else is history.
    v_is_late or coalesce(known.effective_date >= v_now, false) as changes_history
  from pg_temp.seen_advertisers seen
  left join p2p.dim_advertisers known
    on known.exchange_id = seen.exchange_id
    and known.advertiser_id = seen.advertiser_id
    and known.effective_date <= v_now
    and known.expiration_date > v_now
  where known.advertiser_sk is null
    or (known.nickname, known.is_merchant, known.user_type, known.user_grade, known.user_identity, known.vip_level)
      is distinct from
      (seen.nickname, seen.is_merchant, seen.user_type, seen.user_grade, seen.user_identity, seen.vip_level);

  -- Two statements: one that closes and opens at once would meet the old row under dim_advertisers_one_current_row.
  update p2p.dim_advertisers d
  set expiration_date = v_now
  from pg_temp.changed_advertisers changed
  where d.exchange_id = changed.exchange_id
    and d.advertiser_id = changed.advertiser_id
    and d.is_current
    and not changed.changes_history;

  insert into p2p.dim_advertisers (
    exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, effective_date
  )
  select
    exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, v_now
  from pg_temp.changed_advertisers
  where not changes_history;

  if exists (select from pg_temp.changed_advertisers where changes_history) then
    perform p2p.rewrite_advertiser_history(v_now);
  end if;

  update pg_temp.seen_advertisers seen
  set advertiser_sk = d.advertiser_sk
  from p2p.dim_advertisers d
  where d.exchange_id = seen.exchange_id
    and d.advertiser_id = seen.advertiser_id
    and d.effective_date <= v_now
    and d.expiration_date > v_now;

  analyze pg_temp.seen_advertisers;
  drop table pg_temp.changed_advertisers;
end
$function$;

comment on function p2p.load_advertisers(uuid) is 'Step of load_batch: advertisers and their former identities (SCD-2)';

grant execute on function p2p.load_advertisers(uuid) to p2p_worker;
-- ════ functions/load_batch.sql
-- Makes facts of the stored pages of a batch, in one transaction: readers see all of it or nothing. What is done is
-- rows of pipeline_steps; close_batch comes after all of them.
-- May be called again at any time: with the same pages and the same SQL it changes no row; after a function was
-- changed it brings the facts of this batch to what the new SQL makes of them.
-- Where a required step fails, a batch without facts is closed as failed, with the reason: its pages stay, and calling
-- again after the SQL was mended makes it what it should have been. Of a batch that has facts nothing is changed, and
-- the error is raised.
-- Ends the fetching, if nobody has: what is loaded is what there is.
-- Loads wait for one another; readers wait for nothing.
-- Into packed chunks of TimescaleDB a load writes as well, but slowly: it unpacks the books that it writes to, however many
-- rows of them, which TimescaleDB would refuse beyond 100,000. (Elsewhere the setting
-- means nothing, and does nothing. In the head of the function only a superuser could give it where there is no TimescaleDB.)
create or replace function p2p.load_batch(p_batch_id uuid)
returns p2p.ops_batch_runs
language plpgsql
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
as $function$
declare
  v_began timestamptz := clock_timestamp();
  v_own_tables oid[] := p2p.temporary_tables();
  v_set integer;
  v_before p2p.ops_batch_runs;
  v_steps p2p.ops_batch_steps[];
  v_failed p2p.ops_batch_steps;
begin
  perform set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
  lock table p2p.dim_advertisers in share row exclusive mode;

  select r.*
  into v_before
  from p2p.ops_batch_runs r
  where r.batch_id = p_batch_id;

  if not found then
    raise exception 'there is no batch %', p_batch_id
      using errcode = 'P2P03', hint = 'select batch_id, batch_start_time from p2p.ops_batch_runs order by 2 desc';
  end if;

  if v_before.raw_deleted_at is not null then
    raise exception 'the pages of batch % were deleted when they were old enough: it cannot be loaded again', p_batch_id
      using errcode = 'P2P03', hint = 'its facts stay as they are; raw_retention_days in p2p.settings says how long pages are kept';
  end if;

  perform p2p.make_room(v_before.batch_start_time); -- its facts may have been old enough to go, and its pages not
  perform p2p.end_fetching(p_batch_id, 'the batch was loaded before it was fetched');
  v_set := p2p.current_sql_set();
  v_steps := p2p.run_steps(p_batch_id);

  select s.*
  into v_failed
  from unnest(v_steps) as s
  where s.is_required
    and s.status = 'failed';

  if v_failed.step is null then
    perform p2p.close_batch(p_batch_id);
  elsif v_before.status in ('completed', 'partial') then
    raise exception 'step % failed: %', v_failed.step, v_failed.error
      using
        errcode = 'P2P03',
        detail = v_failed.error_context,
        hint = 'the facts of the batch are as they were; mend the function and load again';
  else
    perform p2p.fail_batch(p_batch_id, format('step %s failed: %s', v_failed.step, v_failed.error));
  end if;

  perform p2p.record_load(v_before, v_steps, v_began, v_set);
  perform p2p.drop_temporary_tables(v_own_tables);
  return (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
end
$function$;

comment on function p2p.load_batch(uuid) is 'Makes facts of the stored pages of a batch; safe to call again';

grant execute on function p2p.load_batch(uuid) to p2p_worker;
-- ════ functions/load_depth.sql
-- Step 7 of load_batch: each book that was fetched, in one row. A book that is empty has a row with 0 offers.
-- A second call changes no row unless the offers changed.
create or replace function p2p.load_depth(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_now timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
begin
  delete from p2p.fact_market_depth d
  where d.extraction_timestamp = v_now
    and not exists (
      select
      from p2p.ops_batch_markets bm
      join p2p.dim_markets m on m.market_id = bm.market_id
      where bm.batch_id = p_batch_id
        and bm.status in ('complete', 'incomplete')
        and (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type)
          = (d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type)
    );

  insert into p2p.fact_market_depth as d (
    extraction_timestamp, batch_id, exchange_id, crypto_id, fiat_id, trade_type, is_complete, total_offers_count,
    total_available_volume, weighted_avg_price, median_price, min_price, max_price, price_std_dev, top10_total_volume,
    top10_avg_price, best_bid, best_ask, spread_absolute, spread_percentage
  )
  with ranked as (
    select
      f.exchange_id,
      f.crypto_id,
      f.fiat_id,
      f.trade_type,
      f.price,
      f.available_amount,
      row_number() over (
        partition by f.exchange_id, f.crypto_id, f.fiat_id, f.trade_type
        order by case f.trade_type when 'BUY' then f.price else -f.price end, f.available_amount desc, f.offer_id
      ) as rank_for_taker,
      count(*) over (partition by f.exchange_id, f.crypto_id, f.fiat_id, f.trade_type) as offers
    from p2p.fact_offers f
    where f.extraction_timestamp = v_now
  ),
  books as (
    select
      r.exchange_id,
      r.crypto_id,
      r.fiat_id,
      r.trade_type,
      count(*)::integer as offers,
      sum(r.available_amount) as volume,
      sum(r.price * r.available_amount) / nullif(sum(r.available_amount), 0) as weighted_avg_price,
      avg(r.price) filter (where r.rank_for_taker in ((r.offers + 1) / 2, (r.offers + 2) / 2)) as median_price,
      min(r.price) as min_price,
      max(r.price) as max_price,
      stddev_pop(r.price) as price_std_dev,
      sum(r.available_amount) filter (where r.rank_for_taker <= 10) as top10_total_volume,
      avg(r.price) filter (where r.rank_for_taker <= 10) as top10_avg_price
    from ranked r
    group by r.exchange_id, r.crypto_id, r.fiat_id, r.trade_type
  ),
  best_prices as (
    select
      b.exchange_id,
      b.crypto_id,
      b.fiat_id,
      max(b.max_price) filter (where b.trade_type = 'SELL') as best_bid,
      min(b.min_price) filter (where b.trade_type = 'BUY') as best_ask
    from books b
    group by b.exchange_id, b.crypto_id, b.fiat_id
  )
  select
    v_now,
    p_batch_id,
    m.exchange_id,
    m.crypto_id,
    m.fiat_id,
    m.trade_type,
    bm.status = 'complete',
    coalesce(b.offers, 0),
    coalesce(b.volume, 0),
    b.weighted_avg_price,
    b.median_price,
    b.min_price,
    b.max_price,
    b.price_std_dev,
    b.top10_total_volume,
    b.top10_avg_price,
    best.best_bid,
    best.best_ask,
    best.best_ask - best.best_bid,
    (best.best_ask - best.best_bid) * 200 / (best.best_ask + best.best_bid)
  from p2p.ops_batch_markets bm
  join p2p.dim_markets m on m.market_id = bm.market_id
  left join books b using (exchange_id, crypto_id, fiat_id, trade_type)
  left join best_prices best using (exchange_id, crypto_id, fiat_id)
  where bm.batch_id = p_batch_id
    and bm.status in ('complete', 'incomplete')
  on conflict (exchange_id, fiat_id, crypto_id, trade_type, extraction_timestamp) do update
  set
    is_complete = excluded.is_complete,
    total_offers_count = excluded.total_offers_count,
    total_available_volume = excluded.total_available_volume,
    weighted_avg_price = excluded.weighted_avg_price,
    median_price = excluded.median_price,
    min_price = excluded.min_price,
    max_price = excluded.max_price,
    price_std_dev = excluded.price_std_dev,
    top10_total_volume = excluded.top10_total_volume,
    top10_avg_price = excluded.top10_avg_price,
    best_bid = excluded.best_bid,
    best_ask = excluded.best_ask,
    spread_absolute = excluded.spread_absolute,
    spread_percentage = excluded.spread_percentage
  where row(
      d.is_complete, d.total_offers_count, d.total_available_volume, d.weighted_avg_price, d.median_price, d.min_price,
      d.max_price, d.price_std_dev, d.top10_total_volume, d.top10_avg_price, d.best_bid, d.best_ask
    )::text is distinct from row(
      excluded.is_complete, excluded.total_offers_count, excluded.total_available_volume, excluded.weighted_avg_price,
      excluded.median_price, excluded.min_price, excluded.max_price, excluded.price_std_dev,
      excluded.top10_total_volume, excluded.top10_avg_price, excluded.best_bid, excluded.best_ask
    )::text; -- as text: 461.50 equals 461.5, and is not the same
end
$function$;

comment on function p2p.load_depth(uuid) is 'Step of load_batch: depth, best prices and spread of each book';

grant execute on function p2p.load_depth(uuid) to p2p_worker;
-- ════ functions/load_dimensions.sql
-- Step 4 of load_batch: payment methods, their lists and the numbers of ads that are new. Adds rows, and fills in
-- names that were missing; a second call adds nothing.
-- Makes pg_temp.payment_lists: what each list of the pages is called in dim_payment_sets,
-- and pg_temp.offer_numbers: what each ad is called in dim_offers.
create or replace function p2p.load_dimensions(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table payment_lists on commit drop as
  select
    c.exchange_id,
    c.payment_methods,
    null::integer as payment_set_id,
    '{}'::integer[] as payment_method_ids
  from pg_temp.chosen_offers c
  group by c.exchange_id, c.payment_methods;

  analyze pg_temp.payment_lists;

  insert into p2p.dim_payment_methods as m (exchange_id, method_code, method_name)
  select
    l.exchange_id,
    left(method.value ->> 0, 200),
    max(method.value ->> 1)
  from pg_temp.payment_lists l
  cross join jsonb_array_elements(l.payment_methods) as method
  group by 1, 2
  on conflict (exchange_id, method_code) do update
  set method_name = excluded.method_name
  where m.method_name is null
    and excluded.method_name is not null;

  update pg_temp.payment_lists l
  set payment_method_ids = coalesce(known.payment_method_ids, '{}')
  from (
    select
      list.exchange_id,
      list.payment_methods,
      array_agg(m.payment_method_id order by method.position) filter (where m.payment_method_id is not null)
        as payment_method_ids
    from pg_temp.payment_lists list
    left join jsonb_array_elements(list.payment_methods) with ordinality as method (value, position) on true
    left join p2p.dim_payment_methods m
      on m.exchange_id = list.exchange_id
      and m.method_code = left(method.value ->> 0, 200)
    group by list.exchange_id, list.payment_methods
  ) as known
  where (l.exchange_id, l.payment_methods) = (known.exchange_id, known.payment_methods);

  insert into p2p.dim_payment_sets (payment_method_ids)
  select distinct l.payment_method_ids
  from pg_temp.payment_lists l
  where not exists (
    select
    from p2p.dim_payment_sets s
    where s.payment_method_ids = l.payment_method_ids
  );

  update pg_temp.payment_lists l
  set payment_set_id = s.payment_set_id
  from p2p.dim_payment_sets s
  where s.payment_method_ids = l.payment_method_ids;

  analyze pg_temp.payment_lists;

  insert into p2p.dim_offers (exchange_id, offer_external_id, first_seen_at)
  select c.exchange_id, c.offer_external_id, r.batch_start_time
  from pg_temp.chosen_offers c
  join p2p.ops_batch_runs r on r.batch_id = p_batch_id
  where not exists (
    select
    from p2p.dim_offers o
    where o.exchange_id = c.exchange_id
      and o.offer_external_id = c.offer_external_id
  );

  create temp table offer_numbers on commit drop as
  select o.exchange_id, o.offer_external_id, o.offer_id
  from pg_temp.chosen_offers c
  join p2p.dim_offers o using (exchange_id, offer_external_id);

  analyze pg_temp.offer_numbers;
end
$function$;

comment on function p2p.load_dimensions(uuid) is 'Step of load_batch: payment methods, their lists, numbers of new ads';

grant execute on function p2p.load_dimensions(uuid) to p2p_worker;
-- ════ functions/load_offers.sql
-- Step 6 of load_batch: the snapshot itself. Afterwards fact_offers holds for this batch what was chosen, nothing else;
-- rows that are there already and stay the same are not touched.
create or replace function p2p.load_offers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_deleted integer := 0;
  v_written integer;
begin
  -- Looked for before it is deleted: from a packed chunk a delete would first unpack the whole day, for nothing.
  if exists (
    select
    from p2p.fact_offers f
    where f.extraction_timestamp = v_batch.batch_start_time
      and not exists (
        select
        from pg_temp.offer_numbers o
        where o.offer_id = f.offer_id
      )
  ) then
    delete from p2p.fact_offers f
    where f.extraction_timestamp = v_batch.batch_start_time
      and not exists (
        select
        from pg_temp.offer_numbers o
        where o.offer_id = f.offer_id
      );
    get diagnostics v_deleted = row_count;
  end if;

  -- observed_at to the minute: exact times are as good as random to the columnstore, 4 bytes an offer. The page has them.
  insert into p2p.fact_offers as f (
    extraction_timestamp, offer_id, observed_at, batch_id, advertiser_sk, payment_set_id, total_orders_count,
    payment_time_limit_minutes, exchange_id, crypto_id, fiat_id, page_number, is_promoted, is_available, trade_type,
    offer_external_id, price, available_amount, tradable_quantity, min_limit, max_limit, completion_rate,
    positive_rate, price_float_rate, terms_conditions
  )
  select
    v_batch.batch_start_time, o.offer_id, date_trunc('minute', c.observed_at, 'UTC'), p_batch_id, a.advertiser_sk, l.payment_set_id,
    c.total_orders_count, c.payment_time_limit_minutes, c.exchange_id, c.crypto_id, c.fiat_id, c.page_number,
    c.was_promoted, c.is_available, c.trade_type, c.offer_external_id, c.price, c.available_amount,
    c.tradable_quantity, c.min_limit, c.max_limit, c.completion_rate, c.positive_rate, c.price_float_rate,
    c.terms_conditions
  from pg_temp.chosen_offers c
  join pg_temp.offer_numbers o
    on o.exchange_id = c.exchange_id
    and o.offer_external_id = c.offer_external_id
  join pg_temp.seen_advertisers a
    on a.exchange_id = c.exchange_id
    and a.advertiser_id = c.advertiser_id
  join pg_temp.payment_lists l
    on l.exchange_id = c.exchange_id
    and l.payment_methods = c.payment_methods
  order by c.fiat_id, c.crypto_id, c.trade_type, o.offer_id
  on conflict (extraction_timestamp, offer_id) do update
  set
    observed_at = excluded.observed_at,
    advertiser_sk = excluded.advertiser_sk,
    payment_set_id = excluded.payment_set_id,
    total_orders_count = excluded.total_orders_count,
    payment_time_limit_minutes = excluded.payment_time_limit_minutes,
    crypto_id = excluded.crypto_id,
    fiat_id = excluded.fiat_id,
    page_number = excluded.page_number,
    is_promoted = excluded.is_promoted,
    is_available = excluded.is_available,
    trade_type = excluded.trade_type,
    price = excluded.price,
    available_amount = excluded.available_amount,
    tradable_quantity = excluded.tradable_quantity,
    min_limit = excluded.min_limit,
    max_limit = excluded.max_limit,
    completion_rate = excluded.completion_rate,
    positive_rate = excluded.positive_rate,
    price_float_rate = excluded.price_float_rate,
    terms_conditions = excluded.terms_conditions
  where (f.*)::text is distinct from (excluded.*)::text; -- as text: 461.50 equals 461.5, and is not the same
  get diagnostics v_written = row_count;

  -- What was written to a batch that had been loaded before is a change of it.
  if v_batch.status in ('completed', 'partial') and v_deleted + v_written > 0 then
    update p2p.ops_batch_runs
    set total_offers_updated = total_offers_updated + v_deleted + v_written
    where batch_id = p_batch_id;
  end if;
end
$function$;

comment on function p2p.load_offers(uuid) is 'Step of load_batch: writes the snapshot into fact_offers';

grant execute on function p2p.load_offers(uuid) to p2p_worker;
-- ════ functions/lock_queue.sql
-- Holds the work queue of a batch until the transaction ends: store_page and record_lost_page share it, whoever changes
-- several markets at once (give_back, end_fetching) has it alone. So no two of them wait for each other's rows in
-- different order. Whoever locks the row of the batch as well does that first. Changes nothing.
create or replace function p2p.lock_queue(p_batch_id uuid, p_alone boolean)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  if p_alone then
    perform pg_advisory_xact_lock(hashtextextended('p2p.queue ' || p_batch_id, 0));
  else
    perform pg_advisory_xact_lock_shared(hashtextextended('p2p.queue ' || p_batch_id, 0));
  end if;
end
$function$;

comment on function p2p.lock_queue(uuid, boolean) is 'Holds the work queue of a batch, shared or alone, until the transaction ends';

grant execute on function p2p.lock_queue(uuid, boolean) to p2p_worker;
-- ════ functions/log_change.sql
-- Trigger of tables whose rows steer the SQL: writes each change into change_log, with who made it. Expects a key
-- column `name`. An update that changes nothing is no change.
-- Runs with the rights of its owner: whoever may update a setting must not need the right to write the log.
create or replace function p2p.log_change()
returns trigger
language plpgsql
security definer
set search_path = p2p, pg_temp
as $function$
declare
  v_old jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  v_new jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
begin
  -- As text: jsonb takes 0.10 and 0.1 for equal.
  if v_old::text is distinct from v_new::text then
    insert into p2p.change_log (table_name, row_key, old_row, new_row)
    values (tg_table_name, coalesce(v_old, v_new) ->> 'name', v_old, v_new);
  end if;

  return null;
end
$function$;

comment on function p2p.log_change() is 'Trigger: keeps who changed a row, when, and how it was';

revoke execute on function p2p.log_change() from public;

create or replace trigger log_change
after insert or update or delete on p2p.settings
for each row execute function p2p.log_change();

create or replace trigger log_change
after insert or update or delete on p2p.pipeline_steps
for each row execute function p2p.log_change();

create or replace trigger log_change
after insert or update or delete on p2p.quality_rules
for each row execute function p2p.log_change();
-- ════ functions/make_room.sql
-- Makes the partitions that a batch of this time needs, past or to come: one of each table of partitioned_tables that
-- is partitioned. Returns how many it made; a second call makes none. Readers and writers go on meanwhile: a table of
-- its own that is attached takes a weaker lock than `partition of`. A statement that itself reads or writes one of the
-- tables cannot make room in it.
-- A step of which another partition holds a part (the heap of release 0.2.0) gets one for the rest.
-- Runs with the rights of its owner, who alone may create tables.
create or replace function p2p.make_room(p_at timestamptz)
returns integer
language plpgsql
security definer
set search_path = p2p, pg_temp
set timezone = 'UTC'
as $function$
declare
  v_missing record;
  v_made integer := 0;
begin
  for v_attempt in 1..2 loop
    for v_missing in
      with wanted as (
        select
          t.table_name,
          t.step,
          date_trunc(t.step, p_at) as step_begins,
          format('%s_%s', t.table_name, to_char(p_at, case t.step when 'day' then 'YYYYMMDD' else 'YYYYMM' end)) as partition_name
        from p2p.partitioned_tables t
        join pg_class c on c.oid = to_regclass(format('p2p.%I', t.table_name))
        where c.relkind = 'p'
      ),
      missing as (
        select w.*
        from wanted w
        where case
          -- Reading the bounds of 400 partitions takes 30 ms, and is done only where none has the name.
          when exists (
            select
            from pg_class c
            where c.relnamespace = 'p2p_partitions'::regnamespace
              and c.relname = w.partition_name
              and c.relispartition
          ) then false
          else not exists (
            select
            from p2p.partitions p
            where p.table_name = w.table_name
              and p.starts_at <= p_at
              and p.ends_at > p_at
          )
        end
      )
      select
        m.table_name,
        m.partition_name,
        greatest(m.step_begins, max(p.ends_at) filter (where p.ends_at <= p_at)) as starts_at,
        least(m.step_begins + ('1 ' || m.step)::interval, min(p.starts_at) filter (where p.starts_at > p_at)) as ends_at
      from missing m
      left join p2p.partitions p on p.table_name = m.table_name
      group by m.table_name, m.step, m.step_begins, m.partition_name
      order by m.table_name
    loop
      -- Whoever was first has made them when we have the lock, so that they are looked for again.
      if v_attempt = 1 then
        perform pg_advisory_xact_lock(hashtextextended('p2p.make_room', 0));
        exit;
      end if;

      if to_regclass(format('p2p_partitions.%I', v_missing.partition_name)) is not null then
        raise exception 'there is a table p2p_partitions.%, but it is no partition of p2p.%',
          v_missing.partition_name, v_missing.table_name
          using errcode = 'P2P01', hint = 'attach it again, or give it another name';
      end if;

      execute format(
        'create table p2p_partitions.%I (like p2p.%I including all excluding indexes excluding comments)',
        v_missing.partition_name,
        v_missing.table_name
      );
      execute format(
        'alter table p2p.%I attach partition p2p_partitions.%I for values from (%L) to (%L)',
        v_missing.table_name,
        v_missing.partition_name,
        v_missing.starts_at,
        v_missing.ends_at
      );
      v_made := v_made + 1;
    end loop;
  end loop;

  return v_made;
end
$function$;

comment on function p2p.make_room(timestamptz) is 'Makes the partitions that a batch of this time needs';

grant execute on function p2p.make_room(timestamptz) to p2p_worker;
-- ════ functions/make_room_for_batch.sql
-- Trigger of ops_batch_runs: a batch, whatever its time, finds partitions for its pages and facts.
create or replace function p2p.make_room_for_batch()
returns trigger
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  perform p2p.make_room(new.batch_start_time);
  return null;
end
$function$;

comment on function p2p.make_room_for_batch() is 'Trigger: makes the partitions that a batch needs';

revoke execute on function p2p.make_room_for_batch() from public;

create or replace trigger make_room_for_batch
after insert or update of batch_start_time on p2p.ops_batch_runs
for each row execute function p2p.make_room_for_batch();
-- ════ functions/market_patterns.sql
-- What each live worker fetches, one row a pattern of its filter; * stands for all. With a worker, its own alone.
-- Changes nothing.
create or replace function p2p.market_patterns(p_worker_id text default null)
returns table (worker_id text, exchange_id smallint, fiat text, asset text)
language sql
stable
rows 10
set search_path = p2p, pg_temp
as $function$
  select
    w.worker_id,
    we.exchange_id,
    pattern.fiat,
    pattern.asset
  from p2p.live_workers() w
  join p2p.ops_worker_exchanges we using (worker_id)
  cross join jsonb_to_recordset(we.market_filter) as pattern (fiat text, asset text)
  where p_worker_id is null
    or w.worker_id = p_worker_id
$function$;

comment on function p2p.market_patterns(text) is 'What each live worker fetches: fiats and assets of its exchanges';

grant execute on function p2p.market_patterns(text) to p2p_worker;
-- ════ functions/note_visits.sql
-- Part of finish_market and end_fetching: keeps for plan_batch what became of markets of a batch that were just ended.
-- A market that failed, or was deferred, keeps what its last visit found.
-- Changes ops_market_visits; a second call changes no value.
create or replace function p2p.note_visits(p_batch_id uuid, p_market_ids integer[])
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  insert into p2p.ops_market_visits (market_id, visited_at, pages, offers, empty_since, waiting_since)
  select
    bm.market_id,
    case when visit.has_pages then r.batch_start_time else v.visited_at end,
    case
      when bm.status = 'complete' then bm.pages_stored + cardinality(bm.lost_pages)
      else greatest(v.pages, bm.pages_stored + cardinality(bm.lost_pages), 1)
    end,
    case when visit.has_pages then bm.offers_reported else v.offers end,
    case
      when not visit.has_pages then v.empty_since
      when bm.status = 'complete' and bm.offers_reported = 0 then coalesce(v.empty_since, r.batch_start_time)
    end,
    case when bm.status = 'deferred' then coalesce(v.waiting_since, r.batch_start_time) end
  from p2p.ops_batch_markets bm
  join p2p.ops_batch_runs r using (batch_id)
  left join p2p.ops_market_visits v using (market_id)
  cross join lateral (
    select bm.status in ('complete', 'incomplete') as has_pages
  ) as visit
  where bm.batch_id = p_batch_id
    and bm.market_id = any (p_market_ids)
  on conflict (market_id) do update
  set
    visited_at = excluded.visited_at,
    pages = excluded.pages,
    offers = excluded.offers,
    empty_since = excluded.empty_since,
    waiting_since = excluded.waiting_since
$function$;

comment on function p2p.note_visits(uuid, integer[]) is 'Part of finish_market and end_fetching: keeps what plan_batch goes by';

grant execute on function p2p.note_visits(uuid, integer[]) to p2p_worker;
-- ════ functions/page_access.sql
-- Rate, ceiling, breaker and refusals of each worker at each exchange over so many hours up to now: for the status page,
-- in 145 parts at most. A part has the average rate, the worst breaker and all refusals. Changes nothing; reads what a reader
-- may.
create or replace function p2p.page_access(p_hours integer)
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with parts as (
    select
      h.worker,
      h.exchange,
      date_bin(make_interval(secs => p_hours * 25), h.noted_at, 'epoch') as at,
      round(avg(h.rate)) as rate,
      max(h.ceiling) as ceiling,
      -- open, half_open, closed: the last letter of the alphabet is the worst.
      max(h.breaker) filter (where h.breaker <> 'closed') as shut,
      sum(h.requests) as requests,
      sum(h.refused) as refused
    from p2p.access_history h
    where h.noted_at > now() - make_interval(hours => p_hours)
    group by h.worker, h.exchange, at
  ),
  series as (
    select
      p.worker,
      p.exchange,
      json_agg(extract(epoch from p.at) order by p.at) as at,
      json_agg(p.rate order by p.at) as rate,
      json_agg(p.ceiling order by p.at) as ceiling,
      json_agg(coalesce(p.shut, 'closed') order by p.at) as breaker,
      json_agg(p.requests order by p.at) as requests,
      json_agg(p.refused order by p.at) as refused
    from parts p
    group by p.worker, p.exchange
    order by p.worker, p.exchange
    limit 40
  )
  select coalesce(json_agg(to_json(s) order by s.worker, s.exchange), '[]')
  from series s
$function$;

comment on function p2p.page_access(integer) is 'Rate and breaker over time, of the status page';

grant execute on function p2p.page_access(integer) to p2p_reader, p2p_worker;
-- ════ functions/page_batches.sql
-- Batches, and due times without one, of so many hours up to the newest: for the status page, oldest first, at most 300.
-- Changes nothing; reads what a reader may.
create or replace function p2p.page_batches(p_hours integer)
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with newest as (
    select max(o.batch_start_time) as batch_start_time
    from p2p.batch_overview o
  ),
  batches as (
    select
      o.batch_start_time as at,
      o.status,
      o.markets_completed as complete,
      o.markets_expected as planned,
      o.offers,
      o.rejected,
      round(o.seconds, 1) as seconds,
      o.failed_checks,
      left(o.error_summary, 200) as why
    from newest n
    join p2p.batch_overview o
      on o.batch_start_time > n.batch_start_time - make_interval(hours => p_hours)
      and o.batch_start_time <= n.batch_start_time
      and o.status <> 'running'
    union all
    select s.due_at, s.outcome, 0, 0, 0, 0, 0, 0, s.why
    from newest n
    join p2p.schedule s
      on s.due_at > n.batch_start_time - make_interval(hours => p_hours)
      and s.outcome = 'skipped'
    order by 1 desc
    limit 300
  )
  select coalesce(
    json_agg(
      json_build_object(
        'start', extract(epoch from b.at),
        'status', b.status,
        'complete', b.complete,
        'planned', b.planned,
        'offers', b.offers,
        'rejected', b.rejected,
        'seconds', b.seconds,
        'failed_checks', b.failed_checks,
        'why', b.why
      )
      order by b.at
    ),
    '[]'
  )
  from batches b
$function$;

comment on function p2p.page_batches(integer) is 'Batches of the status page';

grant execute on function p2p.page_batches(integer) to p2p_reader, p2p_worker;
-- ════ functions/page_coverage.sql
-- What became of each market in the batches after p_after, oldest first, at most p_batches: for the status page, which
-- keeps what it has got, since a batch that has ended stays as it is. For each batch the numbers of its markets in order,
-- and a letter for each: c whole, p partly, f failed, d deferred, n not due, u under way.
-- Changes nothing; reads what a reader may.
create or replace function p2p.page_coverage(p_after timestamptz, p_batches integer)
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with batches as (
    select o.batch_start_time
    from p2p.batch_overview o
    where o.status <> 'running'
      and o.batch_start_time > p_after
    order by o.batch_start_time
    limit p_batches
  )
  select coalesce(
    json_agg(
      json_build_object(
        'start', extract(epoch from b.batch_start_time),
        'markets', coalesce(markets.ids, '[]'),
        'states', coalesce(markets.states, '')
      )
      order by b.batch_start_time
    ),
    '[]'
  )
  from batches b
  cross join lateral (
    select
      json_agg(bm.market_id order by bm.market_id) as ids,
      string_agg(
        case bm.status
          when 'complete' then 'c'
          when 'incomplete' then 'p'
          when 'failed' then 'f'
          when 'deferred' then 'd'
          when 'not_due' then 'n'
          else 'u'
        end,
        '' order by bm.market_id
      ) as states
    from p2p.batch_markets bm
    where bm.batch_start_time = b.batch_start_time
  ) as markets
$function$;

comment on function p2p.page_coverage(timestamptz, integer) is 'Markets by batch, of the status page';

grant execute on function p2p.page_coverage(timestamptz, integer) to p2p_reader, p2p_worker;
-- ════ functions/page_market.sql
-- One pair of an exchange for the status page: best prices over so many hours up to its newest book, in 360 parts at most
-- (of each part the last book), and both sides of the newest book: levels with their cumulated volume, and the ten best
-- offers. NULL where there is no such market. Prices that are read are text, those that are drawn are numbers.
-- Changes nothing; reads what a reader may.
create or replace function p2p.page_market(p_exchange text, p_fiat text, p_asset text, p_hours integer)
returns json
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_exchange_id constant smallint := (select e.exchange_id from p2p.dim_exchanges e where e.code = p_exchange);
  v_fiat_id constant smallint := (select f.fiat_id from p2p.dim_fiat_currencies f where f.currency_code = p_fiat);
  v_crypto_id constant smallint := (select c.crypto_id from p2p.dim_cryptocurrencies c where c.symbol = p_asset);
  v_newest_buy timestamptz;
  v_newest_sell timestamptz;
  v_newest timestamptz;
  v_history json;
  v_sides json;
begin
  if not exists (
    select
    from p2p.dim_markets m
    where m.exchange_id = v_exchange_id
      and m.fiat_id = v_fiat_id
      and m.crypto_id = v_crypto_id
  ) then
    return null;
  end if;

  select max(side.newest) filter (where side.trade_type = 'BUY'), max(side.newest) filter (where side.trade_type = 'SELL')
  into v_newest_buy, v_newest_sell
  from (
    values ('BUY'), ('SELL')
  ) as asked (trade_type)
  cross join lateral (
    select d.trade_type, d.extraction_timestamp as newest
    from p2p.fact_market_depth d
    where d.exchange_id = v_exchange_id
      and d.fiat_id = v_fiat_id
      and d.crypto_id = v_crypto_id
      and d.trade_type = asked.trade_type
    order by d.extraction_timestamp desc
    limit 1
  ) as side;

  v_newest := greatest(v_newest_buy, v_newest_sell);

  with books as (
    select
      d.extraction_timestamp as at,
      max(d.best_bid) as bid,
      max(d.best_ask) as ask
    from p2p.fact_market_depth d
    where d.exchange_id = v_exchange_id
      and d.fiat_id = v_fiat_id
      and d.crypto_id = v_crypto_id
      and d.extraction_timestamp > v_newest - make_interval(hours => p_hours)
      and d.extraction_timestamp <= v_newest
    group by d.extraction_timestamp
  ),
  parts as (
    select distinct on (date_bin(make_interval(secs => p_hours * 10), b.at, 'epoch'))
      b.at,
      b.bid,
      b.ask,
      round(200 * (b.ask - b.bid) / nullif(b.ask + b.bid, 0), 3) as spread
    from books b
    order by date_bin(make_interval(secs => p_hours * 10), b.at, 'epoch'), b.at desc
  )
  select json_build_object(
    'at', coalesce(json_agg(extract(epoch from p.at) order by p.at), '[]'),
    'bid', coalesce(json_agg(p.bid order by p.at), '[]'),
    'ask', coalesce(json_agg(p.ask order by p.at), '[]'),
    'spread', coalesce(json_agg(p.spread order by p.at), '[]')
  )
  into v_history
  from parts p;

  with offers as (
    select o.*
    from p2p.fact_offers o
    where o.exchange_id = v_exchange_id
      and o.fiat_id = v_fiat_id
      and o.crypto_id = v_crypto_id
      and o.trade_type = 'BUY'
      and o.extraction_timestamp = v_newest_buy
    union all
    select o.*
    from p2p.fact_offers o
    where o.exchange_id = v_exchange_id
      and o.fiat_id = v_fiat_id
      and o.crypto_id = v_crypto_id
      and o.trade_type = 'SELL'
      and o.extraction_timestamp = v_newest_sell
  ),
  -- How far from the best price for the taker: low is best to buy, high to sell.
  ranked as (
    select
      o.*,
      case o.trade_type when 'BUY' then o.price else -o.price end as distance
    from offers o
  ),
  best as (
    select r.*, row_number() over (partition by r.trade_type order by r.distance, r.offer_id) as place
    from ranked r
  ),
  best_offers as (
    select
      b.trade_type,
      json_agg(
        json_build_object(
          'price', b.price::text,
          'amount', b.available_amount::text,
          'least', b.min_limit::text,
          'most', b.max_limit::text,
          'advertiser', a.nickname,
          'is_merchant', a.is_merchant,
          'orders', b.total_orders_count,
          'completion', b.completion_rate,
          'methods', methods.names
        )
        order by b.place
      ) as offers
    from best b
    left join p2p.dim_advertisers a using (advertiser_sk)
    left join p2p.dim_payment_sets s using (payment_set_id)
    cross join lateral (
      select array_agg(coalesce(pm.method_name, pm.method_code) order by l.place) as names
      from unnest(s.payment_method_ids[1:6]) with ordinality as l (payment_method_id, place)
      join p2p.dim_payment_methods pm using (payment_method_id)
    ) as methods
    where b.place <= 10
    group by b.trade_type
  ),
  levels as (
    select
      r.trade_type,
      r.distance,
      min(r.price) as price,
      sum(sum(r.available_amount)) over (partition by r.trade_type order by r.distance) as volume,
      count(*) as offers,
      row_number() over (partition by r.trade_type order by r.distance) as place
    from ranked r
    group by r.trade_type, r.distance
  ),
  side_levels as (
    select
      l.trade_type,
      json_agg(l.price order by l.place) filter (where l.place <= 2000) as price,
      json_agg(l.volume order by l.place) filter (where l.place <= 2000) as volume,
      sum(l.offers) as offers
    from levels l
    group by l.trade_type
  )
  select json_object_agg(
    asked.side,
    json_build_object(
      'at', extract(epoch from asked.newest),
      'price', coalesce(l.price, '[]'),
      'volume', coalesce(l.volume, '[]'),
      'total', coalesce(l.offers, 0),
      'offers', coalesce(b.offers, '[]')
    )
  )
  into v_sides
  from (
    values ('asks', 'BUY', v_newest_buy), ('bids', 'SELL', v_newest_sell)
  ) as asked (side, trade_type, newest)
  left join side_levels l using (trade_type)
  left join best_offers b using (trade_type);

  return json_build_object(
    'exchange', p_exchange,
    'fiat', p_fiat,
    'asset', p_asset,
    'hours', p_hours,
    'history', v_history,
    'book', v_sides
  );
end
$function$;

comment on function p2p.page_market(text, text, text, integer) is 'One pair, of the status page';

grant execute on function p2p.page_market(text, text, text, integer) to p2p_reader, p2p_worker;
-- ════ functions/page_markets.sql
-- Every market as [number, exchange, fiat, asset, side]: for the status page. Changes nothing; reads what a reader may.
create or replace function p2p.page_markets()
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select coalesce(
    json_agg(
      json_build_array(m.market_id, e.code, f.currency_code, c.symbol, m.trade_type)
      order by e.code, f.currency_code, c.symbol, m.trade_type
    ),
    '[]'
  )
  from p2p.dim_markets m
  join p2p.dim_exchanges e using (exchange_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
$function$;

comment on function p2p.page_markets() is 'Markets of the status page';

grant execute on function p2p.page_markets() to p2p_reader, p2p_worker;
-- ════ functions/page_overview.sql
-- What the status page shows at its top, as one document: state, running batch, workers, rules. Times are seconds since
-- 1970; how old they are is the reader's to say, so that nothing changes in it where nothing has happened.
-- Expects the interval of the schedule, by which late is told from in time. Changes nothing; reads what a reader may.
create or replace function p2p.page_overview(p_interval_minutes integer)
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with last_batch as (
    select o.*
    from p2p.batch_overview o
    where o.status <> 'running'
    order by o.batch_start_time desc
    limit 1
  ),
  last_good as (
    select o.batch_start_time, o.batch_end_time
    from p2p.batch_overview o
    where o.status in ('completed', 'partial')
    order by o.batch_start_time desc
    limit 1
  ),
  running as (
    select o.batch_start_time, o.fetch_until, o.loader_id, o.markets_expected
    from p2p.batch_overview o
    where o.status = 'running'
  ),
  running_markets as (
    select
      bm.worker,
      bm.status,
      count(*) as markets,
      count(*) filter (where bm.is_over) as ended,
      coalesce(sum(bm.pages_stored), 0) as pages,
      -- An exchange puts 20 offers on a page.
      coalesce(sum(least(bm.offers_reported, bm.pages_stored * 20)), 0) as offers
    from running
    join p2p.batch_markets bm using (batch_start_time)
    where bm.status <> 'not_due'
    group by bm.worker, bm.status
  ),
  present as (
    select w.*
    from p2p.workers w
    where w.alive
      or w.doing <> 'gone'
      and w.seen < interval '1 hour'
    limit 100
  ),
  shut as (
    select w.worker, w.exchange, last_note.noted_at, last_note.why
    from present w
    left join lateral (
      select h.noted_at, h.why
      from p2p.access_history h
      where h.exchange = w.exchange
        and h.breaker = w.breaker
        and starts_with(w.worker, h.worker)
        and h.noted_at > now() - interval '1 day'
      order by h.noted_at desc
      limit 1
    ) as last_note on true
    where w.alive
      and w.breaker <> 'closed'
  ),
  rules as (
    select *
    from p2p.rule_results
    where is_enabled
  ),
  paused as (
    select c.changed_at, c.changed_by
    from p2p.current_settings s
    left join lateral (
      select c.changed_at, c.changed_by
      from p2p.setting_changes c
      where c.table_name = 'settings'
        and c.row_key = 'paused'
        and c.change like '%→ on%'
      limit 1
    ) as c on true
    where s.name = 'paused'
      and s.value = 'on'
  ),
  last_due as (
    select s.due_at, s.outcome, s.why
    from p2p.schedule s
    limit 1
  ),
  open_incidents as (
    select i.kind, i.subject, i.since, i.message
    from p2p.incidents i
    where i.state = 'open'
    limit 20
  ),
  problems (place, level, text, since) as (
    select 1, 'bad', 'No batch has come for longer than three intervals', g.batch_end_time
    from last_good g
    where g.batch_end_time < clock_timestamp() - 3 * make_interval(mins => p_interval_minutes)
      and not exists (select from paused)
    union all
    select
      2,
      'bad',
      'The last batch failed' || coalesce(': ' || left(b.error_summary, 300), ''),
      b.batch_end_time
    from last_batch b
    where b.status = 'failed'
    union all
    select
      3,
      'bad',
      format('%s is not asked (%s): %s', s.exchange, s.worker, coalesce(s.why, 'it failed again and again')),
      s.noted_at
    from shut s
    union all
    select
      case when bool_or(r.result <> 'warning') then 4 else 5 end,
      case when bool_or(r.result <> 'warning') then 'bad' else 'warn' end,
      'Quality: ' || string_agg(format('%s (%s)', r.rule, r.result), ', ' order by r.result, r.rule),
      max(r.checked_at)
    from rules r
    where r.result <> 'ok'
    having count(*) > 0
    union all
    select
      6,
      'warn',
      format('%s of %s markets of the last batch are missing', b.markets_expected - b.markets_completed, b.markets_expected),
      b.batch_end_time
    from last_batch b
    where b.status = 'partial'
      and b.markets_completed < b.markets_expected
    union all
    select
      7,
      'warn',
      format('%s %s of the last load failed', b.failed_steps, case b.failed_steps when 1 then 'step' else 'steps' end),
      b.batch_end_time
    from last_batch b
    where b.failed_steps > 0
    union all
    select 8, 'warn', format('The batch due then was skipped: %s', d.why), d.due_at
    from last_due d
    where d.outcome = 'skipped'
    union all
    select 9, 'warn', 'Paused: no new batch is begun' || coalesce(', says ' || p.changed_by, ''), p.changed_at
    from paused p
    union all
    select 10, 'warn', 'No worker is alive', max(w.batch_end_time)
    from last_batch w
    where not exists (select from present where present.alive)
    having count(*) > 0
    union all
    -- What an incident tells is mostly told above, but not all of it.
    select
      11,
      'warn',
      format('%s %s open', count(*), case count(*) when 1 then 'incident is' else 'incidents are' end),
      min(i.since)
    from open_incidents i
    having count(*) > 0
  )
  select json_build_object(
    'state', (
      select coalesce(
        min(p.level),
        case when exists (select from last_good) then 'ok' else 'none' end
      )
      from problems p
    ),
    'problems', (
      select coalesce(
        json_agg(
          json_build_object('level', p.level, 'text', p.text, 'since', round(extract(epoch from p.since)))
          order by p.place
        ),
        '[]'
      )
      from problems p
    ),
    'incidents', (
      select coalesce(
        json_agg(
          json_build_object(
            'kind', i.kind,
            'subject', i.subject,
            'since', round(extract(epoch from i.since)),
            'message', i.message
          )
          order by i.since desc
        ),
        '[]'
      )
      from open_incidents i
    ),
    'is_paused', exists (select from paused),
    'last_good', (
      select json_build_object(
        'start', round(extract(epoch from g.batch_start_time)),
        'end', round(extract(epoch from g.batch_end_time), 1)
      )
      from last_good g
    ),
    'last_batch', (
      select json_build_object(
        'start', round(extract(epoch from b.batch_start_time)),
        'end', round(extract(epoch from b.batch_end_time), 1),
        'status', b.status,
        'markets', b.markets_completed,
        'of', b.markets_expected,
        'offers', b.offers,
        'rejected', b.rejected,
        'seconds', round(b.seconds, 1)
      )
      from last_batch b
    ),
    'running', (
      select json_build_object(
        'start', round(extract(epoch from r.batch_start_time), 1),
        'fetch_until', round(extract(epoch from r.fetch_until), 1),
        'is_loading', r.loader_id is not null,
        'markets', r.markets_expected,
        'ended', (select coalesce(sum(m.ended), 0) from running_markets m),
        'by_state', (
          select coalesce(json_object_agg(s.status, s.markets), '{}')
          from (
            select m.status, sum(m.markets) as markets
            from running_markets m
            group by m.status
          ) as s
        ),
        'pages', (select coalesce(sum(m.pages), 0) from running_markets m),
        'offers', (select coalesce(sum(m.offers), 0) from running_markets m),
        'by_worker', (
          select coalesce(json_agg(w order by w.worker), '[]')
          from (
            select
              m.worker,
              sum(m.pages) as pages,
              sum(m.offers) as offers,
              coalesce(sum(m.markets) filter (where m.status = 'fetching'), 0) as held,
              sum(m.ended) as ended
            from running_markets m
            where m.worker is not null
            group by m.worker
          ) as w
        )
      )
      from running r
    ),
    'workers', (
      select coalesce(
        json_agg(
          json_build_object(
            'worker', w.worker,
            'alive', w.alive,
            'doing', w.doing,
            'exchange', w.exchange,
            'rate', w.rate,
            'ceiling', w.ceiling,
            'breaker', w.breaker,
            'paused_seconds', round(extract(epoch from w.pause)),
            'held', w.held
          )
          order by w.alive desc, w.worker, w.exchange
        ),
        '[]'
      )
      from present w
    ),
    'rules', (
      select coalesce(
        json_agg(
          json_build_object(
            'rule', r.rule,
            'result', r.result,
            'value', r.value,
            'bad_when', r.is_bad_when,
            'warning', r.warning_threshold,
            'error', r.error_threshold,
            'comment', r.comment,
            'details', r.details
          )
          order by array_position(array['broken', 'error', 'warning', 'ok'], r.result) nulls last, r.rule
        ),
        '[]'
      )
      from rules r
    )
  )
$function$;

comment on function p2p.page_overview(integer) is 'What the status page shows at its top';

grant execute on function p2p.page_overview(integer) to p2p_reader, p2p_worker;
-- ════ functions/parse_binance_search_v1.sql
-- Reads the items of all binance_search_v1 pages of a batch: POST …/adv/search, answers of 2021 to 2026.
-- Tolerant: numbers may be strings or numbers, keys may be missing, unknown keys are ignored; what cannot be
-- read is NULL. Decides nothing and changes nothing.
create or replace function p2p.parse_binance_search_v1(p_batch_id uuid)
returns setof p2p.parsed_offer
language plpgsql
stable
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
as $function$
declare
  -- Repetition is not bounded here ({1,40} makes matching ten times slower): lengths are checked beside it.
  v_number constant text := '^-?\d+(\.\d+)?([eE][+-]?\d\d?)?$';
  v_digits constant integer := 60;
  v_whole constant text := '^-?\d{1,9}$';
begin
  return query
  with items as (
    select
      s.market_id,
      s.page_number::smallint as page_number,
      (i.position - 1)::integer as item_number,
      s.observed_at,
      m.trade_type,
      i.item -> 'adv' as adv,
      i.item -> 'advertiser' as advertiser,
      i.item ->> 'privilegeType' as privilege
    from p2p.ops_batch_runs r
    join p2p.stg_responses s on s.extraction_timestamp = r.batch_start_time
    join p2p.dim_markets m on m.market_id = s.market_id
    cross join jsonb_array_elements(
      case when jsonb_typeof(s.body -> 'data') = 'array' then s.body -> 'data' else '[]' end
    ) with ordinality as i (item, position)
    where r.batch_id = p_batch_id
      and s.parser = 'binance_search_v1'
    offset 0 -- keeps adv and advertiser from being cut out of the item again for each field below
  ),
  fields as materialized (
    select
      i.market_id,
      i.page_number,
      i.item_number,
      i.observed_at,
      i.trade_type,
      i.privilege,
      i.adv ->> 'advNo' as adv_no,
      i.adv ->> 'asset' as asset,
      i.adv ->> 'fiatUnit' as fiat,
      i.adv ->> 'tradeType' as ad_side,
      i.adv ->> 'isTradable' as is_tradable,
      i.adv ->> 'price' as price,
      i.adv ->> 'surplusAmount' as surplus_amount,
      i.adv ->> 'tradableQuantity' as tradable_quantity,
      i.adv ->> 'minSingleTransAmount' as min_amount,
      i.adv ->> 'maxSingleTransAmount' as max_amount,
      i.adv ->> 'priceFloatingRatio' as floating_ratio,
      i.adv ->> 'payTimeLimit' as pay_time_limit,
      i.adv ->> 'remarks' as remarks,
      coalesce(i.adv -> 'tradeMethods', 'null') as trade_methods,
      i.advertiser ->> 'userNo' as user_no,
      i.advertiser ->> 'nickName' as nick_name,
      i.advertiser ->> 'userType' as user_type,
      i.advertiser ->> 'userGrade' as user_grade,
      i.advertiser ->> 'userIdentity' as user_identity,
      i.advertiser ->> 'vipLevel' as vip_level,
      i.advertiser ->> 'monthOrderCount' as month_orders,
      i.advertiser ->> 'monthFinishRate' as finish_rate,
      i.advertiser ->> 'positiveRate' as positive_rate,
      i.advertiser ->> 'registrationTime' as registration_time
    from items i
  ),
  method_lists as (
    select distinct f.trade_methods
    from fields f
  ),
  methods as materialized (
    select
      l.trade_methods,
      (
        select coalesce(jsonb_agg(jsonb_build_array(one.code, one.name) order by one.position), '[]')
        from (
          select
            method.value ->> 'identifier' as code,
            max(method.value ->> 'tradeMethodName') as name,
            min(method.position) as position
          from jsonb_array_elements(
            case when jsonb_typeof(l.trade_methods) = 'array' then l.trade_methods else '[]' end
          ) with ordinality as method (value, position)
          where method.value ->> 'identifier' <> ''
          group by method.value ->> 'identifier'
        ) as one
      ) as payment_methods
    from method_lists l
  )
  select
    f.market_id,
    f.page_number,
    f.item_number,
    array['data', f.item_number::text],
    f.observed_at,
    f.adv_no,
    f.asset,
    f.fiat,
    f.ad_side <> f.trade_type, -- the ad speaks for its owner, the request for the taker
    f.privilege = '8',
    case f.is_tradable when 'true' then true when 'false' then false end,
    case when f.price ~ v_number and length(f.price) <= v_digits then f.price::numeric end,
    case when f.surplus_amount ~ v_number and length(f.surplus_amount) <= v_digits then f.surplus_amount::numeric end,
    case when f.tradable_quantity ~ v_number and length(f.tradable_quantity) <= v_digits then f.tradable_quantity::numeric end,
    case when f.min_amount ~ v_number and length(f.min_amount) <= v_digits then f.min_amount::numeric end,
    case when f.max_amount ~ v_number and length(f.max_amount) <= v_digits then f.max_amount::numeric end,
    array_remove(array[
      case when f.price !~ v_number or length(f.price) > v_digits then 'price' end,
      case when f.surplus_amount !~ v_number or length(f.surplus_amount) > v_digits then 'available_amount' end,
      case when f.min_amount !~ v_number or length(f.min_amount) > v_digits then 'min_limit' end,
      case when f.max_amount !~ v_number or length(f.max_amount) > v_digits then 'max_limit' end
    ], null),
    case when f.floating_ratio ~ v_number and length(f.floating_ratio) <= v_digits then f.floating_ratio::numeric end,
    case when f.finish_rate ~ v_number and length(f.finish_rate) <= v_digits then f.finish_rate::numeric * 100 end,
    case when f.positive_rate ~ v_number and length(f.positive_rate) <= v_digits then f.positive_rate::numeric * 100 end,
    case when f.month_orders ~ v_whole then f.month_orders::integer end,
    case when f.pay_time_limit ~ v_whole then f.pay_time_limit::integer end,
    nullif(f.remarks, ''),
    f.user_no,
    f.nick_name,
    f.user_type = 'merchant',
    f.user_type,
    case when f.user_grade ~ v_whole then f.user_grade::integer end,
    f.user_identity,
    case when f.vip_level ~ v_whole then f.vip_level::integer end,
    case
      when f.registration_time ~ '^\d{12,14}$'
      then floor((extract(epoch from f.observed_at) - f.registration_time::numeric / 1000) / 86400)::integer
    end,
    m.payment_methods
  from fields f
  join methods m on m.trade_methods = f.trade_methods;
end
$function$;

comment on function p2p.parse_binance_search_v1(uuid) is 'Reads the offers of Binance''s adv/search pages of a batch';

grant execute on function p2p.parse_binance_search_v1(uuid) to p2p_worker;
-- ════ functions/parse_bybit_online_v1.sql
-- Reads the items of all bybit_online_v1 pages of a batch: POST /fiat/otc/item/online, as Bybit documents its twin
-- /v5/p2p/item/online (2025 and 2026) and as public clients of 2022 to 2026 read it.
-- Tolerant: numbers may be strings or numbers, keys may be missing, unknown keys are ignored; what cannot be
-- read is NULL. Decides nothing and changes nothing. What the exchange does not say stays NULL:
--   is_promoted        `recommend` is there, but not what it means; it may be no paid place
--   user_grade         `authStatus` is there, but not what its numbers mean
--   tradable_quantity  lastQuantity, the "tradable quantity of token": there is no other that holds a fee back
create or replace function p2p.parse_bybit_online_v1(p_batch_id uuid)
returns setof p2p.parsed_offer
language plpgsql
stable
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
as $function$
declare
  -- Repetition is not bounded here ({1,40} makes matching ten times slower): lengths are checked beside it.
  v_number constant text := '^-?\d+(\.\d+)?([eE][+-]?\d\d?)?$';
  v_digits constant integer := 60;
  v_whole constant text := '^-?\d{1,9}$';
begin
  return query
  with items as (
    select
      s.market_id,
      s.page_number::smallint as page_number,
      (i.position - 1)::integer as item_number,
      s.observed_at,
      m.trade_type,
      i.item
    from p2p.ops_batch_runs r
    join p2p.stg_responses s on s.extraction_timestamp = r.batch_start_time
    join p2p.dim_markets m on m.market_id = s.market_id
    cross join jsonb_array_elements(
      case when jsonb_typeof(s.body #> '{result,items}') = 'array' then s.body #> '{result,items}' else '[]' end
    ) with ordinality as i (item, position)
    where r.batch_id = p_batch_id
      and s.parser = 'bybit_online_v1'
    offset 0 -- keeps the item from being cut out of its page again for each field below
  ),
  fields as materialized (
    select
      i.market_id,
      i.page_number,
      i.item_number,
      i.observed_at,
      i.trade_type,
      i.item ->> 'id' as id,
      i.item ->> 'tokenId' as asset,
      i.item ->> 'currencyId' as fiat,
      i.item ->> 'side' as ad_side,
      i.item ->> 'status' as ad_status,
      i.item ->> 'price' as price,
      i.item ->> 'lastQuantity' as last_quantity,
      i.item ->> 'minAmount' as min_amount,
      i.item ->> 'maxAmount' as max_amount,
      case when i.item ->> 'priceType' = '1' then i.item ->> 'premium' end as premium,
      i.item ->> 'paymentPeriod' as payment_period,
      i.item ->> 'remark' as remark,
      coalesce(i.item -> 'payments', 'null') as payments,
      -- Since 2025 everybody's userId is 0 without a key, and userMaskId tells them apart.
      coalesce(nullif(i.item ->> 'userMaskId', ''), nullif(i.item ->> 'userId', '0')) as advertiser_id,
      i.item ->> 'nickName' as nick_name,
      i.item ->> 'userType' as user_type,
      case when jsonb_typeof(i.item -> 'authTag') = 'array' then i.item -> 'authTag' end as tags,
      i.item ->> 'recentOrderNum' as recent_orders,
      i.item ->> 'recentExecuteRate' as execute_rate
    from items i
  ),
  payment_lists as (
    select distinct f.payments
    from fields f
  ),
  methods as materialized (
    select
      l.payments,
      (
        select coalesce(jsonb_agg(jsonb_build_array(one.code, null) order by one.position), '[]')
        from (
          select
            method.value #>> '{}' as code,
            min(method.position) as position
          from jsonb_array_elements(
            case when jsonb_typeof(l.payments) = 'array' then l.payments else '[]' end
          ) with ordinality as method (value, position)
          where jsonb_typeof(method.value) in ('string', 'number')
            and method.value <> '""'
          group by method.value #>> '{}'
        ) as one
      ) as payment_methods
    from payment_lists l
  ),
  tag_lists as (
    select distinct f.tags
    from fields f
    where f.tags is not null
  ),
  merchants as materialized (
    select
      l.tags,
      l.tags ?| array['VA', 'BA'] as is_merchant, -- verified and block advertisers; GA is a general one
      (
        select coalesce(string_agg(distinct tag.value #>> '{}', ',' order by tag.value #>> '{}'), '')
        from jsonb_array_elements(l.tags) as tag
      ) as identity
    from tag_lists l
  )
  select
    f.market_id,
    f.page_number,
    f.item_number,
    array['result', 'items', f.item_number::text],
    f.observed_at,
    f.id,
    f.asset,
    f.fiat,
    f.ad_side = case f.trade_type when 'BUY' then '1' else '0' end, -- 1 sells: the ad speaks for its owner
    null::boolean,
    f.ad_status = '10', -- 10 online, 20 offline, 30 completed
    case when f.price ~ v_number and length(f.price) <= v_digits then f.price::numeric end,
    case when f.last_quantity ~ v_number and length(f.last_quantity) <= v_digits then f.last_quantity::numeric end,
    case when f.last_quantity ~ v_number and length(f.last_quantity) <= v_digits then f.last_quantity::numeric end,
    case when f.min_amount ~ v_number and length(f.min_amount) <= v_digits then f.min_amount::numeric end,
    case when f.max_amount ~ v_number and length(f.max_amount) <= v_digits then f.max_amount::numeric end,
    array_remove(array[
      case when f.price !~ v_number or length(f.price) > v_digits then 'price' end,
      case when f.last_quantity !~ v_number or length(f.last_quantity) > v_digits then 'available_amount' end,
      case when f.min_amount !~ v_number or length(f.min_amount) > v_digits then 'min_limit' end,
      case when f.max_amount !~ v_number or length(f.max_amount) > v_digits then 'max_limit' end
    ], null),
    case when f.premium ~ v_number and length(f.premium) <= v_digits then f.premium::numeric end,
    -- 0 to 100 already
    case when f.execute_rate ~ v_number and length(f.execute_rate) <= v_digits then f.execute_rate::numeric end,
    null::numeric,
    case when f.recent_orders ~ v_whole then f.recent_orders::integer end,
    case when f.payment_period ~ v_whole then f.payment_period::integer end,
    nullif(f.remark, ''),
    f.advertiser_id,
    f.nick_name,
    merchants.is_merchant,
    f.user_type,
    null::integer,
    merchants.identity,
    null::integer,
    null::integer,
    m.payment_methods
  from fields f
  join methods m on m.payments = f.payments
  left join merchants on merchants.tags = f.tags;
end
$function$;

comment on function p2p.parse_bybit_online_v1(uuid) is 'Reads the offers of Bybit''s item/online pages of a batch';

grant execute on function p2p.parse_bybit_online_v1(uuid) to p2p_worker;
-- ════ functions/parse_pages.sql
-- Step 1 of load_batch: reads the stored pages, each with the parser that its page names.
-- Makes pg_temp.parsed_offers, one row an item, and writes their number down. A second call changes nothing unless it
-- changed.
-- Raises where a batch was loaded before and pages of it are gone since: its facts would go after them.
create or replace function p2p.parse_pages(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_stored bigint := (select sum(bm.pages_stored) from p2p.ops_batch_markets bm where bm.batch_id = p_batch_id);
  v_left bigint := (
    select count(*)
    from p2p.stg_responses s
    where s.extraction_timestamp = v_batch.batch_start_time
  );
  v_parser text;
  v_read bigint;
  v_items bigint := 0;
begin
  if v_batch.status <> 'running' and v_left < v_stored then
    raise exception 'raw pages of batch % are gone: % of % are left', p_batch_id, v_left, v_stored
      using errcode = 'P2P03', hint = 'it cannot be loaded again; its facts stay as they are';
  end if;

  create temp table parsed_offers of p2p.parsed_offer on commit drop;

  for v_parser in
    select distinct s.parser
    from p2p.stg_responses s
    where s.extraction_timestamp = v_batch.batch_start_time
  loop
    execute format('insert into pg_temp.parsed_offers select * from p2p.%I($1)', 'parse_' || v_parser)
    using p_batch_id;
    get diagnostics v_read = row_count;
    v_items := v_items + v_read;
  end loop;

  analyze pg_temp.parsed_offers (market_id, page_number, offer_external_id, is_promoted);

  update p2p.ops_batch_runs r
  set total_offers_extracted = v_items
  where r.batch_id = p_batch_id
    and r.total_offers_extracted <> v_items;
end
$function$;

comment on function p2p.parse_pages(uuid) is 'Step of load_batch: reads the stored pages';

grant execute on function p2p.parse_pages(uuid) to p2p_worker;
-- ════ functions/parser_cannot_read.sql
-- Whether a parser needs the key at a path, or one below it, and cannot read it with this JSON type there.
-- NULL as the type = the key is gone. Only reads parser_keys.
create or replace function p2p.parser_cannot_read(p_parser text, p_path text, p_json_type text)
returns boolean
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select exists (
    select
    from p2p.parser_keys k
    where k.parser = p_parser
      and case
        when k.path = p_path then coalesce(p_json_type <> all (k.json_types), true)
        when p_path = '' or starts_with(k.path, p_path || '.') then p_json_type is distinct from 'object'
        when starts_with(k.path, p_path || '[]') then p_json_type is distinct from 'array'
        else false
      end
  )
$function$;

comment on function p2p.parser_cannot_read(text, text, text) is 'Whether a change of a key takes from a parser what it needs';

grant execute on function p2p.parser_cannot_read(text, text, text) to p2p_worker;
-- ════ functions/pause_state.sql
-- One row while new batches are paused (setting `paused`), with who paused them and when, as far as the log knows.
-- No row otherwise. Changes nothing.
create or replace function p2p.pause_state()
returns table (paused_since timestamptz, paused_by text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select last_switch.changed_at, last_switch.changed_by
  from (select p2p.setting_switch('paused') as is_on) as paused
  left join lateral (
    select c.changed_at, c.changed_by
    from p2p.change_log c
    where c.table_name = 'settings'
      and c.row_key = 'paused'
      and c.old_row ->> 'value' is distinct from c.new_row ->> 'value'
    order by c.change_id desc
    limit 1
  ) as last_switch on true
  where paused.is_on
$function$;

comment on function p2p.pause_state() is 'Since when and by whom new batches are paused; no row while they are not';

grant execute on function p2p.pause_state() to p2p_worker;
-- ════ functions/plan_batch.sql
-- Plans a batch: which markets, in which order, and how many of them the allowance has room for. A second call adds what
-- discovery has found since, and changes no row that is there. Returns how many markets are planned.
-- Planned are the active markets that live workers serve; in a batch begun by hand, those of the one who began it.
--   order      priority, then those deferred last time (the longest first, so that nobody starves), then those that had most
--              offers, and most of what is traded of their asset, then new ones by name
--   not due    a market that was empty for empty_market_after_hours is visited every empty_market_every_hours; not one
--              of raised priority
--   allowance  of an exchange: what its workers may send until the deadline, plan_share_percent of it. A market costs the
--              pages that it took last. One that would begin beyond it is deferred at once, and fetched all the same if
--              time is left when all others are
-- Made to be tuned: claim_markets and the ledger go by the rows that it leaves, whatever their order.
create or replace function p2p.plan_batch(p_batch_id uuid, p_deadline_seconds double precision)
returns integer
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_empty_after interval := make_interval(secs => p2p.setting_number('empty_market_after_hours')::double precision * 3600);
  v_empty_every interval := make_interval(secs => p2p.setting_number('empty_market_every_hours')::double precision * 3600);
  v_share numeric := p2p.setting_number('plan_share_percent') / 100;
  v_last_loaded timestamptz := (
    select max(r.batch_start_time)
    from p2p.ops_batch_runs r
    where r.status in ('completed', 'partial')
      and r.imported_from is null
  );
  v_planned integer;
begin
  insert into p2p.ops_batch_markets (batch_id, market_id, plan_position, status, estimated_requests, reason)
  with planners as materialized (
    select w.worker_id
    from p2p.live_workers() w
    where v_batch.due_at is not null and w.doing <> 'stopping'
      or w.worker_id = v_batch.worker_id
  ),
  patterns as materialized (
    select distinct p.exchange_id, p.fiat, p.asset
    from p2p.market_patterns() p
    join planners using (worker_id)
  ),
  rates as (
    select
      we.exchange_id,
      we.rate_per_minute / 60 as rate_per_second,
      case
        when we.breaker = 'open' then 0
        else greatest(p_deadline_seconds - coalesce(extract(epoch from we.paused_until - clock_timestamp()), 0), 0)
      end as seconds
    from planners
    join p2p.ops_worker_exchanges we using (worker_id)
  ),
  allowances as (
    select
      r.exchange_id,
      floor(
        v_share * case
          when sum(r.seconds) > 0 then sum(r.rate_per_second * least(r.seconds, p_deadline_seconds)::numeric)
          else sum(r.rate_per_second) * p_deadline_seconds::numeric -- all are kept from sending: who knows how long
        end
      ) as requests
    from rates r
    group by r.exchange_id
  ),
  already as (
    select
      m.exchange_id,
      coalesce(sum(bm.estimated_requests) filter (where bm.status not in ('not_due', 'deferred')), 0) as requests,
      max(bm.plan_position) as plan_position
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    where bm.batch_id = p_batch_id
    group by m.exchange_id
  ),
  candidates as (
    select
      m.market_id,
      m.exchange_id,
      m.priority,
      v.waiting_since,
      coalesce(v.offers, 0) as offers,
      m.crypto_id,
      -- By its key, market by market: the planner expects few markets here, and joins them one by one.
      coalesce(
        (
          select d.total_available_volume
          from p2p.fact_market_depth d
          where (d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type) = (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type)
            and d.extraction_timestamp = v_last_loaded
        ),
        0
      ) as volume,
      f.currency_code as fiat,
      c.symbol as asset,
      m.trade_type,
      greatest(v.pages, 1) as cost,
      case
        when m.priority <= 0
          and v.waiting_since is null
          and v.empty_since <= v_batch.batch_start_time - v_empty_after
          -- A minute less, because batches do not begin to the second.
          and v.visited_at + v_empty_every > v_batch.batch_start_time + interval '1 minute'
        then format(
          'empty since %s, due at %s',
          to_char(v.empty_since at time zone 'UTC', 'MM-DD HH24:MI'),
          to_char((v.visited_at + v_empty_every) at time zone 'UTC', 'HH24:MI"Z"')
        )
      end as why_not_due
    from p2p.dim_markets m
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    left join p2p.ops_market_visits v using (market_id)
    where m.is_active
      and f.is_active
      and c.is_active
      and exists (
        select
        from patterns p
        where p.exchange_id = m.exchange_id
          and p.fiat in ('*', f.currency_code)
          and p.asset in ('*', c.symbol)
      )
      and not exists (
        select
        from p2p.ops_batch_markets bm
        where bm.batch_id = p_batch_id
          and bm.market_id = m.market_id
      )
  ),
  valued as (
    select
      k.*,
      coalesce(k.volume / nullif(sum(k.volume) over (partition by k.crypto_id), 0), 0) as volume_share
    from candidates k
  ),
  ordered as (
    select
      k.*,
      row_number() over (
        order by
          k.why_not_due is not null,
          k.priority desc,
          k.waiting_since nulls last,
          k.offers desc,
          k.volume_share desc,
          k.asset <> 'USDT',
          k.fiat,
          k.asset,
          k.trade_type,
          k.market_id
      ) as place
    from valued k
  ),
  measured as (
    select
      o.*,
      sum(o.cost) filter (where o.why_not_due is null) over (partition by o.exchange_id order by o.place) - o.cost as cost_before
    from ordered o
  )
  select
    p_batch_id,
    q.market_id,
    coalesce((select max(a.plan_position) from already a), 0) + q.place,
    case
      when q.why_not_due is not null then 'not_due'
      when coalesce(already.requests, 0) + q.cost_before >= allowances.requests then 'deferred'
      else 'pending'
    end,
    q.cost,
    case
      when q.why_not_due is not null then q.why_not_due
      when coalesce(already.requests, 0) + q.cost_before >= allowances.requests
      then format('beyond the allowance of %s requests', allowances.requests)
    end
  from measured q
  join allowances using (exchange_id)
  left join already using (exchange_id)
  order by q.place;

  select count(*)
  into v_planned
  from p2p.ops_batch_markets bm
  where bm.batch_id = p_batch_id
    and bm.status <> 'not_due';

  update p2p.ops_batch_runs r
  set markets_expected = v_planned
  where r.batch_id = p_batch_id
    and r.markets_expected <> v_planned;

  return v_planned;
end
$function$;

comment on function p2p.plan_batch(uuid, double precision) is 'Plans a batch: which markets, in which order, within the allowance. Yours to tune';

grant execute on function p2p.plan_batch(uuid, double precision) to p2p_worker;
-- ════ functions/preview_load.sql
-- What load_batch would make of batches that are loaded already, with the SQL of now or, before it is installed, with
-- the text of a candidate in p_with: all of it happens, is compared with what was there, and is undone.
--
--   select * from p2p.preview_load(array['…'::uuid], $$ create or replace function p2p.reject_offers … $$)
--
-- Returns one row for each table and effect: how many rows appear, vanish or change, and for those that change one
-- more for each column. examples: up to five of {"key", "market", "before", "after"}, values as text. No row: nothing would
-- change. Values are compared as text: 461.5 is not 461.50. Of the facts only those of these batches are compared.
-- Nothing stays but what no rollback takes back: gaps in sequences; setval() in a candidate is refused. Errors of the
-- candidate, or of a step, come as they are. Other loads wait while it runs, readers do not. The caller's rights decide what a candidate may do.
create or replace function p2p.preview_load(p_batch_ids uuid[], p_with text default null)
returns table (table_name text, effect text, column_name text, row_count bigint, examples jsonb)
language plpgsql
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
as $function$
declare
  v_batch_id uuid;
  v_start_times timestamptz[];
  v_settings jsonb;
  v_tables_before jsonb;
  v_table record;
  v_report jsonb;
begin
  -- The one thing of a candidate that no transaction takes back, and that breaks later inserts.
  if p_with ~* '\msetval\s*\(' then
    raise exception 'setval() stays although a dry run is undone: leave it out'
      using errcode = 'P2P02';
  end if;

  select b.batch_id
  into v_batch_id
  from p2p.ops_batch_runs b
  where b.batch_id = any (p_batch_ids)
    and b.status = 'running';

  if found then
    raise exception 'batch % is running', v_batch_id
      using errcode = 'P2P03', hint = 'a dry run of it would end its fetching: wait until it is loaded';
  end if;

  select array_agg(b.batch_start_time)
  into v_start_times
  from p2p.ops_batch_runs b
  where b.batch_id = any (p_batch_ids);

  begin
    -- As load_batch does, but before anything is looked at: what other loads write must not pass for an effect.
    lock table p2p.dim_advertisers in share row exclusive mode;

    select jsonb_agg(to_jsonb(t))
    into v_tables_before
    from p2p.compared_tables() t;

    for v_table in
      select earlier.table_id, earlier.rows_statement
      from jsonb_to_recordset(v_tables_before) as earlier (table_id oid, rows_statement text)
    loop
      execute format('create temp table %I on commit drop as %s', 'preview_' || v_table.table_id, v_table.rows_statement)
      using p_batch_ids, v_start_times;
    end loop;

    if p_with is not null then
      select jsonb_object_agg(s.name, s.setting)
      into v_settings
      from pg_settings s
      where s.context in ('user', 'superuser');

      -- As psql would run it: names without a schema are not looked up in p2p.
      perform set_config('search_path', s.reset_val, true) from pg_settings s where s.name = 'search_path';
      execute p_with;

      -- What it set was for its own session. No load would see it, and another time zone makes every row look different.
      perform set_config(earlier.name, earlier.value, true)
      from jsonb_each_text(v_settings) as earlier (name, value)
      join pg_settings s on s.name = earlier.name
      where s.setting is distinct from earlier.value;
    end if;

    for v_batch_id in
      select asked.batch_id
      from unnest(p_batch_ids) as asked (batch_id)
      left join p2p.ops_batch_runs b on b.batch_id = asked.batch_id
      group by asked.batch_id, b.batch_start_time
      order by b.batch_start_time nulls first
    loop
      perform p2p.load_batch(v_batch_id);
    end loop;

    create temp table preview_differences (
      place      bigint generated always as identity primary key,
      table_name text,
      row_key    jsonb,
      before     jsonb,
      after      jsonb
    ) on commit drop;

    -- The candidate may have made tables, dropped some, or changed their columns.
    for v_table in
      select
        coalesce(now.table_name, earlier.table_name) as table_name,
        coalesce(now.key_columns, earlier.key_columns) as key_columns,
        coalesce('table pg_temp.' || quote_ident('preview_' || earlier.table_id), now.rows_statement || ' and false') as before_statement,
        coalesce(now.rows_statement, format('select * from pg_temp.%I where false', 'preview_' || earlier.table_id)) as after_statement
      from jsonb_to_recordset(v_tables_before) as earlier (table_id oid, table_name text, key_columns text[])
      full join p2p.compared_tables() as now using (table_id)
      order by 1
    loop
      execute format(
        $statement$
          insert into pg_temp.preview_differences (table_name, row_key, before, after)
          select
            $3,
            (
              select jsonb_object_agg(key.name, coalesce(to_jsonb(preview_after), to_jsonb(preview_before)) -> key.name)
              from unnest($4) as key (name)
            ),
            to_jsonb(preview_before) - 'preview_key',
            to_jsonb(preview_after) - 'preview_key'
          from (%s) as preview_before
          full join (%s) as preview_after using (preview_key)
          where preview_before::text is distinct from preview_after::text
          order by hashtext(preview_key), preview_key -- examples from all over the table
        $statement$,
        v_table.before_statement,
        v_table.after_statement
      )
      using p_batch_ids, v_start_times, v_table.table_name, v_table.key_columns;
    end loop;

    with changed_values as materialized (
      select d.place, d.table_name, now.column_name
      from pg_temp.preview_differences d
      cross join jsonb_each_text(d.after) as now (column_name, value)
      where d.before is not null
        and now.value is distinct from d.before ->> now.column_name
    ),
    effects as (
      select
        d.place,
        d.table_name,
        case when d.before is null then 'appears' else 'vanishes' end as effect,
        null as column_name
      from pg_temp.preview_differences d
      where d.before is null
        or d.after is null
      union all
      select v.place, v.table_name, 'changes', null
      from changed_values v
      group by v.place, v.table_name
      union all
      select v.place, v.table_name, 'changes', v.column_name
      from changed_values v
    ),
    counted as (
      select
        e.table_name,
        e.effect,
        e.column_name,
        count(*) as row_count,
        (array_agg(e.place order by e.place))[1:5] as places
      from effects e
      group by e.table_name, e.effect, e.column_name
    ),
    report as (
      select
        c.table_name,
        c.effect,
        c.column_name,
        c.row_count,
        (
          select coalesce(
            jsonb_agg(
              case c.effect
                when 'appears' then jsonb_build_object('after', shown.after)
                when 'vanishes' then jsonb_build_object('before', shown.before)
                else jsonb_build_object('before', shown.before -> c.column_name, 'after', shown.after -> c.column_name)
              end || jsonb_build_object('key', shown.row_key, 'market', shown.market)
              order by shown.place
            ),
            '[]'
          )
          from (
            -- Values as text, so that no reader of JSON takes digits away.
            select
              d.place,
              (select jsonb_object_agg(v.key, v.value) from jsonb_each_text(d.row_key) as v) as row_key,
              (select jsonb_object_agg(v.key, v.value) from jsonb_each_text(d.before) as v) as before,
              (select jsonb_object_agg(v.key, v.value) from jsonb_each_text(d.after) as v) as after,
              (
                select concat(f.currency_code, '/', a.symbol, ' ', m.trade_type)
                from p2p.dim_markets m
                join p2p.dim_fiat_currencies f on f.fiat_id = m.fiat_id
                join p2p.dim_cryptocurrencies a on a.crypto_id = m.crypto_id
                where m.market_id::text = d.example ->> 'market_id'
                  or (m.exchange_id::text, m.fiat_id::text, m.crypto_id::text, m.trade_type)
                    = (d.example ->> 'exchange_id', d.example ->> 'fiat_id', d.example ->> 'crypto_id', d.example ->> 'trade_type')
                limit 1
              ) as market
            from (
              select d.*, coalesce(d.after, d.before) as example
              from pg_temp.preview_differences d
            ) as d
            where d.place = any (c.places)
              and (c.effect <> 'changes' or c.column_name is not null)
          ) as shown
        ) as examples
      from counted c
    )
    select coalesce(jsonb_agg(to_jsonb(report)), '[]')
    into v_report
    from report;

    raise exception 'the end of a dry run' using errcode = 'P2P09';
  exception when sqlstate 'P2P09' then
    -- All that the block did is undone now; variables keep their values.
    if v_report is null then
      raise;
    end if;
  end;

  return query
  select r.table_name, r.effect, r.column_name, r.row_count, r.examples
  from jsonb_to_recordset(v_report)
    as r (table_name text, effect text, column_name text, row_count bigint, examples jsonb)
  order by r.table_name, r.effect, r.column_name nulls first;
end
$function$;

comment on function p2p.preview_load(uuid[], text) is 'What load_batch, or a candidate that is not installed, would change: a dry run, nothing stays';

grant execute on function p2p.preview_load(uuid[], text) to p2p_worker;
-- ════ functions/quarantine_batches.sql
-- The batches that have offers in quarantine, the oldest first: what quarantine replay loads again. NULL stands for
-- any reason, batch or time. A batch that is being fetched is left out: loading it would end its fetching.
-- Raises where there is no such reason or batch. Changes nothing.
create or replace function p2p.quarantine_batches(
  p_reason text default null,
  p_batch_id uuid default null,
  p_since timestamptz default null,
  p_until timestamptz default null
)
returns table (batch_id uuid, batch_start_time timestamptz, offers bigint, can_be_loaded boolean)
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
begin
  perform p2p.require_in_quarantine(p_reason, p_batch_id);

  return query
  select
    r.batch_id,
    r.batch_start_time,
    count(*),
    p2p.has_its_pages(r)
  from p2p.ops_rejected_offers o
  join p2p.ops_batch_runs r using (batch_id)
  where o.discarded_at is null
    and r.status <> 'running'
    and (p_reason is null or o.reason = p_reason)
    and (p_batch_id is null or r.batch_id = p_batch_id)
    and (p_since is null or r.batch_start_time >= p_since)
    and (p_until is null or r.batch_start_time <= p_until)
  group by r.batch_id
  order by r.batch_start_time;
end
$function$;

comment on function p2p.quarantine_batches(text, uuid, timestamptz, timestamptz) is 'Batches that have offers in quarantine, oldest first';

grant execute on function p2p.quarantine_batches(text, uuid, timestamptz, timestamptz) to p2p_worker;
-- ════ functions/raise_incident.sql
-- Opens an incident, unless one of this kind and subject is open. Returns whether it is news, so that of all workers one
-- tells people of it. A second call changes nothing and returns false.
-- Somebody is told of it: by the caller, with p_is_told, else by watch_incidents, through a worker.
-- p_seconds_ago: when it began, where that could not be written down at the time. Texts are cut to what the table takes.
create or replace function p2p.raise_incident(
  p_kind text,
  p_subject text,
  p_message text,
  p_worker_id text,
  p_seconds_ago double precision default 0,
  p_is_told boolean default false
)
returns boolean
language sql
set search_path = p2p, pg_temp
as $function$
  with opened as (
    insert into p2p.ops_incidents (kind, subject, message, raised_at, raised_by, teller, begin_told_at)
    select
      p_kind,
      left(p_subject, 100),
      left(p_message, 1000),
      clock_timestamp() - make_interval(secs => p_seconds_ago),
      p_worker_id,
      p_worker_id,
      case when p_is_told then clock_timestamp() end
    where not exists ( -- a conflict would burn a number at each call
      select
      from p2p.ops_incidents i
      where i.kind = p_kind
        and i.subject = left(p_subject, 100)
        and i.resolved_at is null
    )
    on conflict (kind, subject) where resolved_at is null do nothing
    returning 1
  )
  select exists (select from opened)
$function$;

comment on function p2p.raise_incident(text, text, text, text, double precision, boolean) is 'Opens an incident; false where it is open already';

grant execute on function p2p.raise_incident(text, text, text, text, double precision, boolean) to p2p_worker;
-- ════ functions/record_discovery_problem.sql
-- Writes down a discovery call that failed after all retries. It belongs to no batch.
create or replace function p2p.record_discovery_problem(
  p_fiat text,
  p_error_type text,
  p_error_message text,
  p_exchange text default null
)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  insert into p2p.ops_extraction_errors (exchange_id, fiat_code, error_type, error_message)
  values (
    (
      select e.exchange_id
      from p2p.dim_exchanges e
      where e.code = p_exchange
    ),
    p_fiat,
    p_error_type,
    left(p_error_message, 1000)
  )
$function$;

comment on function p2p.record_discovery_problem(text, text, text, text) is 'Writes down a discovery call that failed';

grant execute on function p2p.record_discovery_problem(text, text, text, text) to p2p_worker;
-- ════ functions/record_load.sql
-- Last act of load_batch: writes down the load, its steps and the SQL that did it, and tells listeners. A load that
-- came to nothing new (the same SQL, the same outcome of every step, nothing changed) leaves no trace, so that
-- calling load_batch twice changes no row.
-- p_sql_set_id is the SQL at the beginning of the load. If somebody changed it since, the batch is not of the SQL of
-- now, and replay takes it again: facts of old SQL never pass for facts of the new.
create or replace function p2p.record_load(
  p_before p2p.ops_batch_runs,
  p_steps p2p.ops_batch_steps[],
  p_began timestamptz,
  p_sql_set_id integer
)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_after p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_before.batch_id);
  v_last p2p.ops_batch_loads;
  v_is_same boolean;
begin
  select l.*
  into v_last
  from p2p.ops_batch_loads l
  where l.batch_id = p_before.batch_id
  order by l.load_number desc
  limit 1;

  v_is_same := found
    and v_last.sql_set_id = p_sql_set_id
    and p_before is not distinct from v_after
    and not exists (
      select s.step, s.status, s.error
      from unnest(p_steps) as s
      except
      select s.step, s.status, s.error
      from p2p.ops_batch_steps s
      where s.batch_id = v_last.batch_id
        and s.load_number = v_last.load_number
    );

  if v_is_same then
    return;
  end if;

  insert into p2p.ops_batch_loads (batch_id, load_number, loaded_at, sql_set_id, status, seconds, offers_changed)
  values (
    v_after.batch_id,
    coalesce(v_last.load_number, 0) + 1,
    p_began,
    p_sql_set_id,
    v_after.status,
    extract(epoch from clock_timestamp() - p_began),
    case
      when p_before.status in ('completed', 'partial') then v_after.total_offers_updated - p_before.total_offers_updated
      else v_after.total_offers_inserted
    end
  )
  returning *
  into v_last;

  insert into p2p.ops_batch_steps (
    batch_id, load_number, position, step, is_required, status, seconds, error, error_context
  )
  select
    v_last.batch_id, v_last.load_number, s.position, s.step, s.is_required, s.status, s.seconds, s.error, s.error_context
  from unnest(p_steps) as s;

  if v_after.status <> p_before.status or v_last.offers_changed > 0 then
    perform p2p.announce_batch(v_last.batch_id);
  end if;
end
$function$;

comment on function p2p.record_load(p2p.ops_batch_runs, p2p.ops_batch_steps[], timestamptz, integer) is 'Last act of load_batch: writes down the load and its steps';

grant execute on function p2p.record_load(p2p.ops_batch_runs, p2p.ops_batch_steps[], timestamptz, integer) to p2p_worker;
-- ════ functions/record_lost_page.sql
-- Writes down a page that could not be had after all attempts. With p_ends_market the market is given up.
-- A second call with the same page changes nothing.
create or replace function p2p.record_lost_page(
  p_batch_id uuid,
  p_worker_id text,
  p_market_id integer,
  p_page_number integer,
  p_ends_market boolean,
  p_error_type text,
  p_error_message text,
  p_retry_count integer
)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  perform p2p.lock_queue(p_batch_id, false);

  update p2p.ops_batch_markets bm
  set lost_pages = bm.lost_pages || p_page_number
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id
    and bm.worker_id = p_worker_id
    and bm.status = 'fetching'
    and p_page_number <> all (bm.lost_pages);

  if not found then
    return;
  end if;

  insert into p2p.ops_extraction_errors (
    batch_id, exchange_id, fiat_code, crypto_symbol, trade_type, page_number, error_type, error_message, retry_count
  )
  select
    p_batch_id, m.exchange_id, f.currency_code, c.symbol, m.trade_type, p_page_number, p_error_type, left(p_error_message, 1000), p_retry_count
  from p2p.dim_markets m
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  where m.market_id = p_market_id;

  if p_ends_market then
    perform p2p.finish_market(p_batch_id, p_market_id, p_error_type || ': ' || left(p_error_message, 200));
  end if;
end
$function$;

comment on function p2p.record_lost_page(uuid, text, integer, integer, boolean, text, text, integer)
is 'Writes down a page that was lost, and gives its market up if told so';

grant execute on function p2p.record_lost_page(uuid, text, integer, integer, boolean, text, text, integer) to p2p_worker;
-- ════ functions/record_missed_batches.sql
-- Part of join_batch: writes down every due time between the last one accounted for and p_due_at (itself not) that got no
-- batch, with why; at most the newest 1,000. A schedule that has not begun missed nothing. A second call finds none.
create or replace function p2p.record_missed_batches(p_due_at timestamptz, p_interval_seconds double precision, p_worker_id text)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  with last_accounted as (
    select greatest(
      (select max(r.due_at) from p2p.ops_batch_runs r),
      (select max(s.due_at) from p2p.ops_skipped_batches s)
    ) as due_at
  )
  insert into p2p.ops_skipped_batches (due_at, reason, worker_id)
  select missed.due_at, p2p.why_late(missed.due_at), p_worker_id
  from last_accounted l
  cross join generate_series(
    1,
    least(1000, ceil(extract(epoch from p_due_at - l.due_at) / nullif(p_interval_seconds, 0)) - 1)::integer
  ) as step
  cross join lateral (
    select p_due_at - make_interval(secs => step * p_interval_seconds) as due_at
  ) as missed
  where missed.due_at > l.due_at
  on conflict (due_at) do nothing
$function$;

comment on function p2p.record_missed_batches(timestamptz, double precision, text) is 'Part of join_batch: writes down due times that got no batch';

grant execute on function p2p.record_missed_batches(timestamptz, double precision, text) to p2p_worker;
-- ════ functions/reject_offers.sql
-- Step 2 of load_batch: what cannot be an offer goes to ops_rejected_offers, with the reason and the original JSON.
-- A second call leaves rows that are still rejected for the same reason as they are, discarded ones included; one
-- that is rejected for another reason than before is back in quarantine.
create or replace function p2p.reject_offers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table refused_items on commit drop as
  select judged.*
  from (
    select
      p.market_id,
      p.page_number,
      p.item_number,
      p.item_path,
      case
        when coalesce(p.offer_external_id, '') = '' then 'no offer id'
        when length(p.offer_external_id) > 100 then 'offer id is too long'
        when coalesce(p.advertiser_id, '') = '' then 'no advertiser'
        when length(p.advertiser_id) > 100 then 'advertiser id is too long'
        when 'price' = any (p.unreadable) then 'price is not a number'
        when p.price is null then 'no price'
        when p.price <= 0 then 'price is not positive'
        when 'available_amount' = any (p.unreadable) then 'amount is not a number'
        when p.available_amount is null then 'no amount'
        when p.available_amount < 0 then 'amount is negative'
        when p.unreadable && array['min_limit', 'max_limit'] then 'limit is not a number'
        when p.min_limit < 0 or p.max_limit < 0 then 'limit is negative'
        when p.min_limit > p.max_limit then 'limits are crossed'
        when p.asset <> c.symbol or p.fiat <> f.currency_code then 'belongs to another market'
      end as reason
    from pg_temp.parsed_offers p
    join p2p.dim_markets m on m.market_id = p.market_id
    join p2p.dim_cryptocurrencies c on c.crypto_id = m.crypto_id
    join p2p.dim_fiat_currencies f on f.fiat_id = m.fiat_id
  ) as judged
  where judged.reason is not null;

  delete from p2p.ops_rejected_offers o
  where o.batch_id = p_batch_id
    and not exists (
      select
      from pg_temp.refused_items r
      where (r.market_id, r.page_number, r.item_number) = (o.market_id, o.page_number, o.item_number)
    );

  insert into p2p.ops_rejected_offers as o (batch_id, market_id, page_number, item_number, reason, payload)
  select
    p_batch_id,
    r.market_id,
    r.page_number,
    r.item_number,
    r.reason,
    s.body #> r.item_path
  from pg_temp.refused_items r
  join p2p.ops_batch_runs b on b.batch_id = p_batch_id
  join p2p.stg_responses s
    on s.extraction_timestamp = b.batch_start_time
    and s.market_id = r.market_id
    and s.page_number = r.page_number
  on conflict (batch_id, market_id, page_number, item_number) do update
  set
    reason = excluded.reason,
    rejected_at = excluded.rejected_at,
    discarded_at = null,
    discarded_by = null,
    discard_note = null
  where o.reason <> excluded.reason;

  drop table pg_temp.refused_items;
end
$function$;

comment on function p2p.reject_offers(uuid) is 'Step of load_batch: sets aside what cannot be an offer';

grant execute on function p2p.reject_offers(uuid) to p2p_worker;
-- ════ functions/remembered_access.sql
-- What the newest worker of that name had learned of an exchange, for the next one to begin with; no row where there was
-- none. Changes nothing.
create or replace function p2p.remembered_access(p_worker_name text, p_exchange text)
returns table (
  rate_per_minute numeric,
  ceiling_per_minute numeric,
  breaker text,
  breaker_reason text,
  breaker_memory jsonb,
  seconds_ago double precision
)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select
    we.rate_per_minute,
    we.ceiling_per_minute,
    we.breaker,
    we.breaker_reason,
    we.breaker_memory,
    extract(epoch from clock_timestamp() - we.updated_at)::double precision
  from p2p.ops_workers w
  join p2p.ops_worker_exchanges we using (worker_id)
  join p2p.dim_exchanges e using (exchange_id)
  where w.worker_name = p_worker_name
    and e.code = p_exchange
  order by we.updated_at desc
  limit 1
$function$;

comment on function p2p.remembered_access(text, text) is 'What the worker before, of the same name, had learned of an exchange';

grant execute on function p2p.remembered_access(text, text) to p2p_worker;
-- ════ functions/repair_json.sql
-- Makes a document of JSON text that jsonb refuses though JSON allows it: \u0000 and lone surrogates become U+FFFD,
-- numbers with an exponent beyond what numeric holds become strings. Other digits and characters stay as they are.
-- Returns document NULL where that does not help. Changes nothing.
create or replace function p2p.repair_json(p_text text, out document jsonb, out alteration text)
language plpgsql
immutable
set search_path = p2p, pg_temp
as $function$
declare
  -- An escape counts only after an even number of backslashes: \\u0000 is a backslash and five characters.
  v_start constant text := '(?<!\\)((?:\\\\)*)';
  v_low constant text := '\\u[dD][c-fC-F][0-9a-fA-F]{2}';
  v_string constant text := '("(?:[^"\\]|\\.)*")';
  v_large_number constant text := '(-?\d+(?:\.\d+)?[eE][+-]?\d{4,})';
  v_mark constant text := E'\x01'; -- JSON has it only escaped
  v_text text := p_text;
begin
  v_text := regexp_replace(v_text, v_start || '\\u0000', '\1\\ufffd', 'g');
  -- Pairs are set aside as \U…, which JSON does not have, so that what is left stands alone.
  v_text := regexp_replace(v_text, v_start || '\\u(?=[dD][89abAB][0-9a-fA-F]{2}' || v_low || ')', '\1\\U', 'g');
  v_text := regexp_replace(v_text, v_start || '(\\U[0-9a-fA-F]{4})\\u', '\1\2\\L', 'g');
  v_text := regexp_replace(v_text, v_start || '\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '\1\\ufffd', 'g');
  v_text := regexp_replace(v_text, v_start || '\\[UL](?=[dD][89a-fA-F][0-9a-fA-F]{2})', '\1\\u', 'g');

  alteration := case when v_text <> p_text then 'characters that jsonb cannot hold became U+FFFD' end;

  begin
    document := v_text::jsonb;
    return;
  exception when others then
    null;
  end;

  begin
    -- Strings are matched as well, so that what looks like a number inside one is left alone. The marks around
    -- what is no string become quotes.
    v_text := regexp_replace(v_text, v_string || '|' || v_large_number, '\1' || v_mark || '\2' || v_mark, 'g');
    document := replace(replace(v_text, v_mark || v_mark, ''), v_mark, '"')::jsonb;
    alteration := concat_ws('; ', alteration, 'numbers beyond the range of numeric became strings');
  exception when others then
    alteration := 'jsonb cannot hold it: ' || sqlerrm;
  end;
end
$function$;

comment on function p2p.repair_json(text) is 'Mends JSON text that jsonb cannot hold, as little as possible';

grant execute on function p2p.repair_json(text) to p2p_worker;
-- ════ functions/replay_batch.sql
-- load_batch for a batch that was loaded before; says how many rows that wrote in the tables of batches (those that a
-- dry run compares). A second call writes none. Raises where the batch is running: loading would end its fetching.
create or replace function p2p.replay_batch(p_batch_id uuid)
returns table (status text, offers integer, rows_written bigint, error_summary text)
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_written_before bigint;
  v_batch p2p.ops_batch_runs;
begin
  if exists (select from p2p.ops_batch_runs r where r.batch_id = p_batch_id and r.status = 'running') then
    raise exception 'batch % is running', p_batch_id
      using errcode = 'P2P03', hint = 'its worker will load it';
  end if;

  v_written_before := p2p.rows_written();

  v_batch := p2p.load_batch(p_batch_id);

  return query
  select
    v_batch.status,
    v_batch.total_offers_inserted,
    p2p.rows_written() - v_written_before,
    v_batch.error_summary;
end
$function$;

comment on function p2p.replay_batch(uuid) is 'load_batch again, and how many rows that wrote';

grant execute on function p2p.replay_batch(uuid) to p2p_worker;
-- ════ functions/replay_quarantine.sql
-- Loads a batch again from its pages, and tells what became of its offers in quarantine (NULL: of any reason):
-- repaired are those that are rejected no more. Nothing is fetched. May be called again at any time.
create or replace function p2p.replay_quarantine(p_batch_id uuid, p_reason text default null)
returns table (repaired bigint, still_rejected bigint, status text)
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_places jsonb;
  v_batch p2p.ops_batch_runs;
begin
  select coalesce(jsonb_agg(jsonb_build_array(o.market_id, o.page_number, o.item_number)), '[]')
  into v_places
  from p2p.ops_rejected_offers o
  where o.batch_id = p_batch_id
    and o.discarded_at is null
    and (p_reason is null or o.reason = p_reason);

  v_batch := p2p.load_batch(p_batch_id);

  return query
  select
    count(*) filter (where o.batch_id is null),
    count(*) filter (where o.batch_id is not null),
    v_batch.status
  from jsonb_array_elements(v_places) as place
  left join p2p.ops_rejected_offers o
    on o.batch_id = p_batch_id
    and o.market_id = (place ->> 0)::integer
    and o.page_number = (place ->> 1)::integer
    and o.item_number = (place ->> 2)::integer;
end
$function$;

comment on function p2p.replay_quarantine(uuid, text) is 'Loads a batch again and counts which of its offers in quarantine were repaired by that';

grant execute on function p2p.replay_quarantine(uuid, text) to p2p_worker;
-- ════ functions/replayable_batches.sql
-- The batches that `replay` takes, oldest first: those of p_batch_ids, or else those that started within
-- [p_since, p_until], or else the last p_last of them that are not running. Changes nothing.
-- pages are the raw pages that are there; obstacle says why a batch must not be loaded again, NULL where it
-- may. is_current says that the SQL of now has loaded it already, so that nothing would change; with p_all that does
-- not count.
create or replace function p2p.replayable_batches(
  p_batch_ids uuid[] default null,
  p_since timestamptz default null,
  p_until timestamptz default null,
  p_last integer default null,
  p_all boolean default false
)
returns table (batch_id uuid, batch_start_time timestamptz, status text, offers integer, pages bigint, obstacle text, is_current boolean)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with current_set as (
    select s.sql_set_id
    from p2p.sql_sets s
    where s.fingerprint = p2p.sql_fingerprint()
  ),
  asked as (
    select r.*
    from p2p.ops_batch_runs r
    where (p_batch_ids is null or r.batch_id = any (p_batch_ids))
      and (p_since is null or r.batch_start_time >= p_since)
      and (p_until is null or r.batch_start_time <= p_until)
      and (p_last is null or r.status <> 'running')
    order by r.batch_start_time desc
    limit p_last
  )
  select
    a.batch_id,
    a.batch_start_time,
    a.status,
    a.total_offers_inserted,
    raw.pages,
    case
      when a.status = 'running' then 'it is running'
      when not p2p.has_its_pages(a) then 'its raw pages are gone'
    end,
    not p_all and coalesce(last_load.sql_set_id = (select c.sql_set_id from current_set c), false)
  from asked a
  cross join lateral (
    select count(*) as pages
    from p2p.stg_responses s
    where s.extraction_timestamp = a.batch_start_time
  ) as raw
  left join lateral (
    select l.sql_set_id
    from p2p.ops_batch_loads l
    where l.batch_id = a.batch_id
    order by l.load_number desc
    limit 1
  ) as last_load on true
  order by a.batch_start_time
$function$;

comment on function p2p.replayable_batches(uuid[], timestamptz, timestamptz, integer, boolean) is 'Batches that p2p-ingest replay takes, and what stands against it';

grant execute on function p2p.replayable_batches(uuid[], timestamptz, timestamptz, integer, boolean) to p2p_worker;
-- ════ functions/require_in_quarantine.sql
-- Refuses a reason that no offer in quarantine has, and a batch that does not exist: a slip of the pen must not look
-- like an empty quarantine. NULL stands for any. Changes nothing.
create or replace function p2p.require_in_quarantine(p_reason text, p_batch_id uuid)
returns void
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_reasons text;
begin
  if p_batch_id is not null and not exists (select from p2p.ops_batch_runs r where r.batch_id = p_batch_id) then
    raise exception 'there is no batch %', p_batch_id
      using errcode = 'P2P02', hint = 'p2p-ingest status';
  end if;

  if p_reason is null
    or exists (select from p2p.ops_rejected_offers o where o.reason = p_reason and o.discarded_at is null)
  then
    return;
  end if;

  select string_agg(distinct format('"%s"', o.reason), ', ')
  into v_reasons
  from p2p.ops_rejected_offers o
  where o.discarded_at is null;

  raise exception 'no offer in quarantine has the reason "%"', p_reason
    using errcode = 'P2P02', hint = coalesce('there are: ' || v_reasons, 'the quarantine is empty');
end
$function$;

comment on function p2p.require_in_quarantine(text, uuid) is 'Refuses reasons and batches that the quarantine does not know';

grant execute on function p2p.require_in_quarantine(text, uuid) to p2p_worker;
-- ════ functions/resolve_incident.sql
-- Ends the open incident of this kind and subject. Returns whether there was one, so that of all workers one tells people
-- of it. A second call changes nothing and returns false. Who tells: as with raise_incident.
create or replace function p2p.resolve_incident(
  p_kind text,
  p_subject text,
  p_message text,
  p_is_told boolean default false
)
returns boolean
language sql
set search_path = p2p, pg_temp
as $function$
  with ended as (
    update p2p.ops_incidents i
    set
      resolved_at = greatest(clock_timestamp(), i.raised_at),
      resolved_message = left(p_message, 1000),
      end_told_at = case when p_is_told then clock_timestamp() end
    where i.kind = p_kind
      and i.subject = left(p_subject, 100)
      and i.resolved_at is null
    returning 1
  )
  select exists (select from ended)
$function$;

comment on function p2p.resolve_incident(text, text, text, boolean) is 'Ends an incident; false where none is open';

grant execute on function p2p.resolve_incident(text, text, text, boolean) to p2p_worker;
-- ════ functions/restore_object.sql
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
-- ════ functions/rewrite_advertiser_history.sql
-- Part of load_advertisers, for those of pg_temp.changed_advertisers who were seen with another identity at p_time
-- although later or equal times are known already. Their history is made anew from every time they were seen
-- (facts, and the beginning of each row they have), so that it is the same as if all batches had come in order.
-- Rows keep their advertiser_sk where the identity they stand for stays; facts that now belong to another row
-- are pointed at it, and noted in pg_temp.repointed_offers: what was summed up by row has to follow. The facts of p_time
-- itself are left to load_offers.
create or replace function p2p.rewrite_advertiser_history(p_time timestamptz)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table new_history on commit drop as
  with former_rows as (
    select d.*
    from p2p.dim_advertisers d
    join pg_temp.changed_advertisers c using (exchange_id, advertiser_id)
    where c.changes_history
  ),
  times_seen as (
    select f.advertiser_sk, f.effective_date as seen_at
    from former_rows f
    union
    select f.advertiser_sk, o.extraction_timestamp
    from former_rows f
    join p2p.fact_offers o on o.advertiser_sk = f.advertiser_sk
  ),
  sightings as (
    select
      f.exchange_id, f.advertiser_id, t.seen_at, f.advertiser_sk, f.registration_days,
      row(f.nickname, f.is_merchant, f.user_type, f.user_grade, f.user_identity, f.vip_level)::text as identity,
      f.nickname, f.is_merchant, f.user_type, f.user_grade, f.user_identity, f.vip_level
    from times_seen t
    join former_rows f using (advertiser_sk)
    where t.seen_at <> p_time
    union all
    select
      c.exchange_id, c.advertiser_id, p_time, null, c.registration_days,
      row(c.nickname, c.is_merchant, c.user_type, c.user_grade, c.user_identity, c.vip_level)::text,
      c.nickname, c.is_merchant, c.user_type, c.user_grade, c.user_identity, c.vip_level
    from pg_temp.changed_advertisers c
    where c.changes_history
  ),
  marked as (
    select
      s.*,
      s.identity is distinct from lag(s.identity) over advertiser as begins
    from sightings s
    window advertiser as (partition by s.exchange_id, s.advertiser_id order by s.seen_at)
  ),
  numbered as (
    select
      m.*,
      count(*) filter (where m.begins) over (
        partition by m.exchange_id, m.advertiser_id
        order by m.seen_at
      ) as stretch
    from marked m
  ),
  stretches as (
    select
      n.exchange_id, n.advertiser_id, n.stretch,
      min(n.seen_at) as effective_date,
      max(n.seen_at) as last_seen_at,
      array_agg(distinct n.advertiser_sk) filter (where n.advertiser_sk is not null) as former_sks,
      max(n.registration_days) as registration_days,
      n.nickname, n.is_merchant, n.user_type, n.user_grade, n.user_identity, n.vip_level
    from numbered n
    group by
      n.exchange_id, n.advertiser_id, n.stretch,
      n.nickname, n.is_merchant, n.user_type, n.user_grade, n.user_identity, n.vip_level
  ),
  claims as (
    -- A former row may have been cut into several stretches: the first one keeps its number.
    select distinct on (sk.advertiser_sk) s.exchange_id, s.advertiser_id, s.stretch, sk.advertiser_sk
    from stretches s
    cross join unnest(s.former_sks) as sk (advertiser_sk)
    order by sk.advertiser_sk, s.stretch
  ),
  kept as (
    select c.exchange_id, c.advertiser_id, c.stretch, min(c.advertiser_sk) as advertiser_sk
    from claims c
    group by c.exchange_id, c.advertiser_id, c.stretch
  )
  select
    coalesce(
      kept.advertiser_sk,
      nextval(pg_get_serial_sequence('p2p.dim_advertisers', 'advertiser_sk'))::integer
    ) as advertiser_sk,
    s.exchange_id, s.advertiser_id, s.nickname, s.is_merchant, s.user_type, s.user_grade, s.user_identity, s.vip_level,
    s.registration_days,
    s.effective_date,
    coalesce(
      lead(s.effective_date) over (partition by s.exchange_id, s.advertiser_id order by s.effective_date),
      'infinity'
    ) as expiration_date,
    s.former_sks
  from stretches s
  left join kept using (exchange_id, advertiser_id, stretch);

  create temp table if not exists repointed_offers (
    extraction_timestamp timestamptz,
    advertiser_sks integer[]
  ) on commit drop;

  with repointed as (
    update p2p.fact_offers o
    set advertiser_sk = h.advertiser_sk
    from pg_temp.new_history h
    where o.advertiser_sk = any (h.former_sks)
      and o.advertiser_sk <> h.advertiser_sk
      and o.extraction_timestamp >= h.effective_date
      and o.extraction_timestamp < h.expiration_date
      and o.extraction_timestamp <> p_time
    returning o.extraction_timestamp, h.former_sks || h.advertiser_sk as advertiser_sks
  )
  insert into pg_temp.repointed_offers (extraction_timestamp, advertiser_sks)
  select distinct r.extraction_timestamp, r.advertiser_sks
  from repointed r;

  delete from p2p.dim_advertisers d
  using pg_temp.changed_advertisers c
  where c.changes_history
    and d.exchange_id = c.exchange_id
    and d.advertiser_id = c.advertiser_id;

  insert into p2p.dim_advertisers (
    advertiser_sk, exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, effective_date, expiration_date
  )
  overriding system value
  select
    advertiser_sk, exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, effective_date, expiration_date
  from pg_temp.new_history;

  drop table pg_temp.new_history;
end
$function$;

comment on function p2p.rewrite_advertiser_history(timestamptz) is 'Part of load_advertisers: history after a batch that was loaded late or again';

grant execute on function p2p.rewrite_advertiser_history(timestamptz) to p2p_worker;
-- ════ functions/rows_written.sql
-- Rows that this transaction wrote so far in the tables that a dry run compares. The server counts where rows are kept:
-- in the partitions of a table, or its chunks. Changes nothing.
create or replace function p2p.rows_written()
returns bigint
language sql
set search_path = p2p, pg_temp
as $function$
  with kept_in (table_id) as (
    select t.table_id
    from p2p.compared_tables() t
    where t.table_name <> 'ops_batch_steps' -- bookkeeping
    union
    select i.inhrelid
    from p2p.compared_tables() t
    join pg_inherits i on i.inhparent = t.table_id
  )
  select coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::bigint
  from kept_in k
  join pg_stat_xact_user_tables s on s.relid = k.table_id
$function$;

comment on function p2p.rows_written() is 'Rows that this transaction wrote so far in tables of batches';

grant execute on function p2p.rows_written() to p2p_worker;
-- ════ functions/rule_broken_references.sql
-- Quality rule. Metric: number of facts that point at a dimension row that is not there. Offending rows: those facts,
-- with what is missing. Facts have no foreign keys (they would cost too much): this proves what load_batch promises.
-- Speaks of the batch alone (primary keys of fact_offers and the dimensions). Only reads.
create or replace function p2p.rule_broken_references(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_finding p2p.rule_finding;
begin
  with broken as (
    select
      f.offer_external_id,
      array_remove(
        array[
          case when a.advertiser_sk is null then 'advertiser' end,
          case when m.market_id is null then 'market' end,
          case when p.payment_set_id is null then 'payment methods' end,
          case when o.offer_id is null then 'ad' end
        ],
        null
      ) as missing
    from p2p.fact_offers f
    left join p2p.dim_advertisers a on a.advertiser_sk = f.advertiser_sk
    left join p2p.dim_markets m
      on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type)
    left join p2p.dim_payment_sets p on p.payment_set_id = f.payment_set_id
    left join p2p.dim_offers o on o.offer_id = f.offer_id
    where f.extraction_timestamp = v_now
      and (a.advertiser_sk is null or m.market_id is null or p.payment_set_id is null or o.offer_id is null)
  )
  select
    count(*),
    jsonb_agg(jsonb_build_object('offer', b.offer_external_id, 'missing', b.missing) order by b.offer_external_id)
  into v_finding
  from broken b;
  return v_finding;
end
$function$;

comment on function p2p.rule_broken_references(uuid) is 'Quality rule: facts that point at a missing dimension row';

grant execute on function p2p.rule_broken_references(uuid) to p2p_worker;
-- ════ functions/rule_completeness.sql
-- Quality rule. Metric: share of the planned markets that were fetched whole, 0 to 1; a batch without any market is
-- not complete, one of markets that are all not due is. Offending rows: the markets that are missing something. Speaks of the batch alone: the ledger
-- (primary key of ops_batch_markets). Only reads.
create or replace function p2p.rule_completeness(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_finding p2p.rule_finding;
begin
  with planned as (
    select
      e.code as exchange,
      format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as market,
      bm.status,
      bm.reason
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    where bm.batch_id = p_batch_id
  )
  select
    coalesce(
      round(avg((p.status = 'complete')::integer) filter (where p.status <> 'not_due'), 6),
      (count(*) > 0)::integer
    ),
    jsonb_agg(
      jsonb_build_object('exchange', p.exchange, 'market', p.market, 'status', p.status, 'reason', p.reason)
      order by p.status, p.market, p.exchange
    ) filter (where p.status not in ('complete', 'not_due'))
  into v_finding
  from planned p;
  return v_finding;
end
$function$;

comment on function p2p.rule_completeness(uuid) is 'Quality rule: share of the planned markets that were fetched whole';

grant execute on function p2p.rule_completeness(uuid) to p2p_worker;
-- ════ functions/rule_crossed_median.sql
-- Quality rule. Metric: share, 0 to 1, of the pairs of books (BUY and SELL of the same fiat and asset) whose BUY median
-- lies below the SELL median, of the exchange that has most. Best prices cross on most days (72 % of 25,000 snapshots of
-- one book); medians never did: where they do, sides or prices are mixed up. Judged are pairs that are complete and have
-- 20 offers or more on both sides. NULL where there is none. Offending rows: the crossed pairs, the worst first.
-- Speaks of the batch alone (fact_market_depth_by_time). Only reads.
create or replace function p2p.rule_crossed_median(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_offers constant integer := 20;
  v_finding p2p.rule_finding;
begin
  with pairs as (
    select
      e.code as exchange,
      format('%s/%s', f.currency_code, c.symbol) as pair,
      buy.median_price as buy_median,
      sell.median_price as sell_median,
      round((1 - buy.median_price / sell.median_price) * 100, 2) as percent_crossed
    from p2p.fact_market_depth buy
    join p2p.fact_market_depth sell using (extraction_timestamp, exchange_id, fiat_id, crypto_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    where extraction_timestamp = v_now
      and buy.trade_type = 'BUY'
      and sell.trade_type = 'SELL'
      and buy.is_complete
      and sell.is_complete
      and buy.total_offers_count >= c_offers
      and sell.total_offers_count >= c_offers
  ),
  exchanges as (
    select avg((p.buy_median < p.sell_median)::integer) as share
    from pairs p
    group by p.exchange
  )
  select
    (select round(max(x.share), 6) from exchanges x),
    jsonb_agg(to_jsonb(p) order by p.percent_crossed desc, p.pair, p.exchange) filter (where p.buy_median < p.sell_median)
  into v_finding
  from pairs p;
  return v_finding;
end
$function$;

comment on function p2p.rule_crossed_median(uuid) is 'Quality rule: pairs of books whose medians are crossed';

grant execute on function p2p.rule_crossed_median(uuid) to p2p_worker;
-- ════ functions/rule_duplicate_offers.sql
-- Quality rule. Metric: number of ads that stand in the snapshot more than once. Offending rows: those ads. Speaks of
-- the batch alone (primary key of fact_offers). Only reads.
create or replace function p2p.rule_duplicate_offers(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_finding p2p.rule_finding;
begin
  with repeated as (
    select
      f.offer_external_id,
      count(*) as times
    from p2p.fact_offers f
    where f.extraction_timestamp = v_now
    group by f.exchange_id, f.offer_external_id
    having count(*) > 1
  )
  select
    count(*),
    jsonb_agg(
      jsonb_build_object('offer', r.offer_external_id, 'times', r.times)
      order by r.times desc, r.offer_external_id
    )
  into v_finding
  from repeated r;
  return v_finding;
end
$function$;

comment on function p2p.rule_duplicate_offers(uuid) is 'Quality rule: ads that stand in the snapshot more than once';

grant execute on function p2p.rule_duplicate_offers(uuid) to p2p_worker;
-- ════ functions/rule_function.sql
-- Looks the function of a quality rule up in the catalog. Returns its name as SQL needs it, with the schema; NULL where
-- there is none (any more) that takes a batch and returns p2p.rule_finding. Only reads.
create or replace function p2p.rule_function(p_qualified_name text)
returns text
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select format('%I.%I', n.nspname, p.proname)
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where array[n.nspname, p.proname]::text[] = parse_ident(p_qualified_name)
    and p.pronargs = 1
    and p.proargtypes[0] = 'uuid'::regtype
    and p.prorettype = 'p2p.rule_finding'::regtype
    and p.prokind = 'f'
$function$;

comment on function p2p.rule_function(text) is 'The function of a quality rule, NULL where it is gone';

grant execute on function p2p.rule_function(text) to p2p_worker;
-- ════ functions/rule_needed_keys.sql
-- Quality rule. Metric: number of keys that a parser needs (parser_keys) and that are missing, or of a type it cannot
-- read, in more than a fifth of the objects they belong to. One odd offer says nothing: three of them must, or all.
-- Offending rows: those keys, and the types they came with. NULL where there are no pages.
-- Reads the same pages as watch_shapes (see watched_values), whether the batch was watched or not: a replay finds the
-- same. Served by the primary key of stg_responses. Only reads.
create or replace function p2p.rule_needed_keys(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  c_few constant integer := 3;
  c_tolerated_share constant numeric := 0.2;
  v_finding p2p.rule_finding;
begin
  with shapes as materialized (
    select
      v.parser,
      v.path,
      v.json_type,
      sum(v.values_seen) as values_seen
    from p2p.watched_values(p_batch_id, true) v
    group by v.parser, v.path, v.json_type
  ),
  needed as (
    select
      k.parser,
      k.path,
      k.comment,
      (
        select coalesce(sum(parent.values_seen), 0)
        from shapes parent
        where parent.parser = k.parser
          and parent.path = regexp_replace(k.path, '\.?[^.]+$', '')
          and parent.json_type = 'object'
      ) as objects,
      coalesce(sum(s.values_seen) filter (where s.json_type = any (k.json_types)), 0) as readable,
      coalesce(jsonb_object_agg(s.json_type, s.values_seen) filter (where s.path is not null), '{}') as types
    from p2p.parser_keys k
    left join shapes s using (parser, path)
    group by k.parser, k.path
  ),
  judged as (
    select
      n.*,
      n.objects - n.readable > n.objects * c_tolerated_share
      and (n.objects - n.readable >= c_few or n.readable = 0) as is_lost
    from needed n
  )
  select
    case when exists (select from shapes) then count(*) filter (where j.is_lost) end,
    jsonb_agg(
      jsonb_build_object(
        'parser', j.parser,
        'path', j.path,
        'objects', j.objects,
        'readable', j.readable,
        'types', j.types,
        'lost', j.comment
      )
      order by j.path
    ) filter (where j.is_lost)
  into v_finding
  from judged j;

  return v_finding;
end
$function$;

comment on function p2p.rule_needed_keys(uuid) is 'Quality rule: keys that a parser needs and does not get';

grant execute on function p2p.rule_needed_keys(uuid) to p2p_worker;
-- ════ functions/rule_price_anomaly.sql
-- Quality rule. Metric: percent by which the median price of a book lies off its usual one, the greatest of all books.
-- Usual = the median of the book's own medians in the price_history_hours (3) before the batch. Row by row would never do: prices
-- within one book lie apart by 40 to 260 % on any day, while its median moves by less than 5 % a half hour (p99).
-- Judged are books that are complete and have 20 offers or more, now and in at least 3 earlier snapshots: the median
-- of half a book, or of a handful of offers, jumps. NULL where there is no such book, e.g. at the first batches.
-- Offending rows: books beyond the first threshold of rule price_anomaly, the worst first.
-- Compares with the batch's own time, so that a replay finds the same. Served by the unique key of fact_market_depth
-- (one book by time). Only reads.
create or replace function p2p.rule_price_anomaly(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_window constant interval := make_interval(mins => (p2p.setting_number('price_history_hours') * 60)::integer);
  c_offers constant integer := 20;
  c_snapshots constant integer := 3;
  v_threshold constant numeric := (
    select coalesce(r.warning_threshold, r.error_threshold)
    from p2p.quality_rules r
    where r.name = 'price_anomaly'
  );
  v_finding p2p.rule_finding;
begin
  with books as (
    select
      e.code as exchange,
      format('%s/%s %s', f.currency_code, c.symbol, d.trade_type) as market,
      d.median_price,
      history.usual_median,
      abs(d.median_price / history.usual_median - 1) * 100 as percent_off
    from p2p.fact_market_depth d
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    cross join lateral (
      select
        percentile_disc(0.5) within group (order by h.median_price) as usual_median,
        count(*) as snapshots
      from p2p.fact_market_depth h
      where h.exchange_id = d.exchange_id
        and h.fiat_id = d.fiat_id
        and h.crypto_id = d.crypto_id
        and h.trade_type = d.trade_type
        and h.extraction_timestamp >= v_now - v_window
        and h.extraction_timestamp < v_now
        and h.is_complete
        and h.total_offers_count >= c_offers
    ) as history
    where d.extraction_timestamp = v_now
      and d.is_complete
      and d.total_offers_count >= c_offers
      and history.snapshots >= c_snapshots
  )
  select
    round(max(b.percent_off), 2),
    jsonb_agg(
      jsonb_build_object(
        'exchange', b.exchange,
        'market', b.market,
        'median', b.median_price,
        'usual_median', b.usual_median,
        'percent_off', round(b.percent_off, 2)
      )
      order by b.percent_off desc, b.market, b.exchange
    ) filter (where b.percent_off > v_threshold)
  into v_finding
  from books b;
  return v_finding;
end
$function$;

comment on function p2p.rule_price_anomaly(uuid) is 'Quality rule: median of a book against its own last hours';

grant execute on function p2p.rule_price_anomaly(uuid) to p2p_worker;
-- ════ functions/rule_promoted_share.sql
-- Quality rule. Metric: share of promoted offers, 0 to 1, in the books of 20 offers or more, of the exchange that has
-- most. Binance puts at most one on a page (62 % of first pages had one in 2026), so that more than 1 in 20 means that
-- the mark has got another meaning. Small books are left out: one promoted of three offers is nothing odd. NULL where
-- all books are small. Offending rows: books beyond the first threshold of rule promoted_share, the worst first.
-- Speaks of the batch alone (primary key of fact_offers). Only reads.
create or replace function p2p.rule_promoted_share(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_offers constant integer := 20;
  v_threshold constant numeric := (
    select coalesce(r.warning_threshold, r.error_threshold)
    from p2p.quality_rules r
    where r.name = 'promoted_share'
  );
  v_finding p2p.rule_finding;
begin
  with books as (
    select
      o.exchange_id,
      o.fiat_id,
      o.crypto_id,
      o.trade_type,
      count(*) as offers,
      count(*) filter (where o.is_promoted) as promoted
    from p2p.fact_offers o
    where o.extraction_timestamp = v_now
    group by o.exchange_id, o.fiat_id, o.crypto_id, o.trade_type
    having count(*) >= c_offers
  ),
  named as (
    select
      e.code as exchange,
      format('%s/%s %s', f.currency_code, c.symbol, b.trade_type) as market,
      b.offers,
      b.promoted,
      round(b.promoted::numeric / b.offers, 4) as share
    from books b
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
  ),
  exchanges as (
    select sum(n.promoted) / sum(n.offers) as share
    from named n
    group by n.exchange
  )
  select
    (select round(max(x.share), 6) from exchanges x),
    jsonb_agg(
      jsonb_build_object('exchange', n.exchange, 'market', n.market, 'offers', n.offers, 'promoted', n.promoted)
      order by n.share desc, n.market, n.exchange
    ) filter (where n.share > v_threshold)
  into v_finding
  from named n;
  return v_finding;
end
$function$;

comment on function p2p.rule_promoted_share(uuid) is 'Quality rule: share of promoted offers in the larger books';

grant execute on function p2p.rule_promoted_share(uuid) to p2p_worker;
-- ════ functions/rule_rejected_share.sql
-- Quality rule. Metric: share of the items on the pages that could not be offers, 0 to 1 (of those rejected and those
-- in the snapshot; repetitions count once), of the exchange that has most: one of which nothing can be read any more
-- is not to vanish behind a larger one. Offending rows: the reasons, with one item each as an example.
-- One or two odd items of fewer than 150 say nothing (0.1 % of all items are rejected on a normal day): NULL. So does
-- a batch without items. Speaks of the batch alone (primary keys). Only reads.
create or replace function p2p.rule_rejected_share(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_few_rejected constant integer := 3;
  c_few_items constant integer := 150;
  v_finding p2p.rule_finding;
begin
  with reasons as (
    select
      e.exchange_id,
      e.code as exchange,
      r.reason,
      count(*) as items,
      (array_agg(
        jsonb_build_object(
          'market', format('%s/%s %s', f.currency_code, c.symbol, m.trade_type),
          'page', r.page_number,
          'item', r.item_number
        )
        order by r.market_id, r.page_number, r.item_number
      ))[1] as example
    from p2p.ops_rejected_offers r
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    where r.batch_id = p_batch_id
    group by e.exchange_id, e.code, r.reason
  ),
  taken as (
    select
      f.exchange_id,
      count(*) as items
    from p2p.fact_offers f
    where f.extraction_timestamp = v_now
    group by f.exchange_id
  ),
  refused as (
    select
      r.exchange_id,
      sum(r.items) as items
    from reasons r
    group by r.exchange_id
  ),
  counted as (
    select
      coalesce(refused.items, 0) as rejected,
      coalesce(refused.items, 0) + coalesce(taken.items, 0) as items
    from refused
    full join taken using (exchange_id)
  )
  select
    (
      select round(max(c.rejected / c.items), 6)
      from counted c
      where c.rejected = 0
        or c.rejected >= c_few_rejected
        or c.items >= c_few_items
    ),
    (
      select
        jsonb_agg(
          r.example || jsonb_build_object('exchange', r.exchange, 'reason', r.reason, 'items', r.items)
          order by r.items desc, r.reason, r.exchange
        )
      from reasons r
    )
  into v_finding;
  return v_finding;
end
$function$;

comment on function p2p.rule_rejected_share(uuid) is 'Quality rule: share of the items that could not be offers';

grant execute on function p2p.rule_rejected_share(uuid) to p2p_worker;
-- ════ functions/rule_sql_drift.sql
-- Quality rule: shipped functions and views that were changed live, or dropped, and not adopted, at the time of the
-- load. Offenders: what they are called. The batch itself does not matter.
create or replace function p2p.rule_sql_drift(p_batch_id uuid)
returns p2p.rule_finding
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select
    count(*),
    jsonb_agg(jsonb_build_object('object', s.identity, 'is_missing', s.is_missing) order by s.identity)
  from p2p.object_states s
  where s.state = 'drifted'
$function$;

comment on function p2p.rule_sql_drift(uuid) is 'Quality rule: functions and views changed live and not adopted';

grant execute on function p2p.rule_sql_drift(uuid) to p2p_worker;
-- ════ functions/rule_stale_timestamps.sql
-- Quality rule. Metric: number of pages whose time makes a snapshot of the batch untrue: read more than an hour after
-- the batch began (all its facts bear the time it began), or dated after the batch was loaded (a clock that is ahead;
-- a minute is granted). Pages from before the batch are temporal_consistency's. Offending rows: those pages.
-- "After it was loaded" is the end of the batch, or now at the first load: so a late load or a replay finds the same.
-- NULL where the batch has no pages. Speaks of the batch alone (primary key of stg_responses). Only reads.
create or replace function p2p.rule_stale_timestamps(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  c_longest_batch constant interval := interval '1 hour';
  c_clock_difference constant interval := interval '1 minute';
  v_finding p2p.rule_finding;
begin
  with pages as (
    select
      e.code as exchange,
      format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as market,
      s.page_number,
      s.observed_at,
      case
        when s.observed_at > coalesce(r.batch_end_time, clock_timestamp()) + c_clock_difference
        then 'dated after it was loaded'
        when s.observed_at > r.batch_start_time + c_longest_batch
        then 'read long after the batch began'
      end as problem
    from p2p.ops_batch_runs r
    join p2p.stg_responses s on s.extraction_timestamp = r.batch_start_time
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    where r.batch_id = p_batch_id
  )
  select
    case when count(*) > 0 then count(p.problem) end,
    jsonb_agg(
      jsonb_build_object(
        'exchange', p.exchange,
        'market', p.market,
        'page', p.page_number,
        'observed_at', p.observed_at,
        'problem', p.problem
      )
      order by p.observed_at desc, p.market, p.page_number
    ) filter (where p.problem is not null)
  into v_finding
  from pages p;
  return v_finding;
end
$function$;

comment on function p2p.rule_stale_timestamps(uuid) is 'Quality rule: pages whose time does not fit their batch';

grant execute on function p2p.rule_stale_timestamps(uuid) to p2p_worker;
-- ════ functions/rule_temporal_consistency.sql
-- Quality rule. Metric: number of facts whose times contradict each other: read before their batch began (by more than
-- a minute, which clocks may differ; observed_at of a fact is whole minutes, so that two minutes are sure to be found), or described by an advertiser row that does not hold at the time of the batch.
-- Offending rows: those facts, with what is wrong. Speaks of the batch alone (primary keys of fact_offers and
-- dim_advertisers). Only reads.
create or replace function p2p.rule_temporal_consistency(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_earliest constant timestamptz := date_trunc('minute', v_now - interval '1 minute', 'UTC');
  v_finding p2p.rule_finding;
begin
  with contradictions as (
    select
      f.offer_external_id,
      f.observed_at,
      array_remove(
        array[
          case when f.observed_at < c_earliest then 'read before its batch began' end,
          case
            when v_now < a.effective_date or v_now >= a.expiration_date
            then 'advertiser row does not hold at this time'
          end
        ],
        null
      ) as problems
    from p2p.fact_offers f
    left join p2p.dim_advertisers a on a.advertiser_sk = f.advertiser_sk
    where f.extraction_timestamp = v_now
      and (
        f.observed_at < c_earliest
        or v_now < a.effective_date
        or v_now >= a.expiration_date
      )
  )
  select
    count(*),
    jsonb_agg(
      jsonb_build_object('offer', c.offer_external_id, 'observed_at', c.observed_at, 'problems', c.problems)
      order by c.observed_at, c.offer_external_id
    )
  into v_finding
  from contradictions c;
  return v_finding;
end
$function$;

comment on function p2p.rule_temporal_consistency(uuid) is 'Quality rule: facts whose times contradict each other';

grant execute on function p2p.rule_temporal_consistency(uuid) to p2p_worker;
-- ════ functions/rule_volume_drop.sql
-- Quality rule. Metric: percent of its available amount that an asset has lost since the same time of the day before
-- (median of the hour and a half on either side), the greatest of all assets of all exchanges; 0 where none lost anything. The same
-- time, because books double between night and noon: the average of a day would call every night a drop.
-- Comparable are books that are complete now and in at least 3 snapshots of then, with 10 offers or more then; amounts
-- of one asset add up over fiats. NULL until there is a day of history, and for assets of fewer than 50 such offers.
-- One whale can halve a book (0.2 to 0.4 % of half hours do), so that below 5,000 offers the drop counts no more than
-- the percentage of offers that went with it: the amount must go, and the offers too.
-- Offending rows: assets beyond the first threshold of rule volume_drop, the worst first.
-- Compares with the batch's own time. Served by the unique key of fact_market_depth (one book by time). Only reads.
create or replace function p2p.rule_volume_drop(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_ago constant interval := make_interval(mins => (p2p.setting_number('volume_history_hours') * 60)::integer);
  c_around constant interval := interval '90 minutes';
  c_snapshots constant integer := 3;
  c_offers constant integer := 10;
  c_asset_offers constant integer := 50;
  c_many_offers constant integer := 5000;
  v_threshold constant numeric := (
    select coalesce(r.warning_threshold, r.error_threshold)
    from p2p.quality_rules r
    where r.name = 'volume_drop'
  );
  v_finding p2p.rule_finding;
begin
  with books as (
    select
      d.exchange_id,
      d.crypto_id,
      d.total_available_volume as volume,
      d.total_offers_count as offers,
      history.usual_volume,
      history.usual_offers
    from p2p.fact_market_depth d
    cross join lateral (
      select
        percentile_disc(0.5) within group (order by h.total_available_volume) as usual_volume,
        percentile_disc(0.5) within group (order by h.total_offers_count) as usual_offers,
        count(*) as snapshots
      from p2p.fact_market_depth h
      where h.exchange_id = d.exchange_id
        and h.fiat_id = d.fiat_id
        and h.crypto_id = d.crypto_id
        and h.trade_type = d.trade_type
        and h.extraction_timestamp >= v_now - v_ago - c_around
        and h.extraction_timestamp <= v_now - v_ago + c_around
        and h.is_complete
    ) as history
    where d.extraction_timestamp = v_now
      and d.is_complete
      and history.snapshots >= c_snapshots
      and history.usual_offers >= c_offers
  ),
  assets as (
    select
      e.code as exchange,
      c.symbol as asset,
      count(*) as books,
      sum(b.volume) as volume,
      sum(b.usual_volume) as usual_volume,
      sum(b.offers) as offers,
      sum(b.usual_offers) as usual_offers,
      100 * (1 - sum(b.volume) / nullif(sum(b.usual_volume), 0)) as volume_lost_percent,
      100 * (1 - sum(b.offers)::numeric / sum(b.usual_offers)) as offers_lost_percent
    from books b
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    group by e.code, c.symbol
    having sum(b.usual_offers) >= c_asset_offers
  ),
  judged as (
    select
      a.*,
      greatest(
        0,
        case
          when a.usual_offers >= c_many_offers then a.volume_lost_percent
          else least(a.volume_lost_percent, a.offers_lost_percent)
        end
      ) as drop_percent
    from assets a
  )
  select
    round(max(j.drop_percent), 2),
    jsonb_agg(
      jsonb_build_object(
        'exchange', j.exchange,
        'asset', j.asset,
        'volume', j.volume,
        'usual_volume', j.usual_volume,
        'offers', j.offers,
        'usual_offers', j.usual_offers,
        'books', j.books,
        'drop_percent', round(j.drop_percent, 2)
      )
      order by j.drop_percent desc, j.asset, j.exchange
    ) filter (where j.drop_percent > v_threshold)
  into v_finding
  from judged j;
  return v_finding;
end
$function$;

comment on function p2p.rule_volume_drop(uuid) is 'Quality rule: available amount of an asset against the day before';

grant execute on function p2p.rule_volume_drop(uuid) to p2p_worker;
-- ════ functions/run_quality_checks.sql
-- Step of load_batch: runs every enabled rule of quality_rules on the batch. Afterwards ops_data_quality holds one
-- row a rule for it. Rules only read; one that fails is broken and costs the batch nothing else.
-- A second call changes a row only where its result changed. Results of rules that were disabled or removed since go:
-- what stands there is what the rules of today say of the batch. Batches that are not checked again keep theirs.
create or replace function p2p.run_quality_checks(p_batch_id uuid)
returns setof p2p.ops_data_quality
language plpgsql
set search_path = p2p, pg_temp
set jit = off
as $function$
declare
  v_rule p2p.quality_rules;
  v_new p2p.ops_data_quality;
begin
  delete from p2p.ops_data_quality q
  where q.batch_id = p_batch_id
    and not exists (
      select
      from p2p.quality_rules r
      where r.name = q.metric_name
        and r.is_enabled
    );

  for v_rule in
    select r.*
    from p2p.quality_rules r
    where r.is_enabled
    order by r.name
  loop
    v_new := p2p.run_rule(v_rule, p_batch_id);

    -- Not by "on conflict" alone: that would burn a number of the sequence at every call.
    update p2p.ops_data_quality q
    set
      check_timestamp = clock_timestamp(),
      metric_value = v_new.metric_value,
      threshold_value = v_new.threshold_value,
      passed = v_new.passed,
      result = v_new.result,
      severity = v_new.severity,
      details = v_new.details
    where q.batch_id = p_batch_id
      and q.metric_name = v_new.metric_name
      and (q.metric_value, q.threshold_value, q.result, q.severity, q.details)
        is distinct from (v_new.metric_value, v_new.threshold_value, v_new.result, v_new.severity, v_new.details);

    insert into p2p.ops_data_quality
      (batch_id, metric_name, metric_value, threshold_value, passed, result, severity, details)
    select
      p_batch_id, v_new.metric_name, v_new.metric_value, v_new.threshold_value, v_new.passed, v_new.result,
      v_new.severity, v_new.details
    where not exists (
      select
      from p2p.ops_data_quality q
      where q.batch_id = p_batch_id
        and q.metric_name = v_new.metric_name
    )
    on conflict (batch_id, metric_name) do nothing; -- somebody else checks the same batch
  end loop;

  return query
  select q.*
  from p2p.ops_data_quality q
  where q.batch_id = p_batch_id
  order by q.metric_name;
end
$function$;

comment on function p2p.run_quality_checks(uuid) is 'Step of load_batch: measures a batch by the rules of quality_rules';

grant execute on function p2p.run_quality_checks(uuid) to p2p_worker;
-- ════ functions/run_rule.sql
-- Runs one quality rule on one batch and judges it. Part of run_quality_checks. Writes nothing, and sees to it that
-- the rule does not either: it runs in a subtransaction that is read-only.
-- A rule that fails in any way of its own is broken, and the batch goes on. Trouble of the server or of the
-- transaction (deadlock, shutdown, cancel, I/O) is not the rule's: it is raised.
create or replace function p2p.run_rule(p_rule p2p.quality_rules, p_batch_id uuid)
returns p2p.ops_data_quality
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_function constant text := p2p.rule_function(p_rule.function);
  v_findings p2p.rule_finding[];
  v_metric numeric;
  v_offending_rows jsonb;
  v_problem text;
  v_row p2p.ops_data_quality;
begin
  begin
    set local transaction_read_only = on; -- until the end of this block

    if v_function is not null then
      execute format('select array_agg(f.finding) from (select %s($1) as finding limit 2) as f', v_function)
      into v_findings
      using p_batch_id;
    end if;

    v_metric := v_findings[1].metric;
    v_offending_rows := coalesce(v_findings[1].offending_rows, '[]');
    v_problem := case
      when v_function is null
      then format('there is no function %s(uuid) that returns p2p.rule_finding any more', p_rule.function)
      when v_findings is null or num_nulls(v_findings[1]) = 1 then 'the rule returned no row'
      when cardinality(v_findings) > 1 then 'the rule returned several rows'
      when v_metric in ('NaN', 'Infinity', '-Infinity') then format('the rule measured %s', v_metric)
      when jsonb_typeof(v_offending_rows) <> 'array'
      then format('offending_rows is a JSON %s, not an array', jsonb_typeof(v_offending_rows))
    end;
  exception when others or assert_failure then
    if left(sqlstate, 2) in ('40', '57', '58') then
      raise;
    end if;
    v_problem := format('%s (SQLSTATE %s)', left(sqlerrm, 500), sqlstate);
  end;

  v_row.batch_id := p_batch_id;
  v_row.metric_name := p_rule.name;
  v_row.severity := p_rule.severity;
  v_row.metric_value := case when v_problem is null then v_metric end;
  v_row.result := case
    when v_problem is not null then 'broken'
    when v_metric is null then 'ok'
    when p2p.is_beyond(v_metric, p_rule.is_bad_when, p_rule.error_threshold) then p_rule.severity
    when p2p.is_beyond(v_metric, p_rule.is_bad_when, p_rule.warning_threshold) then 'warning'
    else 'ok'
  end;
  v_row.passed := v_row.result = 'ok';
  v_row.threshold_value := case
    when p2p.is_beyond(v_metric, p_rule.is_bad_when, p_rule.error_threshold) then p_rule.error_threshold
    else coalesce(p_rule.warning_threshold, p_rule.error_threshold)
  end;
  v_row.details := case
    when v_problem is not null then jsonb_build_object('message', v_problem)
    else
      jsonb_build_object(
        'offenders', jsonb_array_length(v_offending_rows),
        'samples', p2p.samples_of(v_offending_rows)
      )
      || case when v_metric is null then '{"note": "nothing to judge"}'::jsonb else '{}' end
  end;
  return v_row;
end
$function$;

comment on function p2p.run_rule(p2p.quality_rules, uuid) is 'Runs one quality rule on one batch and judges what it found';

grant execute on function p2p.run_rule(p2p.quality_rules, uuid) to p2p_worker;
-- ════ functions/run_step.sql
-- Runs one step of a load, in a subtransaction: a step that raises leaves nothing behind but its error, in the row
-- returned. What the step must never be blamed for (a deadlock, a full disk, a server that goes down: classes 40, 53,
-- 55, 57, 58, XX) is raised instead, so that the whole load is tried again.
create or replace function p2p.run_step(p_batch_id uuid, p_step p2p.pipeline_steps)
returns p2p.ops_batch_steps
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_outcome p2p.ops_batch_steps;
  v_began timestamptz := clock_timestamp();
  v_role constant text := current_setting('role');
begin
  v_outcome.batch_id := p_batch_id;
  v_outcome.position := p_step.position;
  v_outcome.step := p_step.name;
  v_outcome.is_required := p_step.is_required;

  begin
    execute p2p.step_call(p_step) using p_batch_id;
    perform set_config('role', v_role, true); -- the steps after it, and what comes then, are not its to change
    set constraints all immediate; -- a constraint that waits for the commit would fail the load, not the step
    v_outcome.status := 'ok';
  exception when assert_failure or others then
    if left(sqlstate, 2) in ('40', '53', '55', '57', '58', 'XX') then
      raise;
    end if;

    get stacked diagnostics v_outcome.error_context = pg_exception_context;
    v_outcome.status := 'failed';
    v_outcome.error := left(sqlerrm, 1000);
    -- Without the lines of load_batch and below, which are the same each time.
    v_outcome.error_context := left(regexp_replace(v_outcome.error_context, '\n[^\n]*run_step\(.*', ''), 2000);
  end;

  v_outcome.seconds := extract(epoch from clock_timestamp() - v_began);
  return v_outcome;
end
$function$;

comment on function p2p.run_step(uuid, p2p.pipeline_steps) is 'Runs one step of a load; what it raises is returned';

grant execute on function p2p.run_step(uuid, p2p.pipeline_steps) to p2p_worker;
-- ════ functions/run_steps.sql
-- Runs the enabled steps of pipeline_steps on a batch, in order. Returns what became of each.
-- A required step that fails ends it: the work of all steps is undone. An optional one only loses its own.
create or replace function p2p.run_steps(p_batch_id uuid)
returns p2p.ops_batch_steps[]
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_step p2p.pipeline_steps;
  v_outcome p2p.ops_batch_steps;
  v_outcomes p2p.ops_batch_steps[] := '{}'::p2p.ops_batch_steps[];
begin
  -- Variables keep their values when this block is undone.
  begin
    for v_step in
      select s.*
      from p2p.pipeline_steps s
      where s.is_enabled
      order by s.position
    loop
      v_outcome := p2p.run_step(p_batch_id, v_step);
      v_outcomes := v_outcomes || v_outcome;

      if v_outcome.status = 'failed' and v_outcome.is_required then
        raise exception using errcode = 'P2P98', message = 'a required step failed';
      end if;
    end loop;
  exception when sqlstate 'P2P98' then
    v_outcomes := array(
      select
        row(
          o.batch_id, o.load_number, o.position, o.step, o.is_required,
          case o.status when 'ok' then 'undone' else o.status end,
          o.seconds, o.error, o.error_context
        )::p2p.ops_batch_steps
      from unnest(v_outcomes) as o
    );
  end;

  return v_outcomes;
end
$function$;

comment on function p2p.run_steps(uuid) is 'Runs the steps of a load; all of them are undone where a required one fails';

grant execute on function p2p.run_steps(uuid) to p2p_worker;
-- ════ functions/samples_of.sql
-- The first of the offending rows of a rule: at most 10, and at most 8,000 bytes together. A row that is longer
-- than 2,000 bytes is cut, and becomes a string.
create or replace function p2p.samples_of(p_offending_rows jsonb)
returns jsonb
language sql
immutable
set search_path = p2p, pg_temp
as $function$
  with first_rows as (
    select
      o.position,
      case
        when octet_length(o.value::text) <= 2000 then o.value
        else to_jsonb(left(o.value::text, 400) || '…')
      end as value
    from jsonb_array_elements(p_offending_rows) with ordinality as o (value, position)
    order by o.position
    limit 10
  ),
  measured as (
    select
      f.position,
      f.value,
      sum(octet_length(f.value::text)) over (order by f.position) as bytes_so_far
    from first_rows f
  )
  select coalesce(jsonb_agg(m.value order by m.position), '[]')
  from measured m
  where m.bytes_so_far <= 8000
$function$;

comment on function p2p.samples_of(jsonb) is 'The first offending rows of a rule, bounded in number and bytes';

grant execute on function p2p.samples_of(jsonb) to p2p_worker;
-- ════ functions/setting_number.sql
-- The value of a setting that is a number. Raises where there is no such setting. Changes nothing.
create or replace function p2p.setting_number(p_name text)
returns numeric
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_value text := (select s.value from p2p.settings s where s.name = p_name and s.kind = 'number');
begin
  if v_value is null then
    raise exception 'there is no setting % that is a number', p_name
      using errcode = 'P2P01', hint = 'select name, value, kind from p2p.settings';
  end if;

  return v_value::numeric;
end
$function$;

comment on function p2p.setting_number(text) is 'The value of a setting that is a number';

grant execute on function p2p.setting_number(text) to p2p_worker;
-- ════ functions/setting_switch.sql
-- Whether a setting that is a switch is on. Raises where there is no such setting. Changes nothing.
create or replace function p2p.setting_switch(p_name text)
returns boolean
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_value text := (select s.value from p2p.settings s where s.name = p_name and s.kind = 'switch');
begin
  if v_value is null then
    raise exception 'there is no setting % that is a switch', p_name
      using errcode = 'P2P01', hint = 'select name, value, kind from p2p.settings';
  end if;

  return v_value = 'on';
end
$function$;

comment on function p2p.setting_switch(text) is 'Whether a setting that is a switch is on';

grant execute on function p2p.setting_switch(text) to p2p_worker;
-- ════ functions/show_quarantine.sql
-- Offers in quarantine, the newest first, with their place and the original JSON. NULL stands for any reason or
-- batch. Raises where there is no such reason or batch. Changes nothing.
create or replace function p2p.show_quarantine(p_reason text, p_batch_id uuid, p_limit integer)
returns table (
  reason text,
  batch_id uuid,
  batch_start_time timestamptz,
  place text,
  rejected_at timestamptz,
  can_be_loaded boolean,
  payload jsonb
)
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
begin
  perform p2p.require_in_quarantine(p_reason, p_batch_id);

  return query
  select
    q.reason,
    q.batch_id,
    q.batch_start_time,
    q.place,
    q.rejected_at,
    q.can_be_loaded,
    q.payload
  from p2p.offers_in_quarantine q
  where (p_reason is null or q.reason = p_reason)
    and (p_batch_id is null or q.batch_id = p_batch_id)
  order by q.batch_start_time desc, q.market_id, q.page_number, q.item_number
  limit p_limit;
end
$function$;

comment on function p2p.show_quarantine(text, uuid, integer) is 'Offers in quarantine by reason and batch, newest first';

grant execute on function p2p.show_quarantine(text, uuid, integer) to p2p_worker;
-- ════ functions/sql_fingerprint.sql
-- The fingerprint of the SQL that a load would run now, states included. Changes nothing.
create or replace function p2p.sql_fingerprint()
returns text
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select encode(
    sha256(
      convert_to(string_agg(concat_ws(' ', c.identity, c.state, c.fingerprint), E'\n' order by c.identity collate "C"), 'UTF8')
    ),
    'hex'
  )
  from p2p.current_sql() c
$function$;

comment on function p2p.sql_fingerprint() is 'Fingerprint of the SQL that a load would run now';

grant execute on function p2p.sql_fingerprint() to p2p_worker;
-- ════ functions/stage_import_page.sql
-- Takes in one line of an import: a page as it was recorded, which waits for its batch from then on. p_body is its text,
-- so that every digit survives; what jsonb cannot hold is mended as store_page does it.
-- A second call with the same line changes nothing. Returns NULL, or why the line cannot be taken.
-- Raises where the import is not (any more) under way.
create or replace function p2p.stage_import_page(
  p_import_id uuid,
  p_file_number integer,
  p_line_number bigint,
  p_batch_start_time timestamptz,
  p_observed_at timestamptz,
  p_exchange text,
  p_fiat text,
  p_asset text,
  p_side text,
  p_page_number integer,
  p_page_size integer,
  p_filtered_by text,
  p_parser text,
  p_alteration text,
  p_body text
)
returns text
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_document jsonb;
  v_mended text;
begin
  begin
    v_document := p_body::jsonb;
  exception when others then
    select r.document, r.alteration
    into v_document, v_mended
    from p2p.repair_json(p_body) r;

    if v_document is null then
      return v_mended;
    end if;
  end;

  if clock_timestamp() + interval '1 minute' < greatest(p_observed_at, p_batch_start_time) then
    return 'its time has not come yet, says the clock of the database';
  end if;

  update p2p.stg_imports i
  set seen_at = clock_timestamp()
  where i.import_id = p_import_id
    and i.seen_at < clock_timestamp() - interval '10 seconds'; -- pages come by the hundred a second

  insert into p2p.stg_import_pages (
    import_id, file_number, line_number, batch_start_time, observed_at, exchange_id, fiat, asset, trade_type,
    page_number, page_size, filtered_by, parser, body_bytes, body_sha256, alteration, body_original, stored_sha256, body
  )
  select
    p_import_id, p_file_number, p_line_number, p_batch_start_time, p_observed_at, e.exchange_id, p_fiat, p_asset,
    p_side, p_page_number, p_page_size, p_filtered_by, p_parser, octet_length(p_body),
    sha256(convert_to(p_body, 'UTF8')),
    nullif(concat_ws('; ', p_alteration, v_mended), ''),
    case when v_mended is not null then convert_to(p_body, 'UTF8') end,
    sha256(convert_to(v_document::text, 'UTF8')),
    v_document
  from p2p.dim_exchanges e
  where e.code = p_exchange
    and exists (
      select
      from p2p.stg_imports i
      where i.import_id = p_import_id
    )
  on conflict (import_id, file_number, line_number) do nothing;

  if not found and not exists (select from p2p.stg_imports i where i.import_id = p_import_id) then
    raise exception 'import % is not under way: it was silent for ten minutes, or the server was restarted', p_import_id
      using errcode = 'P2P03', hint = 'call import again: what was loaded stays and is recognised';
  end if;

  return null;
end
$function$;

comment on function p2p.stage_import_page(uuid, integer, bigint, timestamptz, timestamptz, text, text, text, text, integer, integer, text, text, text, text)
is 'Takes in one line of an import, to wait for its batch';

grant execute on function p2p.stage_import_page(uuid, integer, bigint, timestamptz, timestamptz, text, text, text, text, integer, integer, text, text, text, text) to p2p_worker;
-- ════ functions/status_report.sql
-- What `p2p-ingest status` shows, as one document. Changes nothing.
create or replace function p2p.status_report(p_batches integer)
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with last_batch as (
    select r.batch_id
    from p2p.ops_batch_runs r
    where r.status <> 'running'
    order by r.batch_start_time desc
    limit 1
  ),
  newest as (
    select o.*
    from p2p.batch_overview o
    order by o.batch_start_time desc
    limit p_batches
  ),
  running as (
    select
      r.batch_id,
      case
        when not exists (select from p2p.workers_at_work()) then 'abandoned'
        when r.loader_id in (select w.worker_id from p2p.workers_at_work() w) then 'loading'
        when exists (select from p2p.unfetched_markets(r.batch_id)) then 'fetching'
        else 'closing'
      end as stage,
      round(extract(epoch from clock_timestamp() - r.batch_start_time)) as seconds,
      round(extract(epoch from r.fetch_until - clock_timestamp())) as seconds_left,
      r.markets_expected,
      queue.*
    from p2p.ops_batch_runs r
    cross join lateral (
      select
        count(*) filter (where bm.finished_at is not null) as markets_ended,
        count(*) filter (where bm.finished_at > clock_timestamp() - interval '1 minute') as markets_last_minute,
        count(*) filter (where bm.status = 'complete') as whole,
        count(*) filter (where bm.status = 'incomplete') as incomplete,
        count(*) filter (where bm.status = 'failed') as failed,
        count(*) filter (where bm.status = 'fetching') as in_hand,
        count(*) filter (where bm.status = 'pending') as to_come,
        count(*) filter (where bm.status = 'deferred') as deferred,
        coalesce(sum(bm.pages_stored), 0) as pages
      from p2p.ops_batch_markets bm
      where bm.batch_id = r.batch_id
        and bm.status <> 'not_due'
    ) as queue
    where r.status = 'running'
  ),
  served as (
    select count(distinct m.exchange_id) as exchanges
    from p2p.dim_markets m
    where m.is_active
  ),
  missing as (
    select
      m.status,
      count(*) as markets,
      array_to_string(
        (array_agg(
          concat_ws(
            ' ',
            case when served.exchanges > 1 then m.exchange end,
            format('%s/%s %s', m.fiat_code, m.crypto_symbol, m.trade_type)
          )
          order by m.fiat_code, m.crypto_symbol, m.trade_type, m.exchange
        ))[1:4],
        ', '
      ) as examples
    from p2p.missing_markets m
    join last_batch using (batch_id)
    cross join served
    group by m.status
  ),
  workers as (
    select
      w.worker_id as who,
      w.doing,
      e.code as exchange,
      we.rate_per_minute,
      we.ceiling_per_minute,
      we.breaker,
      ceil(greatest(extract(epoch from we.paused_until - clock_timestamp()), 0)) as paused_seconds,
      (
        select count(*)
        from p2p.ops_batch_runs r
        join p2p.ops_batch_markets bm using (batch_id)
        join p2p.dim_markets m using (market_id)
        where r.status = 'running'
          and bm.worker_id = w.worker_id
          and bm.status = 'fetching'
          and m.exchange_id = we.exchange_id
      ) as markets,
      round(extract(epoch from clock_timestamp() - w.last_seen_at)) as seconds_since_seen
    from p2p.live_workers() w
    join p2p.ops_worker_exchanges we using (worker_id)
    join p2p.dim_exchanges e using (exchange_id)
  ),
  open_incidents as (
    select
      to_char(i.raised_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') as since,
      i.kind,
      i.subject,
      i.message
    from p2p.ops_incidents i
    where i.resolved_at is null
  ),
  skipped as (
    select
      to_char(s.due_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') as due,
      s.reason
    from p2p.ops_skipped_batches s
    where s.due_at > clock_timestamp() - interval '24 hours'
    order by s.due_at desc
    limit 5
  )
  select json_build_object(
    'seconds_since_last_good_batch', (
      select round(extract(epoch from clock_timestamp() - max(r.batch_end_time)))
      from p2p.ops_batch_runs r
      where r.status in ('completed', 'partial')
    ),
    'running', (select to_json(running) from running),
    'batches', (
      select coalesce(
        json_agg(
          json_build_object(
            'started', to_char(n.batch_start_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"'),
            'status', n.status,
            'markets', n.markets_completed,
            'of', n.markets_expected,
            'percent', n.completeness_percent,
            'offers', n.offers,
            'rejected', n.rejected,
            'errors', n.errors,
            'seconds', round(n.seconds, 1),
            'failed_checks', n.failed_checks,
            'batch_id', n.batch_id,
            'imported_from', n.imported_from
          )
          order by n.batch_start_time desc
        ),
        '[]'
      )
      from newest n
    ),
    'missing_markets', (
      select coalesce(json_agg(to_json(missing) order by missing.markets desc), '[]')
      from missing
    ),
    'failed_checks', (
      select coalesce(
        json_agg(
          json_build_object(
            'check', q.metric_name,
            'result', q.result,
            'value', q.metric_value,
            'threshold', q.threshold_value
          )
          order by q.metric_name
        ),
        '[]'
      )
      from p2p.ops_data_quality q
      join last_batch using (batch_id)
      where not q.passed
    ),
    'failed_steps', (
      select coalesce(json_agg(json_build_object('step', s.step, 'error', s.error) order by s.step), '[]')
      from p2p.failed_steps s
      join last_batch using (batch_id)
      where s.is_still_so
    ),
    'workers', (
      select coalesce(json_agg(to_json(workers) order by workers.who, workers.exchange), '[]')
      from workers
    ),
    'incidents', (
      select coalesce(json_agg(to_json(open_incidents) order by open_incidents.since desc), '[]')
      from open_incidents
    ),
    'skipped_ticks', (
      select coalesce(json_agg(to_json(skipped) order by skipped.due desc), '[]')
      from skipped
    ),
    'tier', p2p.database_tier(),
    'violated_policies', (
      select count(*)
      from p2p.policy_audit a
      where a.status = 'violated'
    ),
    'is_paused', p2p.setting_switch('paused')
  )
$function$;

comment on function p2p.status_report(integer) is 'What p2p-ingest status shows';

grant execute on function p2p.status_report(integer) to p2p_worker;
-- ════ functions/step_call.sql
-- The statement that runs a step, with the batch id as $1. The name of its function is looked up in the catalog and
-- taken from there. Raises where the function is gone, or this user may not run it. Changes nothing.
create or replace function p2p.step_call(p_step p2p.pipeline_steps)
returns text
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_function record;
begin
  select
    format('%I.%I', n.nspname, p.proname) as name,
    n.nspname as schema,
    has_schema_privilege(n.oid, 'usage') as is_in_reach,
    has_function_privilege(p.oid, 'execute') as is_allowed
  into v_function
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where format('%I.%I', n.nspname, p.proname) = p_step.function
    and p.pronargs = 1
    and p.proargtypes[0] = 'uuid'::regtype
    and p.prokind = 'f';

  if not found then
    raise exception 'there is no function %(uuid) any more', p_step.function
      using errcode = 'undefined_function';
  elsif not v_function.is_in_reach then
    raise exception '% may not use schema %: grant usage on schema % to p2p_worker',
      current_user, v_function.schema, quote_ident(v_function.schema)
      using errcode = 'insufficient_privilege';
  elsif not v_function.is_allowed then
    raise exception '% may not run it: grant execute on function %(uuid) to p2p_worker',
      current_user, v_function.name
      using errcode = 'insufficient_privilege';
  end if;

  return format('select from %s($1)', v_function.name);
end
$function$;

comment on function p2p.step_call(p2p.pipeline_steps) is 'The statement that runs a step of load_batch';

grant execute on function p2p.step_call(p2p.pipeline_steps) to p2p_worker;
-- ════ functions/store_imported_batch.sql
-- Part of import_next_batch: stores the pages that pg_temp.import_verdicts lets in as a batch of their time, or adds them to
-- the one that an import made before, and writes its ledger. Returns the batch, which load_batch has to load.
-- The batch stands as failed, which is what a batch without facts is, until load_batch makes it what it is; both happen
-- in one transaction.
create or replace function p2p.store_imported_batch(p_import_id uuid, p_time timestamptz)
returns uuid
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch_id uuid;
begin
  perform p2p.import_markets(p_import_id, p_time);

  create temp table import_choices on commit drop as
  select
    s.file_number,
    s.line_number,
    v.market_id,
    s.page_number,
    s.page_size,
    s.filtered_by,
    s.observed_at
  from pg_temp.import_verdicts v
  join p2p.stg_import_pages s
    on s.import_id = p_import_id
    and s.file_number = v.file_number
    and s.line_number = v.line_number
  where v.problem is null
    and not v.is_there;

  analyze pg_temp.import_choices;

  insert into p2p.ops_batch_runs as r (
    batch_id, batch_start_time, batch_end_time, status, error_summary, execution_time_seconds, worker_id,
    imported_from
  )
  select
    -- The id follows from the time: the same history has the same ids everywhere.
    encode(substring(sha256(convert_to('p2p import ' || extract(epoch from p_time), 'UTF8')) for 16), 'hex')::uuid,
    p_time,
    greatest(p_time, (select max(c.observed_at) from pg_temp.import_choices c)),
    'failed',
    'not loaded yet',
    extract(epoch from greatest(p_time, (select max(c.observed_at) from pg_temp.import_choices c)) - p_time),
    i.worker_id,
    array(
      select i.files[c.file_number]
      from pg_temp.import_choices c
      group by c.file_number
      order by c.file_number
    )
  from p2p.stg_imports i
  where i.import_id = p_import_id
  on conflict (batch_start_time) do update
  set
    batch_end_time = greatest(r.batch_end_time, excluded.batch_end_time),
    execution_time_seconds = greatest(r.execution_time_seconds, excluded.execution_time_seconds),
    imported_from = r.imported_from || array(
      select file.name
      from unnest(excluded.imported_from) with ordinality as file (name, place)
      where file.name <> all (r.imported_from)
      order by file.place
    )
  returning r.batch_id
  into v_batch_id;

  insert into p2p.stg_responses (
    extraction_timestamp, market_id, page_number, batch_id, observed_at, body_bytes, body_sha256, parser, alteration,
    body_original, body, stored_sha256
  )
  select
    p_time, c.market_id, s.page_number, v_batch_id, s.observed_at, s.body_bytes, s.body_sha256, s.parser, s.alteration,
    s.body_original, s.body, s.stored_sha256
  from pg_temp.import_choices c
  join p2p.stg_import_pages s
    on s.import_id = p_import_id
    and s.file_number = c.file_number
    and s.line_number = c.line_number;

  perform p2p.write_imported_books(v_batch_id);

  update p2p.ops_batch_runs r
  set markets_expected = ledger.markets
  from (
    select count(*) as markets
    from p2p.ops_batch_markets bm
    where bm.batch_id = v_batch_id
  ) as ledger
  where r.batch_id = v_batch_id
    and r.markets_expected <> ledger.markets;

  drop table pg_temp.import_choices;
  return v_batch_id;
end
$function$;

comment on function p2p.store_imported_batch(uuid, timestamptz) is 'Part of import_next_batch: stores pages as a batch of their own time';

grant execute on function p2p.store_imported_batch(uuid, timestamptz) to p2p_worker;
-- ════ functions/store_market_list.sql
-- Takes in what the exchange lists: fiats, assets, markets.
-- Expects
--   p_fiats    [{"code": "VES", "country": "VE"}, …]
--   p_markets  [{"fiat": "VES", "asset": "USDT", "assetName": "Tether", "side": "BUY"}, …]
--   p_covered  fiats whose markets were read; one of theirs that is not in p_markets becomes inactive.
--              '*' among them: the list of all fiats was read.
--   p_missed   fiats whose markets could not be read: they stay as they are, and are due again at once.
-- Changes dimensions, dim_markets, ops_discoveries. A second call with the same lists only moves the times.
-- Returns how many markets of the exchange are active.
create or replace function p2p.store_market_list(
  p_exchange text,
  p_fiats jsonb,
  p_markets jsonb,
  p_covered text[],
  p_missed text[],
  p_now timestamptz default clock_timestamp()
)
returns integer
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_exchange_id smallint := (select exchange_id from p2p.dim_exchanges where code = p_exchange);
begin
  lock table p2p.dim_markets in share row exclusive mode;

  -- MERGE, because `insert … on conflict` takes a number from the sequence for every row that is there already:
  -- the few thousand numbers of a smallint would be used up within days.
  merge into p2p.dim_fiat_currencies as f
  using (
    select
      listed.code,
      max(listed.country) as country
    from (
      select value ->> 'code' as code, nullif(value ->> 'country', '') as country
      from jsonb_array_elements(p_fiats)
      union all
      select value ->> 'fiat', null
      from jsonb_array_elements(p_markets)
    ) as listed
    group by listed.code
  ) as listed
  on f.currency_code = listed.code
  when matched and f.country_code is distinct from coalesce(listed.country, f.country_code) then
    update set country_code = listed.country
  when not matched then
    insert (currency_code, country_code)
    values (listed.code, listed.country);

  merge into p2p.dim_cryptocurrencies as c
  using (
    select
      value ->> 'asset' as symbol,
      max(nullif(value ->> 'assetName', '')) as name,
      case when p_exchange = 'binance' then value ->> 'asset' end as binance_asset_code
    from jsonb_array_elements(p_markets)
    group by value ->> 'asset'
  ) as listed
  on c.symbol = listed.symbol
  when matched and (c.name, c.binance_asset_code)
    is distinct from (coalesce(listed.name, c.name), coalesce(listed.binance_asset_code, c.binance_asset_code)) then
    update set
      name = coalesce(listed.name, c.name),
      binance_asset_code = coalesce(listed.binance_asset_code, c.binance_asset_code)
  when not matched then
    insert (symbol, name, binance_asset_code)
    values (listed.symbol, listed.name, listed.binance_asset_code);

  merge into p2p.dim_markets as m
  using (
    select distinct
      f.fiat_id,
      c.crypto_id,
      listed.value ->> 'side' as trade_type
    from jsonb_array_elements(p_markets) as listed
    join p2p.dim_fiat_currencies f on f.currency_code = listed.value ->> 'fiat'
    join p2p.dim_cryptocurrencies c on c.symbol = listed.value ->> 'asset'
  ) as listed
  on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type)
    = (v_exchange_id, listed.fiat_id, listed.crypto_id, listed.trade_type)
  when matched then
    update set
      is_active = true,
      last_listed_at = p_now
  when not matched then
    insert (exchange_id, fiat_id, crypto_id, trade_type, first_listed_at, last_listed_at)
    values (v_exchange_id, listed.fiat_id, listed.crypto_id, listed.trade_type, p_now, p_now);

  update p2p.dim_markets m
  set is_active = false
  from p2p.dim_fiat_currencies f
  where m.exchange_id = v_exchange_id
    and m.fiat_id = f.fiat_id
    and m.is_active
    and m.last_listed_at <> p_now
    and f.currency_code = any (p_covered);

  insert into p2p.ops_discoveries (exchange_id, fiat_code, discovered_at)
  select v_exchange_id, asked.fiat_code, max(asked.discovered_at)
  from (
    select covered.fiat_code, p_now
    from unnest(p_covered) as covered (fiat_code)
    union all
    select missed.fiat_code, '-infinity'
    from unnest(p_missed) as missed (fiat_code)
  ) as asked (fiat_code, discovered_at)
  group by asked.fiat_code
  on conflict (exchange_id, fiat_code) do update
  set discovered_at = excluded.discovered_at;

  return (
    select count(*)
    from p2p.dim_markets m
    where m.exchange_id = v_exchange_id
      and m.is_active
  );
end
$function$;

comment on function p2p.store_market_list(text, jsonb, jsonb, text[], text[], timestamptz) is 'Takes in fiats, assets and markets that the exchange lists';

grant execute on function p2p.store_market_list(text, jsonb, jsonb, text[], text[], timestamptz) to p2p_worker;
-- ════ functions/store_page.sql
-- Stores one page as received and marks it done in the ledger, both or neither. With p_ends_market the market
-- is finished as well.
-- A second call with the same page changes nothing. A page of a market that is no longer this worker's is not stored:
-- the worker was silent for longer than its lease, and another goes on with the market.
-- Returns what became of it: stored; already (it was there); unreadable (the bytes are kept, but jsonb cannot hold
-- them in any form: the page is lost and the error recorded); not_ours.
-- stored_sha256 takes 0.2 ms for a page of 45 KB, nearly all of it for turning jsonb into text. jsonb_hash_extended takes
-- 0.06 ms, but the same change at two places 32 values apart cancels out in it: of 200 pages it missed one where every
-- isTradable was changed.
create or replace function p2p.store_page(
  p_batch_id uuid,
  p_worker_id text,
  p_market_id integer,
  p_page_number integer,
  p_ends_market boolean,
  p_offers_reported integer,
  p_parser text,
  p_observed_at timestamptz,
  p_attempt integer,
  p_http_status integer,
  p_duration_ms integer,
  p_body_bytes integer,
  p_body_sha256 bytea,
  p_alteration text,
  p_body_original bytea,
  p_body text
)
returns text
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_document jsonb;
  v_alteration text := p_alteration;
  v_problem text;
begin
  begin
    v_document := p_body::jsonb;
  exception when others then
    select r.document, concat_ws('; ', p_alteration, r.alteration)
    into v_document, v_alteration
    from p2p.repair_json(p_body) r;
    v_problem := case when v_document is null then sqlerrm end;
  end;

  perform p2p.lock_queue(p_batch_id, false);

  -- The row of the ledger is locked before it is believed, and a page that another call is just storing is waited
  -- for: a worker that heard no answer calls again while its first call may still run.
  insert into p2p.stg_responses (
    extraction_timestamp, market_id, page_number, batch_id, observed_at, attempt, http_status, duration_ms,
    body_bytes, body_sha256, parser, alteration, body_original, body, stored_sha256
  )
  select
    r.batch_start_time, p_market_id, p_page_number, p_batch_id, p_observed_at, p_attempt, p_http_status,
    p_duration_ms, p_body_bytes, p_body_sha256, p_parser, v_alteration,
    case when v_alteration is not null then coalesce(p_body_original, convert_to(p_body, 'UTF8')) end,
    coalesce(v_document, 'null'),
    sha256(convert_to(coalesce(v_document, 'null')::text, 'UTF8'))
  from p2p.ops_batch_markets bm
  join p2p.ops_batch_runs r on r.batch_id = bm.batch_id
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id
    and bm.worker_id = p_worker_id
    and bm.status = 'fetching'
    and r.status = 'running'
  for update of bm
  on conflict (extraction_timestamp, market_id, page_number) do nothing;

  if not found then
    return case
      when exists (
        select
        from p2p.stg_responses s
        join p2p.ops_batch_runs r on r.batch_start_time = s.extraction_timestamp
        join p2p.ops_batch_markets bm on bm.batch_id = r.batch_id
        where r.batch_id = p_batch_id
          and s.market_id = p_market_id
          and s.page_number = p_page_number
          and bm.market_id = p_market_id
          and bm.worker_id = p_worker_id
      ) then 'already'
      else 'not_ours'
    end;
  end if;

  update p2p.ops_batch_markets bm
  set
    pages_stored = bm.pages_stored + case when v_problem is null then 1 else 0 end,
    offers_reported = coalesce(p_offers_reported, bm.offers_reported)
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id;

  if v_problem is not null then
    perform p2p.record_lost_page(
      p_batch_id, p_worker_id, p_market_id, p_page_number, p_ends_market, 'unreadable', v_problem, p_attempt - 1
    );
    return 'unreadable';
  end if;

  if p_ends_market then
    perform p2p.finish_market(p_batch_id, p_market_id, null);
  end if;

  return 'stored';
end
$function$;

comment on function p2p.store_page(uuid, text, integer, integer, boolean, integer, text, timestamptz, integer, integer, integer, integer, bytea, text, bytea, text)
is 'Stores one page as received and marks it done in the ledger';

grant execute on function p2p.store_page(uuid, text, integer, integer, boolean, integer, text, timestamptz, integer, integer, integer, integer, bytea, text, bytea, text) to p2p_worker;
-- ════ functions/store_payment_methods.sql
-- Takes in payment methods with the names that the exchange gives them: [{"code": "Zelle", "name": "Zelle"}, …].
-- A name that was known is replaced only by another name. A second call changes no row.
create or replace function p2p.store_payment_methods(p_exchange text, p_methods jsonb)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  insert into p2p.dim_payment_methods as m (exchange_id, method_code, method_name)
  select
    e.exchange_id,
    listed.value ->> 'code',
    max(nullif(listed.value ->> 'name', ''))
  from jsonb_array_elements(p_methods) as listed
  join p2p.dim_exchanges e on e.code = p_exchange
  group by e.exchange_id, listed.value ->> 'code'
  on conflict (exchange_id, method_code) do update
  set method_name = excluded.method_name
  where m.method_name is distinct from excluded.method_name
    and excluded.method_name is not null
$function$;

comment on function p2p.store_payment_methods(text, jsonb) is 'Takes in payment methods and their names';

grant execute on function p2p.store_payment_methods(text, jsonb) to p2p_worker;
-- ════ functions/take_load.sql
-- What a worker is to do that has nothing in hand any more: whatever is still in its name goes back into the queue first.
-- Expects that all its pages are stored; p_give_up_reason of one that can fetch no more (it is told to stop, or the exchange
-- is closed to it), which says what it is doing (beat: stopping) before it asks. Returns
--   fetch   there are markets that it may claim; also where it gave up an exchange, and serves another
--   wait    others fetch, or load: ask again
--   others  it gave up, and others go on: it need not wait
--   load    it is the loader: fetching is ended, what was not fetched is deferred with the reason, and load_batch is next
--   closed  the batch is over
-- Exactly one of several becomes the loader. One that dies, or is idle, is replaced: load_batch may be called again.
-- After the deadline markets that live workers have in hand are waited for, ten seconds at most. Only who stops leaves the
-- load to others: where all have given up, one of them loads.
create or replace function p2p.take_load(p_batch_id uuid, p_worker_id text, p_give_up_reason text)
returns text
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  c_patience constant interval := interval '10 seconds';
  c_worth_waiting constant interval := interval '60 seconds';
  v_gives_up constant boolean := p_give_up_reason is not null;
  v_is_stopping boolean;
  v_batch p2p.ops_batch_runs;
  v_loader text;
  v_is_in_time boolean;
  v_left record;
begin
  for v_attempt in 1..2 loop
    select r.*
    into v_batch
    from p2p.ops_batch_runs r
    where r.batch_id = p_batch_id
      and r.status = 'running';

    if not found then
      return 'closed';
    end if;

    select w.doing = 'stopping'
    into v_is_stopping
    from p2p.live_workers() w
    where w.worker_id = p_worker_id;

    if not found then
      return 'wait'; -- until it has beaten again: nobody would count on it
    end if;

    v_loader := (select w.worker_id from p2p.workers_at_work() w where w.worker_id = v_batch.loader_id);

    if v_loader = p_worker_id then
      return 'load';
    elsif v_loader is not null then
      return case when v_gives_up then 'others' else 'wait' end;
    end if;

    if v_attempt = 1 then
      -- Who else decides at this moment is waited for; a load that goes on without its worker is not.
      if v_batch.loader_id is null then
        perform
        from p2p.ops_batch_runs r
        where r.batch_id = p_batch_id
        for no key update;
      else
        perform
        from p2p.ops_batch_runs r
        where r.batch_id = p_batch_id
        for no key update skip locked;

        if not found then
          return 'wait';
        end if;
      end if;
    end if;
  end loop;

  if exists (
    select
    from p2p.unfetched_markets(p_batch_id) u
    where u.worker_id = p_worker_id
      and u.status = 'fetching'
  ) then
    perform p2p.give_back(p_batch_id, p_worker_id, null);
  end if;

  v_is_in_time := coalesce(v_batch.fetch_until > clock_timestamp(), false);

  with at_work as materialized (
    select w.worker_id, w.doing
    from p2p.workers_at_work() w
    where w.worker_id <> p_worker_id
      -- Who goes relies on those that have beaten lately, not on those that only count as alive after a restart of the server.
      and (not v_is_stopping or w.lease_expires_at > clock_timestamp())
  ),
  left_over as materialized (
    select
      m.exchange_id,
      f.currency_code as fiat,
      c.symbol as asset,
      u.status = 'fetching' and u.worker_id in (select a.worker_id from at_work a) as is_held
    from p2p.unfetched_markets(p_batch_id) u
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
  ),
  free as (
    select
      p.worker_id = p_worker_id as is_mine,
      we.breaker <> 'open'
        and coalesce(we.paused_until < clock_timestamp() + c_worth_waiting, true)
        and w.doing <> 'stopping' as can_go_on
    from p2p.market_patterns() p
    join p2p.ops_worker_exchanges we using (worker_id, exchange_id)
    join p2p.live_workers() w using (worker_id)
    where (p.worker_id = p_worker_id or p.worker_id in (select a.worker_id from at_work a where a.doing <> 'stopping'))
      and exists (
        select
        from left_over l
        where not l.is_held
          and l.exchange_id = p.exchange_id
          and p.fiat in ('*', l.fiat)
          and p.asset in ('*', l.asset)
      )
  )
  select
    exists (select from left_over) as is_any,
    exists (select from left_over l where l.is_held) as is_any_held,
    exists (select from free f where f.is_mine) as is_any_mine,
    exists (select from free f where f.is_mine and f.can_go_on) as is_any_mine_now,
    exists (select from free f where not f.is_mine) as is_any_others,
    exists (select from free f where not f.is_mine and f.can_go_on) as is_any_others_now,
    exists (select from at_work a where a.doing <> 'stopping') as are_others_at_work
  into v_left;

  if v_is_in_time then
    if v_gives_up then
      if v_left.is_any_mine_now then
        return 'fetch'; -- of another exchange: it gave up one
      elsif v_left.is_any_held
        or v_left.is_any_others_now
        or v_is_stopping and not v_left.is_any and v_left.are_others_at_work
      then
        return 'others';
      end if;
    elsif v_left.is_any_mine then
      return 'fetch';
    elsif v_left.is_any_held or v_left.is_any_others then
      return 'wait';
    end if;
  elsif v_is_stopping and v_left.are_others_at_work then
    return 'others'; -- one that is only closed out stays: the others may be, too
  elsif v_left.is_any_held and clock_timestamp() < v_batch.fetch_until + c_patience then
    return 'wait';
  end if;

  if v_left.is_any then
    if v_is_in_time then
      -- Each exchange for its own reason.
      perform p2p.end_fetching(p_batch_id, why.reason, why.exchange_id)
      from (
        select
          m.exchange_id,
          coalesce(
            max(p_give_up_reason) filter (where we.worker_id = p_worker_id),
            max(we.breaker_reason) filter (where we.breaker = 'open'),
            case when count(we.worker_id) > 0 then 'no live worker serves this market' end,
            'no live worker serves this exchange'
          ) as reason
        from p2p.ops_batch_markets bm
        join p2p.dim_markets m using (market_id)
        left join p2p.ops_worker_exchanges we
          on we.exchange_id = m.exchange_id
          and we.worker_id in (select w.worker_id from p2p.live_workers() w)
        where bm.batch_id = p_batch_id
        group by m.exchange_id
      ) as why;
    else
      perform p2p.end_fetching(
        p_batch_id,
        -- The start is cut to the second.
        coalesce(
          'the deadline of ' || floor(extract(epoch from v_batch.fetch_until - v_batch.batch_start_time)) || ' s came first',
          'a former release left it under way' -- it knew no deadline
        )
      );
    end if;
  end if;

  update p2p.ops_batch_runs r
  set loader_id = p_worker_id
  where r.batch_id = p_batch_id;

  return 'load';
end
$function$;

comment on function p2p.take_load(uuid, text, text) is 'What a worker is to do that has nothing in hand any more: fetch, wait, load, or leave it to others';

grant execute on function p2p.take_load(uuid, text, text) to p2p_worker;
-- ════ functions/temporary_tables.sql
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
-- ════ functions/unfetched_markets.sql
-- What is left of a batch's work queue: markets that nobody has finished, begun or not, and those that the plan had no
-- room for. Changes nothing.
create or replace function p2p.unfetched_markets(p_batch_id uuid)
returns setof p2p.ops_batch_markets
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select bm.*
  from p2p.ops_batch_markets bm
  where bm.batch_id = p_batch_id
    and bm.status in ('pending', 'fetching', 'deferred')
    and bm.finished_at is null
$function$;

comment on function p2p.unfetched_markets(uuid) is 'What is left of the work queue of a batch';

grant execute on function p2p.unfetched_markets(uuid) to p2p_worker;
-- ════ functions/watch_incidents.sql
-- Opens and ends incidents by what incident_causes says, and returns what people have yet to be told and this worker is to
-- tell: what it is the teller of, and what the teller left untold that is dead. The same again at each call until
-- incidents_told says that it was told; the worker knows what it has in hand. Called every few seconds by every worker.
-- Incidents of other kinds (yours, made with raise_incident) are told, and left alone.
create or replace function p2p.watch_incidents(
  p_worker_id text,
  p_interval_minutes integer,
  p_alert_on_failures integer
)
returns table (
  incident_id bigint,
  kind text,
  subject text,
  message text,
  is_open boolean,
  raised_at timestamptz,
  lasted_seconds double precision
)
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  -- One at a time: who judges by an older view of the batches must not act after a newer one.
  perform pg_advisory_xact_lock(hashtextextended('p2p.incidents', 0));

  with causes as materialized (
    select c.kind, c.subject, min(c.message) filter (where c.opens) as message, bool_or(c.opens) as opens
    from p2p.incident_causes(p_interval_minutes, p_alert_on_failures) as c
    group by c.kind, c.subject
  ),
  begun as (
    insert into p2p.ops_incidents (kind, subject, message, raised_by, teller)
    select c.kind, left(c.subject, 100), left(c.message, 1000), p_worker_id, p_worker_id
    from causes c
    where c.opens
      and not exists (
        select
        from p2p.ops_incidents o
        where o.kind = c.kind
          and o.subject = c.subject
          and o.resolved_at is null
      )
    on conflict do nothing
  )
  update p2p.ops_incidents as i
  set
    resolved_at = greatest(clock_timestamp(), i.raised_at),
    resolved_message = case i.kind
      when 'breaker_open' then format('no worker is shut out by %s any more', i.subject)
      when 'batch_failed' then 'a batch was completed'
      when 'no_good_batch' then 'a batch was loaded'
      when 'disk_full' then 'there is room again'
      else 'the newest batch gives no cause for it any more'
    end,
    teller = case when i.begin_told_at is null then i.teller else p_worker_id end
  where i.resolved_at is null
    and i.kind in (
      'structure_changed', 'rule_failed', 'step_failed', 'completeness', 'batch_failed', 'no_good_batch', 'breaker_open',
      'disk_full'
    )
    and not exists (
      select
      from causes c
      where c.kind = i.kind
        and c.subject = i.subject
    );

  -- Who has taken leave may still be telling; a server that was down has heard nobody.
  update p2p.ops_incidents as i
  set teller = p_worker_id
  where (i.begin_told_at is null or i.resolved_at is not null and i.end_told_at is null)
    and i.teller <> p_worker_id
    and not exists (
      select
      from p2p.ops_workers w
      where w.worker_id = i.teller
        and (p2p.is_alive(w.lease_expires_at, w.doing) or w.last_seen_at > clock_timestamp() - interval '20 seconds')
    );

  return query
  select
    i.incident_id,
    i.kind,
    i.subject,
    case when part.is_open then i.message else coalesce(i.resolved_message, '') end,
    part.is_open,
    i.raised_at,
    extract(epoch from coalesce(i.resolved_at, clock_timestamp()) - i.raised_at)::double precision
  from p2p.ops_incidents i
  cross join (values (true), (false)) as part (is_open)
  where (i.begin_told_at is null or i.resolved_at is not null and i.end_told_at is null)
    and i.teller = p_worker_id
    and case when part.is_open then i.begin_told_at is null else i.resolved_at is not null and i.end_told_at is null end
  order by i.incident_id, part.is_open desc;
end
$function$;

comment on function p2p.watch_incidents(text, integer, integer) is 'Opens and ends incidents, and returns what this worker is to tell people';

grant execute on function p2p.watch_incidents(text, integer, integer) to p2p_worker;
-- ════ functions/watch_shapes.sql
-- Step of load_batch: notices what is new, gone or back in the answers of a batch, and of another type. Reads the pages
-- that watched_values draws. Writes response_paths and response_shapes, and one row in ops_shape_events a change:
--   appeared      a key never seen before, in an object seen before (what stands below it makes no event of its own)
--   new type      a key seen before, with a JSON type never seen before
--   disappeared   the number of pages on which it should have stood since it was last seen reached 20: by chance
--                 that happens once in e^20 times. Expected is what it showed so far, less three standard errors,
--                 so that a rare key is not missed after one lucky sight
--   came back     a key that had disappeared
--   too many keys response_paths holds 1,000 of the parser: nothing new is taken up any more (one event, once)
-- The first batch of a parser teaches and makes no events. A batch is watched once: a second call, and a replay, change
-- nothing. A batch older than one already watched only widens first and last times.
create or replace function p2p.watch_shapes(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
set jit = off
as $function$
declare
  c_paths constant integer := 1000;
  c_expected_pages constant integer := 20;
  c_standard_errors constant integer := 3;
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
begin
  lock table p2p.response_paths in share row exclusive mode;

  if exists (select from p2p.ops_shape_watches where batch_id = p_batch_id) then
    return;
  end if;

  create temp table seen_values on commit drop as
  select v.*
  from p2p.watched_values(p_batch_id, false) v;

  analyze pg_temp.seen_values;

  create temp table watched_parsers on commit drop as
  select
    v.parser,
    count(distinct v.page_id)::integer as pages,
    not exists (
      select
      from p2p.response_paths p
      where p.parser = v.parser
    ) as is_first,
    exists (
      select
      from p2p.ops_shape_watches w
      join p2p.ops_batch_runs r on r.batch_id = w.batch_id
      where w.parser = v.parser
        and r.batch_start_time > v_now
    ) as is_late
  from pg_temp.seen_values v
  group by v.parser;

  insert into p2p.ops_shape_watches (batch_id, parser, pages, is_late)
  select p_batch_id, w.parser, w.pages, w.is_late
  from pg_temp.watched_parsers w;

  create temp table seen_shapes on commit drop as
  select
    v.parser,
    v.path,
    v.parent_path,
    v.json_type,
    sum(v.values_seen)::bigint as values_seen,
    min(v.sample) as sample
  from pg_temp.seen_values v
  group by v.parser, v.path, v.parent_path, v.json_type;

  create temp table seen_paths on commit drop as
  with sightings as (
    select
      v.parser,
      v.path,
      v.parent_path,
      count(distinct v.page_id) as pages_seen
    from pg_temp.seen_values v
    group by v.parser, v.path, v.parent_path
  )
  select
    s.*,
    k.path is null as is_new,
    coalesce(k.is_gone, false) as was_gone,
    row_number() over (
      partition by s.parser, k.path is null
      order by length(regexp_replace(s.path, '[^.]', '', 'g')), s.path
    ) + (
      select count(*)
      from p2p.response_paths p
      where p.parser = s.parser
    ) as place
  from sightings s
  left join p2p.response_paths k using (parser, path);

  analyze pg_temp.seen_shapes;
  analyze pg_temp.seen_paths;

  -- Events first: they compare with what was known before.
  with changes as (
    select s.parser, 'appeared' as event, s.path
    from pg_temp.seen_paths s
    join p2p.response_shapes parent
      on parent.parser = s.parser
      and parent.path = s.parent_path
      and parent.json_type in ('object', 'array')
      and (parent.json_type = 'array') = (s.path = s.parent_path || '[]')
    where s.is_new
      and s.place <= c_paths
    union all
    select s.parser, 'came back', s.path
    from pg_temp.seen_paths s
    where s.was_gone
  ),
  with_types as (
    select distinct on (c.parser, c.path)
      c.parser,
      c.event,
      c.path,
      t.json_type,
      t.sample
    from changes c
    join pg_temp.seen_shapes t using (parser, path)
    order by c.parser, c.path, t.values_seen desc, t.json_type
  ),
  new_types as (
    select
      t.parser,
      'new type' as event,
      t.path,
      t.json_type,
      t.sample
    from pg_temp.seen_shapes t
    join p2p.response_paths known using (parser, path)
    where not exists (
      select
      from p2p.response_shapes k
      where (k.parser, k.path, k.json_type) = (t.parser, t.path, t.json_type)
    )
  )
  insert into p2p.ops_shape_events (batch_id, event_at, parser, event, path, json_type, is_needed, sample)
  select
    p_batch_id,
    v_now,
    e.parser,
    e.event,
    e.path,
    e.json_type,
    e.event = 'new type' and p2p.parser_cannot_read(e.parser, e.path, e.json_type),
    e.sample
  from (
    select * from with_types
    union all
    select * from new_types
  ) as e
  join pg_temp.watched_parsers w using (parser)
  where not w.is_late
  order by e.path, e.event;

  insert into p2p.ops_shape_events (batch_id, event_at, parser, event, path, is_needed, sample)
  select p_batch_id, v_now, s.parser, 'too many keys', '', false, min(s.path)
  from pg_temp.seen_paths s
  where s.is_new
    and s.place > c_paths
    and not exists (
      select
      from p2p.ops_shape_events e
      where e.parser = s.parser
        and e.event = 'too many keys'
    )
  group by s.parser;

  insert into p2p.response_paths
    (parser, path, first_seen_at, last_seen_at, pages_possible, pages_seen, pages_missed, is_gone)
  select s.parser, s.path, v_now, v_now, 0, 0, 0, w.is_late
  from pg_temp.seen_paths s
  join pg_temp.watched_parsers w using (parser)
  where s.is_new
    and s.place <= c_paths;

  with possible as (
    -- Pages on which a key could stand: those that have the object it belongs to. An array has its elements or none.
    select
      v.parser,
      v.path as parent_path,
      count(distinct v.page_id) as pages
    from pg_temp.seen_values v
    where v.json_type = 'object'
    group by v.parser, v.path
  ),
  counted as (
    select
      k.parser,
      k.path,
      s.path is not null as is_seen,
      w.is_late,
      coalesce(s.pages_seen, 0) as pages_seen,
      greatest(coalesce(s.pages_seen, 0), coalesce(p.pages, 0)) as pages_possible
    from p2p.response_paths k
    join pg_temp.watched_parsers w using (parser)
    left join pg_temp.seen_paths s using (parser, path)
    left join possible p
      on p.parser = k.parser
      and p.parent_path = regexp_replace(k.path, '\.?[^.]+$', '')
      and k.path !~ '\[\]$'
      and k.path <> ''
  )
  update p2p.response_paths k
  set
    first_seen_at = case when c.is_seen then least(k.first_seen_at, v_now) else k.first_seen_at end,
    last_seen_at = case when c.is_seen then greatest(k.last_seen_at, v_now) else k.last_seen_at end,
    pages_possible = case when c.is_late then k.pages_possible else k.pages_possible + c.pages_possible end,
    pages_seen = case when c.is_late then k.pages_seen else k.pages_seen + c.pages_seen end,
    pages_missed = case
      when c.is_late then k.pages_missed
      when c.is_seen then 0
      else k.pages_missed + c.pages_possible
    end,
    is_gone = k.is_gone and (c.is_late or not c.is_seen)
  from counted c
  where (c.parser, c.path) = (k.parser, k.path)
    and (c.is_seen or (c.pages_possible > 0 and not c.is_late));

  with gone as (
    update p2p.response_paths k
    set is_gone = true
    from pg_temp.watched_parsers w
    where w.parser = k.parser
      and not w.is_late
      and not k.is_gone
      and k.pages_missed
        * greatest(k.pages_seen - c_standard_errors * sqrt(k.pages_seen), 0)
        / nullif(k.pages_possible - k.pages_missed, 0) >= c_expected_pages
    returning k.parser, k.path
  )
  insert into p2p.ops_shape_events (batch_id, event_at, parser, event, path, is_needed)
  select p_batch_id, v_now, g.parser, 'disappeared', g.path, p2p.parser_cannot_read(g.parser, g.path, null)
  from gone g
  order by g.path;

  insert into p2p.response_shapes as k (parser, path, json_type, first_seen_at, last_seen_at, values_seen)
  select t.parser, t.path, t.json_type, v_now, v_now, case when w.is_late then 0 else t.values_seen end
  from pg_temp.seen_shapes t
  join pg_temp.watched_parsers w using (parser)
  join p2p.response_paths p using (parser, path)
  on conflict (parser, path, json_type) do update
  set
    first_seen_at = least(k.first_seen_at, v_now),
    last_seen_at = greatest(k.last_seen_at, v_now),
    values_seen = k.values_seen + excluded.values_seen;

  drop table pg_temp.seen_values, pg_temp.watched_parsers, pg_temp.seen_shapes, pg_temp.seen_paths;
end
$function$;

comment on function p2p.watch_shapes(uuid) is 'Step of load_batch: notices keys that appear, disappear, come back or change their type';

grant execute on function p2p.watch_shapes(uuid) to p2p_worker;
-- ════ functions/watched_values.sql
-- What stands on the watched pages of a batch, counted by page, path and JSON type. Only reads.
-- Watched are shape_pages_per_batch (25) pages a batch of each parser, all of them where there are no more: drawn by lot (a hash of batch, market and page),
-- so that the same batch always shows the same pages. Pages with offers come first; an empty one tells nothing.
-- Unfolding all keys of all pages would cost seconds. With p_only_needed only what leads to a key of parser_keys is.
-- Bounded against garbage: 8 levels, keys of 100 characters, 500 keys an object, 100 elements an array.
create or replace function p2p.watched_values(p_batch_id uuid, p_only_needed boolean)
returns table (
  parser text,
  page_id integer,
  path text,
  parent_path text,
  json_type text,
  values_seen bigint,
  sample text
)
language plpgsql
stable
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
as $function$
declare
  v_pages constant integer := p2p.setting_number('shape_pages_per_batch');
  c_empty_page_bytes constant integer := 400;
  c_levels constant integer := 8;
  c_key_characters constant integer := 100;
  c_keys constant integer := 500;
  c_elements constant integer := 100;
  c_sample_characters constant integer := 200;
  -- Every beginning of a needed path, those that end in the middle of a key included: they match nothing.
  v_needed constant text[] := array(
    select distinct left(k.path, characters)
    from p2p.parser_keys k
    cross join generate_series(0, length(k.path)) as characters
    where p_only_needed
  );
begin
  return query
  with recursive pages as (
    select
      drawn.parser,
      row_number() over ()::integer as page_id,
      drawn.body
    from (
      select
        s.parser,
        s.body,
        row_number() over (
          partition by s.parser
          order by
            s.body_bytes < c_empty_page_bytes,
            md5(concat_ws(' ', p_batch_id, s.market_id, s.page_number))
        ) as place
      from p2p.ops_batch_runs r
      join p2p.stg_responses s on s.extraction_timestamp = r.batch_start_time
      where r.batch_id = p_batch_id
    ) as drawn
    where drawn.place <= v_pages
  ),
  nodes as (
    select
      p.parser,
      p.page_id,
      0 as level,
      '' as path,
      null::text as parent_path,
      p.body as value
    from pages p
    union all
    select
      n.parser,
      n.page_id,
      n.level + 1,
      child.path,
      n.path,
      child.value
    from nodes n
    cross join lateral (
      (
        select ltrim(n.path || '.' || left(o.key, c_key_characters), '.'), o.value
        from jsonb_each(case jsonb_typeof(n.value) when 'object' then n.value else '{}' end) as o
        limit c_keys
      )
      union all
      (
        select n.path || '[]', a.value
        from jsonb_array_elements(case jsonb_typeof(n.value) when 'array' then n.value else '[]' end) as a
        limit c_elements
      )
    ) as child (path, value)
    where n.level < c_levels
      and (not p_only_needed or child.path = any (v_needed))
      and jsonb_typeof(n.value) in ('object', 'array')
  )
  select
    n.parser,
    n.page_id,
    n.path,
    n.parent_path,
    jsonb_typeof(n.value),
    count(*),
    min(left(n.value #>> '{}', c_sample_characters) collate "C")
      filter (where jsonb_typeof(n.value) in ('string', 'number', 'boolean'))
  from nodes n
  group by n.parser, n.page_id, n.path, n.parent_path, jsonb_typeof(n.value);
end
$function$;

comment on function p2p.watched_values(uuid, boolean) is 'What stands on the watched pages of a batch, by page, path and JSON type';

grant execute on function p2p.watched_values(uuid, boolean) to p2p_worker;
-- ════ functions/why_late.sql
-- Part of join_batch: why no batch was begun at a due time. Changes nothing.
create or replace function p2p.why_late(p_due_at timestamptz)
returns text
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select
    case
      when exists (
        select
        from p2p.ops_batch_runs r
        where r.imported_from is null
          and r.batch_start_time <= p_due_at
          and r.batch_start_time > p_due_at - interval '1 day'
          and coalesce(r.batch_end_time, 'infinity') > p_due_at
      ) then 'the batch before was still running'
      when exists (
        select
        from p2p.ops_workers w
        where w.purpose = 'run'
          and w.started_at <= p_due_at
          and w.last_seen_at > p_due_at
      ) then 'workers could not begin it in time' -- a lost database, a clock that is wrong: their log says
      else 'no worker was running'
    end
$function$;

comment on function p2p.why_late(timestamptz) is 'Part of join_batch: why no batch was begun at a due time';

grant execute on function p2p.why_late(timestamptz) to p2p_worker;
-- ════ functions/worker_rights.sql
-- What p2p_worker must be granted on tables and sequences, beside functions and views, whose files say it themselves. Only
-- what is here: the tiers have different tables. The same as the migrations grant; a test compares. Changes nothing.
create or replace function p2p.worker_rights()
returns table (table_name text, privilege text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select t.name, p.name
  from (
    values
      ('DELETE, INSERT, SELECT',
        'open_days open_hours stored_market_days stored_market_hours stored_merchant_days
        stored_merchant_hours'),
      ('DELETE, INSERT, SELECT, UPDATE',
        'dim_advertisers fact_market_depth fact_offers ops_access_history ops_data_quality ops_rejected_offers
        ops_worker_exchanges ops_workers stg_import_pages stg_imports'),
      ('INSERT, SELECT',
        'ops_batch_loads ops_batch_steps ops_shape_events ops_shape_watches ops_skipped_batches
        sql_set_versions sql_sets sql_versions stg_responses'),
      ('INSERT, SELECT, UPDATE',
        'dim_cryptocurrencies dim_fiat_currencies dim_markets dim_offers dim_payment_methods
        dim_payment_sets ops_batch_markets ops_batch_runs ops_discoveries ops_extraction_errors
        ops_incidents ops_market_visits response_paths response_shapes'),
      ('SELECT',
        'change_log dim_exchanges dropped_facts parser_keys partitioned_tables pipeline_steps
        quality_rules schema_migrations schema_objects settings'),
      ('USAGE',
        'dim_advertisers_advertiser_sk_seq fact_market_depth_depth_id_seq')
  ) as granted (privileges, tables)
  cross join lateral regexp_split_to_table(granted.tables, '\s+') as t (name)
  cross join lateral regexp_split_to_table(granted.privileges, ', ') as p (name)
  where to_regclass('p2p.' || t.name) is not null
$function$;

comment on function p2p.worker_rights() is 'What p2p_worker must be granted on tables and sequences';

grant execute on function p2p.worker_rights() to p2p_worker;
-- ════ functions/workers_at_work.sql
-- The live workers that are at a batch: they fetch, load, or wait to. One that has just been told what to do by join_batch
-- counts. Changes nothing.
create or replace function p2p.workers_at_work()
returns setof p2p.ops_workers
language sql
stable
rows 5
set search_path = p2p, pg_temp
as $function$
  select w.*
  from p2p.live_workers() w
  where w.doing <> 'idle'
$function$;

comment on function p2p.workers_at_work() is 'Live workers that are at a batch';

grant execute on function p2p.workers_at_work() to p2p_worker;
-- ════ functions/write_imported_books.sql
-- Part of store_imported_batch: writes the ledger of the markets of pg_temp.import_choices, which have just got pages. Whole
-- is a book whose pages are all there, as far as the recording tells. Its pages say how many offers there are (total); one
-- without a total ends with a page that is not full. A book that was asked for with a filter is never whole, nor is one
-- that lacks a tenth of its total. Changes ops_batch_markets of this batch, and only rows that become another.
create or replace function p2p.write_imported_books(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_position integer := (
    select coalesce(max(bm.plan_position), 0)
    from p2p.ops_batch_markets bm
    where bm.batch_id = p_batch_id
  );
begin
  create temp table import_book_pages on commit drop as
  select
    s.market_id,
    s.page_number,
    s.observed_at,
    case jsonb_typeof(answer.data) when 'array' then jsonb_array_length(answer.data) else 0 end as items,
    case when answer.total ~ '^\d{1,9}$' then answer.total::integer end as total
  from p2p.stg_responses s
  cross join jsonb_to_record(s.body) as answer (data jsonb, total text) -- decompresses the page once, not for each key
  where s.extraction_timestamp = v_batch.batch_start_time
    and s.market_id in (select c.market_id from pg_temp.import_choices c);

  analyze pg_temp.import_book_pages;

  with books as (
    select
      p.market_id,
      count(*)::integer as pages_stored,
      array_agg(p.page_number) as page_numbers,
      max(p.page_number) as last_page,
      (array_agg(p.items order by p.page_number desc))[1] as last_items,
      (array_agg(p.total order by p.page_number desc) filter (where p.total is not null))[1] as total,
      sum(p.items) as items,
      min(p.observed_at) as started_at,
      max(p.observed_at) as finished_at,
      coalesce(max(c.page_size), 20) as page_size,
      max(c.filtered_by) as filtered_by
    from pg_temp.import_book_pages p
    left join pg_temp.import_choices c using (market_id, page_number)
    group by p.market_id
  ),
  measured as (
    select
      k.*,
      f.currency_code as fiat,
      a.symbol as asset,
      m.trade_type,
      coalesce('filtered by ' || k.filtered_by, known.reason) as filter,
      case
        when k.last_items = 0 then k.last_page
        when k.total is null then k.last_page
        else greatest(k.last_page, least(ceil(k.total::numeric / k.page_size), 500)::integer) -- no book has 500 pages
      end as pages
    from books k
    join p2p.dim_markets m on m.market_id = k.market_id
    join p2p.dim_fiat_currencies f on f.fiat_id = m.fiat_id
    join p2p.dim_cryptocurrencies a on a.crypto_id = m.crypto_id
    left join p2p.ops_batch_markets known
      on known.batch_id = p_batch_id
      and known.market_id = k.market_id
      and known.reason like 'filtered by %'
  ),
  judged as (
    select
      m.*,
      array(
        select wanted.page_number
        from generate_series(1, m.pages) as wanted (page_number)
        where wanted.page_number <> all (m.page_numbers)
        order by 1
      ) as lost_pages
    from measured m
  ),
  reasoned as (
    select
      j.*,
      case
        when j.filter is not null
        then j.filter
        when j.lost_pages <> '{}'
        then format('%s of %s pages are not in the recording', cardinality(j.lost_pages), j.pages)
        when j.last_items = 0
        then null
        when j.total is null and j.last_items >= j.page_size
        then 'the recording does not say how many offers there were'
        when j.total - j.items > greatest(3, 0.1 * j.total) -- the total moves while one pages
        then format('%s of %s offers are in the recording', j.items, j.total)
      end as reason
    from judged j
  )
  insert into p2p.ops_batch_markets as bm (
    batch_id, market_id, plan_position, status, worker_id, pages_stored, lost_pages, offers_reported, started_at,
    finished_at, reason
  )
  select
    p_batch_id,
    r.market_id,
    v_position + row_number() over (order by r.fiat, r.asset, r.trade_type),
    case when r.reason is null then 'complete' else 'incomplete' end,
    v_batch.worker_id,
    r.pages_stored,
    r.lost_pages,
    r.total,
    r.started_at,
    r.finished_at,
    r.reason
  from reasoned r
  on conflict (batch_id, market_id) do update
  set
    status = excluded.status,
    pages_stored = excluded.pages_stored,
    lost_pages = excluded.lost_pages,
    offers_reported = excluded.offers_reported,
    started_at = excluded.started_at,
    finished_at = excluded.finished_at,
    reason = excluded.reason
  where (bm.pages_stored, bm.status, bm.reason) is distinct from (excluded.pages_stored, excluded.status, excluded.reason);

  drop table pg_temp.import_book_pages;
end
$function$;

comment on function p2p.write_imported_books(uuid) is 'Writes the ledger of the markets that an import stored pages of';

grant execute on function p2p.write_imported_books(uuid) to p2p_worker;
-- ════ views/from_facts_market_hours.sql
-- The hours of open_hours, made of the books at each reading. Each through the index on time.
create or replace view p2p.from_facts_market_hours as
select
  made.exchange_id, made.fiat_id, made.crypto_id, made.trade_type, o.hour, made.snapshots,
  made.snapshots_with_offers, made.best_open, made.best_high, made.best_low, made.best_close, made.median_open,
  made.median_high, made.median_low, made.median_close, made.min_price, made.max_price, made.price_volume_sum,
  made.volume_sum, made.volume_high, made.volume_low, made.spread_count, made.spread_sum, made.spread_open,
  made.spread_high, made.spread_low, made.spread_close, made.offers_sum, made.offers_max, made.median_count,
  made.median_sum, made.median_square_sum
from p2p.open_hours o
cross join lateral (
  select
    d.exchange_id,
    d.fiat_id,
    d.crypto_id,
    d.trade_type,
    count(*) as snapshots,
    count(d.min_price) as snapshots_with_offers,
    (array_agg(best.price order by d.extraction_timestamp) filter (where best.price is not null))[1] as best_open,
    max(best.price) as best_high,
    min(best.price) as best_low,
    (array_agg(best.price order by d.extraction_timestamp desc) filter (where best.price is not null))[1] as best_close,
    (array_agg(d.median_price order by d.extraction_timestamp) filter (where d.median_price is not null))[1] as median_open,
    max(d.median_price) as median_high,
    min(d.median_price) as median_low,
    (array_agg(d.median_price order by d.extraction_timestamp desc) filter (where d.median_price is not null))[1] as median_close,
    min(d.min_price) as min_price,
    max(d.max_price) as max_price,
    sum(d.weighted_avg_price * d.total_available_volume) as price_volume_sum,
    sum(d.total_available_volume) as volume_sum,
    max(d.total_available_volume) as volume_high,
    min(d.total_available_volume) as volume_low,
    count(d.spread_percentage) as spread_count,
    sum(d.spread_percentage) as spread_sum,
    (array_agg(d.spread_percentage order by d.extraction_timestamp) filter (where d.spread_percentage is not null))[1] as spread_open,
    max(d.spread_percentage) as spread_high,
    min(d.spread_percentage) as spread_low,
    (array_agg(d.spread_percentage order by d.extraction_timestamp desc) filter (where d.spread_percentage is not null))[1] as spread_close,
    sum(d.total_offers_count) as offers_sum,
    max(d.total_offers_count) as offers_max,
    count(d.median_price) as median_count,
    sum(d.median_price) as median_sum,
    sum(d.median_price * d.median_price) as median_square_sum
  from p2p.fact_market_depth d
  cross join lateral (
    select case d.trade_type when 'BUY' then d.min_price else d.max_price end as price
  ) as best
  where d.extraction_timestamp >= o.hour
    and d.extraction_timestamp < o.hour + interval '1 hour'
  group by d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type
) as made;

comment on view p2p.from_facts_market_hours is 'Part of market_hours: the hours that are not stored yet, made of the books';

grant select on p2p.from_facts_market_hours to p2p_reader, p2p_worker;
-- ════ views/from_facts_merchant_hours.sql
-- The hours of open_hours, made of the offers at each reading. Each through the index on time, or on the market.
create or replace view p2p.from_facts_merchant_hours as
select
  made.exchange_id, made.fiat_id, made.crypto_id, made.trade_type, made.advertiser_sk, o.hour, made.snapshots,
  made.offers_sum, made.volume_sum, made.orders_30_days_max
from p2p.open_hours o
cross join lateral (
  select
    f.exchange_id,
    f.fiat_id,
    f.crypto_id,
    f.trade_type,
    f.advertiser_sk,
    count(distinct f.extraction_timestamp) as snapshots,
    count(*) as offers_sum,
    sum(f.available_amount) as volume_sum,
    max(f.total_orders_count) as orders_30_days_max
  from p2p.fact_offers f
  where f.extraction_timestamp >= o.hour
    and f.extraction_timestamp < o.hour + interval '1 hour'
  group by f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type, f.advertiser_sk
) as made;

comment on view p2p.from_facts_merchant_hours is 'Part of merchant_hours: the hours that are not stored yet, made of the offers';

grant select on p2p.from_facts_merchant_hours to p2p_reader, p2p_worker;
-- ════ views/from_hours_market_days.sql
-- The days of open_days, made of the hours at each reading: those that are stored, and the one under way.
create or replace view p2p.from_hours_market_days as
select
  made.exchange_id, made.fiat_id, made.crypto_id, made.trade_type, o.day, made.snapshots,
  made.snapshots_with_offers, made.best_open, made.best_high, made.best_low, made.best_close, made.median_open,
  made.median_high, made.median_low, made.median_close, made.min_price, made.max_price, made.price_volume_sum,
  made.volume_sum, made.volume_high, made.volume_low, made.spread_count, made.spread_sum, made.spread_open,
  made.spread_high, made.spread_low, made.spread_close, made.offers_sum, made.offers_max, made.median_count,
  made.median_sum, made.median_square_sum
from p2p.open_days o
cross join lateral (
  select
    h.exchange_id,
    h.fiat_id,
    h.crypto_id,
    h.trade_type,
    sum(h.snapshots)::bigint as snapshots,
    sum(h.snapshots_with_offers)::bigint as snapshots_with_offers,
    (array_agg(h.best_open order by h.hour) filter (where h.best_open is not null))[1] as best_open,
    max(h.best_high) as best_high,
    min(h.best_low) as best_low,
    (array_agg(h.best_close order by h.hour desc) filter (where h.best_close is not null))[1] as best_close,
    (array_agg(h.median_open order by h.hour) filter (where h.median_open is not null))[1] as median_open,
    max(h.median_high) as median_high,
    min(h.median_low) as median_low,
    (array_agg(h.median_close order by h.hour desc) filter (where h.median_close is not null))[1] as median_close,
    min(h.min_price) as min_price,
    max(h.max_price) as max_price,
    sum(h.price_volume_sum) as price_volume_sum,
    sum(h.volume_sum) as volume_sum,
    max(h.volume_high) as volume_high,
    min(h.volume_low) as volume_low,
    sum(h.spread_count)::bigint as spread_count,
    sum(h.spread_sum) as spread_sum,
    (array_agg(h.spread_open order by h.hour) filter (where h.spread_open is not null))[1] as spread_open,
    max(h.spread_high) as spread_high,
    min(h.spread_low) as spread_low,
    (array_agg(h.spread_close order by h.hour desc) filter (where h.spread_close is not null))[1] as spread_close,
    sum(h.offers_sum)::bigint as offers_sum,
    max(h.offers_max) as offers_max,
    sum(h.median_count)::bigint as median_count,
    sum(h.median_sum) as median_sum,
    sum(h.median_square_sum) as median_square_sum
  from (
    select *
    from p2p.stored_market_hours
    union all
    select *
    from p2p.from_facts_market_hours
  ) as h
  where h.hour >= o.day
    and h.hour < o.day + interval '24 hours'
  group by h.exchange_id, h.fiat_id, h.crypto_id, h.trade_type
) as made;

comment on view p2p.from_hours_market_days is 'Part of market_days: the days that are not stored yet, made of the hours';

grant select on p2p.from_hours_market_days to p2p_reader, p2p_worker;
-- ════ views/from_hours_merchant_days.sql
-- The days of open_days, made of the hours at each reading: those that are stored, and the one under way.
create or replace view p2p.from_hours_merchant_days as
select
  made.exchange_id, made.fiat_id, made.crypto_id, made.trade_type, made.advertiser_sk, o.day, made.snapshots,
  made.offers_sum, made.volume_sum, made.orders_30_days_max
from p2p.open_days o
cross join lateral (
  select
    h.exchange_id,
    h.fiat_id,
    h.crypto_id,
    h.trade_type,
    h.advertiser_sk,
    sum(h.snapshots)::bigint as snapshots,
    sum(h.offers_sum)::bigint as offers_sum,
    sum(h.volume_sum) as volume_sum,
    max(h.orders_30_days_max) as orders_30_days_max
  from (
    select *
    from p2p.stored_merchant_hours
    union all
    select *
    from p2p.from_facts_merchant_hours
  ) as h
  where h.hour >= o.day
    and h.hour < o.day + interval '24 hours'
  group by h.exchange_id, h.fiat_id, h.crypto_id, h.trade_type, h.advertiser_sk
) as made;

comment on view p2p.from_hours_merchant_days is 'Part of merchant_days: the days that are not stored yet, made of the hours';

grant select on p2p.from_hours_merchant_days to p2p_reader, p2p_worker;
-- ════ views/market_days.sql
-- What is over is stored; the day that is under way is made of the hours at each reading.
create or replace view p2p.market_days as
select
  exchange_id, fiat_id, crypto_id, trade_type, day, snapshots, snapshots_with_offers, best_open, best_high,
  best_low, best_close, median_open, median_high, median_low, median_close, min_price, max_price, price_volume_sum,
  volume_sum, volume_high, volume_low, spread_count, spread_sum, spread_open, spread_high, spread_low,
  spread_close, offers_sum, offers_max, median_count, median_sum, median_square_sum
from p2p.stored_market_days
union all
select
  exchange_id, fiat_id, crypto_id, trade_type, day, snapshots, snapshots_with_offers, best_open, best_high,
  best_low, best_close, median_open, median_high, median_low, median_close, min_price, max_price, price_volume_sum,
  volume_sum, volume_high, volume_low, spread_count, spread_sum, spread_open, spread_high, spread_low,
  spread_close, offers_sum, offers_max, median_count, median_sum, median_square_sum
from p2p.from_hours_market_days;

comment on view p2p.market_days is 'Each market by day (UTC) as sums and extremes, by ids: what market_daily is made of';
comment on column p2p.market_days.snapshots_with_offers is 'Those in which the book was not empty: the others have no prices';
comment on column p2p.market_days.best_open is 'Best price for the taker (lowest BUY, highest SELL) in the first snapshot that had offers';
comment on column p2p.market_days.price_volume_sum is 'Sum of weighted_avg_price × total_available_volume: divided by volume_sum it is the average price';
comment on column p2p.market_days.volume_sum is 'Available amount of all snapshots together: divide it by snapshots';
comment on column p2p.market_days.spread_count is 'Snapshots that had a spread; spread_sum and what follows are of spread_percentage';
comment on column p2p.market_days.median_square_sum is 'Sum of the squares of the median price: the deviation follows from it, median_sum and median_count';

grant select on p2p.market_days to p2p_reader, p2p_worker;
-- ════ views/market_hours.sql
-- What is over is stored; the hour that is under way is made of the facts at each reading.
create or replace view p2p.market_hours as
select
  exchange_id, fiat_id, crypto_id, trade_type, hour, snapshots, snapshots_with_offers, best_open, best_high,
  best_low, best_close, median_open, median_high, median_low, median_close, min_price, max_price, price_volume_sum,
  volume_sum, volume_high, volume_low, spread_count, spread_sum, spread_open, spread_high, spread_low,
  spread_close, offers_sum, offers_max, median_count, median_sum, median_square_sum
from p2p.stored_market_hours
union all
select
  exchange_id, fiat_id, crypto_id, trade_type, hour, snapshots, snapshots_with_offers, best_open, best_high,
  best_low, best_close, median_open, median_high, median_low, median_close, min_price, max_price, price_volume_sum,
  volume_sum, volume_high, volume_low, spread_count, spread_sum, spread_open, spread_high, spread_low,
  spread_close, offers_sum, offers_max, median_count, median_sum, median_square_sum
from p2p.from_facts_market_hours;

comment on view p2p.market_hours is 'Each market by hour (UTC) as sums and extremes, by ids: what market_hourly and v_price_history are made of';
comment on column p2p.market_hours.snapshots_with_offers is 'Those in which the book was not empty: the others have no prices';
comment on column p2p.market_hours.best_open is 'Best price for the taker (lowest BUY, highest SELL) in the first snapshot that had offers';
comment on column p2p.market_hours.price_volume_sum is 'Sum of weighted_avg_price × total_available_volume: divided by volume_sum it is the average price';
comment on column p2p.market_hours.volume_sum is 'Available amount of all snapshots together: divide it by snapshots';
comment on column p2p.market_hours.spread_count is 'Snapshots that had a spread; spread_sum and what follows are of spread_percentage';
comment on column p2p.market_hours.median_square_sum is 'Sum of the squares of the median price: the deviation follows from it, median_sum and median_count';

grant select on p2p.market_hours to p2p_reader, p2p_worker;
-- ════ views/merchant_days.sql
-- What is over is stored; the day that is under way is made of the hours at each reading.
create or replace view p2p.merchant_days as
select
  exchange_id, fiat_id, crypto_id, trade_type, advertiser_sk, day, snapshots, offers_sum, volume_sum,
  orders_30_days_max
from p2p.stored_merchant_days
union all
select
  exchange_id, fiat_id, crypto_id, trade_type, advertiser_sk, day, snapshots, offers_sum, volume_sum,
  orders_30_days_max
from p2p.from_hours_merchant_days;

comment on view p2p.merchant_days is 'Each advertiser by market and day (UTC) as sums, by ids: what merchant_daily is made of';
comment on column p2p.merchant_days.snapshots is 'Snapshots in which they had an offer there';
comment on column p2p.merchant_days.offers_sum is 'Offers of all snapshots together: divide it by snapshots';
comment on column p2p.merchant_days.volume_sum is 'Available amount of all snapshots together: divide it by snapshots';

grant select on p2p.merchant_days to p2p_reader, p2p_worker;
-- ════ views/merchant_hours.sql
-- What is over is stored; the hour that is under way is made of the facts at each reading.
create or replace view p2p.merchant_hours as
select
  exchange_id, fiat_id, crypto_id, trade_type, advertiser_sk, hour, snapshots, offers_sum, volume_sum,
  orders_30_days_max
from p2p.stored_merchant_hours
union all
select
  exchange_id, fiat_id, crypto_id, trade_type, advertiser_sk, hour, snapshots, offers_sum, volume_sum,
  orders_30_days_max
from p2p.from_facts_merchant_hours;

comment on view p2p.merchant_hours is 'Each advertiser by market and hour (UTC) as sums, by ids: distinct merchants are counted here';
comment on column p2p.merchant_hours.snapshots is 'Snapshots in which they had an offer there';
comment on column p2p.merchant_hours.offers_sum is 'Offers of all snapshots together: divide it by snapshots';
comment on column p2p.merchant_hours.volume_sum is 'Available amount of all snapshots together: divide it by snapshots';

grant select on p2p.merchant_hours to p2p_reader, p2p_worker;
-- ════ views/partitions.sql
-- Bounds are read from the text that the server makes of them, in the time zone of this session both ways.
create or replace view p2p.partitions as
select
  parent.relname::text as table_name,
  format('%I.%I', n.nspname, c.relname) as partition_name,
  case when bound.texts[1] = 'MINVALUE' then '-infinity' else bound.texts[1]::timestamptz end as starts_at,
  case when bound.texts[2] = 'MAXVALUE' then 'infinity' else bound.texts[2]::timestamptz end as ends_at,
  greatest(s.n_live_tup, 0) as rows_about,
  pg_size_pretty(pg_total_relation_size(c.oid)) as size
from pg_class parent
join pg_inherits i on i.inhparent = parent.oid
join pg_class c on c.oid = i.inhrelid
join pg_namespace n on n.oid = c.relnamespace
cross join lateral regexp_match(
  pg_get_expr(c.relpartbound, c.oid),
  '^FOR VALUES FROM \(''?([^'')]*)''?\) TO \(''?([^'')]*)''?\)$'
) as bound (texts)
left join pg_stat_user_tables s on s.relid = c.oid
where parent.relnamespace = 'p2p'::regnamespace
  and parent.relkind = 'p'
order by parent.relname, starts_at;

comment on view p2p.partitions is 'Partitions of each table that is kept by day or month, with the times they hold';
comment on column p2p.partitions.ends_at is 'The first moment that is not in it';
comment on column p2p.partitions.rows_about is 'As counted by the statistics of the server';

grant select on p2p.partitions to p2p_reader, p2p_worker;
-- ════ views/policy_audit.sql
-- What must hold so that no history is lost and no batch fails, each rule with what was found and the statement that
-- mends it. On plain PostgreSQL: partitions and retention; the view of the same name on TimescaleDB has its policies too.
-- Reads catalogs and small tables; for everybody who may read.
create or replace view p2p.policy_audit as
with days as (
  select
    max(s.value::numeric) filter (where s.name = 'raw_retention_days') as raw,
    max(s.value::numeric) filter (where s.name = 'offers_retention_days') as offers,
    max(s.value::numeric) filter (where s.name = 'depth_retention_days') as depth,
    max(s.value::numeric) filter (where s.name = 'partitions_ahead_days') as ahead
  from p2p.settings s
  where s.kind = 'number'
),
ahead as (
  select
    t.table_name,
    d.ahead,
    day.at,
    exists (
      select
      from p2p.partitions p
      where p.table_name = t.table_name
        and p.starts_at <= day.at
        and p.ends_at > day.at
    ) as is_there
  from p2p.partitioned_tables t
  cross join days d
  -- The last day is made by the first load of today, which midnight does not wait for.
  cross join lateral generate_series(now(), now() + (d.ahead - 1) * interval '1 day', interval '1 day') as day (at)
  where exists (select from p2p.ops_batch_runs) -- they are made with the first batch
),
rules as (
  select
    'offers_retention_days' as subject,
    'offers are kept for 30 days or more' as rule,
    d.offers >= 30 as is_ok,
    format('%s days', d.offers) as finding,
    $$update p2p.settings set minimum = 30, value = '35' where name = 'offers_retention_days'$$ as mends
  from days d
  union all
  select
    'raw_retention_days' as subject,
    'pages are not kept longer than the facts made of them' as rule,
    d.raw <= least(d.offers, d.depth),
    format('pages %s days, offers %s, books %s', d.raw, d.offers, d.depth),
    format($$update p2p.settings set value = '%s' where name = 'raw_retention_days'$$, least(d.offers, d.depth))
  from days d
  union all
  select
    a.table_name,
    'partitions stand ready for days to come' as rule,
    bool_and(a.is_there),
    case
      when bool_and(a.is_there) then format('as far as %s', to_char(max(a.at) at time zone 'UTC', 'YYYY-MM-DD'))
      else format('none for %s', to_char(min(a.at) filter (where not a.is_there) at time zone 'UTC', 'YYYY-MM-DD'))
    end,
    format(
      'select p2p.make_room(at) from generate_series(now(), now() + interval ''%s days'', interval ''1 day'') as at',
      max(a.ahead)
    )
  from ahead a
  group by a.table_name
  union all
  select
    t.table_name,
    'what is old enough is dropped' as rule,
    coalesce(d.held_up_since > now() - interval '1 day', true), -- a reader may be in the way for a few loads
    case
      when d.held_up_by is null then 'nothing waits'
      else format('waits since %s: %s', to_char(d.held_up_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), d.held_up_by)
    end,
    'select p2p.apply_retention(null) -- when that is out of the way' as mends
  from p2p.partitioned_tables t
  left join p2p.dropped_facts d on d.table_name = t.table_name
  where t.retention_setting is not null
)
select
  r.subject,
  r.rule,
  case when r.is_ok then 'ok' else 'violated' end as status,
  r.finding,
  case when not r.is_ok then r.mends end as mends
from rules r
order by r.is_ok, r.subject, r.rule;

comment on view p2p.policy_audit is 'What must hold so that no history is lost: each rule, whether it does, and what mends it';

grant select on p2p.policy_audit to p2p_reader, p2p_worker;
-- ════ views/access_history.sql
create or replace view p2p.access_history as
select
  h.noted_at,
  left(h.worker_name, 20) as worker,
  left(e.code, 10) as exchange,
  round(h.rate_per_minute) as rate,
  round(h.ceiling_per_minute) as ceiling,
  h.breaker,
  h.requests,
  h.refused,
  left(h.breaker_reason, 18) as why
from p2p.ops_access_history h
join p2p.dim_exchanges e using (exchange_id)
order by h.noted_at desc, h.worker_name, e.code;

comment on view p2p.access_history is 'What each exchange allowed each worker, by the minute and at each change of a breaker; newest first';
comment on column p2p.access_history.worker is 'Its name: processes of one name follow each other';
comment on column p2p.access_history.rate is 'Requests a minute that it sent at most';
comment on column p2p.access_history.ceiling is 'Rate at which the exchange had refused last';
comment on column p2p.access_history.requests is 'Since the row before, as is refused';
comment on column p2p.access_history.why is 'Beginning of why the breaker is not closed';

grant select on p2p.access_history to p2p_reader;
-- ════ views/batch_markets.sql
create or replace view p2p.batch_markets as
select
  r.batch_start_time,
  bm.market_id,
  bm.status,
  bm.pages_stored,
  bm.offers_reported,
  left(bm.worker_id, 30) as worker,
  bm.finished_at is not null as is_over
from p2p.ops_batch_runs r
join p2p.ops_batch_markets bm using (batch_id);

comment on view p2p.batch_markets is 'What ledger tells, without names: quick, where batch_start_time = …';
comment on column p2p.batch_markets.status is 'As in ops_batch_markets';
comment on column p2p.batch_markets.worker is 'Whose it is, or was last; as in workers';
comment on column p2p.batch_markets.is_over is 'False of a deferred one: there may yet be time for it';

grant select on p2p.batch_markets to p2p_reader;
-- ════ views/batch_overview.sql
create or replace view p2p.batch_overview as
select
  r.batch_id,
  r.batch_start_time,
  r.status,
  r.markets_completed,
  r.markets_expected,
  round(100.0 * r.markets_completed / nullif(r.markets_expected, 0), 2) as completeness_percent,
  r.total_offers_inserted as offers,
  r.total_offers_rejected as rejected,
  r.total_errors as errors,
  r.execution_time_seconds as seconds,
  (
    select count(*)
    from p2p.ops_data_quality q
    where q.batch_id = r.batch_id
      and not q.passed
  ) as failed_checks,
  r.error_summary,
  (
    select count(*)
    from p2p.ops_batch_steps s
    where s.batch_id = r.batch_id
      and s.status = 'failed'
      and s.load_number = (
        select max(l.load_number)
        from p2p.ops_batch_loads l
        where l.batch_id = r.batch_id
      )
  ) as failed_steps,
  array_to_string(r.imported_from, ', ') as imported_from,
  r.batch_end_time,
  r.fetch_until,
  r.loader_id
from p2p.ops_batch_runs r;

comment on view p2p.batch_overview is 'Batches with their completeness, failed checks and failed steps; newest: order by batch_start_time desc';
comment on column p2p.batch_overview.imported_from is 'Files that others had recorded it in; NULL: fetched here';
comment on column p2p.batch_overview.fetch_until is 'Its deadline: from then on no market is begun';
comment on column p2p.batch_overview.loader_id is 'Who loads it, or did; NULL while markets are fetched';

grant select on p2p.batch_overview to p2p_reader, p2p_worker;
-- ════ views/batch_sql.sql
create or replace view p2p.batch_sql as
select
  r.batch_id,
  r.batch_start_time,
  l.load_number,
  v.identity,
  sv.state,
  v.fingerprint,
  v.definition
from p2p.ops_batch_runs r
cross join lateral (
  select
    one.load_number,
    one.sql_set_id
  from p2p.ops_batch_loads one
  where one.batch_id = r.batch_id
  order by one.load_number desc
  limit 1
) as l
join p2p.sql_set_versions sv on sv.sql_set_id = l.sql_set_id
join p2p.sql_versions v on v.version_id = sv.version_id;

comment on view p2p.batch_sql is 'The SQL that made the facts of each batch: where batch_id = …, one row a function, with its text';
comment on column p2p.batch_sql.load_number is 'The newest recorded load of the batch';

grant select on p2p.batch_sql to p2p_reader, p2p_worker;
-- ════ views/best_prices.sql
create or replace view p2p.best_prices as
with newest_books as (
  select
    m.exchange_id,
    m.fiat_id,
    m.crypto_id,
    newest.*
  from p2p.dim_markets m
  cross join lateral (
    select d.trade_type, d.extraction_timestamp, d.min_price, d.max_price, d.median_price
    from p2p.fact_market_depth d
    where d.exchange_id = m.exchange_id
      and d.fiat_id = m.fiat_id
      and d.crypto_id = m.crypto_id
      and d.trade_type = m.trade_type
    order by d.extraction_timestamp desc
    limit 1
  ) as newest
),
pairs as (
  select
    b.exchange_id,
    b.fiat_id,
    b.crypto_id,
    min(b.min_price) filter (where b.trade_type = 'BUY') as best_ask,
    max(b.max_price) filter (where b.trade_type = 'SELL') as best_bid,
    min(b.median_price) filter (where b.trade_type = 'BUY') as median_ask,
    max(b.median_price) filter (where b.trade_type = 'SELL') as median_bid,
    min(b.extraction_timestamp) as as_of
  from newest_books b
  group by b.exchange_id, b.fiat_id, b.crypto_id
)
select
  f.currency_code || '/' || c.symbol as pair,
  p.best_ask,
  p.best_bid,
  round(200 * (p.best_ask - p.best_bid) / (p.best_ask + p.best_bid), 2) as spread_percent,
  round(p.median_ask, greatest(scale(p.best_ask), 2)) as median_ask,
  round(p.median_bid, greatest(scale(p.best_bid), 2)) as median_bid,
  date_trunc('second', clock_timestamp() - p.as_of) as age,
  e.code as exchange
from pairs p
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
where coalesce(p.best_ask, p.best_bid) is not null
order by f.currency_code, c.symbol;

comment on view p2p.best_prices is 'The best prices of each pair (fiat/asset) in its newest snapshot, with spread and medians';
comment on column p2p.best_prices.best_ask is 'Lowest price to buy the asset at; NULL where nobody sells it';
comment on column p2p.best_prices.best_bid is 'Highest price to sell the asset at; NULL where nobody buys it';
comment on column p2p.best_prices.spread_percent is 'best_ask - best_bid, of their middle; negative ones are real on this market';
comment on column p2p.best_prices.age is 'Since the snapshot; since the older one where the two sides are of different ones';

grant select on p2p.best_prices to p2p_reader;
-- ════ views/coverage.sql
create or replace view p2p.coverage as
with newest as (
  select max(r.batch_start_time) as batch_start_time
  from p2p.ops_batch_runs r
  where r.status <> 'running'
),
last_day as (
  select r.batch_id
  from p2p.ops_batch_runs r
  where r.status <> 'running'
    -- Between two values, so that the planner expects a day and not a third of the ledger.
    and r.batch_start_time > (select n.batch_start_time from newest n) - interval '24 hours'
    and r.batch_start_time <= (select n.batch_start_time from newest n)
)
select
  f.currency_code as fiat_code,
  count(distinct bm.market_id) as markets,
  count(*) as planned,
  count(*) filter (where bm.status = 'complete') as complete,
  round(100.0 * count(*) filter (where bm.status = 'complete') / count(*), 2) as complete_percent,
  count(*) filter (where bm.status = 'incomplete') as incomplete,
  count(*) filter (where bm.status = 'failed') as failed,
  count(*) filter (where bm.status = 'deferred') as deferred,
  count(distinct bm.batch_id) as batches,
  e.code as exchange
from last_day
join p2p.ops_batch_markets bm using (batch_id)
join p2p.dim_markets m using (market_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
where bm.status <> 'not_due'
group by e.code, f.currency_code
order by complete_percent, f.currency_code;

comment on view p2p.coverage is 'What was planned and what came whole, by fiat, over the 24 hours up to the newest batch; the worst first';
comment on column p2p.coverage.planned is 'Markets of all batches together: a market counts once a batch';
comment on column p2p.coverage.deferred is 'The deadline came first; first in line in the batch after';

grant select on p2p.coverage to p2p_reader;
-- ════ views/current_settings.sql
create or replace view p2p.current_settings as
select
  s.name,
  s.value,
  case s.kind when 'number' then format('%s to %s %s', s.minimum, s.maximum, s.unit) else 'on, off' end as allowed,
  left(s.comment, 56) as comment
from p2p.settings s
order by s.name;

comment on view p2p.current_settings is 'What may be tuned, with its value and what it may be; change it in table settings';

grant select on p2p.current_settings to p2p_reader, p2p_worker;
-- ════ views/depth_origin.sql
create or replace view p2p.depth_origin as
select
  fiat.currency_code as fiat_code,
  crypto.symbol as crypto_symbol,
  d.trade_type,
  d.extraction_timestamp,
  d.batch_id,
  m.market_id,
  page.pages,
  page.body_sha256,
  l.load_number,
  l.loaded_at,
  left(v.fingerprint, 12) as depth_fingerprint,
  sv.state as depth_state,
  left(t.fingerprint, 12) as set_fingerprint,
  l.sql_set_id,
  e.code as exchange
from p2p.fact_market_depth d
join p2p.dim_markets m using (exchange_id, fiat_id, crypto_id, trade_type)
join p2p.dim_fiat_currencies fiat using (fiat_id)
join p2p.dim_cryptocurrencies crypto using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
cross join lateral (
  select
    count(*) as pages,
    array_agg(encode(s.body_sha256, 'hex') order by s.page_number) as body_sha256
  from p2p.stg_responses s
  where s.extraction_timestamp = d.extraction_timestamp
    and s.market_id = m.market_id
) as page
left join p2p.ops_batch_loads l
  on l.batch_id = d.batch_id
  and not exists (
    select
    from p2p.ops_batch_loads newer
    where newer.batch_id = l.batch_id
      and newer.load_number > l.load_number
  )
left join p2p.sql_sets t on t.sql_set_id = l.sql_set_id
left join (
  p2p.sql_set_versions sv
  join p2p.sql_versions v on v.version_id = sv.version_id
)
  on sv.sql_set_id = l.sql_set_id
  and v.identity = 'function p2p.load_depth(uuid)';

comment on view p2p.depth_origin is 'Where each row of fact_market_depth comes from: the pages of its book, their checksums, and the SQL that counted them. Give it an extraction_timestamp';
comment on column p2p.depth_origin.body_sha256 is 'Of the pages as received, in their order; NULL where they are no longer kept';
comment on column p2p.depth_origin.depth_fingerprint is 'Of load_depth: see sql_history, batch_sql';

grant select on p2p.depth_origin to p2p_reader, p2p_worker;
-- ════ views/fact_offer_payment_methods.sql
create or replace view p2p.fact_offer_payment_methods as
select
  f.offer_id,
  f.extraction_timestamp,
  method.payment_method_id,
  method.position = 1 as is_primary
from p2p.fact_offers f
join p2p.dim_payment_sets s using (payment_set_id)
cross join unnest(s.payment_method_ids) with ordinality as method (payment_method_id, position);

comment on view p2p.fact_offer_payment_methods is 'Payment methods of every offer of every batch, one row each; the first that the ad names is the primary one';

grant select on p2p.fact_offer_payment_methods to p2p_reader;
-- ════ views/failed_steps.sql
create or replace view p2p.failed_steps as
select
  r.batch_start_time,
  s.load_number,
  l.loaded_at,
  s.step,
  s.is_required,
  s.seconds,
  s.error,
  s.error_context,
  s.batch_id,
  s.load_number = (
    select max(newest.load_number)
    from p2p.ops_batch_loads newest
    where newest.batch_id = s.batch_id
  ) as is_still_so
from p2p.ops_batch_steps s
join p2p.ops_batch_loads l using (batch_id, load_number)
join p2p.ops_batch_runs r using (batch_id)
where s.status = 'failed'
order by l.loaded_at desc, s.position;

comment on view p2p.failed_steps is 'Steps of loads that failed, and why; newest first';
comment on column p2p.failed_steps.is_still_so is 'Whether no later load of the batch was recorded';

grant select on p2p.failed_steps to p2p_reader, p2p_worker;
-- ════ views/failing_rules.sql
create or replace view p2p.failing_rules as
with newest as (
  select r.batch_id, r.batch_start_time
  from p2p.ops_batch_runs r
  where r.status <> 'running'
  order by r.batch_start_time desc
  limit 1
)
select
  q.metric_name as rule,
  q.result,
  round(q.metric_value, 6) as value,
  q.threshold_value as threshold,
  date_trunc('second', failing.since) as failing_since,
  failing.batches,
  left(q.details::text, 30) as details
from newest
join p2p.ops_data_quality q using (batch_id)
left join lateral (
  select r.batch_start_time
  from p2p.ops_batch_runs r
  join p2p.ops_data_quality earlier using (batch_id)
  where earlier.metric_name = q.metric_name
    and earlier.passed
    and r.batch_start_time > newest.batch_start_time - interval '7 days'
  order by r.batch_start_time desc
  limit 1
) as last_good on true
cross join lateral (
  select min(r.batch_start_time) as since, count(*) as batches
  from p2p.ops_batch_runs r
  join p2p.ops_data_quality later using (batch_id)
  where later.metric_name = q.metric_name
    and r.batch_start_time > coalesce(last_good.batch_start_time, newest.batch_start_time - interval '7 days')
) as failing
where not q.passed
order by q.metric_name;

comment on view p2p.failing_rules is 'Rules that the newest batch breaks, and since when they are broken';
comment on column p2p.failing_rules.result is 'warning, error, or broken: the rule itself failed';
comment on column p2p.failing_rules.failing_since is 'First batch after the last that kept it; looked for in the last 7 days';
comment on column p2p.failing_rules.details is 'Their beginning; all of them are in ops_data_quality';

grant select on p2p.failing_rules to p2p_reader;
-- ════ views/freshness.sql
-- Books tell it, not the ledger: they are found by market, and an exchange that nobody fetches costs nothing.
create or replace view p2p.freshness as
select
  e.code as exchange,
  date_trunc('second', good.batch_start_time) as last_good_batch,
  date_trunc('second', clock_timestamp() - good.batch_end_time) as loaded_ago,
  good.status,
  good.markets_completed,
  good.markets_expected,
  good.total_offers_inserted as offers,
  paused.value as paused
from p2p.dim_exchanges e
left join lateral (
  select max(newest.extraction_timestamp) as batch_start_time
  from p2p.dim_markets m
  cross join lateral (
    select d.extraction_timestamp
    from p2p.fact_market_depth d
    where d.exchange_id = m.exchange_id
      and d.fiat_id = m.fiat_id
      and d.crypto_id = m.crypto_id
      and d.trade_type = m.trade_type
    order by d.extraction_timestamp desc
    limit 1
  ) as newest
  where m.exchange_id = e.exchange_id
) as loaded on true
left join p2p.ops_batch_runs good
  on good.batch_start_time = loaded.batch_start_time
  and good.status in ('completed', 'partial')
left join p2p.settings paused on paused.name = 'paused'
-- One that nobody ever asked for anything is not late.
where exists (
  select
  from p2p.dim_markets m
  where m.exchange_id = e.exchange_id
);

comment on view p2p.freshness is 'How old the newest loaded batch of each exchange is that was ever asked';
comment on column p2p.freshness.last_good_batch is 'Its start: the time of its facts';
comment on column p2p.freshness.markets_completed is 'Of all exchanges of the batch, as are markets_expected and offers';
comment on column p2p.freshness.paused is 'on: no new batch is begun';

grant select on p2p.freshness to p2p_reader, p2p_worker;
-- ════ views/gaps.sql
create or replace view p2p.gaps as
with newest as (
  select max(r.batch_start_time) as batch_start_time
  from p2p.ops_batch_runs r
  where r.status <> 'running'
    and r.imported_from is null -- what others recorded was no plan
),
last_day as (
  select
    bm.market_id,
    max(r.batch_start_time) as last_planned,
    count(*) filter (where bm.status <> 'complete') as batches
  from p2p.ops_batch_runs r
  join p2p.ops_batch_markets bm using (batch_id)
  where r.status <> 'running'
    and r.imported_from is null
    and bm.status <> 'not_due'
    -- Between two values, so that the planner expects a day and not a third of the ledger.
    and r.batch_start_time > (select n.batch_start_time from newest n) - interval '24 hours'
    and r.batch_start_time <= (select n.batch_start_time from newest n)
  group by bm.market_id
)
select
  format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as market,
  bm.status,
  date_trunc('second', missed.since) as missing_since,
  l.batches,
  left(array_to_string(bm.lost_pages, ','), 12) as lost_pages,
  left(bm.reason, 23) as why,
  e.code as exchange
from last_day l
join p2p.ops_batch_runs r on r.batch_start_time = l.last_planned
join p2p.ops_batch_markets bm on bm.batch_id = r.batch_id and bm.market_id = l.market_id
join p2p.dim_markets m on m.market_id = l.market_id and m.is_active
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_exchanges e on e.exchange_id = m.exchange_id
-- Books tell it, not the ledger: they are found by market, however long ago it was.
left join lateral (
  select d.extraction_timestamp
  from p2p.fact_market_depth d
  where d.exchange_id = m.exchange_id
    and d.fiat_id = m.fiat_id
    and d.crypto_id = m.crypto_id
    and d.trade_type = m.trade_type
    and d.is_complete
  order by d.extraction_timestamp desc
  limit 1
) as last_whole on true
left join lateral (
  select min(later.batch_start_time) as since
  from p2p.ops_batch_runs later
  where later.batch_start_time > last_whole.extraction_timestamp
    and later.imported_from is null
) as missed on true
where bm.status <> 'complete'
  and l.batches > 0
order by missed.since nulls first, market, exchange;

comment on view p2p.gaps is 'Markets whose last plan (of the last 24 hours) was not fetched whole: what is missing now, since when, and why';
comment on column p2p.gaps.missing_since is 'First batch after the last that had it whole; NULL where none had';
comment on column p2p.gaps.batches is 'Batches of the last 24 hours that did not have it whole';
comment on column p2p.gaps.why is 'Its beginning; all of it is in missing_markets';
comment on column p2p.gaps.lost_pages is 'Of the last of these batches';

grant select on p2p.gaps to p2p_reader;
-- ════ views/help.sql
-- One row a question. Every view of the schema is named here (a test checks it), and every query runs as it stands.
create or replace view p2p.help as
select h.to_know, h.look_in, h.query
from (
  values
    ('What does it cost now?', 'best_prices', 'select * from p2p.best_prices'),
    ('… by way to pay?', 'prices_by_payment_method', 'table p2p.prices_by_payment_method limit 20'),
    ('Which offers are there now?', 'mv_latest_market_state', 'table p2p.mv_latest_market_state limit 20'),
    ('How did prices go, by hour?', 'market_hourly', 'table p2p.market_hourly limit 20'),
    ('… by day?', 'market_daily', 'table p2p.market_daily limit 20'),
    ('Average price and volume, by hour?', 'v_price_history', 'table p2p.v_price_history limit 20'),
    ('… their sums, to build views on?', 'market_hours', 'table p2p.market_hours limit 20'),
    ('… by day?', 'market_days', 'table p2p.market_days limit 20'),
    ('Who offers how much, by day?', 'merchant_daily', 'table p2p.merchant_daily limit 20'),
    ('… their sums, to build views on?', 'merchant_days', 'table p2p.merchant_days limit 20'),
    ('… by hour?', 'merchant_hours', 'table p2p.merchant_hours limit 20'),
    ('How could old offers be paid?', 'fact_offer_payment_methods', 'table p2p.fact_offer_payment_methods limit 5'),
    ('How old is the newest batch?', 'freshness', 'select * from p2p.freshness'),
    ('How did the last batches go?', 'batch_overview', 'table p2p.batch_overview limit 10'),
    ('How much came whole, by fiat?', 'coverage', 'select * from p2p.coverage'),
    ('What is missing now, why, since when?', 'gaps', 'select * from p2p.gaps'),
    ('Who fetches, and how fast?', 'workers', 'select * from p2p.workers'),
    ('… and how fast before?', 'access_history', 'table p2p.access_history limit 20'),
    ('Which due times had a batch?', 'schedule', 'table p2p.schedule limit 20'),
    ('What became of each market?', 'ledger', 'table p2p.ledger limit 20'),
    ('… in numbers, for programs?', 'batch_markets', 'table p2p.batch_markets limit 20'),
    ('What was missing in older batches?', 'missing_markets', 'table p2p.missing_markets limit 20'),
    ('What is wrong now, and was lately?', 'incidents', 'table p2p.incidents limit 20'),
    ('What went wrong last?', 'last_failures', 'table p2p.last_failures limit 20'),
    ('Which quality rules fail now?', 'failing_rules', 'select * from p2p.failing_rules'),
    ('… and what did all of them find?', 'rule_results', 'table p2p.rule_results'),
    ('Which steps of a load failed?', 'failed_steps', 'table p2p.failed_steps limit 20'),
    ('What was rejected, and why?', 'quarantine', 'select * from p2p.quarantine'),
    ('… with its original JSON?', 'offers_in_quarantine', 'table p2p.offers_in_quarantine limit 3'),
    ('What can be tuned?', 'current_settings', 'select * from p2p.current_settings'),
    ('Who changed what, and when?', 'setting_changes', 'select * from p2p.setting_changes'),
    ('Which SQL was changed here?', 'object_states', 'table p2p.object_states limit 3'),
    ('Which SQL loaded which batches?', 'sql_history', 'table p2p.sql_history limit 20'),
    ('… which text loaded a batch?', 'batch_sql', 'table p2p.batch_sql limit 20'),
    ('Where does a fact come from?', 'offer_origin', 'table p2p.offer_origin limit 5'),
    ('… a row of a book?', 'depth_origin', 'table p2p.depth_origin limit 5'),
    ('What keys do the answers have?', 'response_keys', 'table p2p.response_keys limit 20'),
    ('What changed in the answers?', 'shape_events', 'table p2p.shape_events limit 20'),
    ('How large are the tables?', 'table_sizes', 'select * from p2p.table_sizes'),
    ('… and which days are kept?', 'partitions', 'table p2p.partitions limit 20'),
    ('Can history get lost?', 'policy_audit', 'table p2p.policy_audit limit 20'),
    ('What do I want to know?', 'help', 'select * from p2p.help')
) as h (to_know, look_in, query);

comment on view p2p.help is 'What you may want to know, and where it is: start here';

grant select on p2p.help to p2p_reader, p2p_worker;
-- ════ views/incidents.sql
create or replace view p2p.incidents as
select
  case when i.resolved_at is null then 'open' else 'over' end as state,
  left(i.kind, 17) as kind,
  left(i.subject, 10) as subject,
  date_trunc('second', i.raised_at) as since,
  date_trunc('second', coalesce(i.resolved_at, clock_timestamp()) - i.raised_at) as lasted,
  left(i.message, 38) as message
from p2p.ops_incidents i
order by i.resolved_at is not null, i.raised_at desc, i.incident_id desc;

comment on view p2p.incidents is 'What people were told of; open ones first. docs/alerts.md says of each kind what to do';
comment on column p2p.incidents.lasted is 'Of an open one: until now';
comment on column p2p.incidents.message is 'The beginning; whole, with who raised it and how it ended: ops_incidents';

grant select on p2p.incidents to p2p_reader, p2p_worker;
-- ════ views/last_failures.sql
create or replace view p2p.last_failures as
with lost_pages as (
  select
    x.error_timestamp as failed_at,
    coalesce(
      concat_ws(
        ' ',
        x.fiat_code || coalesce('/' || x.crypto_symbol, ''),
        x.trade_type,
        'page ' || x.page_number
      ),
      ''
    ) as what,
    x.error_type as kind,
    x.error_message as message,
    x.is_resolved,
    e.code as exchange
  from p2p.ops_extraction_errors x
  left join p2p.dim_exchanges e using (exchange_id)
  order by x.error_id desc
  limit 200
),
failed_batches as (
  select
    r.batch_end_time,
    'batch of ' || to_char(r.batch_start_time at time zone 'UTC', 'MM-DD HH24:MI') as what,
    'batch',
    r.error_summary,
    exists (
      select
      from p2p.ops_batch_runs later
      where later.batch_start_time > r.batch_start_time
        and later.status in ('completed', 'partial')
    ),
    null
  from p2p.ops_batch_runs r
  where r.status = 'failed'
  order by r.batch_start_time desc
  limit 200
)
select
  date_trunc('second', a.failed_at) as failed_at,
  nullif(a.what, '') as what,
  left(a.kind, 16) as kind,
  left(a.message, 22) as message,
  a.is_resolved as resolved,
  a.exchange
from (
  select * from lost_pages
  union all
  select * from failed_batches
) as a
order by a.failed_at desc
limit 200;

comment on view p2p.last_failures is 'The last 200 pages that were lost, discovery calls and batches that failed; newest first';
comment on column p2p.last_failures.message is 'Its beginning; all of it is in ops_extraction_errors';
comment on column p2p.last_failures.exchange is 'NULL for a batch: it is of all exchanges';
comment on column p2p.last_failures.resolved is 'Whether a later batch had the market whole; of a batch, whether a later one was loaded';

grant select on p2p.last_failures to p2p_reader;
-- ════ views/ledger.sql
create or replace view p2p.ledger as
select
  r.batch_start_time,
  left(e.code, 10) as exchange,
  format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as market,
  case bm.status
    when 'complete' then 'whole'
    when 'incomplete' then 'partly'
    when 'not_due' then 'not due'
    when 'pending' then 'under way'
    when 'fetching' then 'under way'
    else bm.status
  end as outcome,
  bm.pages_stored as pages,
  left(array_to_string(bm.lost_pages, ','), 12) as lost_pages,
  left(bm.reason, 25) as why
from p2p.ops_batch_runs r
join p2p.ops_batch_markets bm using (batch_id)
join p2p.dim_markets m using (market_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
order by r.batch_start_time desc, bm.plan_position;

comment on view p2p.ledger is 'What became of each market in each batch: where batch_start_time = …; newest first';
comment on column p2p.ledger.outcome is 'whole, partly (some pages are missing), failed (no page), deferred (no time for it), not due (it was empty for long), under way';
comment on column p2p.ledger.pages is 'Stored ones';
comment on column p2p.ledger.why is 'Its beginning; all of it is in ops_batch_markets';

grant select on p2p.ledger to p2p_reader, p2p_worker;
-- ════ views/market_daily.sql
-- One market at a time, so that a name (fiat_code = 'VES') reaches the index of the numbers: `distinct on`
-- changes no row, it keeps the planner from joining before.
create or replace view p2p.market_daily as
select
  e.code as exchange,
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  m.trade_type,
  s.day as time_bucket,
  s.snapshots,
  s.best_open,
  s.best_high,
  s.best_low,
  s.best_close,
  s.median_open,
  s.median_high,
  s.median_low,
  s.median_close,
  s.price_volume_sum / nullif(s.volume_sum, 0) as weighted_avg_price,
  s.spread_sum / nullif(s.spread_count, 0) as avg_spread_percentage,
  s.volume_sum / s.snapshots as avg_volume,
  s.offers_sum::numeric / s.snapshots as avg_offers,
  s.offers_max as max_offers,
  s.snapshots_with_offers,
  s.min_price,
  s.max_price,
  s.volume_high,
  s.volume_low,
  s.spread_open,
  s.spread_high,
  s.spread_low,
  s.spread_close,
  people.merchants,
  people.advertisers
from p2p.dim_markets m
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
cross join lateral (
  select distinct on (h.day) h.*
  from p2p.market_days h
  where h.exchange_id = m.exchange_id
    and h.fiat_id = m.fiat_id
    and h.crypto_id = m.crypto_id
    and h.trade_type = m.trade_type
) as s
-- A left join, so that it is left out where nobody selects its columns.
left join lateral (
  select
    case when counted.is_known then counted.merchants end as merchants,
    case when counted.is_known then counted.advertisers end as advertisers
  from (
    select
      count(*) > 0 or s.snapshots_with_offers = 0 as is_known,
      count(distinct a.advertiser_id) filter (where a.is_merchant) as merchants,
      count(distinct a.advertiser_id) as advertisers
    from p2p.merchant_days o
    join p2p.dim_advertisers a using (advertiser_sk)
    where o.exchange_id = s.exchange_id
      and o.fiat_id = s.fiat_id
      and o.crypto_id = s.crypto_id
      and o.trade_type = s.trade_type
      and o.day = s.day
  ) as counted
) as people on true;

comment on view p2p.market_daily is 'Each market by day (UTC): open, high, low, close of the best and the median price, spread, volume and offers';
comment on column p2p.market_daily.best_open is 'Best price for the taker in the first snapshot of the day that had offers';
comment on column p2p.market_daily.weighted_avg_price is 'Weighted by available amount over all snapshots of the day';
comment on column p2p.market_daily.avg_volume is 'Available amount in a snapshot, on average';
comment on column p2p.market_daily.snapshots_with_offers is 'Snapshots in which the book was not empty';
comment on column p2p.market_daily.min_price is 'Lowest price of any offer; best_low is the lowest of the best prices';
comment on column p2p.market_daily.spread_open is 'spread_percentage in the first snapshot of the day that had one; high, low and close likewise';
comment on column p2p.market_daily.merchants is 'Distinct ones with an offer in the day, who were merchants then; NULL where that is no longer kept. Counted when it is asked for: leave it out where many days are read';
comment on column p2p.market_daily.advertisers is 'Distinct ones with an offer in the day, merchants or not';

grant select on p2p.market_daily to p2p_reader;
-- ════ views/market_hourly.sql
-- One market at a time, so that a name (fiat_code = 'VES') reaches the index of the numbers: `distinct on`
-- changes no row, it keeps the planner from joining before.
create or replace view p2p.market_hourly as
select
  e.code as exchange,
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  m.trade_type,
  s.hour as time_bucket,
  s.snapshots,
  s.best_open,
  s.best_high,
  s.best_low,
  s.best_close,
  s.median_open,
  s.median_high,
  s.median_low,
  s.median_close,
  s.price_volume_sum / nullif(s.volume_sum, 0) as weighted_avg_price,
  s.spread_sum / nullif(s.spread_count, 0) as avg_spread_percentage,
  s.volume_sum / s.snapshots as avg_volume,
  s.offers_sum::numeric / s.snapshots as avg_offers,
  s.offers_max as max_offers,
  s.snapshots_with_offers,
  s.min_price,
  s.max_price,
  s.volume_high,
  s.volume_low,
  s.spread_open,
  s.spread_high,
  s.spread_low,
  s.spread_close,
  people.merchants,
  people.advertisers
from p2p.dim_markets m
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
cross join lateral (
  select distinct on (h.hour) h.*
  from p2p.market_hours h
  where h.exchange_id = m.exchange_id
    and h.fiat_id = m.fiat_id
    and h.crypto_id = m.crypto_id
    and h.trade_type = m.trade_type
) as s
-- A left join, so that it is left out where nobody selects its columns.
left join lateral (
  select
    case when counted.is_known then counted.merchants end as merchants,
    case when counted.is_known then counted.advertisers end as advertisers
  from (
    select
      count(*) > 0 or s.snapshots_with_offers = 0 as is_known,
      count(distinct a.advertiser_id) filter (where a.is_merchant) as merchants,
      count(distinct a.advertiser_id) as advertisers
    from p2p.merchant_hours o
    join p2p.dim_advertisers a using (advertiser_sk)
    where o.exchange_id = s.exchange_id
      and o.fiat_id = s.fiat_id
      and o.crypto_id = s.crypto_id
      and o.trade_type = s.trade_type
      and o.hour = s.hour
  ) as counted
) as people on true;

comment on view p2p.market_hourly is 'Each market by hour (UTC): open, high, low, close of the best and the median price, spread, volume and offers';
comment on column p2p.market_hourly.best_open is 'Best price for the taker in the first snapshot of the hour that had offers';
comment on column p2p.market_hourly.weighted_avg_price is 'Weighted by available amount over all snapshots of the hour';
comment on column p2p.market_hourly.avg_volume is 'Available amount in a snapshot, on average';
comment on column p2p.market_hourly.snapshots_with_offers is 'Snapshots in which the book was not empty';
comment on column p2p.market_hourly.min_price is 'Lowest price of any offer; best_low is the lowest of the best prices';
comment on column p2p.market_hourly.spread_open is 'spread_percentage in the first snapshot of the hour that had one; high, low and close likewise';
comment on column p2p.market_hourly.merchants is 'Distinct ones with an offer in the hour, who were merchants then; NULL where that is no longer kept. Counted when it is asked for: leave it out where many hours are read';
comment on column p2p.market_hourly.advertisers is 'Distinct ones with an offer in the hour, merchants or not';

grant select on p2p.market_hourly to p2p_reader;
-- ════ views/merchant_daily.sql
-- One market at a time, so that a name (fiat_code = 'VES') reaches the index of the numbers. Somebody who changed their
-- identity within the day has several rows below, and one here: a snapshot sees one identity, so that snapshots add up.
create or replace view p2p.merchant_daily as
select
  e.code as exchange,
  d.advertiser_id,
  d.advertiser,
  d.is_merchant,
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  m.trade_type,
  d.day as time_bucket,
  d.snapshots::bigint as snapshots,
  d.offers_sum / d.snapshots as avg_offers,
  d.volume_sum / d.snapshots as avg_volume,
  d.orders_30_days
from p2p.dim_markets m
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
cross join lateral (
  select
    a.advertiser_id,
    now_called.nickname as advertiser,
    now_called.is_merchant,
    o.day,
    sum(o.snapshots) as snapshots,
    sum(o.offers_sum) as offers_sum,
    sum(o.volume_sum) as volume_sum,
    max(o.orders_30_days_max) as orders_30_days
  from p2p.merchant_days o
  join p2p.dim_advertisers a using (advertiser_sk)
  join p2p.dim_advertisers now_called
    on now_called.exchange_id = a.exchange_id
    and now_called.advertiser_id = a.advertiser_id
    and now_called.is_current
  where o.exchange_id = m.exchange_id
    and o.fiat_id = m.fiat_id
    and o.crypto_id = m.crypto_id
    and o.trade_type = m.trade_type
  group by a.advertiser_id, now_called.nickname, now_called.is_merchant, o.day
) as d;

comment on view p2p.merchant_daily is 'Offers and available amount of every advertiser by market and day (UTC), under their present name';
comment on column p2p.merchant_daily.snapshots is 'Snapshots of the day in which they had an offer';
comment on column p2p.merchant_daily.avg_volume is 'Available amount in those snapshots, on average';
comment on column p2p.merchant_daily.orders_30_days is 'Orders in the last 30 days, of all their markets: the highest number of the day';

grant select on p2p.merchant_daily to p2p_reader;
-- ════ views/missing_markets.sql
create or replace view p2p.missing_markets as
select
  r.batch_start_time,
  f.currency_code as fiat_code,
  c.symbol as crypto_symbol,
  m.trade_type,
  bm.status,
  bm.reason,
  bm.lost_pages,
  bm.pages_stored,
  r.batch_id,
  e.code as exchange
from p2p.ops_batch_markets bm
join p2p.ops_batch_runs r using (batch_id)
join p2p.dim_markets m using (market_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
where bm.status in ('incomplete', 'failed', 'deferred')
  and r.status <> 'running';

comment on view p2p.missing_markets is 'Markets that a batch did not fetch whole, and why';

grant select on p2p.missing_markets to p2p_reader, p2p_worker;
-- ════ views/mv_latest_market_state.sql
-- A view, not a materialized one: it is right the moment a batch is loaded, and there is nothing to refresh.
create or replace view p2p.mv_latest_market_state as
with newest_books as (
  select
    m.exchange_id,
    m.fiat_id,
    m.crypto_id,
    m.trade_type,
    newest.extraction_timestamp
  from p2p.dim_markets m
  cross join lateral (
    select d.extraction_timestamp
    from p2p.fact_market_depth d
    where d.exchange_id = m.exchange_id
      and d.fiat_id = m.fiat_id
      and d.crypto_id = m.crypto_id
      and d.trade_type = m.trade_type
    order by d.extraction_timestamp desc
    limit 1
  ) as newest
),
payment_names as (
  select
    s.payment_set_id,
    array(
      select coalesce(pm.method_name, pm.method_code)
      from unnest(s.payment_method_ids) with ordinality as method (payment_method_id, position)
      join p2p.dim_payment_methods pm using (payment_method_id)
      order by method.position
    ) as payment_methods
  from p2p.dim_payment_sets s
)
select
  f.offer_external_id,
  c.symbol as crypto_symbol,
  fc.currency_code as fiat_code,
  f.trade_type,
  a.nickname as advertiser,
  a.is_merchant,
  f.price,
  f.available_amount,
  f.min_limit,
  f.max_limit,
  f.completion_rate,
  f.total_orders_count,
  f.extraction_timestamp,
  p.payment_methods,
  f.is_promoted,
  e.code as exchange
from newest_books b
join p2p.dim_cryptocurrencies c on c.crypto_id = b.crypto_id
join p2p.dim_fiat_currencies fc on fc.fiat_id = b.fiat_id
join p2p.dim_exchanges e on e.exchange_id = b.exchange_id
-- Book by book, which `offset 0` holds the planner to: so only the days of the books are read. A join of all books with
-- all offers reads every partition.
cross join lateral (
  select o.*
  from p2p.fact_offers o
  where o.exchange_id = b.exchange_id
    and o.fiat_id = b.fiat_id
    and o.crypto_id = b.crypto_id
    and o.trade_type = b.trade_type
    and o.extraction_timestamp = b.extraction_timestamp
  offset 0
) as f
left join p2p.dim_advertisers a on a.advertiser_sk = f.advertiser_sk
left join payment_names p on p.payment_set_id = f.payment_set_id;

comment on view p2p.mv_latest_market_state is 'Every offer of the newest loaded snapshot of each market';

grant select on p2p.mv_latest_market_state to p2p_reader;
-- ════ views/object_states.sql
create or replace view p2p.object_states as
select
  o.name,
  o.identity,
  case live.definition
    when o.definition then 'shipped'
    when o.adopted_definition then 'tuned'
    else 'drifted'
  end as state,
  live.definition is null as is_missing,
  live.definition is distinct from o.definition and o.base_definition is distinct from o.definition as has_moved_on,
  o.adopted_at,
  o.adopted_by,
  o.adopted_note,
  o.base_version,
  o.program_version as shipped_version,
  o.server_major as written_by,
  o.base_definition,
  o.definition as shipped_definition,
  live.definition as live_definition
from p2p.schema_objects o
cross join lateral (
  select p2p.live_definition(o.identity) as definition
  offset 0 -- keeps the function from being called again for each column that looks at it
) as live
where o.identity is not null;

comment on view p2p.object_states is 'Every shipped function and view: as shipped, tuned (changed live and adopted) or drifted (changed live, not adopted)';
comment on column p2p.object_states.is_missing is 'Somebody dropped it; migrate makes it again';
comment on column p2p.object_states.has_moved_on is 'The release has another text than the one the live object was changed from: see all three with p2p-ingest sql diff';
comment on column p2p.object_states.written_by is 'Version of PostgreSQL that wrote the definitions; after an upgrade of it, migrate reads them again';
comment on column p2p.object_states.base_definition is 'The shipped text that the live object was changed from';
comment on column p2p.object_states.shipped_definition is 'What the release ships now';

grant select on p2p.object_states to p2p_worker;
-- ════ views/offer_origin.sql
create or replace view p2p.offer_origin as
select
  f.offer_external_id,
  f.extraction_timestamp,
  f.batch_id,
  f.offer_id,
  fiat.currency_code as fiat_code,
  crypto.symbol as crypto_symbol,
  f.trade_type,
  m.market_id,
  f.page_number,
  coalesce(s.observed_at, f.observed_at) as observed_at,
  encode(s.body_sha256, 'hex') as body_sha256,
  s.parser,
  l.load_number,
  l.loaded_at,
  left(v.fingerprint, 12) as parser_fingerprint,
  sv.state as parser_state,
  left(t.fingerprint, 12) as set_fingerprint,
  l.sql_set_id,
  array_to_string(r.imported_from, ', ') as imported_from,
  e.code as exchange
from p2p.fact_offers f
join p2p.dim_markets m using (exchange_id, fiat_id, crypto_id, trade_type)
join p2p.dim_fiat_currencies fiat using (fiat_id)
join p2p.dim_cryptocurrencies crypto using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
left join p2p.ops_batch_runs r on r.batch_id = f.batch_id
left join p2p.stg_responses s
  on s.extraction_timestamp = f.extraction_timestamp
  and s.market_id = m.market_id
  and s.page_number = f.page_number
left join p2p.ops_batch_loads l
  on l.batch_id = f.batch_id
  and not exists (
    select
    from p2p.ops_batch_loads newer
    where newer.batch_id = l.batch_id
      and newer.load_number > l.load_number
  )
left join p2p.sql_sets t on t.sql_set_id = l.sql_set_id
left join (
  p2p.sql_set_versions sv
  join p2p.sql_versions v on v.version_id = sv.version_id
)
  on sv.sql_set_id = l.sql_set_id
  and v.identity = 'function p2p.' || quote_ident('parse_' || s.parser) || '(uuid)';

comment on view p2p.offer_origin is 'Where each row of fact_offers comes from: the page, its checksum, and the SQL that read it. Give it an extraction_timestamp, or an offer_id with one';
comment on column p2p.offer_origin.observed_at is 'When the page came; to the minute where it is no longer kept';
comment on column p2p.offer_origin.body_sha256 is 'Of the page as received; NULL where the page is no longer kept';
comment on column p2p.offer_origin.parser_fingerprint is 'Of the function that read the page: see sql_history, batch_sql';
comment on column p2p.offer_origin.set_fingerprint is 'Of all the SQL of that load';
comment on column p2p.offer_origin.imported_from is 'Files that others had recorded its batch in; NULL: fetched here';

grant select on p2p.offer_origin to p2p_reader, p2p_worker;
-- ════ views/offers_in_quarantine.sql
create or replace view p2p.offers_in_quarantine as
select
  o.reason,
  r.batch_start_time,
  o.batch_id,
  format('%s/%s %s %s:%s', f.currency_code, c.symbol, m.trade_type, o.page_number, o.item_number) as place,
  f.currency_code as fiat_code,
  c.symbol as crypto_symbol,
  m.trade_type,
  o.market_id,
  o.page_number,
  o.item_number,
  o.rejected_at,
  r.raw_deleted_at is null as can_be_loaded,
  o.payload,
  e.code as exchange
from p2p.ops_rejected_offers o
join p2p.ops_batch_runs r using (batch_id)
join p2p.dim_markets m using (market_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
where o.discarded_at is null;

comment on view p2p.offers_in_quarantine is 'Rejected offers that nobody discarded, each with its place and its original JSON';
comment on column p2p.offers_in_quarantine.place is 'Market, page:item';
comment on column p2p.offers_in_quarantine.item_number is 'Place on the page, from 0';
comment on column p2p.offers_in_quarantine.can_be_loaded is 'Whether the page is still there';

grant select on p2p.offers_in_quarantine to p2p_reader, p2p_worker;
-- ════ views/prices_by_payment_method.sql
create or replace view p2p.prices_by_payment_method as
with newest_books as (
  select
    f.currency_code || '/' || c.symbol || ' ' || m.trade_type as market,
    m.exchange_id,
    m.fiat_id,
    m.crypto_id,
    m.trade_type,
    newest.extraction_timestamp
  from p2p.dim_markets m
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  cross join lateral (
    select d.extraction_timestamp
    from p2p.fact_market_depth d
    where d.exchange_id = m.exchange_id
      and d.fiat_id = m.fiat_id
      and d.crypto_id = m.crypto_id
      and d.trade_type = m.trade_type
    order by d.extraction_timestamp desc
    limit 1
  ) as newest
),
-- By name, so that a condition on the market reaches the books before any offer is read.
prices as (
  select
    b.market,
    b.exchange_id,
    b.trade_type,
    method.payment_method_id,
    count(*) as offers,
    min(o.price) as lowest,
    max(o.price) as highest,
    percentile_disc(0.5) within group (order by o.price) as median_price,
    sum(o.available_amount) as available_amount
  from newest_books b
  -- Book by book, which `offset 0` holds the planner to: so only the days of the books are read.
  cross join lateral (
    select f.price, f.available_amount, f.payment_set_id
    from p2p.fact_offers f
    where f.exchange_id = b.exchange_id
      and f.fiat_id = b.fiat_id
      and f.crypto_id = b.crypto_id
      and f.trade_type = b.trade_type
      and f.extraction_timestamp = b.extraction_timestamp
    offset 0
  ) as o
  join p2p.dim_payment_sets s using (payment_set_id)
  cross join unnest(s.payment_method_ids) as method (payment_method_id)
  group by b.market, b.exchange_id, b.trade_type, method.payment_method_id
)
select
  p.market,
  left(coalesce(pm.method_name, pm.method_code), 30) as payment_method,
  p.offers,
  case p.trade_type when 'BUY' then p.lowest else p.highest end as best_price,
  p.median_price,
  p.available_amount,
  e.code as exchange
from prices p
join p2p.dim_payment_methods pm using (payment_method_id)
join p2p.dim_exchanges e on e.exchange_id = p.exchange_id;

comment on view p2p.prices_by_payment_method is 'What each way to pay costs in the newest snapshot of each market; an offer counts for every method it takes';
comment on column p2p.prices_by_payment_method.market is 'e.g. VES/USDT BUY';
comment on column p2p.prices_by_payment_method.best_price is 'Best for the taker: the lowest to BUY, the highest to SELL';
comment on column p2p.prices_by_payment_method.median_price is 'A price that was asked: the lower one of the two in the middle';

grant select on p2p.prices_by_payment_method to p2p_reader;
-- ════ views/quarantine.sql
create or replace view p2p.quarantine as
select
  q.reason,
  count(*) as offers,
  count(distinct q.batch_id) as batches,
  date_trunc('second', min(q.batch_start_time)) as first_batch,
  date_trunc('second', max(q.batch_start_time)) as last_batch,
  (array_agg(q.place order by q.batch_start_time desc, q.place))[1] as example
from p2p.offers_in_quarantine q
group by q.reason
order by count(*) desc, q.reason;

comment on view p2p.quarantine is 'Rejected offers that nobody discarded, by reason';
comment on column p2p.quarantine.example is 'Place of one of them in last_batch: market, page:item (items from 0)';

grant select on p2p.quarantine to p2p_reader, p2p_worker;
-- ════ views/response_keys.sql
create or replace view p2p.response_keys as
select
  p.parser,
  p.path,
  s.json_types,
  round(100.0 * s.null_values / nullif(s.all_values, 0), 2) as null_percent,
  round(100.0 * p.pages_seen / nullif(p.pages_possible, 0), 2) as present_percent,
  s.all_values as values_seen,
  p.pages_seen,
  p.first_seen_at,
  p.last_seen_at,
  p.is_gone,
  k.path is not null as is_needed
from p2p.response_paths p
cross join lateral (
  select
    array_agg(t.json_type order by t.values_seen desc, t.json_type) as json_types,
    sum(t.values_seen) as all_values,
    coalesce(sum(t.values_seen) filter (where t.json_type = 'null'), 0) as null_values
  from p2p.response_shapes t
  where t.parser = p.parser
    and t.path = p.path
) as s
left join p2p.parser_keys k using (parser, path)
where p.path <> '';

comment on view p2p.response_keys is 'Every key of the answers: its JSON types, how often it is NULL and how often it is there at all; is_needed = the parser needs it';
comment on column p2p.response_keys.null_percent is 'Of its values on watched pages';
comment on column p2p.response_keys.present_percent is 'Of the watched pages that have the object it belongs to, since it was first seen';

grant select on p2p.response_keys to p2p_reader;
-- ════ views/rule_results.sql
create or replace view p2p.rule_results as
with newest as (
  select r.batch_id, r.batch_start_time
  from p2p.ops_batch_runs r
  where r.status in ('completed', 'partial')
  order by r.batch_start_time desc
  limit 1
)
select
  q.name as rule,
  d.result,
  d.metric_value as value,
  q.is_bad_when,
  q.warning_threshold,
  q.error_threshold,
  q.severity,
  q.is_enabled,
  date_trunc('second', d.check_timestamp) as checked_at,
  q.comment,
  left(coalesce(d.details ->> 'message', d.details ->> 'note', d.details ->> 'samples'), 500) as details
from p2p.quality_rules q
left join newest on true
left join p2p.ops_data_quality d
  on d.batch_id = newest.batch_id
  and d.metric_name = q.name
order by q.name;

comment on view p2p.rule_results is 'Every quality rule, with what it found in the newest loaded batch';
comment on column p2p.rule_results.result is 'ok, warning, error, or broken: the rule itself failed; NULL: it was not run';
comment on column p2p.rule_results.value is 'NULL: there was nothing to judge';
comment on column p2p.rule_results.details is 'Their beginning: the rows at fault, or why there are none';

grant select on p2p.rule_results to p2p_reader;
-- ════ views/schedule.sql
create or replace view p2p.schedule as
select
  r.due_at,
  r.status as outcome,
  left(r.error_summary, 34) as why,
  r.batch_id as batch
from p2p.ops_batch_runs r
where r.due_at is not null
union all
select
  s.due_at,
  'skipped',
  left(s.reason, 34),
  null
from p2p.ops_skipped_batches s
order by 1 desc;

comment on view p2p.schedule is 'Every time a batch was due, and what became of it; newest first';
comment on column p2p.schedule.outcome is 'Status of its batch, or skipped';
comment on column p2p.schedule.why is 'Its beginning; all of it is in ops_batch_runs, ops_skipped_batches';

grant select on p2p.schedule to p2p_reader, p2p_worker;
-- ════ views/setting_changes.sql
create or replace view p2p.setting_changes as
select
  date_trunc('second', c.changed_at) as changed_at,
  c.changed_by,
  c.table_name,
  c.row_key,
  coalesce(
    case
      when c.old_row is null then 'added'
      when c.new_row is null then 'deleted'
    end,
    left(
      (
        select string_agg(format('%s: %s → %s', n.key, o.value, n.value), ', ' order by n.key <> 'value', n.key)
        from jsonb_each_text(c.new_row) as n
        join jsonb_each_text(c.old_row) as o on o.key = n.key
        where o.value is distinct from n.value
      ),
      42
    )
  ) as change
from p2p.change_log c
order by c.change_id desc;

comment on view p2p.setting_changes is 'Who changed which setting, when, and from what to what; newest first';
comment on column p2p.setting_changes.table_name is 'Where the row stands: settings, and other tables that steer the SQL';
comment on column p2p.setting_changes.change is 'Its beginning; the rows before and after are in change_log';

grant select on p2p.setting_changes to p2p_reader, p2p_worker;
-- ════ views/shape_events.sql
create or replace view p2p.shape_events as
select
  date_trunc('second', e.event_at) as event_at,
  e.parser,
  e.event,
  e.path,
  e.json_type,
  e.is_needed,
  left(e.sample, 30) as sample
from p2p.ops_shape_events e
order by e.event_at desc, e.event_id desc;

comment on view p2p.shape_events is 'Changes in what the exchange answers, newest first';
comment on column p2p.shape_events.is_needed is 'A parser needs the key and cannot do with the change';

grant select on p2p.shape_events to p2p_reader;
-- ════ views/sql_history.sql
create or replace view p2p.sql_history as
with loads as (
  select
    l.sql_set_id,
    l.batch_id,
    l.load_number = max(l.load_number) over (partition by l.batch_id) as is_newest
  from p2p.ops_batch_loads l
),
use_of_sets as (
  select
    l.sql_set_id,
    min(r.batch_start_time) as first_batch,
    max(r.batch_start_time) as last_batch,
    count(*) as loads,
    count(*) filter (where l.is_newest) as batches
  from loads l
  join p2p.ops_batch_runs r using (batch_id)
  group by l.sql_set_id
)
select
  v.identity,
  left(v.fingerprint, 12) as fingerprint,
  sv.state,
  min(u.first_batch) as first_batch,
  max(u.last_batch) as last_batch,
  sum(u.loads)::bigint as loads,
  sum(u.batches)::bigint as batches,
  v.version_id
from use_of_sets u
join p2p.sql_set_versions sv using (sql_set_id)
join p2p.sql_versions v using (version_id)
group by v.version_id, sv.state
order by v.identity, min(v.first_used_at), sv.state;

comment on view p2p.sql_history is 'Every version of every function that loaded a batch, and which batches';
comment on column p2p.sql_history.first_batch is 'Start of the earliest batch that it loaded';
comment on column p2p.sql_history.loads is 'Recorded loads with it';
comment on column p2p.sql_history.batches is 'Batches whose facts are of it now: a batch that was loaded again counts for the newest version only';

grant select on p2p.sql_history to p2p_reader, p2p_worker;
-- ════ views/table_sizes.sql
-- Rows of partitioned tables are kept in their partitions; toast, indexes and chunks count with what they belong to.
create or replace view p2p.table_sizes as
with kept_in as (
  select
    c.oid as table_id,
    c.oid as kept_in,
    false as is_partition
  from pg_class c
  where c.relnamespace = 'p2p'::regnamespace
    and c.relkind in ('r', 'p')
  union all
  select i.inhparent, i.inhrelid, true
  from pg_inherits i
  join pg_class c on c.oid = i.inhparent
  where c.relnamespace = 'p2p'::regnamespace
    and c.relkind in ('r', 'p')
),
measured as (
  select
    k.table_id,
    sum(greatest(s.n_live_tup, 0)) as rows_about,
    sum(pg_total_relation_size(k.kept_in)) as bytes,
    nullif(count(*) filter (where k.is_partition), 0) as partitions
  from kept_in k
  left join pg_stat_user_tables s on s.relid = k.kept_in
  group by k.table_id
)
select
  c.relname::text as table_name,
  to_char(coalesce(m.rows_about, 0), 'FM999,999,999,999') as rows_about,
  pg_size_pretty(m.bytes) as size,
  left(regexp_replace(obj_description(c.oid, 'pg_class'), '(;|, and |(?<!e\.g)\. ).*$', ''), 55) as holds,
  m.partitions
from measured m
join pg_class c on c.oid = m.table_id
order by m.bytes desc;

comment on view p2p.table_sizes is 'Size of each table with its indexes, and about how many rows it has';
comment on column p2p.table_sizes.partitions is 'In how many parts it is kept; NULL for a table that is one piece';

grant select on p2p.table_sizes to p2p_reader;
-- ════ views/v_price_history.sql
-- One market at a time, so that a name (fiat_code = 'VES') reaches the index of the numbers: `distinct on`
-- changes no row, it keeps the planner from joining before.
create or replace view p2p.v_price_history as
select
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  m.trade_type,
  s.hour as time_bucket,
  s.price_volume_sum / nullif(s.volume_sum, 0) as avg_price,
  s.min_price,
  s.max_price,
  -- Exact until the root is drawn: numbers that are nearly the same leave no rounding behind.
  case
    when s.median_count > 1 then
      sqrt(
        (s.median_count * s.median_square_sum - s.median_sum * s.median_sum)
        / (s.median_count * (s.median_count - 1))
      )
  end as price_volatility,
  s.volume_sum / s.snapshots as total_volume,
  round(s.offers_sum::numeric / s.snapshots)::integer as offer_count,
  e.code as exchange
from p2p.dim_markets m
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
cross join lateral (
  select distinct on (h.hour) h.*
  from p2p.market_hours h
  where h.exchange_id = m.exchange_id
    and h.fiat_id = m.fiat_id
    and h.crypto_id = m.crypto_id
    and h.trade_type = m.trade_type
) as s;

comment on view p2p.v_price_history is 'Prices of each market by hour';
comment on column p2p.v_price_history.avg_price is 'Weighted by available amount over all snapshots of the hour';
comment on column p2p.v_price_history.price_volatility is 'Standard deviation of the median price between the snapshots of the hour; NULL for one snapshot';
comment on column p2p.v_price_history.total_volume is 'Available amount, the average of the snapshots: an offer stands in many snapshots and must not be added up';
comment on column p2p.v_price_history.offer_count is 'Offers in a snapshot, on average';

grant select on p2p.v_price_history to p2p_reader;
-- ════ views/workers.sql
create or replace view p2p.workers as
with held as (
  select bm.worker_id, m.exchange_id, count(*) as markets
  from p2p.ops_batch_runs r
  join p2p.ops_batch_markets bm using (batch_id)
  join p2p.dim_markets m using (market_id)
  where r.status = 'running'
    and bm.status = 'fetching'
  group by bm.worker_id, m.exchange_id
)
select
  left(w.worker_id, 30) as worker,
  p2p.is_alive(w.lease_expires_at, w.doing) as alive,
  w.doing,
  left(e.code, 10) as exchange,
  round(we.rate_per_minute) as rate,
  round(we.ceiling_per_minute) as ceiling,
  we.breaker,
  date_trunc('second', nullif(greatest(we.paused_until - clock_timestamp(), interval '0'), interval '0')) as pause,
  coalesce(h.markets, 0) as held,
  date_trunc('second', clock_timestamp() - w.last_seen_at) as seen
from p2p.ops_workers w
left join p2p.ops_worker_exchanges we using (worker_id)
left join p2p.dim_exchanges e using (exchange_id)
left join held h using (worker_id, exchange_id)
order by w.last_seen_at desc, w.worker_id, e.code;

comment on view p2p.workers is 'Who fetches: what each worker does, how fast it may, and how many markets it has in hand; newest sign of life first';
comment on column p2p.workers.worker is 'Name, process id and a random number; cut at 30 characters';
comment on column p2p.workers.rate is 'Requests a minute that it sends now at most';
comment on column p2p.workers.ceiling is 'Rate at which the exchange refused last';
comment on column p2p.workers.breaker is 'open: it sends nothing; why: ops_worker_exchanges';
comment on column p2p.workers.pause is 'How long it sends nothing yet: the exchange asked for it, or has just refused';
comment on column p2p.workers.held is 'Markets of the batch that runs; those of a worker that is not alive are for others';
comment on column p2p.workers.seen is 'Time since its last beat';

grant select on p2p.workers to p2p_reader, p2p_worker;
