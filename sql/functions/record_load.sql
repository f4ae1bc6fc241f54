-- Last act of load_batch: writes down the load, its steps and the SQL that did it, and tells listeners. A load that
-- came to nothing new (the same SQL, the same outcome of every step, nothing changed) leaves no trace, so that
-- calling load_batch twice changes no row.
-- p_sql_set_id is the SQL at the beginning of the load. If somebody changed it since, the batch is not of the SQL of
-- now, and replay takes it again: facts of old SQL never pass for facts of the new.
create or replace function p2p.record_load(
  p_before p2p.ops_batch_runs,
  p_steps p2p.ops_batch_steps[],
  p_began timestamptz,
  p_sql_set_id integer
)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_after p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_before.batch_id);
  v_last p2p.ops_batch_loads;
  v_is_same boolean;
begin
  select l.*
  into v_last
  from p2p.ops_batch_loads l
  where l.batch_id = p_before.batch_id
  order by l.load_number desc
  limit 1;

  v_is_same := found
    and v_last.sql_set_id = p_sql_set_id
    and p_before is not distinct from v_after
    and not exists (
      select s.step, s.status, s.error
      from unnest(p_steps) as s
      except
      select s.step, s.status, s.error
      from p2p.ops_batch_steps s
      where s.batch_id = v_last.batch_id
        and s.load_number = v_last.load_number
    );

  if v_is_same then
    return;
  end if;

  insert into p2p.ops_batch_loads (batch_id, load_number, loaded_at, sql_set_id, status, seconds, offers_changed)
  values (
    v_after.batch_id,
    coalesce(v_last.load_number, 0) + 1,
    p_began,
    p_sql_set_id,
    v_after.status,
    extract(epoch from clock_timestamp() - p_began),
    case
      when p_before.status in ('completed', 'partial') then v_after.total_offers_updated - p_before.total_offers_updated
      else v_after.total_offers_inserted
    end
  )
  returning *
  into v_last;

  insert into p2p.ops_batch_steps (
    batch_id, load_number, position, step, is_required, status, seconds, error, error_context
  )
  select
    v_last.batch_id, v_last.load_number, s.position, s.step, s.is_required, s.status, s.seconds, s.error, s.error_context
  from unnest(p_steps) as s;

  if v_after.status <> p_before.status or v_last.offers_changed > 0 then
    perform p2p.announce_batch(v_last.batch_id);
  end if;
end
$function$;

comment on function p2p.record_load(p2p.ops_batch_runs, p2p.ops_batch_steps[], timestamptz, integer) is 'Last act of load_batch: writes down the load and its steps';

grant execute on function p2p.record_load(p2p.ops_batch_runs, p2p.ops_batch_steps[], timestamptz, integer) to p2p_worker;
