create or replace view p2p.fact_offer_payment_methods as
select
  f.offer_id,
  f.extraction_timestamp,
  method.payment_method_id,
  method.position = 1 as is_primary
from p2p.fact_offers f
join p2p.dim_payment_sets s using (payment_set_id)
cross join unnest(s.payment_method_ids) with ordinality as method (payment_method_id, position);

comment on view p2p.fact_offer_payment_methods is 'Payment methods of every offer of every batch, one row each; the first that the ad names is the primary one';

grant select on p2p.fact_offer_payment_methods to p2p_reader;
