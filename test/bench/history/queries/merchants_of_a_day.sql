-- An analyst: distinct merchants and advertisers of one market, by hour, over a day.
-- aggregate: yes
select h.time_bucket, h.merchants, h.advertisers
from p2p.market_hourly h
where h.fiat_code = :'fiat'
  and h.crypto_symbol = :'asset'
  and h.trade_type = :'side'
  and h.time_bucket >= :'day'::timestamptz
  and h.time_bucket < :'day'::timestamptz + interval '1 day'
order by h.time_bucket
