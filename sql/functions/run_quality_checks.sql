-- Step 8 of load_batch: measures the batch and compares with quality_thresholds. Writes one row a check into
-- ops_data_quality; a second call changes a row only where its result changed.
create or replace function p2p.run_quality_checks(p_batch_id uuid)
returns setof p2p.ops_data_quality
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_now timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
begin
  insert into p2p.ops_data_quality as q (batch_id, metric_name, metric_value, threshold_value, passed, details)
  with markets as (
    select
      count(*) as planned,
      count(*) filter (where bm.status = 'complete') as complete,
      coalesce(
        jsonb_object_agg(bm.status, bm.markets) filter (where bm.status <> 'complete'),
        '{}'
      ) as missing
    from (
      select
        bm.status,
        count(*) over (partition by bm.status) as markets
      from p2p.ops_batch_markets bm
      where bm.batch_id = p_batch_id
    ) as bm
  ),
  snapshot as (
    select f.*
    from p2p.fact_offers f
    where f.extraction_timestamp = v_now
  ),
  repeated as (
    select
      count(*) as offers,
      jsonb_agg(r.offer_external_id) filter (where r.place <= 5) as samples
    from (
      select s.offer_external_id, row_number() over () as place
      from snapshot s
      group by s.exchange_id, s.offer_external_id
      having count(*) > 1
    ) as r
  ),
  broken as (
    select count(*) as offers
    from snapshot s
    left join p2p.dim_advertisers a on a.advertiser_sk = s.advertiser_sk
    left join p2p.dim_markets m
      on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (s.exchange_id, s.fiat_id, s.crypto_id, s.trade_type)
    left join p2p.dim_payment_sets p on p.payment_set_id = s.payment_set_id
    left join p2p.dim_offers o on o.offer_id = s.offer_id
    where a.advertiser_sk is null
      or m.market_id is null
      or p.payment_set_id is null
      or o.offer_id is null
  ),
  rejected as (
    select
      coalesce(sum(r.offers), 0) as offers,
      coalesce(jsonb_object_agg(r.reason, r.offers), '{}') as reasons
    from (
      select o.reason, count(*) as offers
      from p2p.ops_rejected_offers o
      where o.batch_id = p_batch_id
      group by o.reason
    ) as r
  ),
  measured (metric_name, metric_value, is_share_at_least, details) as (
    select
      'completeness',
      round(markets.complete::numeric / nullif(markets.planned, 0), 6),
      true,
      jsonb_build_object('planned', markets.planned, 'complete', markets.complete, 'missing', markets.missing)
    from markets
    union all
    select
      'duplicate_offers',
      repeated.offers,
      false,
      jsonb_build_object('samples', coalesce(repeated.samples, '[]'))
    from repeated
    union all
    select 'broken_references', broken.offers, false, '{}'
    from broken
    union all
    select
      'rejected_share',
      round(rejected.offers / nullif(rejected.offers + (select count(*) from snapshot), 0), 6),
      false,
      jsonb_build_object('rejected', rejected.offers, 'reasons', rejected.reasons)
    from rejected
  )
  select
    p_batch_id,
    m.metric_name,
    m.metric_value,
    t.threshold_value,
    case
      when m.is_share_at_least then coalesce(m.metric_value, 0) >= t.threshold_value
      else coalesce(m.metric_value, 0) <= t.threshold_value
    end,
    m.details
  from measured m
  join p2p.quality_thresholds t using (metric_name)
  on conflict (batch_id, metric_name) do update
  set
    check_timestamp = excluded.check_timestamp,
    metric_value = excluded.metric_value,
    threshold_value = excluded.threshold_value,
    passed = excluded.passed,
    details = excluded.details
  where (q.metric_value, q.threshold_value, q.passed, q.details)
    is distinct from (excluded.metric_value, excluded.threshold_value, excluded.passed, excluded.details);

  return query
  select q.*
  from p2p.ops_data_quality q
  where q.batch_id = p_batch_id
  order by q.metric_name;
end
$function$;

comment on function p2p.run_quality_checks(uuid) is 'Measures a batch against quality_thresholds';

grant execute on function p2p.run_quality_checks(uuid) to p2p_worker;
