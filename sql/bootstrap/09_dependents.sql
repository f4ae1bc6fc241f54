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
