create or replace view p2p.best_prices as
with newest_books as (
  select
    m.exchange_id,
    m.fiat_id,
    m.crypto_id,
    newest.*
  from p2p.dim_markets m
  cross join lateral (
    select d.trade_type, d.extraction_timestamp, d.min_price, d.max_price, d.median_price
    from p2p.fact_market_depth d
    where d.exchange_id = m.exchange_id
      and d.fiat_id = m.fiat_id
      and d.crypto_id = m.crypto_id
      and d.trade_type = m.trade_type
    order by d.extraction_timestamp desc
    limit 1
  ) as newest
),
pairs as (
  select
    b.exchange_id,
    b.fiat_id,
    b.crypto_id,
    min(b.min_price) filter (where b.trade_type = 'BUY') as best_ask,
    max(b.max_price) filter (where b.trade_type = 'SELL') as best_bid,
    min(b.median_price) filter (where b.trade_type = 'BUY') as median_ask,
    max(b.median_price) filter (where b.trade_type = 'SELL') as median_bid,
    min(b.extraction_timestamp) as as_of
  from newest_books b
  group by b.exchange_id, b.fiat_id, b.crypto_id
)
select
  f.currency_code || '/' || c.symbol as pair,
  p.best_ask,
  p.best_bid,
  round(200 * (p.best_ask - p.best_bid) / (p.best_ask + p.best_bid), 2) as spread_percent,
  round(p.median_ask, greatest(scale(p.best_ask), 2)) as median_ask,
  round(p.median_bid, greatest(scale(p.best_bid), 2)) as median_bid,
  date_trunc('second', clock_timestamp() - p.as_of) as age,
  e.code as exchange
from pairs p
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
where coalesce(p.best_ask, p.best_bid) is not null
order by f.currency_code, c.symbol;

comment on view p2p.best_prices is 'The best prices of each pair (fiat/asset) in its newest snapshot, with spread and medians';
comment on column p2p.best_prices.best_ask is 'Lowest price to buy the asset at; NULL where nobody sells it';
comment on column p2p.best_prices.best_bid is 'Highest price to sell the asset at; NULL where nobody buys it';
comment on column p2p.best_prices.spread_percent is 'best_ask - best_bid, of their middle; negative ones are real on this market';
comment on column p2p.best_prices.age is 'Since the snapshot; since the older one where the two sides are of different ones. A market that is no longer listed keeps its last';

grant select on p2p.best_prices to p2p_reader;
