-- A view, not a materialized one: it is right the moment a batch is loaded, and there is nothing to refresh.
create or replace view p2p.mv_latest_market_state as
with newest_books as (
  select
    m.exchange_id,
    m.fiat_id,
    m.crypto_id,
    m.trade_type,
    newest.extraction_timestamp
  from p2p.dim_markets m
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
payment_names as (
  select
    s.payment_set_id,
    array(
      select coalesce(pm.method_name, pm.method_code)
      from unnest(s.payment_method_ids) with ordinality as method (payment_method_id, position)
      join p2p.dim_payment_methods pm using (payment_method_id)
      order by method.position
    ) as payment_methods
  from p2p.dim_payment_sets s
)
select
  f.offer_external_id,
  c.symbol as crypto_symbol,
  fc.currency_code as fiat_code,
  f.trade_type,
  a.nickname as advertiser,
  a.is_merchant,
  f.price,
  f.available_amount,
  f.min_limit,
  f.max_limit,
  f.completion_rate,
  f.total_orders_count,
  f.extraction_timestamp,
  p.payment_methods,
  f.is_promoted,
  e.code as exchange
from newest_books b
join p2p.dim_cryptocurrencies c on c.crypto_id = b.crypto_id
join p2p.dim_fiat_currencies fc on fc.fiat_id = b.fiat_id
join p2p.dim_exchanges e on e.exchange_id = b.exchange_id
-- Book by book, which `offset 0` holds the planner to: so only the days of the books are read. A join of all books with
-- all offers reads every partition.
cross join lateral (
  select o.*
  from p2p.fact_offers o
  where o.exchange_id = b.exchange_id
    and o.fiat_id = b.fiat_id
    and o.crypto_id = b.crypto_id
    and o.trade_type = b.trade_type
    and o.extraction_timestamp = b.extraction_timestamp
  offset 0
) as f
left join p2p.dim_advertisers a on a.advertiser_sk = f.advertiser_sk
left join payment_names p on p.payment_set_id = f.payment_set_id;

comment on view p2p.mv_latest_market_state is 'Every offer of the newest loaded snapshot of each market. One that is no longer listed, or not fetched since, keeps its last: extraction_timestamp tells';

grant select on p2p.mv_latest_market_state to p2p_reader;
