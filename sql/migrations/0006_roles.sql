-- What the roles may do with the tables so far. The owner is whoever runs migrate; p2p_worker is what the worker
-- needs and no more; p2p_reader reads views, facts and the dimensions that facts are read with.

revoke usage on type p2p.parsed_offer from public;

grant usage on type p2p.parsed_offer to p2p_worker;

grant select
on
  p2p.fact_offers, p2p.fact_market_depth, p2p.dim_exchanges, p2p.dim_cryptocurrencies, p2p.dim_fiat_currencies,
  p2p.dim_payment_methods, p2p.dim_payment_sets, p2p.dim_markets, p2p.dim_offers, p2p.dim_advertisers
to p2p_reader, p2p_worker;

grant insert, update
on
  p2p.dim_cryptocurrencies, p2p.dim_fiat_currencies, p2p.dim_payment_methods, p2p.dim_payment_sets, p2p.dim_markets,
  p2p.dim_offers
to p2p_worker;

-- Histories of advertisers are rewritten after a late batch; a snapshot is rewritten when its batch is loaded again.
grant insert, update, delete
on p2p.dim_advertisers, p2p.fact_offers, p2p.fact_market_depth
to p2p_worker;

grant usage
on sequence p2p.dim_advertisers_advertiser_sk_seq
to p2p_worker;

-- Pages are never changed.
grant select, insert
on p2p.stg_responses
to p2p_worker;

grant select, insert, update
on p2p.ops_batch_runs, p2p.ops_batch_markets, p2p.ops_extraction_errors, p2p.ops_data_quality, p2p.ops_discoveries
to p2p_worker;

grant select, insert, update, delete
on p2p.ops_rejected_offers
to p2p_worker;

grant select
on p2p.quality_thresholds, p2p.schema_migrations, p2p.schema_objects
to p2p_worker;
