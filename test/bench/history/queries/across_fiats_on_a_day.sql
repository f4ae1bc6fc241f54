-- An arbitrageur: where was USDT dear and where cheap, beside its usual spread, on a day?
-- aggregate: yes
select d.fiat_code, d.trade_type, d.median_close, d.weighted_avg_price, d.avg_spread_percentage
from p2p.market_daily d
where d.crypto_symbol = 'USDT'
  and d.time_bucket = :'day'::timestamptz
order by d.avg_spread_percentage desc nulls last
