-- Runs the enabled steps of pipeline_steps on a batch, in order. Returns what became of each.
-- A required step that fails ends it: the work of all steps is undone. An optional one only loses its own.
create or replace function p2p.run_steps(p_batch_id uuid)
returns p2p.ops_batch_steps[]
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_step p2p.pipeline_steps;
  v_outcome p2p.ops_batch_steps;
  v_outcomes p2p.ops_batch_steps[] := '{}'::p2p.ops_batch_steps[];
begin
  -- Variables keep their values when this block is undone.
  begin
    for v_step in
      select s.*
      from p2p.pipeline_steps s
      where s.is_enabled
      order by s.position
    loop
      v_outcome := p2p.run_step(p_batch_id, v_step);
      v_outcomes := v_outcomes || v_outcome;

      if v_outcome.status = 'failed' and v_outcome.is_required then
        raise exception using errcode = 'P2P98', message = 'a required step failed';
      end if;
    end loop;
  exception when sqlstate 'P2P98' then
    v_outcomes := array(
      select
        row(
          o.batch_id, o.load_number, o.position, o.step, o.is_required,
          case o.status when 'ok' then 'undone' else o.status end,
          o.seconds, o.error, o.error_context
        )::p2p.ops_batch_steps
      from unnest(v_outcomes) as o
    );
  end;

  return v_outcomes;
end
$function$;

comment on function p2p.run_steps(uuid) is 'Runs the steps of a load; all of them are undone where a required one fails';

grant execute on function p2p.run_steps(uuid) to p2p_worker;
