-- An auditor: one whole book at a moment of the past, offer by offer.
-- aggregate: no
select o.price, o.available_amount, o.min_limit, o.max_limit, a.nickname
from p2p.fact_offers o
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_advertisers a using (advertiser_sk)
where f.currency_code = :'fiat'
  and c.symbol = :'asset'
  and o.trade_type = :'side'
  and o.exchange_id = 1
  and o.extraction_timestamp = (
    select max(r.batch_start_time)
    from p2p.ops_batch_runs r
    where r.batch_start_time <= :'moment'::timestamptz
  )
order by o.price
