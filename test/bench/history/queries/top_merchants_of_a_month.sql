-- The mission's sample: who offers most on a market over the month?
-- aggregate: yes
select d.advertiser, d.is_merchant, sum(d.snapshots) as snapshots, avg(d.avg_volume) as volume
from p2p.merchant_daily d
where d.fiat_code = :'fiat'
  and d.crypto_symbol = :'asset'
  and d.trade_type = :'side'
  and d.time_bucket >= :'since'::timestamptz
group by d.advertiser_id, d.advertiser, d.is_merchant
order by volume desc
limit 10
