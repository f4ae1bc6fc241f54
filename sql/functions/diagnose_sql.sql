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
