-- How old chunks are packed; when is a policy, made from the settings by apply_policies.
-- A segment is a book, and in it an ad follows itself from snapshot to snapshot, so that nearly every column repeats.
-- By time first, the next row is another ad: three times the bytes. Raw pages stay as they are: each is one compressed
-- value already, and they are gone before anything is packed.
-- Sparse indexes are named, because TimescaleDB otherwise makes bloom filters of pairs of columns that no query asks for
-- together: 2 bytes an offer.
alter table p2p.fact_offers set (
  timescaledb.enable_columnstore,
  timescaledb.segmentby = 'exchange_id, fiat_id, crypto_id, trade_type',
  timescaledb.orderby = 'offer_id, extraction_timestamp',
  timescaledb.sparse_index = 'bloom(advertiser_sk)'
);

alter table p2p.fact_market_depth set (
  timescaledb.enable_columnstore,
  timescaledb.segmentby = 'exchange_id, fiat_id, crypto_id, trade_type',
  timescaledb.orderby = 'extraction_timestamp',
  timescaledb.sparse_index = 'minmax(total_offers_count)'
);
