-- Ours end in a version (market_hours_v1): a continuous aggregate cannot be replaced, so that another text is another
-- one. What a DBA built beside them is theirs to refresh.
create or replace view p2p.aggregate_sources as
with recursive ours as (
  select
    ca.user_view_name::text as aggregate,
    ca.mat_hypertable_id,
    ca.raw_hypertable_id,
    ca.raw_hypertable_id as table_id,
    1 as level
  from _timescaledb_catalog.continuous_agg ca
  where ca.user_view_schema = 'p2p'
    and ca.user_view_name ~ '_v\d+$'
    and ca.parent_mat_hypertable_id is null
  union all
  select
    ca.user_view_name::text,
    ca.mat_hypertable_id,
    ca.raw_hypertable_id,
    o.table_id,
    o.level + 1
  from ours o
  join _timescaledb_catalog.continuous_agg ca on ca.parent_mat_hypertable_id = o.mat_hypertable_id
  where ca.user_view_schema = 'p2p'
    and ca.user_view_name ~ '_v\d+$'
)
select
  o.aggregate,
  o.level,
  h.table_name::text as table_name,
  b.bucket_width::interval as bucket,
  m.schema_name::text as stored_schema,
  m.table_name::text as stored_table,
  s.schema_name::text as source_schema,
  s.table_name::text as source_table,
  time_column.column_name::text as time_column,
  -- The first whole bucket that has all its facts still.
  case
    when o.level = 1 and isfinite(d.dropped_before)
    then date_bin(b.bucket_width::interval, d.dropped_before + b.bucket_width::interval - interval '1 microsecond', timestamptz '2000-01-01 00:00Z')
    else '-infinity'
  end as facts_since,
  o.mat_hypertable_id as stored_id,
  o.raw_hypertable_id as source_id
from ours o
join _timescaledb_catalog.hypertable h on h.id = o.table_id
join _timescaledb_catalog.hypertable m on m.id = o.mat_hypertable_id
join _timescaledb_catalog.hypertable s on s.id = o.raw_hypertable_id
join _timescaledb_catalog.dimension time_column on time_column.hypertable_id = o.mat_hypertable_id
join _timescaledb_catalog.continuous_aggs_bucket_function b on b.mat_hypertable_id = o.mat_hypertable_id
left join p2p.dropped_facts d on d.table_name = h.table_name
where h.schema_name = 'p2p';

comment on view p2p.aggregate_sources is 'Our continuous aggregates, and what they are made of';
comment on column p2p.aggregate_sources.level is '1 reads facts, 2 reads an aggregate of level 1: the order to refresh in';
comment on column p2p.aggregate_sources.table_name is 'The facts at the bottom';
comment on column p2p.aggregate_sources.source_table is 'What it reads: the facts, or where the aggregate below is stored';
comment on column p2p.aggregate_sources.stored_table is 'Where its rows are stored';
comment on column p2p.aggregate_sources.facts_since is 'A refresh of anything before deletes history: the facts of it were dropped';

grant select on p2p.aggregate_sources to p2p_reader, p2p_worker;
