create or replace view p2p.failed_steps as
select
  r.batch_start_time,
  s.load_number,
  l.loaded_at,
  s.step,
  s.is_required,
  s.seconds,
  s.error,
  s.error_context,
  s.batch_id,
  s.load_number = (
    select max(newest.load_number)
    from p2p.ops_batch_loads newest
    where newest.batch_id = s.batch_id
  ) as is_still_so
from p2p.ops_batch_steps s
join p2p.ops_batch_loads l using (batch_id, load_number)
join p2p.ops_batch_runs r using (batch_id)
where s.status = 'failed'
order by l.loaded_at desc, s.position;

comment on view p2p.failed_steps is 'Steps of loads that failed, and why; newest first';
comment on column p2p.failed_steps.is_still_so is 'Whether no later load of the batch was recorded';

grant select on p2p.failed_steps to p2p_reader, p2p_worker;
