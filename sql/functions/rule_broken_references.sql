-- Quality rule. Metric: number of facts that point at a dimension row that is not there. Offending rows: those facts,
-- with what is missing. Facts have no foreign keys (they would cost too much): this proves what load_batch promises.
-- Speaks of the batch alone (primary keys of fact_offers and the dimensions). Only reads.
create or replace function p2p.rule_broken_references(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_finding p2p.rule_finding;
begin
  with broken as (
    select
      f.offer_external_id,
      array_remove(
        array[
          case when a.advertiser_sk is null then 'advertiser' end,
          case when m.market_id is null then 'market' end,
          case when p.payment_set_id is null then 'payment methods' end,
          case when o.offer_id is null then 'ad' end
        ],
        null
      ) as missing
    from p2p.fact_offers f
    left join p2p.dim_advertisers a on a.advertiser_sk = f.advertiser_sk
    left join p2p.dim_markets m
      on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type)
    left join p2p.dim_payment_sets p on p.payment_set_id = f.payment_set_id
    left join p2p.dim_offers o on o.offer_id = f.offer_id
    where f.extraction_timestamp = v_now
      and (a.advertiser_sk is null or m.market_id is null or p.payment_set_id is null or o.offer_id is null)
  )
  select
    count(*),
    jsonb_agg(jsonb_build_object('offer', b.offer_external_id, 'missing', b.missing) order by b.offer_external_id)
  into v_finding
  from broken b;
  return v_finding;
end
$function$;

comment on function p2p.rule_broken_references(uuid) is 'Quality rule: facts that point at a missing dimension row';

grant execute on function p2p.rule_broken_references(uuid) to p2p_worker;
