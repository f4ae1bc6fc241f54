-- How many batches up to this one, itself included, ended otherwise than completed, with no completed one between. Looks
-- no further back than 1,000 batches. Imported ones count neither way. Changes nothing.
create or replace function p2p.failures_in_a_row(p_batch_id uuid)
returns integer
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with ended as (
    select r.batch_start_time, r.status
    from p2p.ops_batch_runs r
    where r.batch_start_time <= (
        select this.batch_start_time
        from p2p.ops_batch_runs this
        where this.batch_id = p_batch_id
      )
      and r.status <> 'running'
      and r.imported_from is null
    order by r.batch_start_time desc
    limit 1000
  )
  select count(*)::integer
  from ended e
  where e.batch_start_time > coalesce(
      (
        select max(good.batch_start_time)
        from ended good
        where good.status = 'completed'
      ),
      '-infinity'
    )
$function$;

comment on function p2p.failures_in_a_row(uuid) is 'How many batches up to this one were not completed, one after the other';

grant execute on function p2p.failures_in_a_row(uuid) to p2p_worker;
