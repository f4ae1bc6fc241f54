-- A trader: how did the spread of a pair go over the month?
-- aggregate: yes
select d.time_bucket, d.best_close, d.avg_spread_percentage, d.avg_volume
from p2p.market_daily d
where d.fiat_code = :'fiat'
  and d.crypto_symbol = :'asset'
  and d.trade_type = :'side'
order by d.time_bucket
