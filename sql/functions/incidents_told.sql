-- Notes that people were told of these incidents: of the beginning of some, of the end of others. Whoever calls has
-- delivered it, or given it up. A second call changes nothing.
create or replace function p2p.incidents_told(p_begun bigint[], p_ended bigint[])
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  update p2p.ops_incidents i
  set
    begin_told_at = case when i.incident_id = any (p_begun) then coalesce(i.begin_told_at, clock_timestamp()) else i.begin_told_at end,
    end_told_at = case when i.incident_id = any (p_ended) then coalesce(i.end_told_at, clock_timestamp()) else i.end_told_at end
  where i.incident_id = any (p_begun || p_ended)
$function$;

comment on function p2p.incidents_told(bigint[], bigint[]) is 'Notes that people were told of the beginning, or the end, of incidents';

grant execute on function p2p.incidents_told(bigint[], bigint[]) to p2p_worker;
