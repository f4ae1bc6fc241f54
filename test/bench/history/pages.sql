-- A batch as the worker leaves it for load_batch: pages with real bodies, of ads that are the same at every call. Prices
-- and amounts of some of them change from step to step. Returns the batch; nothing is loaded yet.
create function history.make_pages(p_step integer, p_offers integer)
returns uuid
language plpgsql
set search_path = history, p2p, pg_temp
as $function$
declare
  v_world history.world := (select w from history.world w);
  v_now constant timestamptz := v_world.starts_at + make_interval(mins => p_step * v_world.minutes);
  v_batch constant uuid := md5('history' || p_step)::uuid;
begin
  insert into p2p.ops_batch_runs (batch_id, batch_start_time, status, worker_id, markets_expected)
  select v_batch, v_now, 'running', 'history', count(*)
  from history.books;

  create temp table ads on commit drop as
  select
    n,
    b.market_id,
    b.fiat_id,
    b.crypto_id,
    b.trade_type,
    (row_number() over (partition by b.market_id order by n) - 1)::integer as place,
    round((b.price * exp(l.level) * (1 + case b.trade_type when 'BUY' then 0.05 else -0.05 end * history.even(n, 51)
      + 0.002 * history.normal(n, 3000000 + (p_step + n) / 20)))::numeric, b.digits) as price,
    round((exp(5 + 1.6 * history.normal(n, 52)) * (1 - 0.5 * history.even(n, 4000000 + (p_step + n) / 4)))::numeric, 2) as amount,
    'load ' || n % greatest(1, p_offers * 10 / 27) as person
  from generate_series(0, p_offers - 1) n
  join history.slots s on s.slot_id = n % (select count(*) from history.slots)
  join history.books b using (market_id)
  join history.levels l on l.pair_key = b.pair_key and l.step = p_step;

  insert into p2p.ops_batch_markets (batch_id, market_id, plan_position, status, pages_stored, started_at, finished_at)
  select v_batch, b.market_id, row_number() over (order by b.slots desc), 'complete', greatest(1, ceil(count(a.n) / 20.0)), v_now, v_now + interval '4 minutes'
  from history.books b
  left join ads a using (market_id)
  group by b.market_id, b.slots;

  insert into p2p.stg_responses (
    extraction_timestamp, market_id, page_number, batch_id, observed_at, attempt, http_status, duration_ms, body_bytes,
    body_sha256, parser, body
  )
  select
    v_now, m.market_id, 1 + a.place / 20, v_batch, v_now + interval '2 minutes', 1, 200, 300, 20000,
    sha256(convert_to(m.market_id || ' ' || a.place / 20 || ' ' || p_step, 'UTF8')), 'binance_search_v1',
    jsonb_build_object(
      'code', '000000', 'success', true, 'total', count(*), 'message', null,
      'data', jsonb_agg(jsonb_build_object(
        'adv', jsonb_build_object(
          'advNo', '19' || lpad(a.n::text, 18, '0'), 'asset', c.symbol, 'fiatUnit', f.currency_code,
          'tradeType', case a.trade_type when 'BUY' then 'SELL' else 'BUY' end, 'price', a.price::text,
          'surplusAmount', a.amount::text, 'tradableQuantity', a.amount::text, 'minSingleTransAmount', '100',
          'maxSingleTransAmount', '50000', 'isTradable', true, 'payTimeLimit', 15, 'remarks', null,
          'tradeMethods', jsonb_build_array(
            jsonb_build_object('identifier', 'M' || a.fiat_id || '_' || 1 + a.n % 6, 'tradeMethodName', 'Bank'),
            jsonb_build_object('identifier', 'M' || a.fiat_id || '_' || 7 + a.n % 5, 'tradeMethodName', 'Bank')
          )
        ),
        'advertiser', jsonb_build_object(
          'userNo', 's' || md5(a.person), 'nickName', 'Trader ' || left(md5(a.person), 6),
          'userType', 'user', 'userGrade', 2, 'userIdentity', '', 'vipLevel', null,
          'monthOrderCount', (p_step + a.n) / 10, 'monthFinishRate', 0.987, 'positiveRate', 0.99
        ),
        'privilegeType', null, 'privilegeDesc', null
      ) order by a.place)
    )
  from ads a
  join p2p.dim_markets m using (market_id)
  join p2p.dim_fiat_currencies f on f.fiat_id = a.fiat_id
  join p2p.dim_cryptocurrencies c on c.crypto_id = a.crypto_id
  group by m.market_id, a.place / 20;

  drop table ads;
  return v_batch;
end
$function$;
