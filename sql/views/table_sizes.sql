create or replace view p2p.table_sizes as
select
  c.relname::text as table_name,
  to_char(greatest(s.n_live_tup, 0), 'FM999,999,999,999') as rows_about,
  pg_size_pretty(pg_total_relation_size(c.oid)) as size,
  left(regexp_replace(obj_description(c.oid, 'pg_class'), '(;|, and |(?<!e\.g)\. ).*$', ''), 66) as holds
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_stat_user_tables s on s.relid = c.oid
where n.nspname = 'p2p'
  and c.relkind in ('r', 'p')
order by pg_total_relation_size(c.oid) desc;

comment on view p2p.table_sizes is 'Size of each table with its indexes, and about how many rows it has';

grant select on p2p.table_sizes to p2p_reader;
