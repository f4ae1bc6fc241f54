-- Rows of partitioned tables are kept in their partitions; toast, indexes and chunks count with what they belong to.
create or replace view p2p.table_sizes as
with kept_in as (
  select
    c.oid as table_id,
    c.oid as kept_in,
    false as is_partition
  from pg_class c
  where c.relnamespace = 'p2p'::regnamespace
    and c.relkind in ('r', 'p')
  union all
  select i.inhparent, i.inhrelid, true
  from pg_inherits i
  join pg_class c on c.oid = i.inhparent
  where c.relnamespace = 'p2p'::regnamespace
    and c.relkind in ('r', 'p')
),
measured as (
  select
    k.table_id,
    sum(greatest(s.n_live_tup, 0)) as rows_about,
    sum(pg_total_relation_size(k.kept_in)) as bytes,
    nullif(count(*) filter (where k.is_partition), 0) as partitions
  from kept_in k
  left join pg_stat_user_tables s on s.relid = k.kept_in
  group by k.table_id
)
select
  c.relname::text as table_name,
  to_char(coalesce(m.rows_about, 0), 'FM999,999,999,999') as rows_about,
  pg_size_pretty(m.bytes) as size,
  left(regexp_replace(obj_description(c.oid, 'pg_class'), '(;|, and |(?<!e\.g)\. ).*$', ''), 55) as holds,
  m.partitions
from measured m
join pg_class c on c.oid = m.table_id
order by m.bytes desc;

comment on view p2p.table_sizes is 'Size of each table with its indexes, and about how many rows it has';
comment on column p2p.table_sizes.partitions is 'In how many parts it is kept; NULL for a table that is one piece';

grant select on p2p.table_sizes to p2p_reader;
