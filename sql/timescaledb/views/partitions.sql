-- Here: chunks of TimescaleDB. Those that were partitions when the database was converted still stand in p2p_partitions.
create or replace view p2p.partitions as
select
  c.hypertable_name::text as table_name,
  format('%I.%I', c.chunk_schema, c.chunk_name) as partition_name,
  c.range_start as starts_at,
  c.range_end as ends_at,
  -- Of a packed chunk the server counts segments of a thousand rows; TimescaleDB noted the rows when it packed it.
  greatest(s.n_live_tup, 0) + coalesce(p.numrows_pre_compression, 0) as rows_about,
  pg_size_pretty(
    pg_total_relation_size(k.oid)
    + coalesce(p.compressed_heap_size + p.compressed_toast_size + p.compressed_index_size, 0)
  ) as size
from timescaledb_information.chunks c
join pg_namespace n on n.nspname = c.chunk_schema
join pg_class k on k.relnamespace = n.oid and k.relname = c.chunk_name
left join pg_stat_user_tables s on s.relid = k.oid
left join _timescaledb_catalog.chunk h on h.schema_name = c.chunk_schema and h.table_name = c.chunk_name
left join _timescaledb_catalog.compression_chunk_size p on p.chunk_id = h.id
where c.hypertable_schema = 'p2p'
order by c.hypertable_name, c.range_start;

comment on view p2p.partitions is 'Partitions of each table that is kept by day or month, with the times they hold';
comment on column p2p.partitions.ends_at is 'The first moment that is not in it';
comment on column p2p.partitions.rows_about is 'As counted by the statistics of the server';

grant select on p2p.partitions to p2p_reader, p2p_worker;
