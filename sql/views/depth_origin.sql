create or replace view p2p.depth_origin as
select
  fiat.currency_code as fiat_code,
  crypto.symbol as crypto_symbol,
  d.trade_type,
  d.extraction_timestamp,
  d.batch_id,
  m.market_id,
  page.pages,
  page.body_sha256,
  l.load_number,
  l.loaded_at,
  left(v.fingerprint, 12) as depth_fingerprint,
  sv.state as depth_state,
  left(t.fingerprint, 12) as set_fingerprint,
  l.sql_set_id,
  e.code as exchange
from p2p.fact_market_depth d
join p2p.dim_markets m using (exchange_id, fiat_id, crypto_id, trade_type)
join p2p.dim_fiat_currencies fiat using (fiat_id)
join p2p.dim_cryptocurrencies crypto using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
cross join lateral (
  select
    count(*) as pages,
    array_agg(encode(s.body_sha256, 'hex') order by s.page_number) as body_sha256
  from p2p.stg_responses s
  where s.extraction_timestamp = d.extraction_timestamp
    and s.market_id = m.market_id
) as page
left join p2p.ops_batch_loads l
  on l.batch_id = d.batch_id
  and not exists (
    select
    from p2p.ops_batch_loads newer
    where newer.batch_id = l.batch_id
      and newer.load_number > l.load_number
  )
left join p2p.sql_sets t on t.sql_set_id = l.sql_set_id
left join (
  p2p.sql_set_versions sv
  join p2p.sql_versions v on v.version_id = sv.version_id
)
  on sv.sql_set_id = l.sql_set_id
  and v.identity = 'function p2p.load_depth(uuid)';

comment on view p2p.depth_origin is 'Where each row of fact_market_depth comes from: the pages of its book, their checksums, and the SQL that counted them. Give it an extraction_timestamp';
comment on column p2p.depth_origin.body_sha256 is 'Of the pages as received, in their order; NULL where they are no longer kept';
comment on column p2p.depth_origin.depth_fingerprint is 'Of load_depth: see sql_history, batch_sql';

grant select on p2p.depth_origin to p2p_reader, p2p_worker;
