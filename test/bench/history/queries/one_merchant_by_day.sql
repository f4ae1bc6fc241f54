-- A merchant: what did I offer, by day?
-- aggregate: yes
select d.time_bucket, d.fiat_code, d.crypto_symbol, d.trade_type, d.avg_offers, d.avg_volume
from p2p.merchant_daily d
where d.advertiser = :'nickname'
order by d.time_bucket
