-- An arbitrageur: when were books crossed on a day, and by how much?
-- aggregate: no
select f.currency_code, c.symbol, count(*) as batches, min(d.spread_percentage) as deepest
from p2p.fact_market_depth d
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
where d.extraction_timestamp >= :'day'::timestamptz
  and d.extraction_timestamp < :'day'::timestamptz + interval '1 day'
  and d.trade_type = 'BUY'
  and d.spread_absolute < 0
group by f.currency_code, c.symbol
order by deepest
