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
