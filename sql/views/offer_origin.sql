create or replace view p2p.offer_origin as
select
  f.offer_external_id,
  f.extraction_timestamp,
  f.batch_id,
  f.offer_id,
  fiat.currency_code as fiat_code,
  crypto.symbol as crypto_symbol,
  f.trade_type,
  m.market_id,
  f.page_number,
  coalesce(s.observed_at, f.observed_at) as observed_at,
  encode(s.body_sha256, 'hex') as body_sha256,
  s.parser,
  l.load_number,
  l.loaded_at,
  left(v.fingerprint, 12) as parser_fingerprint,
  sv.state as parser_state,
  left(t.fingerprint, 12) as set_fingerprint,
  l.sql_set_id,
  array_to_string(r.imported_from, ', ') as imported_from,
  e.code as exchange
from p2p.fact_offers f
join p2p.dim_markets m using (exchange_id, fiat_id, crypto_id, trade_type)
join p2p.dim_fiat_currencies fiat using (fiat_id)
join p2p.dim_cryptocurrencies crypto using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
left join p2p.ops_batch_runs r on r.batch_id = f.batch_id
left join p2p.stg_responses s
  on s.extraction_timestamp = f.extraction_timestamp
  and s.market_id = m.market_id
  and s.page_number = f.page_number
left join p2p.ops_batch_loads l
  on l.batch_id = f.batch_id
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
  and v.identity = 'function p2p.' || quote_ident('parse_' || s.parser) || '(uuid)';

comment on view p2p.offer_origin is 'Where each row of fact_offers comes from: the page, its checksum, and the SQL that read it. Give it an extraction_timestamp, or an offer_id with one';
comment on column p2p.offer_origin.observed_at is 'When the page came; to the minute where it is no longer kept';
comment on column p2p.offer_origin.body_sha256 is 'Of the page as received; NULL where the page is no longer kept';
comment on column p2p.offer_origin.parser_fingerprint is 'Of the function that read the page: see sql_history, batch_sql';
comment on column p2p.offer_origin.set_fingerprint is 'Of all the SQL of that load';
comment on column p2p.offer_origin.imported_from is 'Files that others had recorded its batch in; NULL: fetched here';

grant select on p2p.offer_origin to p2p_reader, p2p_worker;
