create or replace view p2p.rule_results as
with newest as (
  select r.batch_id, r.batch_start_time
  from p2p.ops_batch_runs r
  where r.status in ('completed', 'partial')
  order by r.batch_start_time desc
  limit 1
)
select
  q.name as rule,
  d.result,
  d.metric_value as value,
  q.is_bad_when,
  q.warning_threshold,
  q.error_threshold,
  q.severity,
  q.is_enabled,
  date_trunc('second', d.check_timestamp) as checked_at,
  q.comment,
  left(coalesce(d.details ->> 'message', d.details ->> 'note', d.details ->> 'samples'), 500) as details
from p2p.quality_rules q
left join newest on true
left join p2p.ops_data_quality d
  on d.batch_id = newest.batch_id
  and d.metric_name = q.name
order by q.name;

comment on view p2p.rule_results is 'Every quality rule, with what it found in the newest loaded batch';
comment on column p2p.rule_results.result is 'ok, warning, error, or broken: the rule itself failed; NULL: it was not run';
comment on column p2p.rule_results.value is 'NULL: there was nothing to judge';
comment on column p2p.rule_results.details is 'Their beginning: the rows at fault, or why there are none';

grant select on p2p.rule_results to p2p_reader;
