-- The mission's sample: the ten best offers of a market now, with ways to pay.
-- aggregate: no
select s.advertiser, s.is_merchant, s.price, s.available_amount, s.min_limit, s.max_limit, s.payment_methods
from p2p.mv_latest_market_state s
where s.fiat_code = :'fiat'
  and s.crypto_symbol = :'asset'
  and s.trade_type = :'side'
order by case s.trade_type when 'BUY' then s.price else -s.price end
limit 10
