-- A compliance officer: in which markets was an advertiser over the month, and at which prices?
-- aggregate: no
select o.fiat_id, o.crypto_id, o.trade_type, count(*) as rows, min(o.price), max(o.price), min(o.extraction_timestamp)
from p2p.dim_advertisers a
join p2p.fact_offers o using (advertiser_sk)
where a.advertiser_id = :'advertiser'
group by o.fiat_id, o.crypto_id, o.trade_type
