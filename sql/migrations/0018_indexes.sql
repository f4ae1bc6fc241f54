-- What facts say of times. No index is made or dropped here.
comment on column p2p.fact_offers.observed_at is 'When the page with the offer came, to the minute; to the microsecond in stg_responses, as long as the page is kept (offer_origin)';
