-- Quality rule. Metric: number of pages whose time makes a snapshot of the batch untrue: read more than an hour after
-- the batch began (all its facts bear the time it began), or dated after the batch was loaded (a clock that is ahead;
-- a minute is granted). Pages from before the batch are temporal_consistency's. Offending rows: those pages.
-- "After it was loaded" is the end of the batch, or now at the first load: so a late load or a replay finds the same.
-- NULL where the batch has no pages. Speaks of the batch alone (primary key of stg_responses). Only reads.
create or replace function p2p.rule_stale_timestamps(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  c_longest_batch constant interval := interval '1 hour';
  c_clock_difference constant interval := interval '1 minute';
  v_finding p2p.rule_finding;
begin
  with pages as (
    select
      e.code as exchange,
      format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as market,
      s.page_number,
      s.observed_at,
      case
        when s.observed_at > coalesce(r.batch_end_time, clock_timestamp()) + c_clock_difference
        then 'dated after it was loaded'
        when s.observed_at > r.batch_start_time + c_longest_batch
        then 'read long after the batch began'
      end as problem
    from p2p.ops_batch_runs r
    join p2p.stg_responses s on s.extraction_timestamp = r.batch_start_time
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    where r.batch_id = p_batch_id
  )
  select
    case when count(*) > 0 then count(p.problem) end,
    jsonb_agg(
      jsonb_build_object(
        'exchange', p.exchange,
        'market', p.market,
        'page', p.page_number,
        'observed_at', p.observed_at,
        'problem', p.problem
      )
      order by p.observed_at desc, p.market, p.page_number
    ) filter (where p.problem is not null)
  into v_finding
  from pages p;
  return v_finding;
end
$function$;

comment on function p2p.rule_stale_timestamps(uuid) is 'Quality rule: pages whose time does not fit their batch';

grant execute on function p2p.rule_stale_timestamps(uuid) to p2p_worker;
