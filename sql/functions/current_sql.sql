-- The SQL that a load would run now: every function of schema p2p, those elsewhere that steps and rules name, and the
-- rows that decide what is done with them. One row each, with its text. Reads the catalog and changes nothing; takes
-- a few milliseconds.
create or replace function p2p.current_sql()
returns table (identity text, state text, fingerprint text, definition text)
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_named text[] := array(select s.function from p2p.pipeline_steps s where s.is_enabled);
  v_rules text;
  v_settings text;
begin
  -- Off the path, types of p2p are written with their schema: a text that runs in anybody's session.
  perform set_config('search_path', 'pg_catalog, pg_temp', true);

  -- Tables of other parts; a statement is looked at only when it runs.
  if to_regclass('p2p.quality_rules') is not null then
    v_named := v_named || array(select r.function from p2p.quality_rules r where r.is_enabled);
    v_rules := (
      select string_agg((to_jsonb(r) - 'comment')::text, E'\n' order by r.name)
      from p2p.quality_rules r
      where r.is_enabled
    );
  end if;

  if to_regclass('p2p.settings') is not null then
    v_settings := (
      select string_agg(format('%s = %s', s.name, s.value), E'\n' order by s.name)
      from p2p.settings s
    );
  end if;

  return query
  with functions as (
    select
      format('function %I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)) as identity,
      pg_get_functiondef(p.oid) as definition,
      obj_description(p.oid, 'pg_proc') as comment
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    where p.prokind in ('f', 'p')
      and (
        n.nspname = 'p2p'
        or n.nspname not in ('pg_catalog', 'information_schema')
        and format('%I.%I', n.nspname, p.proname) = any (v_named)
      )
  ),
  texts as (
    select
      f.identity,
      concat(f.definition, E';\n\ncomment on ' || f.identity || ' is ' || quote_literal(f.comment) || E';\n') as definition
    from functions f
    union all
    select
      'rows of p2p.pipeline_steps',
      string_agg(
        concat_ws(' ', s.position, s.name, s.function, case when s.is_required then 'required' else 'optional' end),
        E'\n' order by s.position
      )
    from p2p.pipeline_steps s
    where s.is_enabled
    union all
    select 'rows of p2p.quality_rules', v_rules
    union all
    select 'rows of p2p.settings', v_settings
  )
  select
    t.identity,
    'shipped', -- to be joined from object_states
    encode(sha256(convert_to(t.definition, 'UTF8')), 'hex'),
    t.definition
  from texts t
  where t.definition is not null
  order by t.identity;
end
$function$;

comment on function p2p.current_sql() is 'The SQL that a load would run now, one row an object, with its text';

grant execute on function p2p.current_sql() to p2p_worker;
