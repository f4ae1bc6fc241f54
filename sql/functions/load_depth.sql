-- Step 7 of load_batch: each book that was fetched, in one row. A book that is empty has a row with 0 offers.
-- A second call changes no row unless the offers changed.
create or replace function p2p.load_depth(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
set enable_nestloop = off -- statistics know nothing of a new batch: taken for one row, all books would be looked through for each
as $function$
declare
  v_now timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
begin
  delete from p2p.fact_market_depth d
  where d.extraction_timestamp = v_now
    and not exists (
      select
      from p2p.ops_batch_markets bm
      join p2p.dim_markets m on m.market_id = bm.market_id
      where bm.batch_id = p_batch_id
        and bm.status in ('complete', 'incomplete')
        and (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type)
          = (d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type)
    );

  insert into p2p.fact_market_depth as d (
    extraction_timestamp, batch_id, exchange_id, crypto_id, fiat_id, trade_type, is_complete, total_offers_count,
    total_available_volume, weighted_avg_price, median_price, min_price, max_price, price_std_dev, top10_total_volume,
    top10_avg_price, best_bid, best_ask, spread_absolute, spread_percentage
  )
  with ranked as (
    select
      f.exchange_id,
      f.crypto_id,
      f.fiat_id,
      f.trade_type,
      f.price,
      f.available_amount,
      row_number() over (
        partition by f.exchange_id, f.crypto_id, f.fiat_id, f.trade_type
        order by case f.trade_type when 'BUY' then f.price else -f.price end, f.available_amount desc, f.offer_id
      ) as rank_for_taker,
      count(*) over (partition by f.exchange_id, f.crypto_id, f.fiat_id, f.trade_type) as offers
    from p2p.fact_offers f
    where f.extraction_timestamp = v_now
  ),
  books as (
    select
      r.exchange_id,
      r.crypto_id,
      r.fiat_id,
      r.trade_type,
      count(*)::integer as offers,
      sum(r.available_amount) as volume,
      sum(r.price * r.available_amount) / nullif(sum(r.available_amount), 0) as weighted_avg_price,
      avg(r.price) filter (where r.rank_for_taker in ((r.offers + 1) / 2, (r.offers + 2) / 2)) as median_price,
      min(r.price) as min_price,
      max(r.price) as max_price,
      stddev_pop(r.price) as price_std_dev,
      sum(r.available_amount) filter (where r.rank_for_taker <= 10) as top10_total_volume,
      avg(r.price) filter (where r.rank_for_taker <= 10) as top10_avg_price
    from ranked r
    group by r.exchange_id, r.crypto_id, r.fiat_id, r.trade_type
  ),
  best_prices as (
    select
      b.exchange_id,
      b.crypto_id,
      b.fiat_id,
      max(b.max_price) filter (where b.trade_type = 'SELL') as best_bid,
      min(b.min_price) filter (where b.trade_type = 'BUY') as best_ask
    from books b
    group by b.exchange_id, b.crypto_id, b.fiat_id
  )
  select
    v_now,
    p_batch_id,
    m.exchange_id,
    m.crypto_id,
    m.fiat_id,
    m.trade_type,
    bm.status = 'complete',
    coalesce(b.offers, 0),
    coalesce(b.volume, 0),
    b.weighted_avg_price,
    b.median_price,
    b.min_price,
    b.max_price,
    b.price_std_dev,
    b.top10_total_volume,
    b.top10_avg_price,
    best.best_bid,
    best.best_ask,
    best.best_ask - best.best_bid,
    (best.best_ask - best.best_bid) * 200 / (best.best_ask + best.best_bid)
  from p2p.ops_batch_markets bm
  join p2p.dim_markets m on m.market_id = bm.market_id
  left join books b using (exchange_id, crypto_id, fiat_id, trade_type)
  left join best_prices best using (exchange_id, crypto_id, fiat_id)
  where bm.batch_id = p_batch_id
    and bm.status in ('complete', 'incomplete')
  on conflict (exchange_id, fiat_id, crypto_id, trade_type, extraction_timestamp) do update
  set
    is_complete = excluded.is_complete,
    total_offers_count = excluded.total_offers_count,
    total_available_volume = excluded.total_available_volume,
    weighted_avg_price = excluded.weighted_avg_price,
    median_price = excluded.median_price,
    min_price = excluded.min_price,
    max_price = excluded.max_price,
    price_std_dev = excluded.price_std_dev,
    top10_total_volume = excluded.top10_total_volume,
    top10_avg_price = excluded.top10_avg_price,
    best_bid = excluded.best_bid,
    best_ask = excluded.best_ask,
    spread_absolute = excluded.spread_absolute,
    spread_percentage = excluded.spread_percentage
  where row(
      d.is_complete, d.total_offers_count, d.total_available_volume, d.weighted_avg_price, d.median_price, d.min_price,
      d.max_price, d.price_std_dev, d.top10_total_volume, d.top10_avg_price, d.best_bid, d.best_ask
    )::text is distinct from row(
      excluded.is_complete, excluded.total_offers_count, excluded.total_available_volume, excluded.weighted_avg_price,
      excluded.median_price, excluded.min_price, excluded.max_price, excluded.price_std_dev,
      excluded.top10_total_volume, excluded.top10_avg_price, excluded.best_bid, excluded.best_ask
    )::text; -- as text: 461.50 equals 461.5, and is not the same
end
$function$;

comment on function p2p.load_depth(uuid) is 'Step of load_batch: depth, best prices and spread of each book';

grant execute on function p2p.load_depth(uuid) to p2p_worker;
