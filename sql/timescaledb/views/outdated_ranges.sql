-- From TimescaleDB's own logs: what changed in the source since (its log of the hypertable), and what was never or is to
-- be made again (its log of the aggregate, which has everything after the last refresh). Ends are not part of the range.
create or replace view p2p.outdated_ranges as
with logged as (
  select s.aggregate, s.level, s.table_name, s.bucket, s.facts_since, l.lowest_modified_value as lowest, l.greatest_modified_value as greatest
  from p2p.aggregate_sources s
  join _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log l on l.hypertable_id = s.source_id
  union all
  select s.aggregate, s.level, s.table_name, s.bucket, s.facts_since, l.lowest_modified_value, l.greatest_modified_value
  from p2p.aggregate_sources s
  join _timescaledb_catalog.continuous_aggs_materialization_invalidation_log l on l.materialization_id = s.stored_id
),
-- Microseconds since 1970; what lies outside of a thousand years is no time of ours.
timed as (
  select
    l.*,
    case
      when l.lowest < -20000000000000000 then '-infinity'
      else timestamptz 'epoch' + l.lowest * interval '1 microsecond'
    end as starts_at,
    case
      when l.greatest > 20000000000000000 then 'infinity'
      else timestamptz 'epoch' + (l.greatest + 1) * interval '1 microsecond'
    end as ends_at
  from logged l
  where l.lowest < 20000000000000000
    and l.greatest > -20000000000000000
)
select
  t.aggregate,
  t.level,
  t.table_name,
  t.starts_at,
  t.ends_at
from timed t
-- A drop of facts is logged as well, up to and with the first moment after it, which TimescaleDB widens to its bucket.
where not (
  isfinite(t.facts_since)
  and t.starts_at < t.facts_since
  and t.ends_at > t.facts_since
  and t.ends_at <= t.facts_since + t.bucket
);

comment on view p2p.outdated_ranges is 'Times for which an aggregate is not what its source is now; the newest ones are read from the source itself';

grant select on p2p.outdated_ranges to p2p_reader, p2p_worker;
