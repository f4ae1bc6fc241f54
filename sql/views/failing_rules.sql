create or replace view p2p.failing_rules as
with newest as (
  select r.batch_id, r.batch_start_time
  from p2p.ops_batch_runs r
  where r.status <> 'running'
  order by r.batch_start_time desc
  limit 1
)
select
  q.metric_name as rule,
  q.result,
  round(q.metric_value, 6) as value,
  q.threshold_value as threshold,
  date_trunc('second', failing.since) as failing_since,
  failing.batches,
  left(q.details::text, 30) as details
from newest
join p2p.ops_data_quality q using (batch_id)
left join lateral (
  select r.batch_start_time
  from p2p.ops_batch_runs r
  join p2p.ops_data_quality earlier using (batch_id)
  where earlier.metric_name = q.metric_name
    and earlier.passed
    and r.batch_start_time > newest.batch_start_time - interval '7 days'
  order by r.batch_start_time desc
  limit 1
) as last_good on true
cross join lateral (
  select min(r.batch_start_time) as since, count(*) as batches
  from p2p.ops_batch_runs r
  join p2p.ops_data_quality later using (batch_id)
  where later.metric_name = q.metric_name
    and r.batch_start_time > coalesce(last_good.batch_start_time, newest.batch_start_time - interval '7 days')
) as failing
where not q.passed
order by q.metric_name;

comment on view p2p.failing_rules is 'Rules that the newest batch breaks, and since when they are broken';
comment on column p2p.failing_rules.result is 'warning, error, or broken: the rule itself failed';
comment on column p2p.failing_rules.failing_since is 'First batch after the last that kept it; looked for in the last 7 days';
comment on column p2p.failing_rules.details is 'Their beginning; all of them are in ops_data_quality';

grant select on p2p.failing_rules to p2p_reader;
