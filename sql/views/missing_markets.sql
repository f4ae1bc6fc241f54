create or replace view p2p.missing_markets as
select
  r.batch_start_time,
  f.currency_code as fiat_code,
  c.symbol as crypto_symbol,
  m.trade_type,
  bm.status,
  bm.reason,
  bm.lost_pages,
  bm.pages_stored,
  r.batch_id,
  e.code as exchange
from p2p.ops_batch_markets bm
join p2p.ops_batch_runs r using (batch_id)
join p2p.dim_markets m using (market_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
where bm.status in ('incomplete', 'failed', 'deferred')
  and r.status <> 'running';

comment on view p2p.missing_markets is 'Markets that a batch did not fetch whole, and why';

grant select on p2p.missing_markets to p2p_reader, p2p_worker;
