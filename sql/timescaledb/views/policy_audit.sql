-- What must hold so that no history is lost and the aggregates stay true, each rule with what was found and the statement
-- that mends it (as the owner). Read from the jobs themselves, not from wanted_policies, so that it also proves that.
-- Reads catalogs and small tables; for everybody who may read.
create or replace view p2p.policy_audit as
with days as (
  select
    max(s.value::numeric) filter (where s.name = 'raw_retention_days') as raw,
    max(s.value::numeric) filter (where s.name = 'offers_retention_days') as offers,
    max(s.value::numeric) filter (where s.name = 'depth_retention_days') as depth,
    max(s.value::numeric) filter (where s.name = 'columnstore_after_days') as columnstore
  from p2p.settings s
  where s.kind = 'number'
),
extension as (
  select quote_ident(n.nspname) as schema
  from pg_extension x
  join pg_namespace n on n.oid = x.extnamespace
  where x.extname = 'timescaledb'
),
jobs as (
  select
    j.hypertable_name::text as relation,
    j.job_id,
    j.proc_name,
    j.scheduled,
    (j.config ->> 'start_offset')::interval as look_back,
    (j.config ->> 'compress_after')::interval as pack_after,
    t.last_run_status,
    t.last_successful_finish,
    t.total_failures
  from timescaledb_information.jobs j
  left join timescaledb_information.job_stats t using (job_id)
  where j.hypertable_schema = 'p2p'
),
refreshes as (
  select
    s.aggregate,
    s.level,
    s.table_name,
    s.source_table,
    s.stored_table,
    s.bucket,
    s.facts_since,
    case s.table_name when 'fact_offers' then d.offers else d.depth end as kept_days,
    case s.table_name when 'fact_offers' then 'offers_retention_days' else 'depth_retention_days' end as kept_setting,
    d.raw,
    j.job_id,
    j.scheduled,
    j.look_back,
    extract(epoch from j.look_back) / 86400 as look_back_days
  from p2p.aggregate_sources s
  cross join days d
  left join jobs j on j.relation = s.aggregate and j.proc_name = 'policy_refresh_continuous_aggregate'
),
packed as (
  select
    p.relation,
    d.raw,
    d.columnstore,
    j.job_id,
    j.scheduled,
    extract(epoch from j.pack_after) / 86400 as pack_after_days
  from (values ('fact_offers'), ('fact_market_depth')) as p (relation)
  cross join days d
  left join jobs j on j.relation = p.relation and j.proc_name = 'policy_compression'
),
-- What changed where no policy looks any more.
forgotten as (
  select
    r.aggregate,
    r.level,
    date_bin(r.bucket, min(greatest(s.starts_at, c.range_start, r.facts_since)), timestamptz '2000-01-01 00:00Z') as starts_at,
    max(least(s.ends_at, c.range_end, now() - r.look_back + r.bucket)) as ends_at
  from refreshes r
  join p2p.outdated_ranges s on s.aggregate = r.aggregate
  join timescaledb_information.chunks c
    on c.hypertable_name = r.source_table
    and c.range_start < s.ends_at
    and c.range_end > s.starts_at
    and c.range_end > r.facts_since
  where greatest(s.starts_at, c.range_start, r.facts_since) < now() - r.look_back
  group by r.aggregate, r.level, r.bucket
),
rules as (
  select
    'offers_retention_days' as subject,
    'offers are kept for 30 days or more' as rule,
    d.offers >= 30 as is_ok,
    format('%s days', d.offers) as finding,
    $$update p2p.settings set minimum = 30, value = '400' where name = 'offers_retention_days'$$ as mends
  from days d
  union all
  select
    'raw_retention_days' as subject,
    'pages are not kept longer than the facts made of them' as rule,
    d.raw <= least(d.offers, d.depth) - 1,
    format('pages %s days, offers %s, books %s', d.raw, d.offers, d.depth),
    format($$update p2p.settings set value = '%s' where name = 'raw_retention_days'$$, least(d.offers, d.depth) - 3)
  from days d
  union all
  select
    r.aggregate,
    'it is refreshed by a policy' as rule,
    coalesce(r.scheduled, false),
    case
      when r.job_id is null then 'it has none'
      when not r.scheduled then format('job %s is paused', r.job_id)
      else format('job %s looks back %s', r.job_id, r.look_back)
    end,
    case
      when r.job_id is null then 'select * from p2p.apply_policies()'
      else format('select %s.alter_job(%s, scheduled => true)', e.schema, r.job_id)
    end
  from refreshes r
  cross join extension e
  union all
  select
    r.aggregate,
    'its refresh looks back less far than what it reads is kept' as rule,
    coalesce(r.look_back_days < r.kept_days, false),
    format('it looks back %s; %s = %s', coalesce(r.look_back::text, 'over everything'), r.kept_setting, r.kept_days),
    'select * from p2p.apply_policies()' as mends
  from refreshes r
  where r.level = 1
    and r.job_id is not null
  union all
  select
    r.aggregate,
    'its refresh never reaches facts that were dropped' as rule,
    coalesce(now() - r.look_back >= r.facts_since, not isfinite(r.facts_since)),
    case
      when isfinite(r.facts_since)
      then format('it looks back %s; facts are there since %s', coalesce(r.look_back::text, 'over everything'), to_char(r.facts_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI'))
      else 'none were dropped'
    end,
    'select * from p2p.apply_policies()' as mends
  from refreshes r
  where r.level = 1
    and r.job_id is not null
  union all
  select
    r.aggregate,
    'its refresh sees every batch that can be loaded again' as rule,
    coalesce(r.look_back_days >= r.raw + 1, true),
    format('it looks back %s; raw_retention_days = %s', coalesce(r.look_back::text, 'over everything'), r.raw),
    case
      when r.raw + 1 > r.kept_days - 1
      then format($$update p2p.settings set value = '%s' where name = 'raw_retention_days'$$, r.kept_days - 3)
      else 'select * from p2p.apply_policies()'
    end
  from refreshes r
  where r.level = 1
    and r.job_id is not null
  union all
  select
    r.aggregate,
    'its refresh looks back as far as that of the aggregate it reads' as rule,
    coalesce(r.look_back >= below.look_back, r.look_back is null),
    format('it looks back %s, %s looks back %s', coalesce(r.look_back::text, 'over everything'), below.aggregate, coalesce(below.look_back::text, 'over everything')),
    'select * from p2p.apply_policies()' as mends
  from refreshes r
  join refreshes below on below.stored_table = r.source_table
  where r.job_id is not null
    and below.job_id is not null
  union all
  select
    r.aggregate,
    'it holds all facts that no policy looks at any more' as rule,
    f.aggregate is null,
    case
      when f.aggregate is null then 'it does'
      else format('not those between %s and %s', to_char(f.starts_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), to_char(f.ends_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'))
    end,
    format(
      'call %s.refresh_continuous_aggregate(''p2p.%I'', ''%s'', ''%s'')',
      e.schema,
      r.aggregate,
      to_char(f.starts_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"'),
      to_char(f.ends_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"')
    )
  from refreshes r
  cross join extension e
  left join forgotten f on f.aggregate = r.aggregate
  union all
  select
    ca.view_name,
    'it shows the newest batch before it is refreshed' as rule,
    not ca.materialized_only,
    case when ca.materialized_only then 'it shows only what is stored' else 'it does' end,
    format('alter materialized view p2p.%I set (timescaledb.materialized_only = false)', ca.view_name)
  from timescaledb_information.continuous_aggregates ca
  where ca.view_schema = 'p2p'
    and ca.view_name in (select s.aggregate from p2p.aggregate_sources s)
  union all
  select
    p.relation,
    'old chunks are packed by a policy' as rule,
    coalesce(p.scheduled, false),
    case
      when p.job_id is null then 'it has none'
      when not p.scheduled then format('job %s is paused', p.job_id)
      else format('job %s, after %s days', p.job_id, trim_scale(p.pack_after_days))
    end,
    case
      when p.job_id is null then 'select * from p2p.apply_policies()'
      else format('select %s.alter_job(%s, scheduled => true)', e.schema, p.job_id)
    end
  from packed p
  cross join extension e
  union all
  select
    p.relation,
    'chunks are packed when no batch in them can be loaded again' as rule,
    p.pack_after_days >= p.raw + 1,
    format('packed after %s days; raw_retention_days = %s', trim_scale(p.pack_after_days), p.raw),
    case
      when p.columnstore < p.raw + 1
      then format($$update p2p.settings set value = '%s' where name = 'columnstore_after_days'$$, p.raw + 1)
      else 'select * from p2p.apply_policies()'
    end
  from packed p
  where p.job_id is not null
  union all
  select
    coalesce(j.relation, 'TimescaleDB'),
    'no retention policy of TimescaleDB is on it: such drops are not recorded, and ask no aggregate' as rule,
    false,
    format('job %s drops chunks', j.job_id),
    format('select %s.remove_retention_policy(''p2p.%I'')', e.schema, j.relation)
  from jobs j
  cross join extension e
  where j.proc_name = 'policy_retention'
    and j.relation in ('fact_offers', 'fact_market_depth', 'stg_responses')
  union all
  select
    j.relation,
    'its jobs succeed' as rule,
    bool_and(j.last_run_status is distinct from 'Failed'),
    case
      when bool_and(j.last_run_status is distinct from 'Failed') then 'none failed when it ran last'
      else format('job %s failed when it ran last', string_agg(j.job_id::text, ', ') filter (where j.last_run_status = 'Failed'))
    end,
    format(
      'select * from timescaledb_information.job_errors where job_id = %1$s order by start_time desc; then: call %2$s.run_job(%1$s)',
      min(j.job_id) filter (where j.last_run_status = 'Failed'),
      min(e.schema)
    )
  from jobs j
  cross join extension e
  group by j.relation
  union all
  select
    'TimescaleDB' as subject,
    'jobs run when they are due' as rule,
    not late.is_late,
    case when late.is_late then 'no refresh has succeeded for three hours' else 'they do' end,
    'alter system set timescaledb.max_background_workers = 16; give max_worker_processes 20 more, and restart the server' as mends
  from (
    select
      coalesce(max(j.last_successful_finish), '-infinity') < now() - interval '3 hours'
        and exists (
          select
          from p2p.ops_batch_runs r
          where r.batch_end_time < now() - interval '3 hours'
        )
        and count(*) > 0 as is_late
    from jobs j
    where j.proc_name = 'policy_refresh_continuous_aggregate'
      and j.scheduled
  ) as late
  union all
  select
    'owner' as subject,
    'the owner of the tables may log in: jobs run as them' as rule,
    r.rolcanlogin,
    format('%I %s', r.rolname, case when r.rolcanlogin then 'may' else 'may not' end),
    format('alter role %I login', r.rolname)
  from pg_class c
  join pg_roles r on r.oid = c.relowner
  where c.oid = 'p2p.fact_offers'::regclass
  union all
  select
    t.table_name,
    'what is old enough is dropped' as rule,
    d.held_up_by is null,
    case
      when d.held_up_by is null then 'nothing waits'
      else format('waits since %s: %s', to_char(d.held_up_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), d.held_up_by)
    end,
    'select p2p.apply_retention(null) -- after what it waits for' as mends
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
