-- The mission's sample: who has most on offer in a fiat now?
-- aggregate: no
select s.advertiser, count(*) as offers, sum(s.available_amount) as available
from p2p.mv_latest_market_state s
where s.fiat_code = :'fiat'
  and s.crypto_symbol = :'asset'
  and s.is_merchant
group by s.advertiser
order by available desc
limit 10
