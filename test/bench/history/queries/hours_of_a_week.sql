-- A chart in Grafana: open, high, low, close of one market, by hour, over a week.
-- aggregate: yes
select h.time_bucket, h.best_open, h.best_high, h.best_low, h.best_close, h.median_close, h.avg_volume
from p2p.market_hourly h
where h.fiat_code = :'fiat'
  and h.crypto_symbol = :'asset'
  and h.trade_type = :'side'
  and h.time_bucket >= :'newest'::timestamptz - interval '7 days'
order by h.time_bucket
