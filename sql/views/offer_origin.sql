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
  f.observed_at,
  encode(s.body_sha256, 'hex') as body_sha256,
  s.parser,
  l.load_number,
  l.loaded_at,
  left(l.parser_fingerprint, 12) as parser_fingerprint,
  l.parser_state,
  left(l.set_fingerprint, 12) as set_fingerprint,
  l.sql_set_id
from p2p.fact_offers f
join p2p.dim_markets m using (exchange_id, fiat_id, crypto_id, trade_type)
join p2p.dim_fiat_currencies fiat using (fiat_id)
join p2p.dim_cryptocurrencies crypto using (crypto_id)
left join p2p.stg_responses s
  on s.extraction_timestamp = f.extraction_timestamp
  and s.market_id = m.market_id
  and s.page_number = f.page_number
left join lateral (
  select
    one.load_number,
    one.loaded_at,
    one.sql_set_id,
    t.fingerprint as set_fingerprint,
    v.fingerprint as parser_fingerprint,
    v.state as parser_state
  from p2p.ops_batch_loads one
  join p2p.sql_sets t using (sql_set_id)
  left join lateral (
    select version.fingerprint, sv.state
    from p2p.sql_versions version
    join p2p.sql_set_versions sv using (version_id)
    where version.identity = format('function p2p.%I(uuid)', 'parse_' || s.parser)
      and sv.sql_set_id = one.sql_set_id
  ) as v on true
  where one.batch_id = f.batch_id
  order by one.load_number desc
  limit 1
) as l on true;

comment on view p2p.offer_origin is 'Where each row of fact_offers comes from: the page, its checksum, and the SQL that read it. Give it an extraction_timestamp, or an offer_id with one';
comment on column p2p.offer_origin.body_sha256 is 'Of the page as received; NULL where the page is no longer kept';
comment on column p2p.offer_origin.parser_fingerprint is 'Of the function that read the page: see sql_history, batch_sql';
comment on column p2p.offer_origin.set_fingerprint is 'Of all the SQL of that load';

grant select on p2p.offer_origin to p2p_reader, p2p_worker;
