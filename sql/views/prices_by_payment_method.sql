create or replace view p2p.prices_by_payment_method as
with newest_books as (
  select
    f.currency_code || '/' || c.symbol || ' ' || m.trade_type as market,
    m.exchange_id,
    m.fiat_id,
    m.crypto_id,
    m.trade_type,
    newest.extraction_timestamp
  from p2p.dim_markets m
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  cross join lateral (
    select d.extraction_timestamp
    from p2p.fact_market_depth d
    where d.exchange_id = m.exchange_id
      and d.fiat_id = m.fiat_id
      and d.crypto_id = m.crypto_id
      and d.trade_type = m.trade_type
    order by d.extraction_timestamp desc
    limit 1
  ) as newest
),
-- By name, so that a condition on the market reaches the books before any offer is read.
prices as (
  select
    b.market,
    b.exchange_id,
    b.trade_type,
    method.payment_method_id,
    count(*) as offers,
    min(o.price) as lowest,
    max(o.price) as highest,
    percentile_disc(0.5) within group (order by o.price) as median_price,
    sum(o.available_amount) as available_amount
  from newest_books b
  -- Book by book, which `offset 0` holds the planner to: so only the days of the books are read.
  cross join lateral (
    select f.price, f.available_amount, f.payment_set_id
    from p2p.fact_offers f
    where f.exchange_id = b.exchange_id
      and f.fiat_id = b.fiat_id
      and f.crypto_id = b.crypto_id
      and f.trade_type = b.trade_type
      and f.extraction_timestamp = b.extraction_timestamp
    offset 0
  ) as o
  join p2p.dim_payment_sets s using (payment_set_id)
  cross join unnest(s.payment_method_ids) as method (payment_method_id)
  group by b.market, b.exchange_id, b.trade_type, method.payment_method_id
)
select
  p.market,
  left(coalesce(pm.method_name, pm.method_code), 30) as payment_method,
  p.offers,
  case p.trade_type when 'BUY' then p.lowest else p.highest end as best_price,
  p.median_price,
  p.available_amount,
  e.code as exchange
from prices p
join p2p.dim_payment_methods pm using (payment_method_id)
join p2p.dim_exchanges e on e.exchange_id = p.exchange_id;

comment on view p2p.prices_by_payment_method is 'What each way to pay costs in the newest snapshot of each market (one that is no longer listed keeps its last); an offer counts for every method it takes';
comment on column p2p.prices_by_payment_method.market is 'e.g. VES/USDT BUY';
comment on column p2p.prices_by_payment_method.best_price is 'Best for the taker: the lowest to BUY, the highest to SELL';
comment on column p2p.prices_by_payment_method.median_price is 'A price that was asked: the lower one of the two in the middle';

grant select on p2p.prices_by_payment_method to p2p_reader;
