-- The mission's sample: v_price_history of one market over the month.
-- aggregate: yes
select h.time_bucket, h.avg_price, h.min_price, h.max_price, h.price_volatility, h.total_volume, h.offer_count
from p2p.v_price_history h
where h.crypto_symbol = :'asset'
  and h.fiat_code = :'fiat'
  and h.trade_type = :'side'
  and h.time_bucket >= :'since'::timestamptz
order by h.time_bucket
