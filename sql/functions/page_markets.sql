-- Every market as [number, exchange, fiat, asset, side]: for the status page. Changes nothing; reads what a reader may.
create or replace function p2p.page_markets()
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select coalesce(
    json_agg(
      json_build_array(m.market_id, e.code, f.currency_code, c.symbol, m.trade_type)
      order by e.code, f.currency_code, c.symbol, m.trade_type
    ),
    '[]'
  )
  from p2p.dim_markets m
  join p2p.dim_exchanges e using (exchange_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
$function$;

comment on function p2p.page_markets() is 'Markets of the status page';

grant execute on function p2p.page_markets() to p2p_reader, p2p_worker;
