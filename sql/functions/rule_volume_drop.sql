-- Quality rule. Metric: percent of its available amount that an asset has lost since the same time of the day before
-- (median of the hour and a half on either side), the greatest of all assets of all exchanges; 0 where none lost anything. The same
-- time, because books double between night and noon: the average of a day would call every night a drop.
-- Comparable are books that are complete now and in at least 3 snapshots of then, with 10 offers or more then; amounts
-- of one asset add up over fiats. NULL until there is a day of history, and for assets of fewer than 50 such offers.
-- One whale can halve a book (0.2 to 0.4 % of half hours do), so that below 5,000 offers the drop counts no more than
-- the percentage of offers that went with it: the amount must go, and the offers too.
-- Offending rows: assets beyond the first threshold of rule volume_drop, the worst first.
-- Compares with the batch's own time. Served by the unique key of fact_market_depth (one book by time). Only reads.
create or replace function p2p.rule_volume_drop(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_ago constant interval := make_interval(mins => (p2p.setting_number('volume_history_hours') * 60)::integer);
  c_around constant interval := interval '90 minutes';
  c_snapshots constant integer := 3;
  c_offers constant integer := 10;
  c_asset_offers constant integer := 50;
  c_many_offers constant integer := 5000;
  v_threshold constant numeric := (
    select coalesce(r.warning_threshold, r.error_threshold)
    from p2p.quality_rules r
    where r.name = 'volume_drop'
  );
  v_finding p2p.rule_finding;
begin
  with books as (
    select
      d.exchange_id,
      d.crypto_id,
      d.total_available_volume as volume,
      d.total_offers_count as offers,
      history.usual_volume,
      history.usual_offers
    from p2p.fact_market_depth d
    cross join lateral (
      select
        percentile_disc(0.5) within group (order by h.total_available_volume) as usual_volume,
        percentile_disc(0.5) within group (order by h.total_offers_count) as usual_offers,
        count(*) as snapshots
      from p2p.fact_market_depth h
      where h.exchange_id = d.exchange_id
        and h.fiat_id = d.fiat_id
        and h.crypto_id = d.crypto_id
        and h.trade_type = d.trade_type
        and h.extraction_timestamp >= v_now - v_ago - c_around
        and h.extraction_timestamp <= v_now - v_ago + c_around
        and h.is_complete
    ) as history
    where d.extraction_timestamp = v_now
      and d.is_complete
      and history.snapshots >= c_snapshots
      and history.usual_offers >= c_offers
  ),
  assets as (
    select
      e.code as exchange,
      c.symbol as asset,
      count(*) as books,
      sum(b.volume) as volume,
      sum(b.usual_volume) as usual_volume,
      sum(b.offers) as offers,
      sum(b.usual_offers) as usual_offers,
      100 * (1 - sum(b.volume) / nullif(sum(b.usual_volume), 0)) as volume_lost_percent,
      100 * (1 - sum(b.offers)::numeric / sum(b.usual_offers)) as offers_lost_percent
    from books b
    join p2p.dim_cryptocurrencies c using (crypto_id)
    join p2p.dim_exchanges e using (exchange_id)
    group by e.code, c.symbol
    having sum(b.usual_offers) >= c_asset_offers
  ),
  judged as (
    select
      a.*,
      greatest(
        0,
        case
          when a.usual_offers >= c_many_offers then a.volume_lost_percent
          else least(a.volume_lost_percent, a.offers_lost_percent)
        end
      ) as drop_percent
    from assets a
  )
  select
    round(max(j.drop_percent), 2),
    jsonb_agg(
      jsonb_build_object(
        'exchange', j.exchange,
        'asset', j.asset,
        'volume', j.volume,
        'usual_volume', j.usual_volume,
        'offers', j.offers,
        'usual_offers', j.usual_offers,
        'books', j.books,
        'drop_percent', round(j.drop_percent, 2)
      )
      order by j.drop_percent desc, j.asset, j.exchange
    ) filter (where j.drop_percent > v_threshold)
  into v_finding
  from judged j;
  return v_finding;
end
$function$;

comment on function p2p.rule_volume_drop(uuid) is 'Quality rule: available amount of an asset against the day before';

grant execute on function p2p.rule_volume_drop(uuid) to p2p_worker;
