-- A trader: best prices and spread of a pair at every batch of a day.
-- aggregate: no
select d.extraction_timestamp, d.best_bid, d.best_ask, d.spread_percentage
from p2p.fact_market_depth d
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
where f.currency_code = :'fiat'
  and c.symbol = :'asset'
  and d.trade_type = :'side'
  and d.extraction_timestamp >= :'day'::timestamptz
  and d.extraction_timestamp < :'day'::timestamptz + interval '1 day'
order by d.extraction_timestamp
