-- What the scripts of test/sql/*.sql may use: schema test, with functions that make offers and batches.

create schema test;

-- An item of a page as Binance sends it. p_adv and p_advertiser replace single fields.
create function test.offer(
  p_number text default '1',
  p_price text default '36.50',
  p_amount text default '100.00',
  p_user text default 's1',
  p_nick text default 'nick',
  p_adv jsonb default '{}',
  p_advertiser jsonb default '{}'
)
returns jsonb
language sql
as $function$
  select jsonb_build_object(
    'adv', jsonb_build_object(
      'advNo', p_number,
      'price', p_price,
      'surplusAmount', p_amount,
      'tradableQuantity', p_amount,
      'minSingleTransAmount', '10',
      'maxSingleTransAmount', '4000',
      'payTimeLimit', 15,
      'isTradable', true,
      'tradeMethods', '[{"identifier": "Zelle", "tradeMethodName": "Zelle"}]'::jsonb
    ) || p_adv,
    'advertiser', jsonb_build_object(
      'userNo', p_user,
      'nickName', p_nick,
      'monthOrderCount', 4840,
      'monthFinishRate', 0.988,
      'positiveRate', 0.98891888,
      'userType', 'user',
      'userGrade', 2,
      'userIdentity', ''
    ) || p_advertiser,
    'privilegeType', null
  )
$function$;

-- Stores a batch that began at p_at, without loading it. p_books: {"VES/USDT BUY": [offers …], …}, each one page.
create function test.store_batch(p_at timestamptz, p_books jsonb)
returns uuid
language plpgsql
as $function$
declare
  v_batch_id uuid;
  v_market record;
  v_body text;
begin
  perform p2p.store_market_list(
    'binance',
    (select jsonb_agg(distinct jsonb_build_object('code', split_part(name, '/', 1))) from jsonb_object_keys(p_books) as name),
    (
      select jsonb_agg(jsonb_build_object(
        'fiat', split_part(name, '/', 1),
        'asset', split_part(split_part(name, '/', 2), ' ', 1),
        'side', split_part(name, ' ', 2)
      ))
      from jsonb_object_keys(p_books) as name
    ),
    array(select currency_code from p2p.dim_fiat_currencies),
    '{}'
  );

  perform p2p.beat(
    'test', 'test', '0.0.0', 'run', 'fetching', 55,
    '[{"exchange": "binance", "filter": [{"fiat": "*", "asset": "*"}], "rate_per_minute": 1000000, "breaker": "closed"}]'
  );

  select batch_id
  into v_batch_id
  from p2p.join_batch('test', null, null, 480);

  update p2p.ops_batch_runs
  set batch_start_time = p_at
  where batch_id = v_batch_id;

  for v_market in
    select c.*, format('%s/%s %s', c.fiat, c.asset, c.side) as name
    from p2p.claim_markets(v_batch_id, 'test', 'binance', 100000) c
  loop
    -- Items that name no market are of this one, and of its owner's side.
    select jsonb_build_object(
      'code', '000000',
      'success', true,
      'total', count(*),
      'data', coalesce(
        jsonb_agg(
          jsonb_set(
            item.value,
            '{adv}',
            jsonb_build_object(
              'asset', v_market.asset,
              'fiatUnit', v_market.fiat,
              'tradeType', case v_market.side when 'BUY' then 'SELL' else 'BUY' end
            ) || (item.value -> 'adv')
          )
          order by item.position
        ),
        '[]'
      )
    )::text
    into v_body
    from jsonb_array_elements(p_books -> v_market.name) with ordinality as item (value, position);

    perform p2p.store_page(
      v_batch_id, 'test', v_market.market_id, 1, true, null, 'binance_search_v1', p_at + interval '1 second',
      1, 200, 250, length(v_body), sha256(convert_to(v_body, 'UTF8')), null, null, v_body
    );
  end loop;

  return v_batch_id;
end
$function$;

-- The same, loaded.
create function test.load_batch(p_at timestamptz, p_books jsonb)
returns uuid
language plpgsql
as $function$
declare
  v_batch_id uuid := test.store_batch(p_at, p_books);
begin
  perform p2p.load_batch(v_batch_id);
  return v_batch_id;
end
$function$;

-- All rows of schema p2p with the transaction that wrote them, as one fingerprint: the same before and after means
-- that no row of any table was written.
create function test.fingerprint()
returns text
language plpgsql
as $function$
declare
  v_table text;
  v_part text;
  v_parts text := '';
begin
  for v_table in
    select format('%I.%I', 'p2p', c.relname)
    from pg_class c
    where c.relnamespace = 'p2p'::regnamespace
      and c.relkind in ('r', 'p')
    order by 1
  loop
    execute format('select md5(string_agg(concat(t.ctid, t.xmin, t.*), e''\n'' order by t.ctid)) from %s t', v_table)
    into v_part;
    v_parts := concat(v_parts, v_table, v_part);
  end loop;

  return md5(v_parts);
end
$function$;
