-- An auditor: all books at a moment of the past.
-- aggregate: no
select f.currency_code, c.symbol, d.trade_type, d.total_offers_count, d.total_available_volume, d.best_bid, d.best_ask
from p2p.fact_market_depth d
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
where d.extraction_timestamp = (
  select max(r.batch_start_time)
  from p2p.ops_batch_runs r
  where r.batch_start_time <= :'moment'::timestamptz
)
