-- A dashboard: what was available of each asset, by hour, over two days, all fiats together?
-- aggregate: yes
select h.time_bucket, h.crypto_symbol, sum(h.avg_volume) as volume, sum(h.avg_offers) as offers
from p2p.market_hourly h
where h.time_bucket >= :'day'::timestamptz
  and h.time_bucket < :'day'::timestamptz + interval '2 days'
group by h.time_bucket, h.crypto_symbol
order by h.time_bucket, h.crypto_symbol
