create or replace view p2p.schedule as
select
  r.due_at,
  r.status as outcome,
  left(r.error_summary, 34) as why,
  r.batch_id as batch
from p2p.ops_batch_runs r
where r.due_at is not null
union all
select
  s.due_at,
  'skipped',
  left(s.reason, 34),
  null
from p2p.ops_skipped_batches s
order by 1 desc;

comment on view p2p.schedule is 'Every time a batch was due, and what became of it; newest first';
comment on column p2p.schedule.outcome is 'Status of its batch, or skipped';
comment on column p2p.schedule.why is 'Its beginning; all of it is in ops_batch_runs, ops_skipped_batches';

grant select on p2p.schedule to p2p_reader, p2p_worker;
