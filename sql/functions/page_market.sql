-- One pair of an exchange for the status page: best prices over so many hours up to its newest book, in 360 parts at most
-- (of each part the last book), and both sides of the newest book: levels with their cumulated volume, and the ten best
-- offers. NULL where there is no such market. Prices that are read are text, those that are drawn are numbers.
-- Changes nothing; reads what a reader may.
create or replace function p2p.page_market(p_exchange text, p_fiat text, p_asset text, p_hours integer)
returns json
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_exchange_id constant smallint := (select e.exchange_id from p2p.dim_exchanges e where e.code = p_exchange);
  v_fiat_id constant smallint := (select f.fiat_id from p2p.dim_fiat_currencies f where f.currency_code = p_fiat);
  v_crypto_id constant smallint := (select c.crypto_id from p2p.dim_cryptocurrencies c where c.symbol = p_asset);
  v_newest_buy timestamptz;
  v_newest_sell timestamptz;
  v_newest timestamptz;
  v_history json;
  v_sides json;
begin
  if not exists (
    select
    from p2p.dim_markets m
    where m.exchange_id = v_exchange_id
      and m.fiat_id = v_fiat_id
      and m.crypto_id = v_crypto_id
  ) then
    return null;
  end if;

  select max(side.newest) filter (where side.trade_type = 'BUY'), max(side.newest) filter (where side.trade_type = 'SELL')
  into v_newest_buy, v_newest_sell
  from (
    values ('BUY'), ('SELL')
  ) as asked (trade_type)
  cross join lateral (
    select d.trade_type, d.extraction_timestamp as newest
    from p2p.fact_market_depth d
    where d.exchange_id = v_exchange_id
      and d.fiat_id = v_fiat_id
      and d.crypto_id = v_crypto_id
      and d.trade_type = asked.trade_type
    order by d.extraction_timestamp desc
    limit 1
  ) as side;

  v_newest := greatest(v_newest_buy, v_newest_sell);

  with books as (
    select
      d.extraction_timestamp as at,
      max(d.best_bid) as bid,
      max(d.best_ask) as ask
    from p2p.fact_market_depth d
    where d.exchange_id = v_exchange_id
      and d.fiat_id = v_fiat_id
      and d.crypto_id = v_crypto_id
      and d.extraction_timestamp > v_newest - make_interval(hours => p_hours)
      and d.extraction_timestamp <= v_newest
    group by d.extraction_timestamp
  ),
  parts as (
    select distinct on (date_bin(make_interval(secs => p_hours * 10), b.at, 'epoch'))
      b.at,
      b.bid,
      b.ask,
      round(200 * (b.ask - b.bid) / nullif(b.ask + b.bid, 0), 3) as spread
    from books b
    order by date_bin(make_interval(secs => p_hours * 10), b.at, 'epoch'), b.at desc
  )
  select json_build_object(
    'at', coalesce(json_agg(extract(epoch from p.at) order by p.at), '[]'),
    'bid', coalesce(json_agg(p.bid order by p.at), '[]'),
    'ask', coalesce(json_agg(p.ask order by p.at), '[]'),
    'spread', coalesce(json_agg(p.spread order by p.at), '[]')
  )
  into v_history
  from parts p;

  with offers as (
    select o.*
    from p2p.fact_offers o
    where o.exchange_id = v_exchange_id
      and o.fiat_id = v_fiat_id
      and o.crypto_id = v_crypto_id
      and o.trade_type = 'BUY'
      and o.extraction_timestamp = v_newest_buy
    union all
    select o.*
    from p2p.fact_offers o
    where o.exchange_id = v_exchange_id
      and o.fiat_id = v_fiat_id
      and o.crypto_id = v_crypto_id
      and o.trade_type = 'SELL'
      and o.extraction_timestamp = v_newest_sell
  ),
  -- How far from the best price for the taker: low is best to buy, high to sell.
  ranked as (
    select
      o.*,
      case o.trade_type when 'BUY' then o.price else -o.price end as distance
    from offers o
  ),
  best as (
    select r.*, row_number() over (partition by r.trade_type order by r.distance, r.offer_id) as place
    from ranked r
  ),
  best_offers as (
    select
      b.trade_type,
      json_agg(
        json_build_object(
          'price', b.price::text,
          'amount', b.available_amount::text,
          'least', b.min_limit::text,
          'most', b.max_limit::text,
          'advertiser', a.nickname,
          'is_merchant', a.is_merchant,
          'orders', b.total_orders_count,
          'completion', b.completion_rate,
          'methods', methods.names
        )
        order by b.place
      ) as offers
    from best b
    left join p2p.dim_advertisers a using (advertiser_sk)
    left join p2p.dim_payment_sets s using (payment_set_id)
    cross join lateral (
      select array_agg(coalesce(pm.method_name, pm.method_code) order by l.place) as names
      from unnest(s.payment_method_ids[1:6]) with ordinality as l (payment_method_id, place)
      join p2p.dim_payment_methods pm using (payment_method_id)
    ) as methods
    where b.place <= 10
    group by b.trade_type
  ),
  levels as (
    select
      r.trade_type,
      r.distance,
      min(r.price) as price,
      sum(sum(r.available_amount)) over (partition by r.trade_type order by r.distance) as volume,
      count(*) as offers,
      row_number() over (partition by r.trade_type order by r.distance) as place
    from ranked r
    group by r.trade_type, r.distance
  ),
  side_levels as (
    select
      l.trade_type,
      json_agg(l.price order by l.place) filter (where l.place <= 2000) as price,
      json_agg(l.volume order by l.place) filter (where l.place <= 2000) as volume,
      sum(l.offers) as offers
    from levels l
    group by l.trade_type
  )
  select json_object_agg(
    asked.side,
    json_build_object(
      'at', extract(epoch from asked.newest),
      'price', coalesce(l.price, '[]'),
      'volume', coalesce(l.volume, '[]'),
      'total', coalesce(l.offers, 0),
      'offers', coalesce(b.offers, '[]')
    )
  )
  into v_sides
  from (
    values ('asks', 'BUY', v_newest_buy), ('bids', 'SELL', v_newest_sell)
  ) as asked (side, trade_type, newest)
  left join side_levels l using (trade_type)
  left join best_offers b using (trade_type);

  return json_build_object(
    'exchange', p_exchange,
    'fiat', p_fiat,
    'asset', p_asset,
    'hours', p_hours,
    'history', v_history,
    'book', v_sides
  );
end
$function$;

comment on function p2p.page_market(text, text, text, integer) is 'One pair, of the status page';

grant execute on function p2p.page_market(text, text, text, integer) to p2p_reader, p2p_worker;
