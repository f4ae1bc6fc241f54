-- A market that behaves as the recordings of 2021 to 2026 say (median moves, high/low, crossing, whales, day cycle,
-- promoted ads, rejected items), made by set-based SQL, the same at every run. Only what happens is made up: depth,
-- shapes and quality are the work of the real functions.
create schema week;

-- Even and normal "random" numbers that belong to their arguments.
create function week.even(a bigint, b bigint) returns double precision language sql immutable
return ((hashint8extended(a * 1000003 + b, 42) & 4503599627370495) + 0.5) / 4503599627370496;

create function week.normal(a bigint, b bigint) returns double precision language sql immutable
return sqrt(-2 * ln(week.even(a, b))) * cos(2 * pi() * week.even(a, b + 500000));

create table week.books (
  book_id integer primary key,
  market_id integer not null,
  pair_id integer not null,
  trade_type text not null,
  ads_at_noon integer not null,
  zone_hours integer not null,
  base_price double precision not null
);

create table week.ads (
  ad_id bigint primary key,
  book_id integer not null,
  number integer not null,
  distance double precision not null
);

create index on week.ads (book_id);

create table week.moves (
  book_id integer not null,
  step integer not null,
  shift double precision not null,
  primary key (step, book_id)
);

-- p_books: [{"market": "VES/USDT BUY", "ads": 170, "zone": -4}, …], listed already.
create function week.prepare(p_books jsonb, p_start timestamptz, p_steps integer, p_minutes integer)
returns void language plpgsql as $$
begin
  insert into week.books
  select
    row_number() over (order by m.market_id),
    m.market_id,
    m.fiat_id * 100 + m.crypto_id,
    m.trade_type,
    (b.value ->> 'ads')::integer,
    (b.value ->> 'zone')::integer,
    exp(week.even(m.fiat_id * 100 + m.crypto_id, 1) * 10 - 2)
  from jsonb_array_elements(p_books) b
  join p2p.dim_fiat_currencies f on f.currency_code = split_part(b.value ->> 'market', '/', 1)
  join p2p.dim_cryptocurrencies c on c.symbol = split_part(split_part(b.value ->> 'market', '/', 2), ' ', 1)
  join p2p.dim_markets m on m.fiat_id = f.fiat_id and m.crypto_id = c.crypto_id
    and m.trade_type = split_part(b.value ->> 'market', ' ', 2);

  -- Asks begin at the market price and thin out upwards, bids downwards and further.
  insert into week.ads
  select
    b.book_id * 100000 + n,
    b.book_id,
    n,
    case b.trade_type when 'BUY' then 1.8 * 0.067 * -ln(e.u) * 0.55 else -0.123 * -ln(e.u) end
  from week.books b
  cross join generate_series(1, ceil(b.ads_at_noon * 1.15)::integer) n
  cross join lateral (select week.even(b.book_id * 100000 + n, 2) as u) e;

  -- A book's own level comes back to its pair's (AR 0.9 a ten minutes); now and then it jumps. At most 8 % a step.
  insert into week.moves
  with recursive steps as (
    select b.book_id, b.pair_id, b.trade_type, 0 as step, 0.0::double precision as own, 0.0::double precision as pair
    from week.books b
    union all
    select
      s.book_id, s.pair_id, s.trade_type, s.step + 1,
      s.own * power(0.9, p_minutes / 10.0) + sqrt(p_minutes / 10.0) * greatest(-0.08, least(0.08,
        case s.trade_type when 'BUY' then 0.0014 else 0.0050 end
        * week.normal(s.book_id, s.step * 2)
        * case when week.even(s.book_id, s.step * 2 + 1) < 0.03 then 5 else 1 end)),
      s.pair * power(0.999, p_minutes / 10.0) + sqrt(p_minutes / 10.0) * 0.0007 * week.normal(s.pair_id + 5000, s.step)
    from steps s
    where s.step < p_steps
  )
  select s.book_id, s.step, s.own + s.pair
  from steps s;

  insert into p2p.dim_payment_sets (payment_method_ids) values ('{}');

  insert into p2p.dim_advertisers (exchange_id, advertiser_id, nickname, effective_date)
  select 1, 's' || a.ad_id, 'nick', p_start
  from week.ads a
  where a.number % 3 = 0 or a.number < 3;

  insert into p2p.dim_offers (offer_id, exchange_id, offer_external_id, first_seen_at)
  overriding system value
  select a.ad_id, 1, a.ad_id::text, p_start
  from week.ads a;

  analyze;
end $$;

-- One batch: its offers by our rules, all else by the steps of load_batch; p_step counts the batches.
create function week.make_batch(p_start timestamptz, p_step integer, p_minutes integer)
returns uuid language plpgsql as $$
declare
  v_now timestamptz := p_start + make_interval(mins => p_step * p_minutes);
  v_batch uuid := md5('week' || p_step)::uuid;
  v_advertiser integer := (select min(advertiser_sk) from p2p.dim_advertisers);
  v_set integer := (select min(payment_set_id) from p2p.dim_payment_sets);
begin
  insert into p2p.ops_batch_runs
    (batch_id, batch_start_time, batch_end_time, status, worker_id, markets_expected, markets_completed)
  select v_batch, v_now, v_now + interval '5 minutes', 'completed', 'week', count(*), count(*)
  from week.books;

  insert into p2p.ops_batch_markets (batch_id, market_id, plan_position, status, pages_stored)
  select v_batch, b.market_id, b.book_id, 'complete', 1
  from week.books b;

  create temp table here on commit drop as
  select
    a.ad_id,
    a.number,
    b.*,
    b.base_price * exp(v.shift + a.distance + 0.004 * week.normal(a.ad_id, e.eighth + 7000)
      + case b.trade_type when 'BUY' then -0.0105 else 0.0105 end) as price,
    -- Amounts stay for hours, then the ad is filled up again or sold; some are whales.
    150 * exp(1.75 * week.normal(a.ad_id, e.quarter + 9000)) * (1 - 0.3 * week.even(a.ad_id, e.eighth + 100)) as amount
  from week.books b
  join week.ads a using (book_id)
  join week.moves v on v.book_id = b.book_id and v.step = p_step
  cross join lateral (
    select
      extract(epoch from v_now) / 3600 + b.zone_hours as local_hours,
      floor(extract(epoch from v_now) / 21600 + week.even(a.ad_id, 3))::bigint as quarter,
      floor(extract(epoch from v_now) / 10800 + week.even(a.ad_id, 4))::bigint as eighth
  ) e
  -- 85 ads at 4 in the morning, 169 at noon; a sixth less on Saturday and Sunday.
  where week.even(a.ad_id, e.quarter + 5000) * 1.15
    < (case b.trade_type when 'BUY' then 0.75 else 0.85 end
        + case b.trade_type when 'BUY' then 0.25 else 0.15 end * sin((e.local_hours - 7) * pi() / 12))
      * case when extract(isodow from v_now + make_interval(hours => b.zone_hours)) > 5 then 0.85 else 1 end;

  insert into p2p.fact_offers
    (extraction_timestamp, offer_id, observed_at, batch_id, advertiser_sk, payment_set_id, exchange_id, crypto_id, fiat_id,
     page_number, is_promoted, trade_type, offer_external_id, price, available_amount)
  select
    v_now, h.ad_id, v_now + make_interval(secs => 300 * week.even(h.book_id, p_step)), v_batch, v_advertiser, v_set, 1,
    m.crypto_id, m.fiat_id, 1 + h.number / 20, h.number = 1 and week.even(h.book_id, p_step + 50000) < 0.62,
    h.trade_type, h.ad_id::text, round(h.price::numeric, 4) + 0.0001, round(h.amount::numeric, 2)
  from here h
  join p2p.dim_markets m using (market_id)
  where week.even(h.ad_id, p_step / 12 + 70000) > 0.001;

  insert into p2p.ops_rejected_offers (batch_id, market_id, page_number, item_number, reason)
  select v_batch, h.market_id, 1 + h.number / 20, h.number % 20, 'limits are crossed'
  from here h
  where week.even(h.ad_id, p_step / 12 + 70000) <= 0.001;

  -- A page a book, of its first offers, for the watch of shapes.
  insert into p2p.stg_responses
    (extraction_timestamp, market_id, page_number, batch_id, observed_at, attempt, http_status, duration_ms, body_bytes,
     body_sha256, parser, body)
  select
    v_now, b.market_id, 1, v_batch, v_now + interval '1 minute', 1, 200, 250, case when count(h.ad_id) > 0 then 5000 else 100 end,
    ''::bytea, 'binance_search_v1',
    jsonb_build_object('code', '000000', 'success', true, 'total', count(h.ad_id), 'message', null, 'data', coalesce(
      jsonb_agg(jsonb_build_object(
        'adv', jsonb_build_object(
          'advNo', h.ad_id::text, 'asset', 'X', 'fiatUnit', 'Y', 'tradeType', h.trade_type, 'price', h.price::text,
          'surplusAmount', h.amount::text, 'tradableQuantity', h.amount::text, 'minSingleTransAmount', '1',
          'maxSingleTransAmount', '2', 'isTradable', true, 'payTimeLimit', case when h.number > 1 then 15 end,
          'remarks', null, 'tradeMethods', case when h.number % 40 = 0 then '[]' else jsonb_build_array(jsonb_build_object(
            'identifier', 'Zelle', 'tradeMethodName', case when week.even(h.ad_id, p_step) > 0.001 then 'Zelle' end)) end),
        'advertiser', jsonb_build_object(
          'userNo', 's1', 'nickName', 'n', 'userType', 'user', 'userGrade', 2, 'userIdentity', '', 'vipLevel', null,
          'monthOrderCount', 3, 'monthFinishRate', 0.9, 'positiveRate', 1,
          'proMerchant', case when h.number = 7 and h.book_id % 9 = 0 then '{"merchantLogo": "x"}'::jsonb end),
        'privilegeType', case when h.number = 1 then 8 end, 'privilegeDesc', null
      )) filter (where h.ad_id is not null), '[]'))
  from week.books b
  left join here h on h.book_id = b.book_id and h.number <= 8
  group by b.market_id;

  drop table here;
  perform p2p.load_depth(v_batch);
  perform p2p.watch_shapes(v_batch);
  perform p2p.run_quality_checks(v_batch);
  return v_batch;
end $$;

-- How far what was made up is what was recorded.
create function week.likeness()
returns table (trade_type text, move_p95 numeric, move_p99 numeric, high_low numeric, halved_percent numeric, offers_least integer, offers_most integer, crossed_percent numeric)
language sql as $$
  with steps as (
    select
      d.trade_type, d.median_price, d.total_available_volume as volume, d.max_price / d.min_price as high_low,
      d.total_offers_count, d.spread_absolute,
      lag(d.median_price, 3) over book as median_before, lag(d.total_available_volume, 3) over book as volume_before
    from p2p.fact_market_depth d
    where exists (
      select from week.books b join p2p.dim_markets m using (market_id)
      where b.ads_at_noon between 130 and 300
        and (m.fiat_id, m.crypto_id, m.trade_type) = (d.fiat_id, d.crypto_id, d.trade_type))
    window book as (partition by d.fiat_id, d.crypto_id, d.trade_type order by d.extraction_timestamp)
  )
  select
    s.trade_type,
    round((100 * percentile_cont(0.95) within group (order by abs(s.median_price / s.median_before - 1)))::numeric, 2),
    round((100 * percentile_cont(0.99) within group (order by abs(s.median_price / s.median_before - 1)))::numeric, 2),
    round((percentile_cont(0.5) within group (order by s.high_low))::numeric, 2),
    round(100 * avg((s.volume < s.volume_before / 2)::integer), 2),
    min(s.total_offers_count), max(s.total_offers_count),
    round(100 * avg((s.spread_absolute < 0)::integer), 1)
  from steps s
  group by s.trade_type
  order by s.trade_type
$$;
