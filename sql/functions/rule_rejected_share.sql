-- Quality rule. Metric: share of the items on the pages that could not be offers, 0 to 1 (of those rejected and those
-- in the snapshot; repetitions count once), of the exchange that has most: one of which nothing can be read any more
-- is not to vanish behind a larger one. Offending rows: the reasons, with one item each as an example.
-- One or two odd items of fewer than 150 say nothing (0.1 % of all items are rejected on a normal day): NULL. So does
-- a batch without items. Speaks of the batch alone (primary keys). Only reads.
create or replace function p2p.rule_rejected_share(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
set enable_indexscan = off -- statistics take a new batch for one row
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_few_rejected constant integer := 3;
  c_few_items constant integer := 150;
  v_finding p2p.rule_finding;
begin
  with reasons as (
    select
      e.exchange_id,
      e.code as exchange,
      r.reason,
      count(*) as items,
      (array_agg(
        jsonb_build_object(
          'market', format('%s/%s %s', f.currency_code, c.symbol, m.trade_type),
          'page', r.page_number,
          'item', r.item_number
        )
        order by r.market_id, r.page_number, r.item_number
      ))[1] as example
    from p2p.ops_rejected_offers r
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    where r.batch_id = p_batch_id
    group by e.exchange_id, e.code, r.reason
  ),
  taken as (
    select
      f.exchange_id,
      count(*) as items
    from p2p.fact_offers f
    where f.extraction_timestamp = v_now
    group by f.exchange_id
  ),
  refused as (
    select
      r.exchange_id,
      sum(r.items) as items
    from reasons r
    group by r.exchange_id
  ),
  counted as (
    select
      coalesce(refused.items, 0) as rejected,
      coalesce(refused.items, 0) + coalesce(taken.items, 0) as items
    from refused
    full join taken using (exchange_id)
  )
  select
    (
      select round(max(c.rejected / c.items), 6)
      from counted c
      where c.rejected = 0
        or c.rejected >= c_few_rejected
        or c.items >= c_few_items
    ),
    (
      select
        jsonb_agg(
          r.example || jsonb_build_object('exchange', r.exchange, 'reason', r.reason, 'items', r.items)
          order by r.items desc, r.reason, r.exchange
        )
      from reasons r
    )
  into v_finding;
  return v_finding;
end
$function$;

comment on function p2p.rule_rejected_share(uuid) is 'Quality rule: share of the items that could not be offers';

grant execute on function p2p.rule_rejected_share(uuid) to p2p_worker;
