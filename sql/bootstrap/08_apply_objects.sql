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
