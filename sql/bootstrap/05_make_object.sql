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
