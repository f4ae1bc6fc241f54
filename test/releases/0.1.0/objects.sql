-- Functions and views of release 0.1.0 (commit 0e4c544), file after file. Never edited: databases out there have these.
-- ════ functions/adopt_abandoned_batch.sql
-- Gives a running batch whose worker is dead (its lease ran out) to this worker, who is to load what is there:
-- every page that was stored is kept, markets that were not finished become incomplete or deferred.
-- Returns the batch, or NULL where there is none.
create or replace function p2p.adopt_abandoned_batch(p_worker_id text, p_lease_seconds double precision)
returns uuid
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch_id uuid;
begin
  update p2p.ops_batch_runs r
  set
    worker_id = p_worker_id,
    lease_expires_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
  where r.status = 'running'
    and r.lease_expires_at < clock_timestamp()
  returning r.batch_id
  into v_batch_id;

  if v_batch_id is not null then
    perform p2p.end_fetching(v_batch_id, 'the worker died');
  end if;

  return v_batch_id;
end
$function$;

comment on function p2p.adopt_abandoned_batch(text, double precision) is 'Takes over the batch of a dead worker, to load what it had stored';
-- ════ functions/choose_offers.sql
-- Step 3 of load_batch: one offer once. The same ad comes again as a paid copy on page 1, and when the book moved
-- while it was read. The newest reading counts; a reading on the side the ad belongs to counts before any other.
-- Makes pg_temp.chosen_offers: one row an ad, promoted if any of its copies was.
create or replace function p2p.choose_offers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table chosen_offers on commit drop as
  with valid as (
    select
      m.exchange_id,
      m.crypto_id,
      m.fiat_id,
      m.trade_type,
      p.*
    from pg_temp.parsed_offers p
    join p2p.dim_markets m on m.market_id = p.market_id
    where not exists (
      select
      from p2p.ops_rejected_offers o
      where o.batch_id = p_batch_id
        and (o.market_id, o.page_number, o.item_number) = (p.market_id, p.page_number, p.item_number)
    )
  ),
  promoted as (
    select distinct v.exchange_id, v.offer_external_id
    from valid v
    where v.is_promoted
  )
  select distinct on (v.exchange_id, v.offer_external_id)
    v.*,
    promoted.offer_external_id is not null as was_promoted
  from valid v
  left join promoted using (exchange_id, offer_external_id)
  order by
    v.exchange_id,
    v.offer_external_id,
    v.is_own_side desc nulls last,
    v.observed_at desc,
    v.page_number desc,
    v.item_number desc,
    v.market_id; -- any of them, but the same each time

  analyze pg_temp.chosen_offers (exchange_id, offer_external_id, advertiser_id, payment_methods);
end
$function$;

comment on function p2p.choose_offers(uuid) is 'Step of load_batch: keeps one reading of each ad';
-- ════ functions/claim_markets.sql
-- Gives the worker the next p_count pending markets of the batch. Two workers never get the same one.
-- Returns nothing when none is left, or when the batch is no longer this worker's.
create or replace function p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_count integer)
returns table (market_id integer, fiat text, asset text, side text)
language sql
set search_path = p2p, pg_temp
as $function$
  with next_markets as (
    select bm.market_id
    from p2p.ops_batch_markets bm
    join p2p.ops_batch_runs r on r.batch_id = bm.batch_id
    where bm.batch_id = p_batch_id
      and bm.status = 'pending'
      and r.status = 'running'
      and r.worker_id = p_worker_id
    order by bm.plan_position
    limit p_count
    for update of bm skip locked
  ),
  claimed as (
    update p2p.ops_batch_markets bm
    set
      status = 'fetching',
      worker_id = p_worker_id,
      started_at = clock_timestamp()
    from next_markets n
    where bm.batch_id = p_batch_id
      and bm.market_id = n.market_id
    returning bm.market_id, bm.plan_position
  )
  select m.market_id, f.currency_code, c.symbol, m.trade_type
  from claimed
  join p2p.dim_markets m using (market_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  order by claimed.plan_position
$function$;

comment on function p2p.claim_markets(uuid, text, integer) is 'Takes the next markets from the work queue of a batch';
-- ════ functions/close_batch.sql
-- Last step of load_batch: counts, and the status that follows from the ledger. Tells listeners on p2p_batch when
-- the batch closes for the first time. A second call changes nothing unless the counts changed.
create or replace function p2p.close_batch(p_batch_id uuid)
returns p2p.ops_batch_runs
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_before p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_after p2p.ops_batch_runs;
begin
  update p2p.ops_extraction_errors e
  set is_resolved = true
  from p2p.ops_batch_markets bm
  join p2p.dim_markets m using (market_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  where bm.batch_id = p_batch_id
    and bm.status = 'complete'
    and (e.fiat_code, e.crypto_symbol, e.trade_type) = (f.currency_code, c.symbol, m.trade_type)
    and e.error_timestamp < v_before.batch_start_time
    and not e.is_resolved;

  with ledger as (
    select
      count(*) as expected,
      count(*) filter (where bm.status = 'complete') as complete,
      count(*) filter (where bm.status = 'incomplete') as incomplete,
      count(*) filter (where bm.status = 'failed') as failed,
      count(*) filter (where bm.status = 'deferred') as deferred,
      max(bm.reason) filter (where bm.status = 'deferred') as why_deferred,
      count(distinct m.fiat_id) filter (where bm.pages_stored > 0) as fiats
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    where bm.batch_id = p_batch_id
  ),
  lost as (
    select
      coalesce(sum(e.errors), 0) as errors,
      string_agg(e.error_type || ' ' || e.errors, ', ' order by e.errors desc, e.error_type) as kinds
    from (
      select error_type, count(*) as errors
      from p2p.ops_extraction_errors
      where batch_id = p_batch_id
      group by error_type
    ) as e
  ),
  offers as (
    select
      (select count(*) from pg_temp.parsed_offers) as extracted,
      (select count(*) from p2p.ops_rejected_offers where batch_id = p_batch_id) as rejected,
      (select count(*) from p2p.fact_offers where extraction_timestamp = v_before.batch_start_time) as inserted
  ),
  outcome as (
    select
      case
        when l.expected > 0 and l.complete = l.expected then 'completed'
        when l.complete + l.incomplete > 0 then 'partial'
        else 'failed'
      end as status,
      nullif(
        concat_ws(
          '; ',
          case when l.expected = 0 then 'no market was planned' end,
          case when l.failed > 0 then format('markets failed: %s', l.failed) end,
          case when l.incomplete > 0 then format('markets incomplete: %s', l.incomplete) end,
          case when l.deferred > 0 then format('markets deferred: %s (%s)', l.deferred, l.why_deferred) end,
          'pages lost: ' || lost.kinds
        ),
        ''
      ) as error_summary
    from ledger l
    cross join lost
  )
  update p2p.ops_batch_runs r
  set
    status = outcome.status,
    batch_end_time = coalesce(r.batch_end_time, clock_timestamp()),
    execution_time_seconds = coalesce(
      r.execution_time_seconds,
      extract(epoch from clock_timestamp() - r.batch_start_time)
    ),
    total_fiats_processed = ledger.fiats,
    total_offers_extracted = offers.extracted,
    total_offers_inserted = offers.inserted,
    total_offers_rejected = offers.rejected,
    total_offers_duplicate = offers.extracted - offers.rejected - offers.inserted,
    total_errors = lost.errors,
    error_summary = outcome.error_summary,
    markets_completed = ledger.complete
  from ledger, lost, offers, outcome
  where r.batch_id = p_batch_id
    and (
      r.status, r.total_fiats_processed, r.total_offers_extracted, r.total_offers_inserted, r.total_offers_rejected,
      r.total_errors, r.error_summary, r.markets_completed
    ) is distinct from (
      outcome.status, ledger.fiats, offers.extracted, offers.inserted, offers.rejected,
      lost.errors, outcome.error_summary, ledger.complete
    );

  select r.*
  into v_after
  from p2p.ops_batch_runs r
  where r.batch_id = p_batch_id;

  if v_before.status = 'running' then
    perform pg_notify(
      'p2p_batch',
      jsonb_build_object(
        'batch_id', v_after.batch_id,
        'batch_start_time', v_after.batch_start_time,
        'status', v_after.status,
        'offers', v_after.total_offers_inserted
      )::text
    );
  end if;

  return v_after;
end
$function$;

comment on function p2p.close_batch(uuid) is 'Last step of load_batch: counts and status';
-- ════ functions/end_fetching.sql
-- Closes the work queue of a batch before it is loaded: markets nobody began are deferred to the next batch, those
-- in the middle are incomplete, or deferred too where no page of theirs was stored. Returns how many were cut off.
create or replace function p2p.end_fetching(p_batch_id uuid, p_reason text)
returns integer
language sql
set search_path = p2p, pg_temp
as $function$
  with cut_off as (
    update p2p.ops_batch_markets bm
    set
      status = case when bm.pages_stored > 0 then 'incomplete' else 'deferred' end,
      finished_at = clock_timestamp(),
      reason = p_reason
    where bm.batch_id = p_batch_id
      and bm.status in ('pending', 'fetching')
    returning 1
  )
  select count(*)::integer
  from cut_off
$function$;

comment on function p2p.end_fetching(uuid, text) is 'Closes the work queue of a batch: what was not fetched is deferred';
-- ════ functions/finish_market.sql
-- Ends the work on a market of a batch; what was stored and lost decides how. Changes a market that is being
-- fetched, no other.
create or replace function p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  update p2p.ops_batch_markets bm
  set
    status = case
      when bm.pages_stored = 0 then 'failed'
      when bm.lost_pages <> '{}' or p_reason is not null then 'incomplete'
      else 'complete'
    end,
    finished_at = clock_timestamp(),
    reason = coalesce(
      p_reason,
      case when bm.lost_pages <> '{}' then 'lost pages: ' || array_to_string(bm.lost_pages, ', ') end
    )
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id
    and bm.status = 'fetching'
$function$;

comment on function p2p.finish_market(uuid, integer, text) is 'Ends the work on a market: complete, incomplete or failed';
-- ════ functions/known_fiats.sql
-- The fiats of an exchange that were asked for, whether their markets were read within p_fresh_seconds, and how many
-- of those are active. fiat_code '*' stands for the list of all fiats. Changes nothing.
create or replace function p2p.known_fiats(p_exchange text, p_fresh_seconds integer)
returns table (fiat_code text, is_fresh boolean, active_markets bigint)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with markets as (
    select f.currency_code as fiat_code, count(*) filter (where m.is_active) as active_markets
    from p2p.dim_markets m
    join p2p.dim_exchanges e using (exchange_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    where e.code = p_exchange
    group by f.currency_code
  ),
  discoveries as (
    select d.fiat_code, d.discovered_at
    from p2p.ops_discoveries d
    join p2p.dim_exchanges e using (exchange_id)
    where e.code = p_exchange
  )
  select
    fiat_code,
    coalesce(d.discovered_at > clock_timestamp() - make_interval(secs => p_fresh_seconds), false),
    coalesce(m.active_markets, 0)
  from discoveries d
  full join markets m using (fiat_code)
$function$;

comment on function p2p.known_fiats(text, integer) is 'Fiats seen so far (* = the list of them) and whether their markets were read within p_fresh_seconds';
-- ════ functions/load_advertisers.sql
-- Step 5 of load_batch: who advertises, and who they were before (SCD-2).
-- An identity is (nickname, merchant status, type, grade, identity, VIP level), as sent. What counts:
--   seen with another identity      the current row ends at this batch, a new one begins
--   seen with a former identity     a row of its own: A, B, A are three rows
--   not seen                        nothing: absence is not deletion
--   two identities in one batch     the one that was read last
--   a batch loaded late or again    the history becomes what it would be had all batches come in order
-- Makes pg_temp.seen_advertisers: identity and advertiser_sk of everybody in the batch. A second call changes nothing.
create or replace function p2p.load_advertisers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_now timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_is_late boolean := exists (
    select
    from p2p.ops_batch_runs
    where batch_start_time > v_now
      and status in ('completed', 'partial')
  );
begin
  create temp table seen_advertisers on commit drop as
  select distinct on (c.exchange_id, c.advertiser_id)
    c.exchange_id,
    c.advertiser_id,
    c.nickname,
    c.is_merchant,
    c.user_type,
    c.user_grade,
    c.user_identity,
    c.vip_level,
    c.registration_days,
    null::integer as advertiser_sk
  from pg_temp.chosen_offers c
  order by
    c.exchange_id,
    c.advertiser_id,
    c.observed_at desc,
    c.page_number desc,
    c.item_number desc,
    c.market_id; -- any of them, but the same each time

  create temp table changed_advertisers on commit drop as
  select
    seen.*,
    -- The plain case is a first sight, or a change after everything that is known. All else is history.
    v_is_late or coalesce(known.effective_date >= v_now, false) as changes_history
  from pg_temp.seen_advertisers seen
  left join p2p.dim_advertisers known
    on known.exchange_id = seen.exchange_id
    and known.advertiser_id = seen.advertiser_id
    and known.effective_date <= v_now
    and known.expiration_date > v_now
  where known.advertiser_sk is null
    or (known.nickname, known.is_merchant, known.user_type, known.user_grade, known.user_identity, known.vip_level)
      is distinct from
      (seen.nickname, seen.is_merchant, seen.user_type, seen.user_grade, seen.user_identity, seen.vip_level);

  -- Two statements: one that closes and opens at once would meet the old row under dim_advertisers_one_current_row.
  update p2p.dim_advertisers d
  set expiration_date = v_now
  from pg_temp.changed_advertisers changed
  where d.exchange_id = changed.exchange_id
    and d.advertiser_id = changed.advertiser_id
    and d.is_current
    and not changed.changes_history;

  insert into p2p.dim_advertisers (
    exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, effective_date
  )
  select
    exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, v_now
  from pg_temp.changed_advertisers
  where not changes_history;

  if exists (select from pg_temp.changed_advertisers where changes_history) then
    perform p2p.rewrite_advertiser_history(v_now);
  end if;

  update pg_temp.seen_advertisers seen
  set advertiser_sk = d.advertiser_sk
  from p2p.dim_advertisers d
  where d.exchange_id = seen.exchange_id
    and d.advertiser_id = seen.advertiser_id
    and d.effective_date <= v_now
    and d.expiration_date > v_now;

  analyze pg_temp.seen_advertisers;
  drop table pg_temp.changed_advertisers;
end
$function$;

comment on function p2p.load_advertisers(uuid) is 'Step of load_batch: advertisers and their former identities (SCD-2)';
-- ════ functions/load_batch.sql
-- Makes facts of the stored pages of a batch, in one transaction: readers see all of it or nothing.
-- May be called again at any time: with the same pages and the same SQL it changes no row; after a function was
-- changed it brings the facts of this batch to what the new SQL makes of them.
-- Ends the fetching, if nobody has: what is loaded is what there is.
-- Loads wait for one another; readers wait for nothing.
create or replace function p2p.load_batch(p_batch_id uuid)
returns p2p.ops_batch_runs
language plpgsql
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
as $function$
declare
  v_batch p2p.ops_batch_runs;
begin
  lock table p2p.dim_advertisers in share row exclusive mode;

  if not exists (select from p2p.ops_batch_runs where batch_id = p_batch_id) then
    raise exception 'there is no batch %', p_batch_id
      using errcode = 'P2P03', hint = 'select batch_id, batch_start_time from p2p.ops_batch_runs order by 2 desc';
  end if;

  perform p2p.end_fetching(p_batch_id, 'the batch was loaded before it was fetched');
  perform p2p.parse_pages(p_batch_id);
  perform p2p.reject_offers(p_batch_id);
  perform p2p.choose_offers(p_batch_id);
  perform p2p.load_dimensions(p_batch_id);
  perform p2p.load_advertisers(p_batch_id);
  perform p2p.load_offers(p_batch_id);
  perform p2p.load_depth(p_batch_id);
  perform p2p.run_quality_checks(p_batch_id);
  v_batch := p2p.close_batch(p_batch_id);

  drop table
    pg_temp.parsed_offers, pg_temp.chosen_offers, pg_temp.payment_lists, pg_temp.offer_numbers, pg_temp.seen_advertisers;
  return v_batch;
end
$function$;

comment on function p2p.load_batch(uuid) is 'Makes facts of the stored pages of a batch; safe to call again';
-- ════ functions/load_depth.sql
-- Step 7 of load_batch: each book that was fetched, in one row. A book that is empty has a row with 0 offers.
-- A second call changes no row unless the offers changed.
create or replace function p2p.load_depth(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_now timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
begin
  delete from p2p.fact_market_depth d
  where d.extraction_timestamp = v_now
    and not exists (
      select
      from p2p.ops_batch_markets bm
      join p2p.dim_markets m on m.market_id = bm.market_id
      where bm.batch_id = p_batch_id
        and bm.status in ('complete', 'incomplete')
        and (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type)
          = (d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type)
    );

  insert into p2p.fact_market_depth as d (
    extraction_timestamp, batch_id, exchange_id, crypto_id, fiat_id, trade_type, is_complete, total_offers_count,
    total_available_volume, weighted_avg_price, median_price, min_price, max_price, price_std_dev, top10_total_volume,
    top10_avg_price, best_bid, best_ask, spread_absolute, spread_percentage
  )
  with ranked as (
    select
      f.exchange_id,
      f.crypto_id,
      f.fiat_id,
      f.trade_type,
      f.price,
      f.available_amount,
      row_number() over (
        partition by f.exchange_id, f.crypto_id, f.fiat_id, f.trade_type
        order by case f.trade_type when 'BUY' then f.price else -f.price end, f.available_amount desc, f.offer_id
      ) as rank_for_taker,
      count(*) over (partition by f.exchange_id, f.crypto_id, f.fiat_id, f.trade_type) as offers
    from p2p.fact_offers f
    where f.extraction_timestamp = v_now
  ),
  books as (
    select
      r.exchange_id,
      r.crypto_id,
      r.fiat_id,
      r.trade_type,
      count(*)::integer as offers,
      sum(r.available_amount) as volume,
      sum(r.price * r.available_amount) / nullif(sum(r.available_amount), 0) as weighted_avg_price,
      avg(r.price) filter (where r.rank_for_taker in ((r.offers + 1) / 2, (r.offers + 2) / 2)) as median_price,
      min(r.price) as min_price,
      max(r.price) as max_price,
      stddev_pop(r.price) as price_std_dev,
      sum(r.available_amount) filter (where r.rank_for_taker <= 10) as top10_total_volume,
      avg(r.price) filter (where r.rank_for_taker <= 10) as top10_avg_price
    from ranked r
    group by r.exchange_id, r.crypto_id, r.fiat_id, r.trade_type
  ),
  best_prices as (
    select
      b.exchange_id,
      b.crypto_id,
      b.fiat_id,
      max(b.max_price) filter (where b.trade_type = 'SELL') as best_bid,
      min(b.min_price) filter (where b.trade_type = 'BUY') as best_ask
    from books b
    group by b.exchange_id, b.crypto_id, b.fiat_id
  )
  select
    v_now,
    p_batch_id,
    m.exchange_id,
    m.crypto_id,
    m.fiat_id,
    m.trade_type,
    bm.status = 'complete',
    coalesce(b.offers, 0),
    coalesce(b.volume, 0),
    b.weighted_avg_price,
    b.median_price,
    b.min_price,
    b.max_price,
    b.price_std_dev,
    b.top10_total_volume,
    b.top10_avg_price,
    best.best_bid,
    best.best_ask,
    best.best_ask - best.best_bid,
    (best.best_ask - best.best_bid) * 200 / (best.best_ask + best.best_bid)
  from p2p.ops_batch_markets bm
  join p2p.dim_markets m on m.market_id = bm.market_id
  left join books b using (exchange_id, crypto_id, fiat_id, trade_type)
  left join best_prices best using (exchange_id, crypto_id, fiat_id)
  where bm.batch_id = p_batch_id
    and bm.status in ('complete', 'incomplete')
  on conflict (exchange_id, fiat_id, crypto_id, trade_type, extraction_timestamp) do update
  set
    is_complete = excluded.is_complete,
    total_offers_count = excluded.total_offers_count,
    total_available_volume = excluded.total_available_volume,
    weighted_avg_price = excluded.weighted_avg_price,
    median_price = excluded.median_price,
    min_price = excluded.min_price,
    max_price = excluded.max_price,
    price_std_dev = excluded.price_std_dev,
    top10_total_volume = excluded.top10_total_volume,
    top10_avg_price = excluded.top10_avg_price,
    best_bid = excluded.best_bid,
    best_ask = excluded.best_ask,
    spread_absolute = excluded.spread_absolute,
    spread_percentage = excluded.spread_percentage
  where (
      d.is_complete, d.total_offers_count, d.total_available_volume, d.weighted_avg_price, d.median_price, d.min_price,
      d.max_price, d.price_std_dev, d.top10_total_volume, d.top10_avg_price, d.best_bid, d.best_ask
    ) is distinct from (
      excluded.is_complete, excluded.total_offers_count, excluded.total_available_volume, excluded.weighted_avg_price,
      excluded.median_price, excluded.min_price, excluded.max_price, excluded.price_std_dev,
      excluded.top10_total_volume, excluded.top10_avg_price, excluded.best_bid, excluded.best_ask
    );
end
$function$;

comment on function p2p.load_depth(uuid) is 'Step of load_batch: depth, best prices and spread of each book';
-- ════ functions/load_dimensions.sql
-- Step 4 of load_batch: payment methods, their lists and the numbers of ads that are new. Adds rows, and fills in
-- names that were missing; a second call adds nothing.
-- Makes pg_temp.payment_lists: what each list of the pages is called in dim_payment_sets,
-- and pg_temp.offer_numbers: what each ad is called in dim_offers.
create or replace function p2p.load_dimensions(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table payment_lists on commit drop as
  select
    c.exchange_id,
    c.payment_methods,
    null::integer as payment_set_id,
    '{}'::integer[] as payment_method_ids
  from pg_temp.chosen_offers c
  group by c.exchange_id, c.payment_methods;

  analyze pg_temp.payment_lists;

  insert into p2p.dim_payment_methods as m (exchange_id, method_code, method_name)
  select
    l.exchange_id,
    left(method.value ->> 0, 200),
    max(method.value ->> 1)
  from pg_temp.payment_lists l
  cross join jsonb_array_elements(l.payment_methods) as method
  group by 1, 2
  on conflict (exchange_id, method_code) do update
  set method_name = excluded.method_name
  where m.method_name is null
    and excluded.method_name is not null;

  update pg_temp.payment_lists l
  set payment_method_ids = coalesce(known.payment_method_ids, '{}')
  from (
    select
      list.exchange_id,
      list.payment_methods,
      array_agg(m.payment_method_id order by method.position) filter (where m.payment_method_id is not null)
        as payment_method_ids
    from pg_temp.payment_lists list
    left join jsonb_array_elements(list.payment_methods) with ordinality as method (value, position) on true
    left join p2p.dim_payment_methods m
      on m.exchange_id = list.exchange_id
      and m.method_code = left(method.value ->> 0, 200)
    group by list.exchange_id, list.payment_methods
  ) as known
  where (l.exchange_id, l.payment_methods) = (known.exchange_id, known.payment_methods);

  insert into p2p.dim_payment_sets (payment_method_ids)
  select distinct l.payment_method_ids
  from pg_temp.payment_lists l
  where not exists (
    select
    from p2p.dim_payment_sets s
    where s.payment_method_ids = l.payment_method_ids
  );

  update pg_temp.payment_lists l
  set payment_set_id = s.payment_set_id
  from p2p.dim_payment_sets s
  where s.payment_method_ids = l.payment_method_ids;

  analyze pg_temp.payment_lists;

  insert into p2p.dim_offers (exchange_id, offer_external_id, first_seen_at)
  select c.exchange_id, c.offer_external_id, r.batch_start_time
  from pg_temp.chosen_offers c
  join p2p.ops_batch_runs r on r.batch_id = p_batch_id
  where not exists (
    select
    from p2p.dim_offers o
    where o.exchange_id = c.exchange_id
      and o.offer_external_id = c.offer_external_id
  );

  create temp table offer_numbers on commit drop as
  select o.exchange_id, o.offer_external_id, o.offer_id
  from pg_temp.chosen_offers c
  join p2p.dim_offers o using (exchange_id, offer_external_id);

  analyze pg_temp.offer_numbers;
end
$function$;

comment on function p2p.load_dimensions(uuid) is 'Step of load_batch: payment methods, their lists, numbers of new ads';
-- ════ functions/load_offers.sql
-- Step 6 of load_batch: the snapshot itself. Afterwards fact_offers holds for this batch what was chosen, nothing else;
-- rows that are there already and stay the same are not touched.
create or replace function p2p.load_offers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_deleted integer;
  v_written integer;
begin
  delete from p2p.fact_offers f
  where f.extraction_timestamp = v_batch.batch_start_time
    and not exists (
      select
      from pg_temp.offer_numbers o
      where o.offer_id = f.offer_id
    );
  get diagnostics v_deleted = row_count;

  insert into p2p.fact_offers as f (
    extraction_timestamp, offer_id, observed_at, batch_id, advertiser_sk, payment_set_id, total_orders_count,
    payment_time_limit_minutes, exchange_id, crypto_id, fiat_id, page_number, is_promoted, is_available, trade_type,
    offer_external_id, price, available_amount, tradable_quantity, min_limit, max_limit, completion_rate,
    positive_rate, price_float_rate, terms_conditions
  )
  select
    v_batch.batch_start_time, o.offer_id, c.observed_at, p_batch_id, a.advertiser_sk, l.payment_set_id,
    c.total_orders_count, c.payment_time_limit_minutes, c.exchange_id, c.crypto_id, c.fiat_id, c.page_number,
    c.was_promoted, c.is_available, c.trade_type, c.offer_external_id, c.price, c.available_amount,
    c.tradable_quantity, c.min_limit, c.max_limit, c.completion_rate, c.positive_rate, c.price_float_rate,
    c.terms_conditions
  from pg_temp.chosen_offers c
  join pg_temp.offer_numbers o
    on o.exchange_id = c.exchange_id
    and o.offer_external_id = c.offer_external_id
  join pg_temp.seen_advertisers a
    on a.exchange_id = c.exchange_id
    and a.advertiser_id = c.advertiser_id
  join pg_temp.payment_lists l
    on l.exchange_id = c.exchange_id
    and l.payment_methods = c.payment_methods
  order by c.fiat_id, c.crypto_id, c.trade_type, o.offer_id
  on conflict (extraction_timestamp, offer_id) do update
  set
    observed_at = excluded.observed_at,
    advertiser_sk = excluded.advertiser_sk,
    payment_set_id = excluded.payment_set_id,
    total_orders_count = excluded.total_orders_count,
    payment_time_limit_minutes = excluded.payment_time_limit_minutes,
    crypto_id = excluded.crypto_id,
    fiat_id = excluded.fiat_id,
    page_number = excluded.page_number,
    is_promoted = excluded.is_promoted,
    is_available = excluded.is_available,
    trade_type = excluded.trade_type,
    price = excluded.price,
    available_amount = excluded.available_amount,
    tradable_quantity = excluded.tradable_quantity,
    min_limit = excluded.min_limit,
    max_limit = excluded.max_limit,
    completion_rate = excluded.completion_rate,
    positive_rate = excluded.positive_rate,
    price_float_rate = excluded.price_float_rate,
    terms_conditions = excluded.terms_conditions
  where f.* is distinct from excluded.*;
  get diagnostics v_written = row_count;

  -- What was written to a batch that had been loaded before is a change of it.
  if v_batch.status <> 'running' and v_deleted + v_written > 0 then
    update p2p.ops_batch_runs
    set total_offers_updated = total_offers_updated + v_deleted + v_written
    where batch_id = p_batch_id;
  end if;
end
$function$;

comment on function p2p.load_offers(uuid) is 'Step of load_batch: writes the snapshot into fact_offers';
-- ════ functions/open_batch.sql
-- Opens a batch over all active markets that the filter takes in, unless one is running.
-- Expects p_filter as [{"fiat": "VES", "asset": "*"}, …].
-- Order: markets that the batch before had to defer, then by how many offers they had, then new ones by name.
-- Returns one row. Where another batch runs: batch_id is NULL and the row says who holds it.
create or replace function p2p.open_batch(
  p_exchange text,
  p_worker_id text,
  p_lease_seconds double precision,
  p_filter jsonb
)
returns table (
  batch_id uuid,
  batch_start_time timestamptz,
  markets_expected integer,
  held_by text,
  lease_ends_in_seconds double precision
)
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch p2p.ops_batch_runs;
begin
  lock table p2p.ops_batch_runs in share row exclusive mode;

  select r.*
  into v_batch
  from p2p.ops_batch_runs r
  where r.status = 'running';

  if found then
    return query
    select
      null::uuid,
      v_batch.batch_start_time,
      v_batch.markets_expected,
      v_batch.worker_id,
      extract(epoch from v_batch.lease_expires_at - clock_timestamp())::double precision;
    return;
  end if;

  insert into p2p.ops_batch_runs (batch_start_time, worker_id, lease_expires_at)
  values (
    -- The time of a batch is the key of its facts: no two share one, even where the clock steps back a little.
    greatest(
      date_trunc('milliseconds', clock_timestamp()),
      (
        select max(r.batch_start_time) + interval '1 millisecond'
        from p2p.ops_batch_runs r
        where r.batch_start_time < clock_timestamp() + interval '1 minute'
      )
    ),
    p_worker_id,
    clock_timestamp() + make_interval(secs => p_lease_seconds)
  )
  returning *
  into v_batch;

  insert into p2p.ops_batch_markets (batch_id, market_id, plan_position)
  with wanted as (
    select
      m.market_id,
      m.trade_type,
      f.currency_code,
      c.symbol
    from p2p.dim_markets m
    join p2p.dim_exchanges e on e.exchange_id = m.exchange_id and e.code = p_exchange
    join p2p.dim_fiat_currencies f on f.fiat_id = m.fiat_id and f.is_active
    join p2p.dim_cryptocurrencies c on c.crypto_id = m.crypto_id and c.is_active
    where m.is_active
      and exists (
        select
        from jsonb_to_recordset(p_filter) as pattern (fiat text, asset text)
        where pattern.fiat in ('*', f.currency_code)
          and pattern.asset in ('*', c.symbol)
      )
  ),
  last_plan as (
    select distinct on (bm.market_id)
      bm.market_id,
      bm.status = 'deferred' as was_deferred,
      bm.offers_reported
    from p2p.ops_batch_markets bm
    join p2p.ops_batch_runs r on r.batch_id = bm.batch_id
    where r.batch_start_time > v_batch.batch_start_time - interval '1 day'
    order by bm.market_id, r.batch_start_time desc
  )
  select
    v_batch.batch_id,
    w.market_id,
    row_number() over (
      order by
        coalesce(l.was_deferred, false) desc,
        coalesce(l.offers_reported, 0) desc,
        w.symbol <> 'USDT',
        w.currency_code,
        w.symbol,
        w.trade_type
    )
  from wanted w
  left join last_plan l on l.market_id = w.market_id;

  update p2p.ops_batch_runs r
  set markets_expected = (
    select count(*)
    from p2p.ops_batch_markets bm
    where bm.batch_id = v_batch.batch_id
  )
  where r.batch_id = v_batch.batch_id
  returning *
  into v_batch;

  return query
  select v_batch.batch_id, v_batch.batch_start_time, v_batch.markets_expected, null::text, null::double precision;
end
$function$;

comment on function p2p.open_batch(text, text, double precision, jsonb) is 'Opens a batch over the active markets that the filter takes in; tells the holder where one runs already';
-- ════ functions/parse_binance_search_v1.sql
-- Reads the items of all binance_search_v1 pages of a batch: POST …/adv/search, answers of 2021 to 2026.
-- Tolerant: numbers may be strings or numbers, keys may be missing, unknown keys are ignored; what cannot be
-- read is NULL. Decides nothing and changes nothing.
create or replace function p2p.parse_binance_search_v1(p_batch_id uuid)
returns setof p2p.parsed_offer
language plpgsql
stable
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
as $function$
declare
  -- Repetition is not bounded here ({1,40} makes matching ten times slower): lengths are checked beside it.
  v_number constant text := '^-?\d+(\.\d+)?([eE][+-]?\d\d?)?$';
  v_digits constant integer := 60;
  v_whole constant text := '^-?\d{1,9}$';
begin
  return query
  with items as (
    select
      s.market_id,
      s.page_number::smallint as page_number,
      (i.position - 1)::integer as item_number,
      s.observed_at,
      m.trade_type,
      i.item -> 'adv' as adv,
      i.item -> 'advertiser' as advertiser,
      i.item ->> 'privilegeType' as privilege
    from p2p.ops_batch_runs r
    join p2p.stg_responses s on s.extraction_timestamp = r.batch_start_time
    join p2p.dim_markets m on m.market_id = s.market_id
    cross join jsonb_array_elements(
      case when jsonb_typeof(s.body -> 'data') = 'array' then s.body -> 'data' else '[]' end
    ) with ordinality as i (item, position)
    where r.batch_id = p_batch_id
      and s.parser = 'binance_search_v1'
    offset 0 -- keeps adv and advertiser from being cut out of the item again for each field below
  ),
  fields as materialized (
    select
      i.market_id,
      i.page_number,
      i.item_number,
      i.observed_at,
      i.trade_type,
      i.privilege,
      i.adv ->> 'advNo' as adv_no,
      i.adv ->> 'asset' as asset,
      i.adv ->> 'fiatUnit' as fiat,
      i.adv ->> 'tradeType' as ad_side,
      i.adv ->> 'isTradable' as is_tradable,
      i.adv ->> 'price' as price,
      i.adv ->> 'surplusAmount' as surplus_amount,
      i.adv ->> 'tradableQuantity' as tradable_quantity,
      i.adv ->> 'minSingleTransAmount' as min_amount,
      i.adv ->> 'maxSingleTransAmount' as max_amount,
      i.adv ->> 'priceFloatingRatio' as floating_ratio,
      i.adv ->> 'payTimeLimit' as pay_time_limit,
      i.adv ->> 'remarks' as remarks,
      coalesce(i.adv -> 'tradeMethods', 'null') as trade_methods,
      i.advertiser ->> 'userNo' as user_no,
      i.advertiser ->> 'nickName' as nick_name,
      i.advertiser ->> 'userType' as user_type,
      i.advertiser ->> 'userGrade' as user_grade,
      i.advertiser ->> 'userIdentity' as user_identity,
      i.advertiser ->> 'vipLevel' as vip_level,
      i.advertiser ->> 'monthOrderCount' as month_orders,
      i.advertiser ->> 'monthFinishRate' as finish_rate,
      i.advertiser ->> 'positiveRate' as positive_rate,
      i.advertiser ->> 'registrationTime' as registration_time
    from items i
  ),
  method_lists as (
    select distinct f.trade_methods
    from fields f
  ),
  methods as materialized (
    select
      l.trade_methods,
      (
        select coalesce(jsonb_agg(jsonb_build_array(one.code, one.name) order by one.position), '[]')
        from (
          select
            method.value ->> 'identifier' as code,
            max(method.value ->> 'tradeMethodName') as name,
            min(method.position) as position
          from jsonb_array_elements(
            case when jsonb_typeof(l.trade_methods) = 'array' then l.trade_methods else '[]' end
          ) with ordinality as method (value, position)
          where method.value ->> 'identifier' <> ''
          group by method.value ->> 'identifier'
        ) as one
      ) as payment_methods
    from method_lists l
  )
  select
    f.market_id,
    f.page_number,
    f.item_number,
    array['data', f.item_number::text],
    f.observed_at,
    f.adv_no,
    f.asset,
    f.fiat,
    f.ad_side <> f.trade_type, -- the ad speaks for its owner, the request for the taker
    f.privilege = '8',
    case f.is_tradable when 'true' then true when 'false' then false end,
    case when f.price ~ v_number and length(f.price) <= v_digits then f.price::numeric end,
    case when f.surplus_amount ~ v_number and length(f.surplus_amount) <= v_digits then f.surplus_amount::numeric end,
    case when f.tradable_quantity ~ v_number and length(f.tradable_quantity) <= v_digits then f.tradable_quantity::numeric end,
    case when f.min_amount ~ v_number and length(f.min_amount) <= v_digits then f.min_amount::numeric end,
    case when f.max_amount ~ v_number and length(f.max_amount) <= v_digits then f.max_amount::numeric end,
    array_remove(array[
      case when f.price !~ v_number or length(f.price) > v_digits then 'price' end,
      case when f.surplus_amount !~ v_number or length(f.surplus_amount) > v_digits then 'available_amount' end,
      case when f.min_amount !~ v_number or length(f.min_amount) > v_digits then 'min_limit' end,
      case when f.max_amount !~ v_number or length(f.max_amount) > v_digits then 'max_limit' end
    ], null),
    case when f.floating_ratio ~ v_number and length(f.floating_ratio) <= v_digits then f.floating_ratio::numeric end,
    case when f.finish_rate ~ v_number and length(f.finish_rate) <= v_digits then f.finish_rate::numeric * 100 end,
    case when f.positive_rate ~ v_number and length(f.positive_rate) <= v_digits then f.positive_rate::numeric * 100 end,
    case when f.month_orders ~ v_whole then f.month_orders::integer end,
    case when f.pay_time_limit ~ v_whole then f.pay_time_limit::integer end,
    nullif(f.remarks, ''),
    f.user_no,
    f.nick_name,
    f.user_type = 'merchant',
    f.user_type,
    case when f.user_grade ~ v_whole then f.user_grade::integer end,
    f.user_identity,
    case when f.vip_level ~ v_whole then f.vip_level::integer end,
    case
      when f.registration_time ~ '^\d{12,14}$'
      then floor((extract(epoch from f.observed_at) - f.registration_time::numeric / 1000) / 86400)::integer
    end,
    m.payment_methods
  from fields f
  join methods m on m.trade_methods = f.trade_methods;
end
$function$;

comment on function p2p.parse_binance_search_v1(uuid) is 'Reads the offers of Binance''s adv/search pages of a batch';
-- ════ functions/parse_pages.sql
-- Step 1 of load_batch: reads the stored pages, each with the parser that its page names.
-- Makes pg_temp.parsed_offers, one row an item.
create or replace function p2p.parse_pages(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_parser text;
begin
  create temp table parsed_offers of p2p.parsed_offer on commit drop;

  for v_parser in
    select distinct s.parser
    from p2p.stg_responses s
    join p2p.ops_batch_runs r on r.batch_start_time = s.extraction_timestamp
    where r.batch_id = p_batch_id
  loop
    execute format('insert into pg_temp.parsed_offers select * from p2p.%I($1)', 'parse_' || v_parser)
    using p_batch_id;
  end loop;

  analyze pg_temp.parsed_offers (market_id, page_number, offer_external_id, is_promoted);
end
$function$;

comment on function p2p.parse_pages(uuid) is 'Step of load_batch: reads the stored pages';
-- ════ functions/record_discovery_problem.sql
-- Writes down a discovery call that failed after all retries. It belongs to no batch.
create or replace function p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  insert into p2p.ops_extraction_errors (fiat_code, error_type, error_message)
  values (p_fiat, p_error_type, left(p_error_message, 1000))
$function$;

comment on function p2p.record_discovery_problem(text, text, text) is 'Writes down a discovery call that failed';
-- ════ functions/record_lost_page.sql
-- Writes down a page that could not be had after all attempts. With p_ends_market the market is given up.
-- A second call with the same page changes nothing.
create or replace function p2p.record_lost_page(
  p_batch_id uuid,
  p_worker_id text,
  p_market_id integer,
  p_page_number integer,
  p_ends_market boolean,
  p_error_type text,
  p_error_message text,
  p_retry_count integer
)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  update p2p.ops_batch_markets bm
  set lost_pages = bm.lost_pages || p_page_number
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id
    and bm.worker_id = p_worker_id
    and bm.status = 'fetching'
    and p_page_number <> all (bm.lost_pages);

  if not found then
    return;
  end if;

  insert into p2p.ops_extraction_errors (
    batch_id, fiat_code, crypto_symbol, trade_type, page_number, error_type, error_message, retry_count
  )
  select
    p_batch_id, f.currency_code, c.symbol, m.trade_type, p_page_number, p_error_type, left(p_error_message, 1000), p_retry_count
  from p2p.dim_markets m
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  where m.market_id = p_market_id;

  if p_ends_market then
    perform p2p.finish_market(p_batch_id, p_market_id, p_error_type || ': ' || left(p_error_message, 200));
  end if;
end
$function$;

comment on function p2p.record_lost_page(uuid, text, integer, integer, boolean, text, text, integer)
is 'Writes down a page that was lost, and gives its market up if told so';
-- ════ functions/reject_offers.sql
-- Step 2 of load_batch: what cannot be an offer goes to ops_rejected_offers, with the reason and the original JSON.
-- A second call leaves rows that are still rejected for the same reason as they are.
create or replace function p2p.reject_offers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table refused_items on commit drop as
  select judged.*
  from (
    select
      p.market_id,
      p.page_number,
      p.item_number,
      p.item_path,
      case
        when coalesce(p.offer_external_id, '') = '' then 'no offer id'
        when length(p.offer_external_id) > 100 then 'offer id is too long'
        when coalesce(p.advertiser_id, '') = '' then 'no advertiser'
        when length(p.advertiser_id) > 100 then 'advertiser id is too long'
        when 'price' = any (p.unreadable) then 'price is not a number'
        when p.price is null then 'no price'
        when p.price <= 0 then 'price is not positive'
        when 'available_amount' = any (p.unreadable) then 'amount is not a number'
        when p.available_amount is null then 'no amount'
        when p.available_amount < 0 then 'amount is negative'
        when p.unreadable && array['min_limit', 'max_limit'] then 'limit is not a number'
        when p.min_limit < 0 or p.max_limit < 0 then 'limit is negative'
        when p.min_limit > p.max_limit then 'limits are crossed'
        when p.asset <> c.symbol or p.fiat <> f.currency_code then 'belongs to another market'
      end as reason
    from pg_temp.parsed_offers p
    join p2p.dim_markets m on m.market_id = p.market_id
    join p2p.dim_cryptocurrencies c on c.crypto_id = m.crypto_id
    join p2p.dim_fiat_currencies f on f.fiat_id = m.fiat_id
  ) as judged
  where judged.reason is not null;

  delete from p2p.ops_rejected_offers o
  where o.batch_id = p_batch_id
    and not exists (
      select
      from pg_temp.refused_items r
      where (r.market_id, r.page_number, r.item_number) = (o.market_id, o.page_number, o.item_number)
    );

  insert into p2p.ops_rejected_offers as o (batch_id, market_id, page_number, item_number, reason, payload)
  select
    p_batch_id,
    r.market_id,
    r.page_number,
    r.item_number,
    r.reason,
    s.body #> r.item_path
  from pg_temp.refused_items r
  join p2p.ops_batch_runs b on b.batch_id = p_batch_id
  join p2p.stg_responses s
    on s.extraction_timestamp = b.batch_start_time
    and s.market_id = r.market_id
    and s.page_number = r.page_number
  on conflict (batch_id, market_id, page_number, item_number) do update
  set reason = excluded.reason
  where o.reason <> excluded.reason;

  drop table pg_temp.refused_items;
end
$function$;

comment on function p2p.reject_offers(uuid) is 'Step of load_batch: sets aside what cannot be an offer';
-- ════ functions/renew_lease.sql
-- Says that the worker lives. Returns whether the batch is still its own: a worker that was silent for longer than
-- its lease may have lost it.
create or replace function p2p.renew_lease(p_batch_id uuid, p_worker_id text, p_lease_seconds double precision)
returns boolean
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  update p2p.ops_batch_runs r
  set lease_expires_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
  where r.batch_id = p_batch_id
    and r.worker_id = p_worker_id
    and r.status = 'running';

  return found;
end
$function$;

comment on function p2p.renew_lease(uuid, text, double precision) is 'Heartbeat of the worker that fetches the batch';
-- ════ functions/repair_json.sql
-- Makes a document of JSON text that jsonb refuses though JSON allows it: \u0000 and lone surrogates become U+FFFD,
-- numbers with an exponent beyond what numeric holds become strings. Other digits and characters stay as they are.
-- Returns document NULL where that does not help. Changes nothing.
create or replace function p2p.repair_json(p_text text, out document jsonb, out alteration text)
language plpgsql
immutable
set search_path = p2p, pg_temp
as $function$
declare
  -- An escape counts only after an even number of backslashes: \\u0000 is a backslash and five characters.
  v_start constant text := '(?<!\\)((?:\\\\)*)';
  v_low constant text := '\\u[dD][c-fC-F][0-9a-fA-F]{2}';
  v_string constant text := '("(?:[^"\\]|\\.)*")';
  v_large_number constant text := '(-?\d+(?:\.\d+)?[eE][+-]?\d{4,})';
  v_mark constant text := E'\x01'; -- JSON has it only escaped
  v_text text := p_text;
begin
  v_text := regexp_replace(v_text, v_start || '\\u0000', '\1\\ufffd', 'g');
  -- Pairs are set aside as \U…, which JSON does not have, so that what is left stands alone.
  v_text := regexp_replace(v_text, v_start || '\\u(?=[dD][89abAB][0-9a-fA-F]{2}' || v_low || ')', '\1\\U', 'g');
  v_text := regexp_replace(v_text, v_start || '(\\U[0-9a-fA-F]{4})\\u', '\1\2\\L', 'g');
  v_text := regexp_replace(v_text, v_start || '\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '\1\\ufffd', 'g');
  v_text := regexp_replace(v_text, v_start || '\\[UL](?=[dD][89a-fA-F][0-9a-fA-F]{2})', '\1\\u', 'g');

  alteration := case when v_text <> p_text then 'characters that jsonb cannot hold became U+FFFD' end;

  begin
    document := v_text::jsonb;
    return;
  exception when others then
    null;
  end;

  begin
    -- Strings are matched as well, so that what looks like a number inside one is left alone. The marks around
    -- what is no string become quotes.
    v_text := regexp_replace(v_text, v_string || '|' || v_large_number, '\1' || v_mark || '\2' || v_mark, 'g');
    document := replace(replace(v_text, v_mark || v_mark, ''), v_mark, '"')::jsonb;
    alteration := concat_ws('; ', alteration, 'numbers beyond the range of numeric became strings');
  exception when others then
    alteration := 'jsonb cannot hold it: ' || sqlerrm;
  end;
end
$function$;

comment on function p2p.repair_json(text) is 'Mends JSON text that jsonb cannot hold, as little as possible';
-- ════ functions/rewrite_advertiser_history.sql
-- Part of load_advertisers, for those of pg_temp.changed_advertisers who were seen with another identity at p_time
-- although later or equal times are known already. Their history is made anew from every time they were seen
-- (facts, and the beginning of each row they have), so that it is the same as if all batches had come in order.
-- Rows keep their advertiser_sk where the identity they stand for stays; facts that now belong to another row
-- are pointed at it. The facts of p_time itself are left to load_offers.
create or replace function p2p.rewrite_advertiser_history(p_time timestamptz)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table new_history on commit drop as
  with former_rows as (
    select d.*
    from p2p.dim_advertisers d
    join pg_temp.changed_advertisers c using (exchange_id, advertiser_id)
    where c.changes_history
  ),
  times_seen as (
    select f.advertiser_sk, f.effective_date as seen_at
    from former_rows f
    union
    select f.advertiser_sk, o.extraction_timestamp
    from former_rows f
    join p2p.fact_offers o on o.advertiser_sk = f.advertiser_sk
  ),
  sightings as (
    select
      f.exchange_id, f.advertiser_id, t.seen_at, f.advertiser_sk, f.registration_days,
      row(f.nickname, f.is_merchant, f.user_type, f.user_grade, f.user_identity, f.vip_level)::text as identity,
      f.nickname, f.is_merchant, f.user_type, f.user_grade, f.user_identity, f.vip_level
    from times_seen t
    join former_rows f using (advertiser_sk)
    where t.seen_at <> p_time
    union all
    select
      c.exchange_id, c.advertiser_id, p_time, null, c.registration_days,
      row(c.nickname, c.is_merchant, c.user_type, c.user_grade, c.user_identity, c.vip_level)::text,
      c.nickname, c.is_merchant, c.user_type, c.user_grade, c.user_identity, c.vip_level
    from pg_temp.changed_advertisers c
    where c.changes_history
  ),
  marked as (
    select
      s.*,
      s.identity is distinct from lag(s.identity) over advertiser as begins
    from sightings s
    window advertiser as (partition by s.exchange_id, s.advertiser_id order by s.seen_at)
  ),
  numbered as (
    select
      m.*,
      count(*) filter (where m.begins) over (
        partition by m.exchange_id, m.advertiser_id
        order by m.seen_at
      ) as stretch
    from marked m
  ),
  stretches as (
    select
      n.exchange_id, n.advertiser_id, n.stretch,
      min(n.seen_at) as effective_date,
      max(n.seen_at) as last_seen_at,
      array_agg(distinct n.advertiser_sk) filter (where n.advertiser_sk is not null) as former_sks,
      max(n.registration_days) as registration_days,
      n.nickname, n.is_merchant, n.user_type, n.user_grade, n.user_identity, n.vip_level
    from numbered n
    group by
      n.exchange_id, n.advertiser_id, n.stretch,
      n.nickname, n.is_merchant, n.user_type, n.user_grade, n.user_identity, n.vip_level
  ),
  claims as (
    -- A former row may have been cut into several stretches: the first one keeps its number.
    select distinct on (sk.advertiser_sk) s.exchange_id, s.advertiser_id, s.stretch, sk.advertiser_sk
    from stretches s
    cross join unnest(s.former_sks) as sk (advertiser_sk)
    order by sk.advertiser_sk, s.stretch
  ),
  kept as (
    select c.exchange_id, c.advertiser_id, c.stretch, min(c.advertiser_sk) as advertiser_sk
    from claims c
    group by c.exchange_id, c.advertiser_id, c.stretch
  )
  select
    coalesce(
      kept.advertiser_sk,
      nextval(pg_get_serial_sequence('p2p.dim_advertisers', 'advertiser_sk'))::integer
    ) as advertiser_sk,
    s.exchange_id, s.advertiser_id, s.nickname, s.is_merchant, s.user_type, s.user_grade, s.user_identity, s.vip_level,
    s.registration_days,
    s.effective_date,
    coalesce(
      lead(s.effective_date) over (partition by s.exchange_id, s.advertiser_id order by s.effective_date),
      'infinity'
    ) as expiration_date,
    s.former_sks
  from stretches s
  left join kept using (exchange_id, advertiser_id, stretch);

  update p2p.fact_offers o
  set advertiser_sk = h.advertiser_sk
  from pg_temp.new_history h
  where o.advertiser_sk = any (h.former_sks)
    and o.advertiser_sk <> h.advertiser_sk
    and o.extraction_timestamp >= h.effective_date
    and o.extraction_timestamp < h.expiration_date
    and o.extraction_timestamp <> p_time;

  delete from p2p.dim_advertisers d
  using pg_temp.changed_advertisers c
  where c.changes_history
    and d.exchange_id = c.exchange_id
    and d.advertiser_id = c.advertiser_id;

  insert into p2p.dim_advertisers (
    advertiser_sk, exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, effective_date, expiration_date
  )
  overriding system value
  select
    advertiser_sk, exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, effective_date, expiration_date
  from pg_temp.new_history;

  drop table pg_temp.new_history;
end
$function$;

comment on function p2p.rewrite_advertiser_history(timestamptz) is 'Part of load_advertisers: history after a batch that was loaded late or again';
-- ════ functions/run_quality_checks.sql
-- Step 8 of load_batch: measures the batch and compares with quality_thresholds. Writes one row a check into
-- ops_data_quality; a second call changes a row only where its result changed.
create or replace function p2p.run_quality_checks(p_batch_id uuid)
returns setof p2p.ops_data_quality
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_now timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
begin
  insert into p2p.ops_data_quality as q (batch_id, metric_name, metric_value, threshold_value, passed, details)
  with markets as (
    select
      count(*) as planned,
      count(*) filter (where bm.status = 'complete') as complete,
      coalesce(
        jsonb_object_agg(bm.status, bm.markets) filter (where bm.status <> 'complete'),
        '{}'
      ) as missing
    from (
      select
        bm.status,
        count(*) over (partition by bm.status) as markets
      from p2p.ops_batch_markets bm
      where bm.batch_id = p_batch_id
    ) as bm
  ),
  snapshot as (
    select f.*
    from p2p.fact_offers f
    where f.extraction_timestamp = v_now
  ),
  repeated as (
    select
      count(*) as offers,
      jsonb_agg(r.offer_external_id) filter (where r.place <= 5) as samples
    from (
      select s.offer_external_id, row_number() over () as place
      from snapshot s
      group by s.exchange_id, s.offer_external_id
      having count(*) > 1
    ) as r
  ),
  broken as (
    select count(*) as offers
    from snapshot s
    left join p2p.dim_advertisers a on a.advertiser_sk = s.advertiser_sk
    left join p2p.dim_markets m
      on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (s.exchange_id, s.fiat_id, s.crypto_id, s.trade_type)
    left join p2p.dim_payment_sets p on p.payment_set_id = s.payment_set_id
    left join p2p.dim_offers o on o.offer_id = s.offer_id
    where a.advertiser_sk is null
      or m.market_id is null
      or p.payment_set_id is null
      or o.offer_id is null
  ),
  rejected as (
    select
      coalesce(sum(r.offers), 0) as offers,
      coalesce(jsonb_object_agg(r.reason, r.offers), '{}') as reasons
    from (
      select o.reason, count(*) as offers
      from p2p.ops_rejected_offers o
      where o.batch_id = p_batch_id
      group by o.reason
    ) as r
  ),
  measured (metric_name, metric_value, is_share_at_least, details) as (
    select
      'completeness',
      round(markets.complete::numeric / nullif(markets.planned, 0), 6),
      true,
      jsonb_build_object('planned', markets.planned, 'complete', markets.complete, 'missing', markets.missing)
    from markets
    union all
    select
      'duplicate_offers',
      repeated.offers,
      false,
      jsonb_build_object('samples', coalesce(repeated.samples, '[]'))
    from repeated
    union all
    select 'broken_references', broken.offers, false, '{}'
    from broken
    union all
    select
      'rejected_share',
      round(rejected.offers / nullif(rejected.offers + (select count(*) from snapshot), 0), 6),
      false,
      jsonb_build_object('rejected', rejected.offers, 'reasons', rejected.reasons)
    from rejected
  )
  select
    p_batch_id,
    m.metric_name,
    m.metric_value,
    t.threshold_value,
    case
      when m.is_share_at_least then coalesce(m.metric_value, 0) >= t.threshold_value
      else coalesce(m.metric_value, 0) <= t.threshold_value
    end,
    m.details
  from measured m
  join p2p.quality_thresholds t using (metric_name)
  on conflict (batch_id, metric_name) do update
  set
    check_timestamp = excluded.check_timestamp,
    metric_value = excluded.metric_value,
    threshold_value = excluded.threshold_value,
    passed = excluded.passed,
    details = excluded.details
  where (q.metric_value, q.threshold_value, q.passed, q.details)
    is distinct from (excluded.metric_value, excluded.threshold_value, excluded.passed, excluded.details);

  return query
  select q.*
  from p2p.ops_data_quality q
  where q.batch_id = p_batch_id
  order by q.metric_name;
end
$function$;

comment on function p2p.run_quality_checks(uuid) is 'Measures a batch against quality_thresholds';
-- ════ functions/status_report.sql
-- What `p2p-ingest status` shows, as one document. Changes nothing.
create or replace function p2p.status_report(p_batches integer)
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with last_batch as (
    select r.batch_id
    from p2p.ops_batch_runs r
    where r.status <> 'running'
    order by r.batch_start_time desc
    limit 1
  ),
  newest as (
    select o.*
    from p2p.batch_overview o
    order by o.batch_start_time desc
    limit p_batches
  ),
  running as (
    select
      r.batch_id,
      round(extract(epoch from clock_timestamp() - r.batch_start_time)) as seconds,
      (
        select count(*)
        from p2p.ops_batch_markets bm
        where bm.batch_id = r.batch_id
          and bm.finished_at is not null
      ) as markets_ended,
      r.markets_expected
    from p2p.ops_batch_runs r
    where r.status = 'running'
  ),
  missing as (
    select
      m.status,
      count(*) as markets,
      array_to_string(
        (array_agg(format('%s/%s %s', m.fiat_code, m.crypto_symbol, m.trade_type) order by m.fiat_code, m.crypto_symbol, m.trade_type))[1:4],
        ', '
      ) as examples
    from p2p.missing_markets m
    join last_batch using (batch_id)
    group by m.status
  )
  select json_build_object(
    'seconds_since_last_good_batch', (
      select round(extract(epoch from clock_timestamp() - max(r.batch_end_time)))
      from p2p.ops_batch_runs r
      where r.status in ('completed', 'partial')
    ),
    'running', (select to_json(running) from running),
    'batches', (
      select coalesce(
        json_agg(
          json_build_object(
            'started', to_char(n.batch_start_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"'),
            'status', n.status,
            'markets', n.markets_completed,
            'of', n.markets_expected,
            'percent', n.completeness_percent,
            'offers', n.offers,
            'rejected', n.rejected,
            'errors', n.errors,
            'seconds', round(n.seconds, 1),
            'failed_checks', n.failed_checks,
            'batch_id', n.batch_id
          )
          order by n.batch_start_time desc
        ),
        '[]'
      )
      from newest n
    ),
    'missing_markets', (
      select coalesce(json_agg(to_json(missing) order by missing.markets desc), '[]')
      from missing
    ),
    'failed_checks', (
      select coalesce(
        json_agg(
          json_build_object('check', q.metric_name, 'value', q.metric_value, 'threshold', q.threshold_value)
          order by q.metric_name
        ),
        '[]'
      )
      from p2p.ops_data_quality q
      join last_batch using (batch_id)
      where not q.passed
    )
  )
$function$;

comment on function p2p.status_report(integer) is 'What p2p-ingest status shows';
-- ════ functions/store_market_list.sql
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
-- ════ functions/store_page.sql
-- Stores one page as received and marks it done in the ledger, both or neither. With p_ends_market the market
-- is finished as well.
-- A second call with the same page changes nothing. A page of a market that is no longer this worker's is not stored.
-- Returns what became of it: stored; already (it was there); unreadable (the bytes are kept, but jsonb cannot hold
-- them in any form: the page is lost and the error recorded); not_ours.
create or replace function p2p.store_page(
  p_batch_id uuid,
  p_worker_id text,
  p_market_id integer,
  p_page_number integer,
  p_ends_market boolean,
  p_offers_reported integer,
  p_parser text,
  p_observed_at timestamptz,
  p_attempt integer,
  p_http_status integer,
  p_duration_ms integer,
  p_body_bytes integer,
  p_body_sha256 bytea,
  p_alteration text,
  p_body_original bytea,
  p_body text
)
returns text
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_document jsonb;
  v_alteration text := p_alteration;
  v_problem text;
begin
  begin
    v_document := p_body::jsonb;
  exception when others then
    select r.document, concat_ws('; ', p_alteration, r.alteration)
    into v_document, v_alteration
    from p2p.repair_json(p_body) r;
    v_problem := case when v_document is null then sqlerrm end;
  end;

  -- The row of the ledger is locked before it is believed, and a page that another call is just storing is waited
  -- for: a worker that heard no answer calls again while its first call may still run.
  insert into p2p.stg_responses (
    extraction_timestamp, market_id, page_number, batch_id, observed_at, attempt, http_status, duration_ms,
    body_bytes, body_sha256, parser, alteration, body_original, body
  )
  select
    r.batch_start_time, p_market_id, p_page_number, p_batch_id, p_observed_at, p_attempt, p_http_status,
    p_duration_ms, p_body_bytes, p_body_sha256, p_parser, v_alteration,
    case when v_alteration is not null then coalesce(p_body_original, convert_to(p_body, 'UTF8')) end,
    coalesce(v_document, 'null')
  from p2p.ops_batch_markets bm
  join p2p.ops_batch_runs r on r.batch_id = bm.batch_id
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id
    and bm.worker_id = p_worker_id
    and bm.status = 'fetching'
    and r.status = 'running'
  for update of bm
  on conflict (extraction_timestamp, market_id, page_number) do nothing;

  if not found then
    return case
      when exists (
        select
        from p2p.stg_responses s
        join p2p.ops_batch_runs r on r.batch_start_time = s.extraction_timestamp
        where r.batch_id = p_batch_id
          and s.market_id = p_market_id
          and s.page_number = p_page_number
      ) then 'already'
      else 'not_ours'
    end;
  end if;

  update p2p.ops_batch_markets bm
  set
    pages_stored = bm.pages_stored + case when v_problem is null then 1 else 0 end,
    offers_reported = coalesce(p_offers_reported, bm.offers_reported)
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id;

  if v_problem is not null then
    perform p2p.record_lost_page(
      p_batch_id, p_worker_id, p_market_id, p_page_number, p_ends_market, 'unreadable', v_problem, p_attempt - 1
    );
    return 'unreadable';
  end if;

  if p_ends_market then
    perform p2p.finish_market(p_batch_id, p_market_id, null);
  end if;

  return 'stored';
end
$function$;

comment on function p2p.store_page(uuid, text, integer, integer, boolean, integer, text, timestamptz, integer, integer, integer, integer, bytea, text, bytea, text)
is 'Stores one page as received and marks it done in the ledger';
-- ════ functions/store_payment_methods.sql
-- Takes in payment methods with the names that the exchange gives them: [{"code": "Zelle", "name": "Zelle"}, …].
-- A name that was known is replaced only by another name. A second call changes no row.
create or replace function p2p.store_payment_methods(p_exchange text, p_methods jsonb)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  insert into p2p.dim_payment_methods as m (exchange_id, method_code, method_name)
  select
    e.exchange_id,
    listed.value ->> 'code',
    max(nullif(listed.value ->> 'name', ''))
  from jsonb_array_elements(p_methods) as listed
  join p2p.dim_exchanges e on e.code = p_exchange
  group by e.exchange_id, listed.value ->> 'code'
  on conflict (exchange_id, method_code) do update
  set method_name = excluded.method_name
  where m.method_name is distinct from excluded.method_name
    and excluded.method_name is not null
$function$;

comment on function p2p.store_payment_methods(text, jsonb) is 'Takes in payment methods and their names';
-- ════ views/batch_overview.sql
create or replace view p2p.batch_overview as
select
  r.batch_id,
  r.batch_start_time,
  r.status,
  r.markets_completed,
  r.markets_expected,
  round(100.0 * r.markets_completed / nullif(r.markets_expected, 0), 2) as completeness_percent,
  r.total_offers_inserted as offers,
  r.total_offers_rejected as rejected,
  r.total_errors as errors,
  r.execution_time_seconds as seconds,
  (
    select count(*)
    from p2p.ops_data_quality q
    where q.batch_id = r.batch_id
      and not q.passed
  ) as failed_checks,
  r.error_summary
from p2p.ops_batch_runs r;

comment on view p2p.batch_overview is 'Batches with their completeness and failed checks; newest: order by batch_start_time desc';
-- ════ views/fact_offer_payment_methods.sql
create or replace view p2p.fact_offer_payment_methods as
select
  f.offer_id,
  f.extraction_timestamp,
  method.payment_method_id,
  method.position = 1 as is_primary
from p2p.fact_offers f
join p2p.dim_payment_sets s using (payment_set_id)
cross join unnest(s.payment_method_ids) with ordinality as method (payment_method_id, position);

comment on view p2p.fact_offer_payment_methods is 'Payment methods of every offer of every batch, one row each; the first that the ad names is the primary one';
-- ════ views/market_daily.sql
create or replace view p2p.market_daily as
select
  e.code as exchange,
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  d.trade_type,
  date_trunc('day', d.extraction_timestamp, 'UTC') as time_bucket,
  count(*) as snapshots,
  (array_agg(best.price order by d.extraction_timestamp) filter (where best.price is not null))[1] as best_open,
  max(best.price) as best_high,
  min(best.price) as best_low,
  (array_agg(best.price order by d.extraction_timestamp desc) filter (where best.price is not null))[1] as best_close,
  (array_agg(d.median_price order by d.extraction_timestamp) filter (where d.median_price is not null))[1] as median_open,
  max(d.median_price) as median_high,
  min(d.median_price) as median_low,
  (array_agg(d.median_price order by d.extraction_timestamp desc) filter (where d.median_price is not null))[1] as median_close,
  sum(d.weighted_avg_price * d.total_available_volume) / nullif(sum(d.total_available_volume), 0) as weighted_avg_price,
  avg(d.spread_percentage) as avg_spread_percentage,
  avg(d.total_available_volume) as avg_volume,
  avg(d.total_offers_count) as avg_offers,
  max(d.total_offers_count) as max_offers
from p2p.fact_market_depth d
cross join lateral (
  select case d.trade_type when 'BUY' then d.min_price else d.max_price end as price
) as best
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
group by e.code, c.symbol, f.currency_code, d.trade_type, date_trunc('day', d.extraction_timestamp, 'UTC');

comment on view p2p.market_daily is 'Each market by day (UTC): open, high, low, close of the best and the median price, spread, volume and offers';
comment on column p2p.market_daily.best_open is 'Best price for the taker in the first snapshot of the day that had offers';
comment on column p2p.market_daily.avg_volume is 'Available amount in a snapshot, on average';
-- ════ views/market_hourly.sql
create or replace view p2p.market_hourly as
select
  e.code as exchange,
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  d.trade_type,
  date_trunc('hour', d.extraction_timestamp, 'UTC') as time_bucket,
  count(*) as snapshots,
  (array_agg(best.price order by d.extraction_timestamp) filter (where best.price is not null))[1] as best_open,
  max(best.price) as best_high,
  min(best.price) as best_low,
  (array_agg(best.price order by d.extraction_timestamp desc) filter (where best.price is not null))[1] as best_close,
  (array_agg(d.median_price order by d.extraction_timestamp) filter (where d.median_price is not null))[1] as median_open,
  max(d.median_price) as median_high,
  min(d.median_price) as median_low,
  (array_agg(d.median_price order by d.extraction_timestamp desc) filter (where d.median_price is not null))[1] as median_close,
  sum(d.weighted_avg_price * d.total_available_volume) / nullif(sum(d.total_available_volume), 0) as weighted_avg_price,
  avg(d.spread_percentage) as avg_spread_percentage,
  avg(d.total_available_volume) as avg_volume,
  avg(d.total_offers_count) as avg_offers,
  max(d.total_offers_count) as max_offers
from p2p.fact_market_depth d
cross join lateral (
  select case d.trade_type when 'BUY' then d.min_price else d.max_price end as price
) as best
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
group by e.code, c.symbol, f.currency_code, d.trade_type, date_trunc('hour', d.extraction_timestamp, 'UTC');

comment on view p2p.market_hourly is 'Each market by hour (UTC): open, high, low, close of the best and the median price, spread, volume and offers';
comment on column p2p.market_hourly.best_open is 'Best price for the taker in the first snapshot of the hour that had offers';
comment on column p2p.market_hourly.avg_volume is 'Available amount in a snapshot, on average';
-- ════ views/merchant_daily.sql
create or replace view p2p.merchant_daily as
with offers_a_snapshot as (
  select
    f.exchange_id,
    a.advertiser_id,
    f.crypto_id,
    f.fiat_id,
    f.trade_type,
    f.extraction_timestamp,
    count(*) as offers,
    sum(f.available_amount) as volume,
    max(f.total_orders_count) as orders_30_days
  from p2p.fact_offers f
  join p2p.dim_advertisers a using (advertiser_sk)
  group by f.exchange_id, a.advertiser_id, f.crypto_id, f.fiat_id, f.trade_type, f.extraction_timestamp
)
select
  e.code as exchange,
  o.advertiser_id,
  now_called.nickname as advertiser,
  now_called.is_merchant,
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  o.trade_type,
  date_trunc('day', o.extraction_timestamp, 'UTC') as time_bucket,
  count(*) as snapshots,
  avg(o.offers) as avg_offers,
  avg(o.volume) as avg_volume,
  max(o.orders_30_days) as orders_30_days
from offers_a_snapshot o
join p2p.dim_advertisers now_called
  on now_called.exchange_id = o.exchange_id
  and now_called.advertiser_id = o.advertiser_id
  and now_called.is_current
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e on e.exchange_id = o.exchange_id
group by
  e.code, o.advertiser_id, now_called.nickname, now_called.is_merchant, c.symbol, f.currency_code, o.trade_type,
  date_trunc('day', o.extraction_timestamp, 'UTC');

comment on view p2p.merchant_daily is 'Offers and available amount of every advertiser by market and day (UTC), under their present name';
comment on column p2p.merchant_daily.snapshots is 'Snapshots of the day in which they had an offer';
comment on column p2p.merchant_daily.avg_volume is 'Available amount in those snapshots, on average';
-- ════ views/missing_markets.sql
create or replace view p2p.missing_markets as
select
  r.batch_start_time,
  f.currency_code as fiat_code,
  c.symbol as crypto_symbol,
  m.trade_type,
  bm.status,
  bm.reason,
  bm.lost_pages,
  bm.pages_stored,
  r.batch_id
from p2p.ops_batch_markets bm
join p2p.ops_batch_runs r using (batch_id)
join p2p.dim_markets m using (market_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
where bm.status <> 'complete'
  and r.status <> 'running';

comment on view p2p.missing_markets is 'Markets that a batch did not fetch whole, and why';
-- ════ views/mv_latest_market_state.sql
-- A view, not a materialized one: it is right the moment a batch is loaded, and there is nothing to refresh.
create or replace view p2p.mv_latest_market_state as
with newest_books as (
  select
    m.exchange_id,
    m.fiat_id,
    m.crypto_id,
    m.trade_type,
    newest.extraction_timestamp
  from p2p.dim_markets m
  cross join lateral (
    select d.extraction_timestamp
    from p2p.fact_market_depth d
    where d.exchange_id = m.exchange_id
      and d.fiat_id = m.fiat_id
      and d.crypto_id = m.crypto_id
      and d.trade_type = m.trade_type
    order by d.extraction_timestamp desc
    limit 1
  ) as newest
),
payment_names as (
  select
    s.payment_set_id,
    array(
      select coalesce(pm.method_name, pm.method_code)
      from unnest(s.payment_method_ids) with ordinality as method (payment_method_id, position)
      join p2p.dim_payment_methods pm using (payment_method_id)
      order by method.position
    ) as payment_methods
  from p2p.dim_payment_sets s
)
select
  f.offer_external_id,
  c.symbol as crypto_symbol,
  fc.currency_code as fiat_code,
  f.trade_type,
  a.nickname as advertiser,
  a.is_merchant,
  f.price,
  f.available_amount,
  f.min_limit,
  f.max_limit,
  f.completion_rate,
  f.total_orders_count,
  f.extraction_timestamp,
  p.payment_methods,
  f.is_promoted,
  e.code as exchange
from newest_books b
join p2p.fact_offers f
  on f.exchange_id = b.exchange_id
  and f.fiat_id = b.fiat_id
  and f.crypto_id = b.crypto_id
  and f.trade_type = b.trade_type
  and f.extraction_timestamp = b.extraction_timestamp
join p2p.dim_cryptocurrencies c on c.crypto_id = f.crypto_id
join p2p.dim_fiat_currencies fc on fc.fiat_id = f.fiat_id
join p2p.dim_exchanges e on e.exchange_id = f.exchange_id
left join p2p.dim_advertisers a on a.advertiser_sk = f.advertiser_sk
left join payment_names p on p.payment_set_id = f.payment_set_id;

comment on view p2p.mv_latest_market_state is 'Every offer of the newest loaded snapshot of each market';
-- ════ views/table_sizes.sql
create or replace view p2p.table_sizes as
select
  c.relname::text as table_name,
  to_char(greatest(s.n_live_tup, 0), 'FM999,999,999,999') as rows_about,
  pg_size_pretty(pg_total_relation_size(c.oid)) as size,
  split_part(obj_description(c.oid, 'pg_class'), ';', 1) as holds
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_stat_user_tables s on s.relid = c.oid
where n.nspname = 'p2p'
  and c.relkind in ('r', 'p')
order by pg_total_relation_size(c.oid) desc;

comment on view p2p.table_sizes is 'Size of each table with its indexes, and about how many rows it has';
-- ════ views/v_price_history.sql
create or replace view p2p.v_price_history as
select
  c.symbol as crypto_symbol,
  f.currency_code as fiat_code,
  d.trade_type,
  date_trunc('hour', d.extraction_timestamp, 'UTC') as time_bucket,
  sum(d.weighted_avg_price * d.total_available_volume) / nullif(sum(d.total_available_volume), 0) as avg_price,
  min(d.min_price) as min_price,
  max(d.max_price) as max_price,
  stddev_samp(d.median_price) as price_volatility,
  avg(d.total_available_volume) as total_volume,
  round(avg(d.total_offers_count))::integer as offer_count,
  e.code as exchange
from p2p.fact_market_depth d
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
group by e.code, f.currency_code, c.symbol, d.trade_type, date_trunc('hour', d.extraction_timestamp, 'UTC');

comment on view p2p.v_price_history is 'Prices of each market by hour';
comment on column p2p.v_price_history.avg_price is 'Weighted by available amount over all snapshots of the hour';
comment on column p2p.v_price_history.price_volatility is 'Standard deviation of the median price between the snapshots of the hour; NULL for one snapshot';
comment on column p2p.v_price_history.total_volume is 'Available amount, the average of the snapshots: an offer stands in many snapshots and must not be added up';
comment on column p2p.v_price_history.offer_count is 'Offers in a snapshot, on average';
