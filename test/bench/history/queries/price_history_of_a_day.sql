-- The mission's sample: v_price_history of one market over a day.
-- aggregate: yes
select *
from p2p.v_price_history h
where h.crypto_symbol = :'asset'
  and h.fiat_code = :'fiat'
  and h.time_bucket >= :'day'::timestamptz
  and h.time_bucket < :'day'::timestamptz + interval '1 day'
order by h.trade_type, h.time_bucket
