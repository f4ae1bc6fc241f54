-- Runs one step of a load, in a subtransaction: a step that raises leaves nothing behind but its error, in the row
-- returned. What the step must never be blamed for (a deadlock, a full disk, a server that goes down: classes 40, 53,
-- 55, 57, 58, XX) is raised instead, so that the whole load is tried again.
create or replace function p2p.run_step(p_batch_id uuid, p_step p2p.pipeline_steps)
returns p2p.ops_batch_steps
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_outcome p2p.ops_batch_steps;
  v_began timestamptz := clock_timestamp();
  v_role constant text := current_setting('role');
begin
  v_outcome.batch_id := p_batch_id;
  v_outcome.position := p_step.position;
  v_outcome.step := p_step.name;
  v_outcome.is_required := p_step.is_required;

  begin
    execute p2p.step_call(p_step) using p_batch_id;
    perform set_config('role', v_role, true); -- the steps after it, and what comes then, are not its to change
    set constraints all immediate; -- a constraint that waits for the commit would fail the load, not the step
    v_outcome.status := 'ok';
  exception when assert_failure or others then
    if left(sqlstate, 2) in ('40', '53', '55', '57', '58', 'XX') then
      raise;
    end if;

    get stacked diagnostics v_outcome.error_context = pg_exception_context;
    v_outcome.status := 'failed';
    v_outcome.error := left(sqlerrm, 1000);
    -- Without the lines of load_batch and below, which are the same each time.
    v_outcome.error_context := left(regexp_replace(v_outcome.error_context, '\n[^\n]*run_step\(.*', ''), 2000);
  end;

  v_outcome.seconds := extract(epoch from clock_timestamp() - v_began);
  return v_outcome;
end
$function$;

comment on function p2p.run_step(uuid, p2p.pipeline_steps) is 'Runs one step of a load; what it raises is returned';

grant execute on function p2p.run_step(uuid, p2p.pipeline_steps) to p2p_worker;
