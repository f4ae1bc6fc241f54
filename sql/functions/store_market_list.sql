-- Takes in what the exchange lists: fiats, assets, markets.
-- Expects
--   p_fiats    [{"code": "VES", "country": "VE"}, …]
--   p_markets  [{"fiat": "VES", "asset": "USDT", "assetName": "Tether", "side": "BUY"}, …]
--   p_covered  fiats whose markets were read; one of theirs that is not in p_markets becomes inactive.
--              '*' among them: the list of all fiats was read.
--   p_missed   fiats whose markets could not be read: they stay as they are, and are due again at once.
-- Changes dimensions, dim_markets, ops_discoveries. A second call with the same lists only moves the times.
-- Returns how many markets of the exchange are active.
create or replace function p2p.store_market_list(
  p_exchange text,
  p_fiats jsonb,
  p_markets jsonb,
  p_covered text[],
  p_missed text[],
  p_now timestamptz default clock_timestamp()
)
returns integer
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_exchange_id smallint := (select exchange_id from p2p.dim_exchanges where code = p_exchange);
begin
  lock table p2p.dim_markets in share row exclusive mode;

  -- MERGE, because `insert … on conflict` takes a number from the sequence for every row that is there already:
  -- the few thousand numbers of a smallint would be used up within days.
  merge into p2p.dim_fiat_currencies as f
  using (
    select
      listed.code,
      max(listed.country) as country
    from (
      select value ->> 'code' as code, nullif(value ->> 'country', '') as country
      from jsonb_array_elements(p_fiats)
      union all
      select value ->> 'fiat', null
      from jsonb_array_elements(p_markets)
    ) as listed
    group by listed.code
  ) as listed
  on f.currency_code = listed.code
  when matched and f.country_code is distinct from coalesce(listed.country, f.country_code) then
    update set country_code = listed.country
  when not matched then
    insert (currency_code, country_code)
    values (listed.code, listed.country);

  merge into p2p.dim_cryptocurrencies as c
  using (
    select
      value ->> 'asset' as symbol,
      max(nullif(value ->> 'assetName', '')) as name,
      case when p_exchange = 'binance' then value ->> 'asset' end as binance_asset_code
    from jsonb_array_elements(p_markets)
    group by value ->> 'asset'
  ) as listed
  on c.symbol = listed.symbol
  when matched and (c.name, c.binance_asset_code)
    is distinct from (coalesce(listed.name, c.name), coalesce(listed.binance_asset_code, c.binance_asset_code)) then
    update set
      name = coalesce(listed.name, c.name),
      binance_asset_code = coalesce(listed.binance_asset_code, c.binance_asset_code)
  when not matched then
    insert (symbol, name, binance_asset_code)
    values (listed.symbol, listed.name, listed.binance_asset_code);

  merge into p2p.dim_markets as m
  using (
    select distinct
      f.fiat_id,
      c.crypto_id,
      listed.value ->> 'side' as trade_type
    from jsonb_array_elements(p_markets) as listed
    join p2p.dim_fiat_currencies f on f.currency_code = listed.value ->> 'fiat'
    join p2p.dim_cryptocurrencies c on c.symbol = listed.value ->> 'asset'
  ) as listed
  on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type)
    = (v_exchange_id, listed.fiat_id, listed.crypto_id, listed.trade_type)
  when matched then
    update set
      is_active = true,
      last_listed_at = p_now
  when not matched then
    insert (exchange_id, fiat_id, crypto_id, trade_type, first_listed_at, last_listed_at)
    values (v_exchange_id, listed.fiat_id, listed.crypto_id, listed.trade_type, p_now, p_now);

  update p2p.dim_markets m
  set is_active = false
  from p2p.dim_fiat_currencies f
  where m.exchange_id = v_exchange_id
    and m.fiat_id = f.fiat_id
    and m.is_active
    and m.last_listed_at <> p_now
    and f.currency_code = any (p_covered);

  insert into p2p.ops_discoveries (exchange_id, fiat_code, discovered_at)
  select v_exchange_id, asked.fiat_code, max(asked.discovered_at)
  from (
    select covered.fiat_code, p_now
    from unnest(p_covered) as covered (fiat_code)
    union all
    select missed.fiat_code, '-infinity'
    from unnest(p_missed) as missed (fiat_code)
  ) as asked (fiat_code, discovered_at)
  group by asked.fiat_code
  on conflict (exchange_id, fiat_code) do update
  set discovered_at = excluded.discovered_at;

  return (
    select count(*)
    from p2p.dim_markets m
    where m.exchange_id = v_exchange_id
      and m.is_active
  );
end
$function$;

comment on function p2p.store_market_list(text, jsonb, jsonb, text[], text[], timestamptz) is 'Takes in fiats, assets and markets that the exchange lists';

grant execute on function p2p.store_market_list(text, jsonb, jsonb, text[], text[], timestamptz) to p2p_worker;
