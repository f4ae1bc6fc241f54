-- Bounds are read from the text that the server makes of them, in the time zone of this session both ways.
create or replace view p2p.partitions as
select
  parent.relname::text as table_name,
  format('%I.%I', n.nspname, c.relname) as partition_name,
  case when bound.texts[1] = 'MINVALUE' then '-infinity' else bound.texts[1]::timestamptz end as starts_at,
  case when bound.texts[2] = 'MAXVALUE' then 'infinity' else bound.texts[2]::timestamptz end as ends_at,
  greatest(s.n_live_tup, 0) as rows_about,
  pg_size_pretty(pg_total_relation_size(c.oid)) as size
from pg_class parent
join pg_inherits i on i.inhparent = parent.oid
join pg_class c on c.oid = i.inhrelid
join pg_namespace n on n.oid = c.relnamespace
cross join lateral regexp_match(
  pg_get_expr(c.relpartbound, c.oid),
  '^FOR VALUES FROM \(''?([^'')]*)''?\) TO \(''?([^'')]*)''?\)$'
) as bound (texts)
left join pg_stat_user_tables s on s.relid = c.oid
where parent.relnamespace = 'p2p'::regnamespace
  and parent.relkind = 'p'
order by parent.relname, starts_at;

comment on view p2p.partitions is 'Partitions of each table that is kept by day or month, with the times they hold';
comment on column p2p.partitions.ends_at is 'The first moment that is not in it';
comment on column p2p.partitions.rows_about is 'As counted by the statistics of the server';

grant select on p2p.partitions to p2p_reader, p2p_worker;
