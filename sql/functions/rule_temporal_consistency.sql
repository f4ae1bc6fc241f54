-- Quality rule. Metric: number of facts whose times contradict each other: read before their batch began (by more than
-- a minute, which clocks may differ; observed_at of a fact is whole minutes, so that two minutes are sure to be found), or described by an advertiser row that does not hold at the time of the batch.
-- Offending rows: those facts, with what is wrong. Speaks of the batch alone (primary keys of fact_offers and
-- dim_advertisers). Only reads.
create or replace function p2p.rule_temporal_consistency(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_earliest constant timestamptz := date_trunc('minute', v_now - interval '1 minute', 'UTC');
  v_finding p2p.rule_finding;
begin
  with contradictions as (
    select
      f.offer_external_id,
      f.observed_at,
      array_remove(
        array[
          case when f.observed_at < c_earliest then 'read before its batch began' end,
          case
            when v_now < a.effective_date or v_now >= a.expiration_date
            then 'advertiser row does not hold at this time'
          end
        ],
        null
      ) as problems
    from p2p.fact_offers f
    left join p2p.dim_advertisers a on a.advertiser_sk = f.advertiser_sk
    where f.extraction_timestamp = v_now
      and (
        f.observed_at < c_earliest
        or v_now < a.effective_date
        or v_now >= a.expiration_date
      )
  )
  select
    count(*),
    jsonb_agg(
      jsonb_build_object('offer', c.offer_external_id, 'observed_at', c.observed_at, 'problems', c.problems)
      order by c.observed_at, c.offer_external_id
    )
  into v_finding
  from contradictions c;
  return v_finding;
end
$function$;

comment on function p2p.rule_temporal_consistency(uuid) is 'Quality rule: facts whose times contradict each other';

grant execute on function p2p.rule_temporal_consistency(uuid) to p2p_worker;
