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
