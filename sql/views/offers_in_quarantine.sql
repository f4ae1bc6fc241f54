create or replace view p2p.offers_in_quarantine as
select
  o.reason,
  r.batch_start_time,
  o.batch_id,
  format('%s/%s %s %s:%s', f.currency_code, c.symbol, m.trade_type, o.page_number, o.item_number) as place,
  f.currency_code as fiat_code,
  c.symbol as crypto_symbol,
  m.trade_type,
  o.market_id,
  o.page_number,
  o.item_number,
  o.rejected_at,
  r.raw_deleted_at is null as can_be_loaded,
  o.payload,
  e.code as exchange
from p2p.ops_rejected_offers o
join p2p.ops_batch_runs r using (batch_id)
join p2p.dim_markets m using (market_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
where o.discarded_at is null;

comment on view p2p.offers_in_quarantine is 'Rejected offers that nobody discarded, each with its place and its original JSON';
comment on column p2p.offers_in_quarantine.place is 'Market, page:item';
comment on column p2p.offers_in_quarantine.item_number is 'Place on the page, from 0';
comment on column p2p.offers_in_quarantine.can_be_loaded is 'Whether the page is still there';

grant select on p2p.offers_in_quarantine to p2p_reader, p2p_worker;
