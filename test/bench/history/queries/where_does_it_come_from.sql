-- An auditor: from which page and which SQL are the rows of one book at the newest moment?
-- aggregate: no
select o.offer_external_id, o.page_number, o.body_sha256, o.parser_state
from p2p.offer_origin o
where o.extraction_timestamp = :'newest'::timestamptz
  and o.fiat_code = :'fiat'
  and o.crypto_symbol = :'asset'
  and o.trade_type = :'side'
