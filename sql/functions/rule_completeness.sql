-- Quality rule. Metric: share of the planned markets that were fetched whole, 0 to 1; a batch without any market is
-- not complete, one of markets that are all not due is. Offending rows: the markets that are missing something. Speaks of the batch alone: the ledger
-- (primary key of ops_batch_markets). Only reads.
create or replace function p2p.rule_completeness(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_finding p2p.rule_finding;
begin
  with planned as (
    select
      e.code as exchange,
      format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as market,
      bm.status,
      bm.reason
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    where bm.batch_id = p_batch_id
  )
  select
    coalesce(
      round(avg((p.status = 'complete')::integer) filter (where p.status <> 'not_due'), 6),
      (count(*) > 0)::integer
    ),
    jsonb_agg(
      jsonb_build_object('exchange', p.exchange, 'market', p.market, 'status', p.status, 'reason', p.reason)
      order by p.status, p.market, p.exchange
    ) filter (where p.status not in ('complete', 'not_due'))
  into v_finding
  from planned p;
  return v_finding;
end
$function$;

comment on function p2p.rule_completeness(uuid) is 'Quality rule: share of the planned markets that were fetched whole';

grant execute on function p2p.rule_completeness(uuid) to p2p_worker;
