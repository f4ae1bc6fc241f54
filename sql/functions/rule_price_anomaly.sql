-- Quality rule. Metric: percent by which the median price of a book lies off its usual one, the greatest of all books.
-- Usual = the median of the book's own medians in the price_history_hours (3) before the batch. Row by row would never do: prices
-- within one book lie apart by 40 to 260 % on any day, while its median moves by less than 5 % a half hour (p99).
-- Judged are books that are complete and have 20 offers or more, now and in at least 3 earlier snapshots: the median
-- of half a book, or of a handful of offers, jumps. NULL where there is no such book, e.g. at the first batches.
-- Offending rows: books beyond the first threshold of rule price_anomaly, the worst first.
-- Compares with the batch's own time, so that a replay finds the same. Served by the unique key of fact_market_depth
-- (one book by time). Only reads.
create or replace function p2p.rule_price_anomaly(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_window constant interval := make_interval(mins => (p2p.setting_number('price_history_hours') * 60)::integer);
  c_offers constant integer := 20;
  c_snapshots constant integer := 3;
  v_threshold constant numeric := (
    select coalesce(r.warning_threshold, r.error_threshold)
    from p2p.quality_rules r
    where r.name = 'price_anomaly'
  );
  v_finding p2p.rule_finding;
begin
  with books as (
    select
      e.code as exchange,
      format('%s/%s %s', f.currency_code, c.symbol, d.trade_type) as market,
      d.median_price,
      history.usual_median,
      abs(d.median_price / history.usual_median - 1) * 100 as percent_off
    from p2p.fact_market_depth d
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    cross join lateral (
      select
        percentile_disc(0.5) within group (order by h.median_price) as usual_median,
        count(*) as snapshots
      from p2p.fact_market_depth h
      where h.exchange_id = d.exchange_id
        and h.fiat_id = d.fiat_id
        and h.crypto_id = d.crypto_id
        and h.trade_type = d.trade_type
        and h.extraction_timestamp >= v_now - v_window
        and h.extraction_timestamp < v_now
        and h.is_complete
        and h.total_offers_count >= c_offers
    ) as history
    where d.extraction_timestamp = v_now
      and d.is_complete
      and d.total_offers_count >= c_offers
      and history.snapshots >= c_snapshots
  )
  select
    round(max(b.percent_off), 2),
    jsonb_agg(
      jsonb_build_object(
        'exchange', b.exchange,
        'market', b.market,
        'median', b.median_price,
        'usual_median', b.usual_median,
        'percent_off', round(b.percent_off, 2)
      )
      order by b.percent_off desc, b.market, b.exchange
    ) filter (where b.percent_off > v_threshold)
  into v_finding
  from books b;
  return v_finding;
end
$function$;

comment on function p2p.rule_price_anomaly(uuid) is 'Quality rule: median of a book against its own last hours';

grant execute on function p2p.rule_price_anomaly(uuid) to p2p_worker;
