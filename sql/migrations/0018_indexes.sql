-- Of a ledger of 600 markets a batch nearly all rows say complete: what does not is found without them.
create index ops_batch_markets_not_whole
on p2p.ops_batch_markets (batch_id)
where status in ('incomplete', 'failed', 'deferred');

comment on index p2p.ops_batch_markets_not_whole is 'missing_markets: what batches did not fetch whole';

comment on column p2p.fact_offers.observed_at is 'When the page with the offer came, to the minute; to the microsecond in stg_responses, as long as the page is kept (offer_origin)';
