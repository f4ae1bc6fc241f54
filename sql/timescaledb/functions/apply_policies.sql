-- Makes the policies of TimescaleDB what the settings ask for (wanted_policies): called by migrate, and by the trigger
-- below whenever one of those settings changes. A policy that is as it should be is not touched: what a DBA changed of it
-- by alter_job (the schedule, a pause) stays until its window must change. Returns what was done:
-- made, changed, unchanged, or refused with the reason.
-- For the owner only; jobs belong to the owner of the tables, whoever calls.
create or replace function p2p.apply_policies()
returns table (relation text, policy text, outcome text)
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_schema constant text := p2p.timescaledb_schema();
  v_wanted record;
begin
  for v_wanted in
    select
      w.*,
      format('p2p.%I', w.relation) as name,
      j.job_id,
      case w.policy
        when 'refresh' then
          (j.config ->> 'start_offset')::interval = w.look_back and (j.config ->> 'end_offset')::interval = w.stay_behind
        else (j.config ->> 'compress_after')::interval = w.pack_after
      end as is_so
    from p2p.wanted_policies() w
    left join timescaledb_information.jobs j
      on j.hypertable_schema = 'p2p'
      and j.hypertable_name = w.relation
      and j.proc_name = case w.policy when 'refresh' then 'policy_refresh_continuous_aggregate' else 'policy_compression' end
    order by w.policy desc, w.relation
  loop
    relation := v_wanted.relation;
    policy := v_wanted.policy;
    outcome := case when v_wanted.job_id is null then 'made' when v_wanted.is_so then 'unchanged' else 'changed' end;

    if outcome <> 'unchanged' then
      begin
        if v_wanted.policy = 'refresh' then
          execute format('select %s.remove_continuous_aggregate_policy($1, if_exists => true)', v_schema)
          using v_wanted.name::regclass;
          execute format(
            'select %s.add_continuous_aggregate_policy($1, start_offset => $2, end_offset => $3, schedule_interval => $4)',
            v_schema
          )
          using v_wanted.name::regclass, v_wanted.look_back, v_wanted.stay_behind, v_wanted.every;
        else
          execute format('call %s.remove_columnstore_policy(%L, if_exists => true)', v_schema, v_wanted.name);
          execute format('call %s.add_columnstore_policy(%L, after => %L::interval)', v_schema, v_wanted.name, v_wanted.pack_after);
        end if;
      exception when others then
        outcome := 'refused: ' || sqlerrm;
      end;
    end if;

    return next;
  end loop;
end
$function$;

comment on function p2p.apply_policies() is 'Makes the policies of TimescaleDB what the settings ask for';
