-- Takes in what the exchange lists: fiats, assets, markets.
-- Expects
--   p_fiats    [{"code": "VES", "country": "VE"}, …]
--   p_markets  [{"fiat": "VES", "asset": "USDT", "assetName": "Tether", "side": "BUY"}, …]
--   p_covered  fiats whose list was read; '*' among them: all fiats were. A market of theirs that is not in
--              p_markets becomes inactive; markets of other fiats stay as they are.
-- Changes dimensions, dim_markets, ops_discoveries. A second call with the same lists only moves the times.
-- Returns how many markets of the exchange are active.
create or replace function p2p.store_market_list(
  p_exchange text,
  p_fiats jsonb,
  p_markets jsonb,
  p_covered text[],
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

  insert into p2p.dim_fiat_currencies as f (currency_code, country_code)
  select
    listed.code,
    max(listed.country)
  from (
    select value ->> 'code' as code, nullif(value ->> 'country', '') as country
    from jsonb_array_elements(p_fiats)
    union all
    select value ->> 'fiat', null
    from jsonb_array_elements(p_markets)
  ) as listed
  group by listed.code
  on conflict (currency_code) do update
  set country_code = excluded.country_code
  where f.country_code is distinct from excluded.country_code
    and excluded.country_code is not null;

  insert into p2p.dim_cryptocurrencies as c (symbol, name, binance_asset_code)
  select
    value ->> 'asset',
    max(nullif(value ->> 'assetName', '')),
    case when p_exchange = 'binance' then value ->> 'asset' end
  from jsonb_array_elements(p_markets)
  group by value ->> 'asset'
  on conflict (symbol) do update
  set
    name = coalesce(excluded.name, c.name),
    binance_asset_code = coalesce(excluded.binance_asset_code, c.binance_asset_code)
  where (c.name, c.binance_asset_code)
    is distinct from (coalesce(excluded.name, c.name), coalesce(excluded.binance_asset_code, c.binance_asset_code));

  insert into p2p.dim_markets (exchange_id, fiat_id, crypto_id, trade_type, first_listed_at, last_listed_at)
  select distinct
    v_exchange_id,
    f.fiat_id,
    c.crypto_id,
    listed.value ->> 'side',
    p_now,
    p_now
  from jsonb_array_elements(p_markets) as listed
  join p2p.dim_fiat_currencies f on f.currency_code = listed.value ->> 'fiat'
  join p2p.dim_cryptocurrencies c on c.symbol = listed.value ->> 'asset'
  on conflict (exchange_id, fiat_id, crypto_id, trade_type) do update
  set
    is_active = true,
    last_listed_at = excluded.last_listed_at;

  update p2p.dim_markets m
  set is_active = false
  from p2p.dim_fiat_currencies f
  where m.exchange_id = v_exchange_id
    and m.fiat_id = f.fiat_id
    and m.is_active
    and m.last_listed_at < p_now
    and ('*' = any (p_covered) or f.currency_code = any (p_covered));

  insert into p2p.ops_discoveries (exchange_id, fiat_code, discovered_at)
  select v_exchange_id, covered.fiat_code, p_now
  from (select distinct unnest(p_covered) as fiat_code) as covered
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

comment on function p2p.store_market_list(text, jsonb, jsonb, text[], timestamptz) is 'Takes in fiats, assets and markets that the exchange lists';
