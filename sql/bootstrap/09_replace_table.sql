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

-- Gives the keys and indexes of p_old to p_new, by the same names and with their comments; those of p_old are called
-- …_replaced from then on. For tables that have the same columns; a unique index that p_new cannot hold raises.
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
    execute format('alter index %s rename to %I', v_index.index, left(v_index.name, 54) || '_replaced');

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
