-- Quality rule. Metric: number of ads that stand in the snapshot more than once. Offending rows: those ads. Speaks of
-- the batch alone (primary key of fact_offers). Only reads.
create or replace function p2p.rule_duplicate_offers(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
set enable_indexscan = off
set enable_sort = off -- statistics take a new batch for one row
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_finding p2p.rule_finding;
begin
  with repeated as (
    select
      f.offer_external_id,
      count(*) as times
    from p2p.fact_offers f
    where f.extraction_timestamp = v_now
    group by f.exchange_id, f.offer_external_id
    having count(*) > 1
  )
  select
    count(*),
    jsonb_agg(
      jsonb_build_object('offer', r.offer_external_id, 'times', r.times)
      order by r.times desc, r.offer_external_id
    )
  into v_finding
  from repeated r;
  return v_finding;
end
$function$;

comment on function p2p.rule_duplicate_offers(uuid) is 'Quality rule: ads that stand in the snapshot more than once';

grant execute on function p2p.rule_duplicate_offers(uuid) to p2p_worker;
