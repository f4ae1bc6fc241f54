-- Quality rule. Metric: share of promoted offers, 0 to 1, in the books of 20 offers or more, of the exchange that has
-- most. Binance puts at most one on a page (62 % of first pages had one in 2026), so that more than 1 in 20 means that
-- the mark has got another meaning. Small books are left out: one promoted of three offers is nothing odd. NULL where
-- all books are small. Offending rows: books beyond the first threshold of rule promoted_share, the worst first.
-- Speaks of the batch alone (primary key of fact_offers). Only reads.
create or replace function p2p.rule_promoted_share(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
set enable_indexscan = off
set enable_sort = off -- statistics take a new batch for one row
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_offers constant integer := 20;
  v_threshold constant numeric := (
    select coalesce(r.warning_threshold, r.error_threshold)
    from p2p.quality_rules r
    where r.name = 'promoted_share'
  );
  v_finding p2p.rule_finding;
begin
  with books as (
    select
      o.exchange_id,
      o.fiat_id,
      o.crypto_id,
      o.trade_type,
      count(*) as offers,
      count(*) filter (where o.is_promoted) as promoted
    from p2p.fact_offers o
    where o.extraction_timestamp = v_now
    group by o.exchange_id, o.fiat_id, o.crypto_id, o.trade_type
    having count(*) >= c_offers
  ),
  named as (
    select
      e.code as exchange,
      format('%s/%s %s', f.currency_code, c.symbol, b.trade_type) as market,
      b.offers,
      b.promoted,
      round(b.promoted::numeric / b.offers, 4) as share
    from books b
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
  ),
  exchanges as (
    select sum(n.promoted) / sum(n.offers) as share
    from named n
    group by n.exchange
  )
  select
    (select round(max(x.share), 6) from exchanges x),
    jsonb_agg(
      jsonb_build_object('exchange', n.exchange, 'market', n.market, 'offers', n.offers, 'promoted', n.promoted)
      order by n.share desc, n.market, n.exchange
    ) filter (where n.share > v_threshold)
  into v_finding
  from named n;
  return v_finding;
end
$function$;

comment on function p2p.rule_promoted_share(uuid) is 'Quality rule: share of promoted offers in the larger books';

grant execute on function p2p.rule_promoted_share(uuid) to p2p_worker;
