-- Quality rule: shipped functions and views that were changed live, or dropped, and not adopted, at the time of the
-- load. Offenders: what they are called. The batch itself does not matter.
create or replace function p2p.rule_sql_drift(p_batch_id uuid)
returns p2p.rule_finding
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select
    count(*),
    jsonb_agg(jsonb_build_object('object', s.identity, 'is_missing', s.is_missing) order by s.identity)
  from p2p.object_states s
  where s.state = 'drifted'
$function$;

comment on function p2p.rule_sql_drift(uuid) is 'Quality rule: functions and views changed live and not adopted';

grant execute on function p2p.rule_sql_drift(uuid) to p2p_worker;
