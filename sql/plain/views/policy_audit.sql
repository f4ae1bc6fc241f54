-- What must hold so that no history is lost and no batch fails, each rule with what was found and the statement that
-- mends it. On plain PostgreSQL: partitions and retention; the view of the same name on TimescaleDB has its policies too.
-- Reads catalogs and small tables; for everybody who may read.
create or replace view p2p.policy_audit as
with days as (
  select
    max(s.value::numeric) filter (where s.name = 'raw_retention_days') as raw,
    max(s.value::numeric) filter (where s.name = 'offers_retention_days') as offers,
    max(s.value::numeric) filter (where s.name = 'depth_retention_days') as depth,
    max(s.value::numeric) filter (where s.name = 'partitions_ahead_days') as ahead
  from p2p.settings s
  where s.kind = 'number'
),
ahead as (
  select
    t.table_name,
    d.ahead,
    day.at,
    exists (
      select
      from p2p.partitions p
      where p.table_name = t.table_name
        and p.starts_at <= day.at
        and p.ends_at > day.at
    ) as is_there
  from p2p.partitioned_tables t
  cross join days d
  -- The last day is made by the first load of today, which midnight does not wait for.
  cross join lateral generate_series(now(), now() + (d.ahead - 1) * interval '1 day', interval '1 day') as day (at)
  where exists (select from p2p.ops_batch_runs) -- they are made with the first batch
),
rules as (
  select
    'offers_retention_days' as subject,
    'offers are kept for 30 days or more' as rule,
    d.offers >= 30 as is_ok,
    format('%s days', d.offers) as finding,
    $$update p2p.settings set minimum = 30, value = '35' where name = 'offers_retention_days'$$ as mends
  from days d
  union all
  select
    'raw_retention_days' as subject,
    'pages are not kept longer than the facts made of them' as rule,
    d.raw <= least(d.offers, d.depth),
    format('pages %s days, offers %s, books %s', d.raw, d.offers, d.depth),
    format($$update p2p.settings set value = '%s' where name = 'raw_retention_days'$$, least(d.offers, d.depth))
  from days d
  union all
  select
    a.table_name,
    'partitions stand ready for days to come' as rule,
    bool_and(a.is_there),
    case
      when bool_and(a.is_there) then format('as far as %s', to_char(max(a.at) at time zone 'UTC', 'YYYY-MM-DD'))
      else format('none for %s', to_char(min(a.at) filter (where not a.is_there) at time zone 'UTC', 'YYYY-MM-DD'))
    end,
    format(
      'select p2p.make_room(at) from generate_series(now(), now() + interval ''%s days'', interval ''1 day'') as at',
      max(a.ahead)
    )
  from ahead a
  group by a.table_name
  union all
  select
    t.table_name,
    'what is old enough is dropped' as rule,
    coalesce(d.held_up_since > now() - interval '1 day', true), -- a reader may be in the way for a few loads
    case
      when d.held_up_by is null then 'nothing waits'
      else format('waits since %s: %s', to_char(d.held_up_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), d.held_up_by)
    end,
    'select p2p.apply_retention(null) -- when that is out of the way' as mends
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
