-- What is wrong here and what mends it, as far as the database can tell; `p2p-ingest doctor` adds what it cannot.
-- Expects the interval at which batches are due. state: ok, warning (worth a look) or bad (wants mending).
-- Changes nothing; for owner and worker.
create or replace function p2p.diagnose(p_interval_minutes integer default 10)
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
  objects as (
    select
      count(*) filter (where o.state = 'drifted' and not o.is_missing) as drifted,
      count(*) filter (where o.is_missing) as missing,
      count(*) filter (where o.has_moved_on) as moved_on,
      count(*) filter (where o.state = 'tuned') as tuned,
      string_agg(o.identity, ', ' order by o.identity) filter (where o.state = 'drifted') as names
    from p2p.object_states o
  ),
  -- `drop` and `create` lose the grants that `create or replace` keeps.
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
  ),
  last_batch as (
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
  ),
  quarantined as (
    select count(*) as offers
    from p2p.ops_rejected_offers o
    where o.discarded_at is null
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
  union all
  select
    'quarantine',
    'warning',
    format('%s rejected offers', offers),
    'p2p-ingest quarantine list; mend the function, then quarantine replay, or discard'
  from quarantined
  where offers > 0
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
