create or replace view p2p.sql_history as
with loads as (
  select
    l.sql_set_id,
    l.batch_id,
    l.load_number = max(l.load_number) over (partition by l.batch_id) as is_newest
  from p2p.ops_batch_loads l
),
use_of_sets as (
  select
    l.sql_set_id,
    min(r.batch_start_time) as first_batch,
    max(r.batch_start_time) as last_batch,
    count(*) as loads,
    count(*) filter (where l.is_newest) as batches
  from loads l
  join p2p.ops_batch_runs r using (batch_id)
  group by l.sql_set_id
)
select
  v.identity,
  left(v.fingerprint, 12) as fingerprint,
  sv.state,
  min(u.first_batch) as first_batch,
  max(u.last_batch) as last_batch,
  sum(u.loads)::bigint as loads,
  sum(u.batches)::bigint as batches,
  v.version_id
from use_of_sets u
join p2p.sql_set_versions sv using (sql_set_id)
join p2p.sql_versions v using (version_id)
group by v.version_id, sv.state
order by v.identity, min(v.first_used_at), sv.state;

comment on view p2p.sql_history is 'Every version of every function that loaded a batch, and which batches';
comment on column p2p.sql_history.first_batch is 'Start of the earliest batch that it loaded';
comment on column p2p.sql_history.loads is 'Recorded loads with it';
comment on column p2p.sql_history.batches is 'Batches whose facts are of it now: a batch that was loaded again counts for the newest version only';

grant select on p2p.sql_history to p2p_reader, p2p_worker;
