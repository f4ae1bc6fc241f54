-- A trader: how did one ad go, from the first time it was seen?
-- aggregate: no
select o.extraction_timestamp, o.price, o.available_amount
from p2p.dim_offers n
join p2p.fact_offers o using (offer_id)
where n.exchange_id = 1
  and n.offer_external_id = :'offer'
order by o.extraction_timestamp
