-- Quality rule. Metric: share, 0 to 1, of the pairs of books (BUY and SELL of the same fiat and asset) whose BUY median
-- lies below the SELL median, of the exchange that has most. Best prices cross on most days (72 % of 25,000 snapshots of
-- one book); medians never did: where they do, sides or prices are mixed up. Judged are pairs that are complete and have
-- 20 offers or more on both sides. NULL where there is none. Offending rows: the crossed pairs, the worst first.
-- Speaks of the batch alone (fact_market_depth_by_time). Only reads.
create or replace function p2p.rule_crossed_median(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
set enable_nestloop = off -- statistics take a new batch for one row
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_offers constant integer := 20;
  v_finding p2p.rule_finding;
begin
  with pairs as (
    select
      e.code as exchange,
      format('%s/%s', f.currency_code, c.symbol) as pair,
      buy.median_price as buy_median,
      sell.median_price as sell_median,
      round((1 - buy.median_price / sell.median_price) * 100, 2) as percent_crossed
    from p2p.fact_market_depth buy
    join p2p.fact_market_depth sell using (extraction_timestamp, exchange_id, fiat_id, crypto_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    where extraction_timestamp = v_now
      and buy.trade_type = 'BUY'
      and sell.trade_type = 'SELL'
      and buy.is_complete
      and sell.is_complete
      and buy.total_offers_count >= c_offers
      and sell.total_offers_count >= c_offers
  ),
  exchanges as (
    select avg((p.buy_median < p.sell_median)::integer) as share
    from pairs p
    group by p.exchange
  )
  select
    (select round(max(x.share), 6) from exchanges x),
    jsonb_agg(to_jsonb(p) order by p.percent_crossed desc, p.pair, p.exchange) filter (where p.buy_median < p.sell_median)
  into v_finding
  from pairs p;
  return v_finding;
end
$function$;

comment on function p2p.rule_crossed_median(uuid) is 'Quality rule: pairs of books whose medians are crossed';

grant execute on function p2p.rule_crossed_median(uuid) to p2p_worker;
