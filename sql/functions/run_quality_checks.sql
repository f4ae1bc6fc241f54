-- Step of load_batch: runs every enabled rule of quality_rules on the batch. Afterwards ops_data_quality holds one
-- row a rule for it. Rules only read; one that fails is broken and costs the batch nothing else.
-- A second call changes a row only where its result changed. Results of rules that were disabled or removed since go:
-- what stands there is what the rules of today say of the batch. Batches that are not checked again keep theirs.
create or replace function p2p.run_quality_checks(p_batch_id uuid)
returns setof p2p.ops_data_quality
language plpgsql
set search_path = p2p, pg_temp
set jit = off
as $function$
declare
  v_rule p2p.quality_rules;
  v_new p2p.ops_data_quality;
begin
  delete from p2p.ops_data_quality q
  where q.batch_id = p_batch_id
    and not exists (
      select
      from p2p.quality_rules r
      where r.name = q.metric_name
        and r.is_enabled
    );

  for v_rule in
    select r.*
    from p2p.quality_rules r
    where r.is_enabled
    order by r.name
  loop
    v_new := p2p.run_rule(v_rule, p_batch_id);

    -- Not by "on conflict" alone: that would burn a number of the sequence at every call.
    update p2p.ops_data_quality q
    set
      check_timestamp = clock_timestamp(),
      metric_value = v_new.metric_value,
      threshold_value = v_new.threshold_value,
      passed = v_new.passed,
      result = v_new.result,
      severity = v_new.severity,
      details = v_new.details
    where q.batch_id = p_batch_id
      and q.metric_name = v_new.metric_name
      and (q.metric_value, q.threshold_value, q.result, q.severity, q.details)
        is distinct from (v_new.metric_value, v_new.threshold_value, v_new.result, v_new.severity, v_new.details);

    insert into p2p.ops_data_quality
      (batch_id, metric_name, metric_value, threshold_value, passed, result, severity, details)
    select
      p_batch_id, v_new.metric_name, v_new.metric_value, v_new.threshold_value, v_new.passed, v_new.result,
      v_new.severity, v_new.details
    where not exists (
      select
      from p2p.ops_data_quality q
      where q.batch_id = p_batch_id
        and q.metric_name = v_new.metric_name
    )
    on conflict (batch_id, metric_name) do nothing; -- somebody else checks the same batch
  end loop;

  return query
  select q.*
  from p2p.ops_data_quality q
  where q.batch_id = p_batch_id
  order by q.metric_name;
end
$function$;

comment on function p2p.run_quality_checks(uuid) is 'Step of load_batch: measures a batch by the rules of quality_rules';

grant execute on function p2p.run_quality_checks(uuid) to p2p_worker;
