-- Part of store_imported_batch: makes the fiats, assets and markets of pages of pg_temp.import_verdicts that the database does
-- not know, and writes their market_id there. Such a market is not active: no batch plans it until discovery lists it.
-- A second call changes nothing.
create or replace function p2p.import_markets(p_import_id uuid, p_time timestamptz)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table import_books on commit drop as
  select distinct s.exchange_id, s.fiat, s.asset, s.trade_type
  from pg_temp.import_verdicts v
  join p2p.stg_import_pages s
    on s.import_id = p_import_id
    and s.file_number = v.file_number
    and s.line_number = v.line_number
  where v.market_id is null
    and v.problem is null;

  if exists (select from pg_temp.import_books) then
    lock table p2p.dim_markets in share row exclusive mode; -- as store_market_list does

    -- `not exists` instead of `on conflict`, which takes a number from the sequence for each row that is there.
    insert into p2p.dim_fiat_currencies (currency_code)
    select distinct b.fiat
    from pg_temp.import_books b
    where not exists (
      select
      from p2p.dim_fiat_currencies f
      where f.currency_code = b.fiat
    );

    insert into p2p.dim_cryptocurrencies (symbol, binance_asset_code)
    select b.asset, max(case when e.code = 'binance' then b.asset end)
    from pg_temp.import_books b
    join p2p.dim_exchanges e using (exchange_id)
    where not exists (
      select
      from p2p.dim_cryptocurrencies c
      where c.symbol = b.asset
    )
    group by b.asset;

    insert into p2p.dim_markets (exchange_id, fiat_id, crypto_id, trade_type, is_active, first_listed_at, last_listed_at)
    select b.exchange_id, f.fiat_id, c.crypto_id, b.trade_type, false, p_time, p_time
    from pg_temp.import_books b
    join p2p.dim_fiat_currencies f on f.currency_code = b.fiat
    join p2p.dim_cryptocurrencies c on c.symbol = b.asset
    where not exists (
      select
      from p2p.dim_markets m
      where (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (b.exchange_id, f.fiat_id, c.crypto_id, b.trade_type)
    );

    update pg_temp.import_verdicts v
    set market_id = m.market_id
    from p2p.stg_import_pages s
    join p2p.dim_fiat_currencies f on f.currency_code = s.fiat
    join p2p.dim_cryptocurrencies c on c.symbol = s.asset
    join p2p.dim_markets m
      on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (s.exchange_id, f.fiat_id, c.crypto_id, s.trade_type)
    where v.market_id is null
      and v.problem is null
      and s.import_id = p_import_id
      and s.file_number = v.file_number
      and s.line_number = v.line_number;
  end if;

  drop table pg_temp.import_books;
end
$function$;

comment on function p2p.import_markets(uuid, timestamptz) is 'Makes the markets that an import brings, not active until discovery lists them';

grant execute on function p2p.import_markets(uuid, timestamptz) to p2p_worker;
