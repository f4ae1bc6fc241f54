-- A compliance officer: everything one advertiser had on offer over a week, under all their names.
-- aggregate: no
select o.extraction_timestamp, o.offer_external_id, a.nickname, o.price, o.available_amount
from p2p.dim_advertisers a
join p2p.fact_offers o using (advertiser_sk)
where a.advertiser_id = :'advertiser'
  and o.extraction_timestamp >= :'day'::timestamptz - interval '6 days'
  and o.extraction_timestamp < :'day'::timestamptz + interval '1 day'
order by o.extraction_timestamp desc
limit 500
