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
  -- What several facts point at is looked up once.
  with facts as materialized (
    select
      f.offer_id, f.offer_external_id, f.advertiser_sk, f.payment_set_id, f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type
    from p2p.fact_offers f
    where f.extraction_timestamp = v_now
  ),
  lost_advertisers as (
    select used.advertiser_sk
    from (
      select distinct f.advertiser_sk
      from facts f
    ) as used
    where not exists (
      select
      from p2p.dim_advertisers a
      where a.advertiser_sk = used.advertiser_sk
    )
  ),
  lost_markets as (
    select used.*
    from (
      select distinct f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type
      from facts f
    ) as used
    where not exists (
      select
      from p2p.dim_markets m
      where (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type)
        = (used.exchange_id, used.fiat_id, used.crypto_id, used.trade_type)
    )
  ),
  lost_payment_sets as (
    select used.payment_set_id
    from (
      select distinct f.payment_set_id
      from facts f
    ) as used
    where not exists (
      select
      from p2p.dim_payment_sets p
      where p.payment_set_id = used.payment_set_id
    )
  ),
  judged as (
    select
      f.offer_external_id,
      f.advertiser_sk in (select l.advertiser_sk from lost_advertisers l) as no_advertiser,
      (f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type) in (select l.* from lost_markets l) as no_market,
      f.payment_set_id in (select l.payment_set_id from lost_payment_sets l) as no_payment_methods,
      o.offer_id is null as no_ad
    from facts f
    left join p2p.dim_offers o on o.offer_id = f.offer_id
  ),
  broken as (
    select
      j.offer_external_id,
      array_remove(
        array[
          case when j.no_advertiser then 'advertiser' end,
          case when j.no_market then 'market' end,
          case when j.no_payment_methods then 'payment methods' end,
          case when j.no_ad then 'ad' end
        ],
        null
      ) as missing
    from judged j
    where j.no_advertiser or j.no_market or j.no_payment_methods or j.no_ad
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
