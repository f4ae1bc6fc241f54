create or replace view p2p.batch_sql as
select
  r.batch_id,
  r.batch_start_time,
  l.load_number,
  v.identity,
  sv.state,
  v.fingerprint,
  v.definition
from p2p.ops_batch_runs r
cross join lateral (
  select
    one.load_number,
    one.sql_set_id
  from p2p.ops_batch_loads one
  where one.batch_id = r.batch_id
  order by one.load_number desc
  limit 1
) as l
join p2p.sql_set_versions sv on sv.sql_set_id = l.sql_set_id
join p2p.sql_versions v on v.version_id = sv.version_id;

comment on view p2p.batch_sql is 'The SQL that made the facts of each batch: where batch_id = …, one row a function, with its text';
comment on column p2p.batch_sql.load_number is 'The newest recorded load of the batch';

grant select on p2p.batch_sql to p2p_reader, p2p_worker;
