-- The rows of a stretch of time: what load_batch would have left of these batches, set-based.

-- Every offer of steps p_from to p_until (itself included), as fact_offers has it but for the times.
create function history.offers(p_from integer, p_until integer)
returns setof p2p.fact_offers
language sql
stable
set search_path = history, p2p, pg_temp
set work_mem = '256MB'
as $function$
  with standing as (
    select
      s.*,
      step,
      (step + s.phase) / s.cycle as generation,
      step - least((step + s.phase) % s.reprice_every, (step + s.phase) % s.cycle, step) as repriced
    from history.slots s
    cross join generate_series(p_from, p_until) step
    where (step + s.phase) % s.cycle < s.life
      -- A book that could not be fetched has no offers.
      and history.even(s.market_id, 2000000 + step) > 0.0005
  ),
  valued as materialized (
    select
      s.*,
      b.crypto_id,
      b.trade_type,
      b.book_key,
      a.user_key,
      a.advertiser_sk + case when s.step >= a.renamed_at then 1 else 0 end as sk,
      s.slot_key + s.generation as ad_key,
      greatest(
        round((b.price * exp(
          l.level
          + case b.trade_type
              when 'BUY' then 0.0663 * -ln(history.even(s.slot_key + s.generation, 20)) - 0.0105
              else 0.123 * ln(history.even(s.slot_key + s.generation, 20)) + 0.0105
            end
          + 0.002 * history.normal(s.slot_key, 3000000 + s.repriced)
        ))::numeric, b.digits),
        0.0001
      ) as price,
      round((
        exp(5 + 1.6 * history.normal(s.slot_key + s.generation, 21))
        * (1 - 0.5 * history.even(s.slot_key, 4000000 + (s.step + s.phase) / s.amount_every))
      )::numeric, 2) as amount
    from standing s
    join history.books b using (market_id)
    join history.advertisers a on a.fiat_id = s.fiat_id and a.number = s.number
    join history.levels l on l.pair_key = b.pair_key and l.step = s.repriced
  ),
  placed as (
    select
      v.*,
      row_number() over (
        partition by v.step, v.market_id
        order by case v.trade_type when 'BUY' then v.price else -v.price end, v.slot_id
      ) as place
    from valued v
  )
  select
    w.starts_at + make_interval(mins => p.step * w.minutes),
    p.first_offer_id + p.generation,
    -- The larger books first, a page a while: about the same place in every batch.
    w.starts_at + make_interval(mins => p.step * w.minutes, secs => 240 * history.even(p.market_id, 30)
      + 10 * history.even(p.book_key, p.step * 100 + (p.place - 1) / 20)),
    md5('history' || p.step)::uuid,
    p.sk,
    1 + 24 * (p.fiat_id - 1) + (24 * history.even(p.ad_key, 22))::integer % 24,
    (history.even(p.user_key, 23) * 900)::integer + (p.step / (43 + p.user_key % 40))::integer,
    null::integer,
    case when history.even(p.ad_key, 24) < 0.9 then 15 else 30 end,
    1::smallint,
    p.crypto_id,
    p.fiat_id,
    (1 + (p.place - 1) / 20)::smallint,
    p.place = 5 and history.even(p.market_id, 5000000 + p.step) < 0.6,
    true,
    p.trade_type,
    '1' || (2000 + (p.first_offer_id + p.generation) % 1999) || lpad(
      ((p.first_offer_id + p.generation) * 709882334467 % 1000000000000003)::text, 15, '0'),
    p.price,
    p.amount,
    case p.trade_type when 'SELL' then p.amount else round(p.amount * 0.999, 2) end,
    round((10 * (1 + floor(20 * history.even(p.ad_key, 25))))::numeric * greatest(round(p.price), 1), 0),
    round((500 * (1 + floor(40 * history.even(p.ad_key, 26))))::numeric * greatest(round(p.price), 1), 0),
    round((100 - 12 * power(history.even(p.user_key, 27), 3))::numeric, 1)
      - 0.1 * ((p.step + p.user_key % 300 + 300) / 150 % 3)::integer,
    round((100 - 4 * power(history.even(p.user_key, 6000000 + (p.step + p.user_key % 60 + 60) / 60), 3))::numeric, 5),
    null::numeric,
    null::numeric,
    null::text
  from placed p
  cross join history.world w
  order by p.step, p.fiat_id, p.crypto_id, p.trade_type, p.first_offer_id + p.generation
$function$;

-- Batches of steps p_from to p_until: ledger, offers, books (by load_depth itself), quality, loads; pages without their
-- bodies where p_with_pages. Returns the number of offers.
create function history.make_moments(p_from integer, p_until integer, p_with_pages boolean)
returns bigint
language plpgsql
set search_path = history, p2p, pg_temp
set work_mem = '256MB'
set jit = off
as $function$
declare
  v_world history.world := (select w from history.world w);
  v_begins constant timestamptz := v_world.starts_at + make_interval(mins => p_from * v_world.minutes);
  v_ends constant timestamptz := v_world.starts_at + make_interval(mins => p_until * v_world.minutes);
  v_set integer := p2p.current_sql_set();
  v_offers bigint;
begin
  insert into p2p.ops_batch_runs (
    batch_id, batch_start_time, batch_end_time, status, total_fiats_processed, execution_time_seconds, markets_expected,
    markets_completed, worker_id
  )
  select
    md5('history' || step)::uuid,
    v_world.starts_at + make_interval(mins => step * v_world.minutes),
    v_world.starts_at + make_interval(mins => step * v_world.minutes + 5),
    case when missed.markets > 0 then 'partial' else 'completed' end,
    (select count(*) from p2p.dim_fiat_currencies),
    300,
    missed.expected,
    missed.expected - missed.markets,
    'history'
  from generate_series(p_from, p_until) step
  cross join lateral (
    select count(*) filter (where history.even(b.market_id, 2000000 + step) <= 0.001) as markets, count(*) as expected
    from history.books b
  ) as missed;

  insert into p2p.ops_batch_markets (batch_id, market_id, plan_position, status, pages_stored, lost_pages, started_at, finished_at, reason)
  select
    md5('history' || step)::uuid,
    b.market_id,
    row_number() over (partition by step order by b.slots desc),
    case when luck.number <= 0.0005 then 'failed' when luck.number <= 0.001 then 'incomplete' else 'complete' end,
    case when luck.number <= 0.0005 then 0 else 1 + b.slots / 20 end,
    case when luck.number <= 0.0005 then '{1}' when luck.number <= 0.001 then '{2}' else '{}'::integer[] end,
    v_world.starts_at + make_interval(mins => step * v_world.minutes),
    v_world.starts_at + make_interval(mins => step * v_world.minutes + 4),
    case when luck.number <= 0.001 then 'no answer within 30 s' end
  from generate_series(p_from, p_until) step
  cross join history.books b
  cross join lateral (select history.even(b.market_id, 2000000 + step) as number) as luck;

  insert into p2p.ops_extraction_errors (
    batch_id, error_timestamp, fiat_code, crypto_symbol, trade_type, page_number, error_type, error_message, retry_count,
    is_resolved
  )
  select
    bm.batch_id, bm.finished_at, f.currency_code, c.symbol, m.trade_type, bm.lost_pages[1], 'timeout', bm.reason, 3, true
  from p2p.ops_batch_runs r
  join p2p.ops_batch_markets bm using (batch_id)
  join p2p.dim_markets m using (market_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  where r.batch_start_time between v_begins and v_ends
    and bm.status <> 'complete';

  insert into p2p.fact_offers
  select o.*
  from history.offers(p_from, p_until) o;
  get diagnostics v_offers = row_count;

  perform p2p.load_depth(r.batch_id)
  from p2p.ops_batch_runs r
  where r.batch_start_time between v_begins and v_ends
  order by r.batch_start_time;

  update p2p.ops_batch_runs r
  set
    total_offers_inserted = books.offers,
    total_offers_extracted = books.offers,
    total_errors = r.markets_expected - r.markets_completed
  from (
    select d.extraction_timestamp, sum(d.total_offers_count) as offers
    from p2p.fact_market_depth d
    where d.extraction_timestamp between v_begins and v_ends
    group by d.extraction_timestamp
  ) as books
  where r.batch_start_time = books.extraction_timestamp;

  insert into p2p.ops_data_quality (batch_id, check_timestamp, metric_name, metric_value, threshold_value, passed, result, severity)
  select
    r.batch_id, r.batch_end_time, q.name, 0, coalesce(q.warning_threshold, q.error_threshold), verdict.is_good,
    case when verdict.is_good then 'ok' else 'warning' end, q.severity
  from p2p.ops_batch_runs r
  cross join p2p.quality_rules q
  cross join lateral (
    select history.even(hashtextextended(r.batch_id::text || q.name, 0), 40) > 0.01 as is_good
  ) as verdict
  where r.batch_start_time between v_begins and v_ends;

  insert into p2p.ops_batch_loads (batch_id, load_number, loaded_at, sql_set_id, status, seconds, offers_changed)
  select r.batch_id, 1, r.batch_end_time, v_set, r.status, 3, r.total_offers_inserted
  from p2p.ops_batch_runs r
  where r.batch_start_time between v_begins and v_ends;

  if p_with_pages then
    insert into p2p.stg_responses (
      extraction_timestamp, market_id, page_number, batch_id, observed_at, attempt, http_status, duration_ms, body_bytes,
      body_sha256, parser, body
    )
    select
      f.extraction_timestamp, m.market_id, f.page_number, f.batch_id, min(f.observed_at), 1, 200, 300, 63000,
      sha256(convert_to(m.market_id || ' ' || f.page_number || ' ' || f.batch_id, 'UTF8')), 'binance_search_v1', '{"data": []}'
    from p2p.fact_offers f
    join p2p.dim_markets m using (exchange_id, fiat_id, crypto_id, trade_type)
    where f.extraction_timestamp between v_begins and v_ends
    group by f.extraction_timestamp, m.market_id, f.page_number, f.batch_id;
  end if;

  return v_offers;
end
$function$;
