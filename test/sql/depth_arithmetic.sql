-- The numbers of every book, computed apart from load_depth, in other words, from the items on the pages:
-- medians by percentile_cont's definition over ranks, deviation by its definition, top 10 by counting who is better.

select setseed(0.2026);

do $$
declare
  v_round integer;
  v_batch_id uuid;
  v_difference record;
begin
  for v_round in 1 .. 12 loop
    -- Books of 0 to 40 offers; prices with few digits, so that ties are common.
    v_batch_id := test.load_batch(
      '2026-03-01'::timestamptz + v_round * interval '10 minutes',
      (
        select jsonb_object_agg(book.name, book.offers)
        from (
          select
            market.name,
            coalesce(
              jsonb_agg(
                test.offer(
                  p_number => concat(v_round, market.name, n.number),
                  p_price => round((30 + 10 * random())::numeric, (3 * random())::integer)::text,
                  p_amount => round((500 * random())::numeric, (8 * random())::integer)::text
                )
              ) filter (where n.number is not null),
              '[]'
            ) as offers
          from unnest(array['VES/USDT BUY', 'VES/USDT SELL', 'ARS/BTC BUY', 'ARS/BTC SELL']) as market (name)
          left join generate_series(1, 40) as n (number) on n.number <= 40 * abs(sin(v_round * 1.7 + length(market.name)))
          group by market.name
        ) as book
      )
    );

    with offers as (
      select
        s.market_id,
        m.trade_type,
        item.value -> 'adv' ->> 'advNo' as number,
        (item.value -> 'adv' ->> 'price')::numeric as price,
        (item.value -> 'adv' ->> 'surplusAmount')::numeric as amount
      from p2p.stg_responses s
      join p2p.dim_markets m using (market_id)
      cross join jsonb_array_elements(s.body -> 'data') as item
      where s.batch_id = v_batch_id
    ),
    judged as (
      -- How many offers of the same book a taker would rather have.
      select
        o.*,
        (
          select count(*)
          from offers better
          where better.market_id = o.market_id
            and case o.trade_type when 'BUY' then better.price < o.price else better.price > o.price end
        ) as better,
        (select avg(b.price) from offers b where b.market_id = o.market_id) as average
      from offers o
    ),
    expected as (
      select
        j.market_id,
        count(*) as offers,
        sum(j.amount) as volume,
        sum(j.amount * j.price) / nullif(sum(j.amount), 0) as weighted,
        ((array_agg(j.price order by j.price))[(count(*) + 1) / 2] + (array_agg(j.price order by j.price))[count(*) / 2 + 1]) / 2 as median,
        (array_agg(j.price order by j.price))[1] as lowest,
        (array_agg(j.price order by j.price desc))[1] as highest,
        sqrt(avg((j.price - j.average) * (j.price - j.average))) as deviation,
        -- Prices may tie at the tenth place; their average does not care which of them is in.
        (
          select avg(top.price)
          from (select t.price from judged t where t.market_id = j.market_id order by t.better limit 10) as top
        ) as top10_price
      from judged j
      group by j.market_id
    )
    select m.market_id, e, d
    into v_difference
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    left join p2p.fact_market_depth d
      on d.batch_id = v_batch_id
      and (d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type) = (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type)
    left join expected e on e.market_id = m.market_id
    where bm.batch_id = v_batch_id
      and (
        d.total_offers_count, d.total_available_volume, round(d.weighted_avg_price, 9), round(d.median_price, 9), d.min_price,
        d.max_price, round(d.price_std_dev, 9), round(d.top10_avg_price, 9)
      ) is distinct from (
        coalesce(e.offers, 0)::integer, coalesce(e.volume, 0), round(e.weighted, 9), round(e.median, 9), e.lowest,
        e.highest, round(e.deviation, 9), round(e.top10_price, 9)
      )
    limit 1;

    assert not found, format('round %s: %s', v_round, v_difference);
  end loop;

  assert (select count(*) from p2p.fact_market_depth) = 48, 'each book of each batch has its row';
  assert (select count(distinct total_offers_count) from p2p.fact_market_depth) > 10, 'books of many sizes were tried';
end
$$;

-- Both books of a market tell the same spread, and it follows from the best prices.
do $$
begin
  assert not exists (
    select
    from p2p.fact_market_depth d
    join p2p.fact_market_depth other using (extraction_timestamp, exchange_id, fiat_id, crypto_id)
    where (d.best_bid, d.best_ask, d.spread_absolute) is distinct from (other.best_bid, other.best_ask, other.spread_absolute)
      or d.best_ask is distinct from (case when d.trade_type = 'BUY' then d.min_price when other.trade_type = 'BUY' then other.min_price else d.best_ask end)
      or d.best_bid is distinct from (case when d.trade_type = 'SELL' then d.max_price when other.trade_type = 'SELL' then other.max_price else d.best_bid end)
      or d.spread_absolute is distinct from d.best_ask - d.best_bid
      or round(d.spread_percentage, 9) is distinct from round(100 * (d.best_ask - d.best_bid) / ((d.best_ask + d.best_bid) / 2), 9)
  ), 'spreads follow from the best prices';
end
$$;
