-- Runs one quality rule on one batch and judges it. Part of run_quality_checks. Writes nothing, and sees to it that
-- the rule does not either: it runs in a subtransaction that is read-only.
-- A rule that fails in any way of its own is broken, and the batch goes on. Trouble of the server or of the
-- transaction (deadlock, shutdown, cancel, I/O) is not the rule's: it is raised.
create or replace function p2p.run_rule(p_rule p2p.quality_rules, p_batch_id uuid)
returns p2p.ops_data_quality
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_function constant text := p2p.rule_function(p_rule.function);
  v_findings p2p.rule_finding[];
  v_metric numeric;
  v_offending_rows jsonb;
  v_problem text;
  v_row p2p.ops_data_quality;
begin
  begin
    set local transaction_read_only = on; -- until the end of this block

    if v_function is not null then
      execute format('select array_agg(f.finding) from (select %s($1) as finding limit 2) as f', v_function)
      into v_findings
      using p_batch_id;
    end if;

    v_metric := v_findings[1].metric;
    v_offending_rows := coalesce(v_findings[1].offending_rows, '[]');
    v_problem := case
      when v_function is null
      then format('there is no function %s(uuid) that returns p2p.rule_finding any more', p_rule.function)
      when v_findings is null or num_nulls(v_findings[1]) = 1 then 'the rule returned no row'
      when cardinality(v_findings) > 1 then 'the rule returned several rows'
      when v_metric in ('NaN', 'Infinity', '-Infinity') then format('the rule measured %s', v_metric)
      when jsonb_typeof(v_offending_rows) <> 'array'
      then format('offending_rows is a JSON %s, not an array', jsonb_typeof(v_offending_rows))
    end;
  exception when others or assert_failure then
    if left(sqlstate, 2) in ('40', '57', '58') then
      raise;
    end if;
    v_problem := format('%s (SQLSTATE %s)', left(sqlerrm, 500), sqlstate);
  end;

  v_row.batch_id := p_batch_id;
  v_row.metric_name := p_rule.name;
  v_row.severity := p_rule.severity;
  v_row.metric_value := case when v_problem is null then v_metric end;
  v_row.result := case
    when v_problem is not null then 'broken'
    when v_metric is null then 'ok'
    when p2p.is_beyond(v_metric, p_rule.is_bad_when, p_rule.error_threshold) then p_rule.severity
    when p2p.is_beyond(v_metric, p_rule.is_bad_when, p_rule.warning_threshold) then 'warning'
    else 'ok'
  end;
  v_row.passed := v_row.result = 'ok';
  v_row.threshold_value := case
    when p2p.is_beyond(v_metric, p_rule.is_bad_when, p_rule.error_threshold) then p_rule.error_threshold
    else coalesce(p_rule.warning_threshold, p_rule.error_threshold)
  end;
  v_row.details := case
    when v_problem is not null then jsonb_build_object('message', v_problem)
    else
      jsonb_build_object(
        'offenders', jsonb_array_length(v_offending_rows),
        'samples', p2p.samples_of(v_offending_rows)
      )
      || case when v_metric is null then '{"note": "nothing to judge"}'::jsonb else '{}' end
  end;
  return v_row;
end
$function$;

comment on function p2p.run_rule(p2p.quality_rules, uuid) is 'Runs one quality rule on one batch and judges what it found';

grant execute on function p2p.run_rule(p2p.quality_rules, uuid) to p2p_worker;
