-- Schema p2p as `migrate` leaves it in PostgreSQL 15: to read, and to compare. Nothing runs this file.
-- Written by: deno task schema

CREATE SCHEMA p2p;

COMMENT ON SCHEMA p2p IS 'Binance P2P, every ten minutes. Start with: select * from p2p.mv_latest_market_state limit 10';

CREATE TYPE p2p.parsed_offer AS (
	market_id integer,
	page_number smallint,
	item_number integer,
	item_path text[],
	observed_at timestamp with time zone,
	offer_external_id text,
	asset text,
	fiat text,
	is_own_side boolean,
	is_promoted boolean,
	is_available boolean,
	price numeric,
	available_amount numeric,
	tradable_quantity numeric,
	min_limit numeric,
	max_limit numeric,
	unreadable text[],
	price_float_rate numeric,
	completion_rate numeric,
	positive_rate numeric,
	total_orders_count integer,
	payment_time_limit_minutes integer,
	terms_conditions text,
	advertiser_id text,
	nickname text,
	is_merchant boolean,
	user_type text,
	user_grade integer,
	user_identity text,
	vip_level integer,
	registration_days integer,
	payment_methods jsonb
);

COMMENT ON TYPE p2p.parsed_offer IS 'One item of a page as a parser read it; NULL where the page has nothing readable';

COMMENT ON COLUMN p2p.parsed_offer.item_path IS 'Where the item stands in the body of its page';

COMMENT ON COLUMN p2p.parsed_offer.asset IS 'The asset the item names, to be compared with the one that was asked for';

COMMENT ON COLUMN p2p.parsed_offer.is_own_side IS 'Whether the item names the side that belongs to the one asked for; NULL where it names none';

COMMENT ON COLUMN p2p.parsed_offer.unreadable IS 'Numbers that are there, but are no numbers';

COMMENT ON COLUMN p2p.parsed_offer.payment_methods IS '[[code, name], …] in the order of the ad, each code once';

CREATE FUNCTION p2p.adopt_abandoned_batch(p_worker_id text, p_lease_seconds double precision) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.adopt_abandoned_batch(p_worker_id text, p_lease_seconds double precision) IS 'Takes over the batch of a dead worker, to load what it had stored';

CREATE FUNCTION p2p.apply_migration(p_name text, p_sha256 text, p_body text, p_program_version text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_known text;
begin
  perform pg_advisory_xact_lock(hashtextextended('p2p.migrate', 0));

  select m.sha256
  into v_known
  from p2p.schema_migrations m
  where m.name = p_name;

  if v_known = p_sha256 then
    return false;
  elsif v_known is not null then
    raise exception 'sql/% was edited after it ran in this database', p_name
      using errcode = 'P2P01', hint = 'put the old text back and write a new migration';
  end if;

  begin
    execute p_body;
  exception when others then
    raise exception 'sql/%: %', p_name, sqlerrm
      using errcode = sqlstate;
  end;

  insert into p2p.schema_migrations (name, sha256, body, program_version)
  values (p_name, p_sha256, p_body, p_program_version);

  return true;
end
$$;

COMMENT ON FUNCTION p2p.apply_migration(p_name text, p_sha256 text, p_body text, p_program_version text) IS 'Runs one file of sql/migrations once; used by the migrate command';

CREATE FUNCTION p2p.apply_objects(p_files jsonb, p_program_version text) RETURNS SETOF text
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET check_function_bodies TO 'off'
    AS $$
declare
  v_file record;
begin
  perform pg_advisory_xact_lock(hashtextextended('p2p.migrate', 0));

  for v_file in
    select
      f.value ->> 'name' as name,
      f.value ->> 'sha256' as sha256,
      f.value ->> 'body' as body
    from jsonb_array_elements(p_files) with ordinality as f (value, position)
    where not exists (
      select
      from p2p.schema_objects o
      where o.name = f.value ->> 'name'
        and o.sha256 = f.value ->> 'sha256'
    )
    order by f.position
  loop
    begin
      execute v_file.body;
    exception when others then
      raise exception 'sql/%: %', v_file.name, sqlerrm
        using errcode = sqlstate;
    end;

    insert into p2p.schema_objects as o (name, sha256, body, program_version)
    values (v_file.name, v_file.sha256, v_file.body, p_program_version)
    on conflict (name) do update
    set
      sha256 = excluded.sha256,
      body = excluded.body,
      program_version = excluded.program_version,
      applied_at = excluded.applied_at;

    return next v_file.name;
  end loop;
end
$$;

COMMENT ON FUNCTION p2p.apply_objects(p_files jsonb, p_program_version text) IS 'Re-applies changed files of sql/functions and sql/views; used by the migrate command';

CREATE FUNCTION p2p.choose_offers(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.choose_offers(p_batch_id uuid) IS 'Step of load_batch: keeps one reading of each ad';

CREATE FUNCTION p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_count integer) RETURNS TABLE(market_id integer, fiat text, asset text, side text)
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_count integer) IS 'Takes the next markets from the work queue of a batch';

CREATE TABLE p2p.ops_batch_runs (
    batch_id uuid DEFAULT gen_random_uuid() NOT NULL,
    batch_start_time timestamp with time zone NOT NULL,
    batch_end_time timestamp with time zone,
    status text DEFAULT 'running'::text NOT NULL,
    total_fiats_processed integer DEFAULT 0 NOT NULL,
    total_offers_extracted integer DEFAULT 0 NOT NULL,
    total_offers_inserted integer DEFAULT 0 NOT NULL,
    total_offers_updated integer DEFAULT 0 NOT NULL,
    total_offers_rejected integer DEFAULT 0 NOT NULL,
    total_offers_duplicate integer DEFAULT 0 NOT NULL,
    total_errors integer DEFAULT 0 NOT NULL,
    error_summary text,
    execution_time_seconds numeric(14,3),
    markets_expected integer DEFAULT 0 NOT NULL,
    markets_completed integer DEFAULT 0 NOT NULL,
    worker_id text NOT NULL,
    lease_expires_at timestamp with time zone NOT NULL,
    CONSTRAINT ops_batch_runs_check CHECK (((status = 'running'::text) = (batch_end_time IS NULL))),
    CONSTRAINT ops_batch_runs_status_check CHECK ((status = ANY (ARRAY['running'::text, 'completed'::text, 'partial'::text, 'failed'::text])))
);

COMMENT ON TABLE p2p.ops_batch_runs IS 'One row a batch. extracted = inserted + rejected + duplicate';

COMMENT ON COLUMN p2p.ops_batch_runs.batch_start_time IS 'Also the extraction_timestamp of every fact of the batch';

COMMENT ON COLUMN p2p.ops_batch_runs.status IS 'completed: every planned market fetched whole; partial: loaded, but something planned is missing; failed: nothing loaded';

COMMENT ON COLUMN p2p.ops_batch_runs.total_offers_extracted IS 'Items on all stored pages, before any was rejected or recognised as a repetition';

COMMENT ON COLUMN p2p.ops_batch_runs.total_offers_inserted IS 'Rows of the batch in fact_offers';

COMMENT ON COLUMN p2p.ops_batch_runs.total_offers_updated IS 'Rows that a later load of the same batch changed, because the SQL had changed in between';

COMMENT ON COLUMN p2p.ops_batch_runs.total_offers_duplicate IS 'Promoted copies, and rows that came twice because the book moved while it was read';

COMMENT ON COLUMN p2p.ops_batch_runs.lease_expires_at IS 'The worker that fetches renews this; a batch whose lease has run out belongs to a dead worker';

CREATE FUNCTION p2p.close_batch(p_batch_id uuid) RETURNS p2p.ops_batch_runs
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.close_batch(p_batch_id uuid) IS 'Last step of load_batch: counts and status';

CREATE FUNCTION p2p.compared_tables() RETURNS TABLE(table_id oid, table_name text, key_columns text[], rows_statement text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $_$
  with tables as (
    select
      c.oid as table_id,
      c.relname::text as table_name,
      c.relname in ('dim_advertisers', 'dim_payment_methods', 'dim_payment_sets') as is_whole
    from pg_class c
    where c.relnamespace = 'p2p'::regnamespace
      and c.relkind in ('r', 'p')
      and not c.relispartition
      and c.relname not in ('stg_responses', 'ops_batch_loads', 'ops_batch_steps')
      and has_table_privilege(c.oid, 'select')
  ),
  columns as (
    select
      t.table_id,
      a.attnum,
      a.attname,
      a.attnotnull,
      a.attidentity = ''
        and coalesce(pg_get_expr(d.adbin, d.adrelid), '') !~ '^(clock_timestamp|nextval)\(' as is_compared,
      a.attname = 'extraction_timestamp' and a.atttypid = 'timestamptz'::regtype as is_time,
      a.attname = 'batch_id' and a.atttypid = 'uuid'::regtype as is_batch
    from tables t
    join pg_attribute a on a.attrelid = t.table_id and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
  ),
  lists as (
    select
      c.table_id,
      string_agg(format('t.%I', c.attname), ', ' order by c.attnum) filter (where c.is_compared) as compared,
      bool_or(c.is_time) as has_time,
      bool_or(c.is_batch) as has_batch
    from columns c
    group by c.table_id
  ),
  keys as (
    select distinct on (i.indrelid)
      i.indrelid as table_id,
      k.key_columns,
      k.key_list
    from pg_index i
    cross join lateral (
      select
        array_agg(c.attname::text order by key.position) as key_columns,
        string_agg(format('t.%I', c.attname), ', ' order by key.position) as key_list,
        count(*) filter (where c.is_compared and c.attnotnull) = i.indnkeyatts as is_usable
      from unnest(i.indkey::smallint[]) with ordinality as key (attnum, position)
      join columns c on c.table_id = i.indrelid and c.attnum = key.attnum
      where key.position <= i.indnkeyatts
    ) as k
    where i.indisunique
      and i.indisvalid
      and i.indpred is null
      and k.is_usable
    order by i.indrelid, i.indisprimary desc, i.indexrelid
  )
  select
    t.table_id,
    t.table_name,
    coalesce(k.key_columns, '{}'),
    format(
      'select %s as preview_key, %s from p2p.%I t where %s',
      case
        when k.key_list is not null then format('row(%s)::text', k.key_list)
        else format('concat(row_number() over (partition by row(%1$s)::text), row(%1$s)::text)', l.compared)
      end,
      l.compared,
      t.table_name,
      case
        when t.is_whole then 'true'
        when l.has_time then 't.extraction_timestamp = any ($2)'
        else 't.batch_id = any ($1)'
      end
    )
  from tables t
  join lists l using (table_id)
  left join keys k using (table_id)
  where l.compared is not null
    and (t.is_whole or l.has_time or l.has_batch)
$_$;

COMMENT ON FUNCTION p2p.compared_tables() IS 'Which tables preview_load compares, and how';

CREATE FUNCTION p2p.end_fetching(p_batch_id uuid, p_reason text) RETURNS integer
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.end_fetching(p_batch_id uuid, p_reason text) IS 'Closes the work queue of a batch: what was not fetched is deferred';

CREATE FUNCTION p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text) IS 'Ends the work on a market: complete, incomplete or failed';

CREATE FUNCTION p2p.known_fiats(p_exchange text, p_fresh_seconds integer) RETURNS TABLE(fiat_code text, is_fresh boolean, active_markets bigint)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.known_fiats(p_exchange text, p_fresh_seconds integer) IS 'Fiats seen so far (* = the list of them) and whether their markets were read within p_fresh_seconds';

CREATE FUNCTION p2p.load_advertisers(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.load_advertisers(p_batch_id uuid) IS 'Step of load_batch: advertisers and their former identities (SCD-2)';

CREATE FUNCTION p2p.load_batch(p_batch_id uuid) RETURNS p2p.ops_batch_runs
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET work_mem TO '64MB'
    SET jit TO 'off'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.load_batch(p_batch_id uuid) IS 'Makes facts of the stored pages of a batch; safe to call again';

CREATE FUNCTION p2p.load_depth(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
  where row(
      d.is_complete, d.total_offers_count, d.total_available_volume, d.weighted_avg_price, d.median_price, d.min_price,
      d.max_price, d.price_std_dev, d.top10_total_volume, d.top10_avg_price, d.best_bid, d.best_ask
    )::text is distinct from row(
      excluded.is_complete, excluded.total_offers_count, excluded.total_available_volume, excluded.weighted_avg_price,
      excluded.median_price, excluded.min_price, excluded.max_price, excluded.price_std_dev,
      excluded.top10_total_volume, excluded.top10_avg_price, excluded.best_bid, excluded.best_ask
    )::text; -- as text: 461.50 equals 461.5, and is not the same
end
$$;

COMMENT ON FUNCTION p2p.load_depth(p_batch_id uuid) IS 'Step of load_batch: depth, best prices and spread of each book';

CREATE FUNCTION p2p.load_dimensions(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.load_dimensions(p_batch_id uuid) IS 'Step of load_batch: payment methods, their lists, numbers of new ads';

CREATE FUNCTION p2p.load_offers(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
  where (f.*)::text is distinct from (excluded.*)::text; -- as text: 461.50 equals 461.5, and is not the same
  get diagnostics v_written = row_count;

  -- What was written to a batch that had been loaded before is a change of it.
  if v_batch.status <> 'running' and v_deleted + v_written > 0 then
    update p2p.ops_batch_runs
    set total_offers_updated = total_offers_updated + v_deleted + v_written
    where batch_id = p_batch_id;
  end if;
end
$$;

COMMENT ON FUNCTION p2p.load_offers(p_batch_id uuid) IS 'Step of load_batch: writes the snapshot into fact_offers';

CREATE FUNCTION p2p.open_batch(p_exchange text, p_worker_id text, p_lease_seconds double precision, p_filter jsonb) RETURNS TABLE(batch_id uuid, batch_start_time timestamp with time zone, markets_expected integer, held_by text, lease_ends_in_seconds double precision)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.open_batch(p_exchange text, p_worker_id text, p_lease_seconds double precision, p_filter jsonb) IS 'Opens a batch over the active markets that the filter takes in; tells the holder where one runs already';

CREATE FUNCTION p2p.parse_binance_search_v1(p_batch_id uuid) RETURNS SETOF p2p.parsed_offer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    SET work_mem TO '64MB'
    SET jit TO 'off'
    AS $_$
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
$_$;

COMMENT ON FUNCTION p2p.parse_binance_search_v1(p_batch_id uuid) IS 'Reads the offers of Binance''s adv/search pages of a batch';

CREATE FUNCTION p2p.parse_pages(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $_$
declare
  v_batch p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_stored bigint := (select sum(bm.pages_stored) from p2p.ops_batch_markets bm where bm.batch_id = p_batch_id);
  v_left bigint := (
    select count(*)
    from p2p.stg_responses s
    where s.extraction_timestamp = v_batch.batch_start_time
  );
  v_parser text;
begin
  if v_batch.status <> 'running' and v_left < v_stored then
    raise exception 'raw pages of batch % are gone: % of % are left', p_batch_id, v_left, v_stored
      using errcode = 'P2P03', hint = 'it cannot be loaded again; its facts stay as they are';
  end if;

  create temp table parsed_offers of p2p.parsed_offer on commit drop;

  for v_parser in
    select distinct s.parser
    from p2p.stg_responses s
    where s.extraction_timestamp = v_batch.batch_start_time
  loop
    execute format('insert into pg_temp.parsed_offers select * from p2p.%I($1)', 'parse_' || v_parser)
    using p_batch_id;
  end loop;

  analyze pg_temp.parsed_offers (market_id, page_number, offer_external_id, is_promoted);
end
$_$;

COMMENT ON FUNCTION p2p.parse_pages(p_batch_id uuid) IS 'Step of load_batch: reads the stored pages';

CREATE FUNCTION p2p.preview_load(p_batch_ids uuid[], p_with text DEFAULT NULL::text) RETURNS TABLE(table_name text, effect text, column_name text, row_count bigint, examples jsonb)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET work_mem TO '64MB'
    SET jit TO 'off'
    AS $_$
declare
  v_batch_id uuid;
  v_start_times timestamptz[];
  v_tables_before jsonb;
  v_table record;
  v_report jsonb;
begin
  select b.batch_id
  into v_batch_id
  from p2p.ops_batch_runs b
  where b.batch_id = any (p_batch_ids)
    and b.status = 'running';

  if found then
    raise exception 'batch % is running', v_batch_id
      using errcode = 'P2P03', hint = 'a dry run of it would end its fetching: wait until it is loaded';
  end if;

  select array_agg(b.batch_start_time)
  into v_start_times
  from p2p.ops_batch_runs b
  where b.batch_id = any (p_batch_ids);

  begin
    -- As load_batch does, but before anything is looked at: what other loads write must not pass for an effect.
    lock table p2p.dim_advertisers in share row exclusive mode;

    select jsonb_agg(to_jsonb(t))
    into v_tables_before
    from p2p.compared_tables() t;

    for v_table in
      select earlier.table_id, earlier.rows_statement
      from jsonb_to_recordset(v_tables_before) as earlier (table_id oid, rows_statement text)
    loop
      execute format('create temp table %I on commit drop as %s', 'preview_' || v_table.table_id, v_table.rows_statement)
      using p_batch_ids, v_start_times;
    end loop;

    if p_with is not null then
      -- As psql would run it: names without a schema are not looked up in p2p.
      perform set_config('search_path', s.reset_val, true) from pg_settings s where s.name = 'search_path';
      execute p_with;
      perform set_config('search_path', 'p2p, pg_temp', true);
    end if;

    for v_batch_id in
      select asked.batch_id
      from unnest(p_batch_ids) as asked (batch_id)
      left join p2p.ops_batch_runs b on b.batch_id = asked.batch_id
      group by asked.batch_id, b.batch_start_time
      order by b.batch_start_time nulls first
    loop
      perform p2p.load_batch(v_batch_id);
    end loop;

    create temp table preview_differences (
      place      bigint generated always as identity primary key,
      table_name text,
      row_key    jsonb,
      before     jsonb,
      after      jsonb
    ) on commit drop;

    -- The candidate may have made tables, dropped some, or changed their columns.
    for v_table in
      select
        coalesce(now.table_name, earlier.table_name) as table_name,
        coalesce(now.key_columns, earlier.key_columns) as key_columns,
        coalesce('table pg_temp.' || quote_ident('preview_' || earlier.table_id), now.rows_statement || ' and false') as before_statement,
        coalesce(now.rows_statement, format('select * from pg_temp.%I where false', 'preview_' || earlier.table_id)) as after_statement
      from jsonb_to_recordset(v_tables_before) as earlier (table_id oid, table_name text, key_columns text[])
      full join p2p.compared_tables() as now using (table_id)
      order by 1
    loop
      execute format(
        $statement$
          insert into pg_temp.preview_differences (table_name, row_key, before, after)
          select
            $3,
            (
              select jsonb_object_agg(key.name, coalesce(to_jsonb(preview_after), to_jsonb(preview_before)) -> key.name)
              from unnest($4) as key (name)
            ),
            to_jsonb(preview_before) - 'preview_key',
            to_jsonb(preview_after) - 'preview_key'
          from (%s) as preview_before
          full join (%s) as preview_after using (preview_key)
          where preview_before::text is distinct from preview_after::text
          order by hashtext(preview_key), preview_key -- examples from all over the table
        $statement$,
        v_table.before_statement,
        v_table.after_statement
      )
      using p_batch_ids, v_start_times, v_table.table_name, v_table.key_columns;
    end loop;

    with changed_values as materialized (
      select d.place, d.table_name, now.column_name
      from pg_temp.preview_differences d
      cross join jsonb_each_text(d.after) as now (column_name, value)
      where d.before is not null
        and now.value is distinct from d.before ->> now.column_name
    ),
    effects as (
      select
        d.place,
        d.table_name,
        case when d.before is null then 'appears' else 'vanishes' end as effect,
        null as column_name
      from pg_temp.preview_differences d
      where d.before is null
        or d.after is null
      union all
      select v.place, v.table_name, 'changes', null
      from changed_values v
      group by v.place, v.table_name
      union all
      select v.place, v.table_name, 'changes', v.column_name
      from changed_values v
    ),
    counted as (
      select
        e.table_name,
        e.effect,
        e.column_name,
        count(*) as row_count,
        (array_agg(e.place order by e.place))[1:5] as places
      from effects e
      group by e.table_name, e.effect, e.column_name
    ),
    report as (
      select
        c.table_name,
        c.effect,
        c.column_name,
        c.row_count,
        (
          select coalesce(
            jsonb_agg(
              case c.effect
                when 'appears' then jsonb_build_object('after', shown.after)
                when 'vanishes' then jsonb_build_object('before', shown.before)
                else jsonb_build_object('before', shown.before -> c.column_name, 'after', shown.after -> c.column_name)
              end || jsonb_build_object('key', shown.row_key, 'market', shown.market)
              order by shown.place
            ),
            '[]'
          )
          from (
            -- Values as text, so that no reader of JSON takes digits away.
            select
              d.place,
              (select jsonb_object_agg(v.key, v.value) from jsonb_each_text(d.row_key) as v) as row_key,
              (select jsonb_object_agg(v.key, v.value) from jsonb_each_text(d.before) as v) as before,
              (select jsonb_object_agg(v.key, v.value) from jsonb_each_text(d.after) as v) as after,
              (
                select concat(f.currency_code, '/', a.symbol, ' ', m.trade_type)
                from p2p.dim_markets m
                join p2p.dim_fiat_currencies f on f.fiat_id = m.fiat_id
                join p2p.dim_cryptocurrencies a on a.crypto_id = m.crypto_id
                where m.market_id::text = d.example ->> 'market_id'
                  or (m.exchange_id::text, m.fiat_id::text, m.crypto_id::text, m.trade_type)
                    = (d.example ->> 'exchange_id', d.example ->> 'fiat_id', d.example ->> 'crypto_id', d.example ->> 'trade_type')
                limit 1
              ) as market
            from (
              select d.*, coalesce(d.after, d.before) as example
              from pg_temp.preview_differences d
            ) as d
            where d.place = any (c.places)
              and (c.effect <> 'changes' or c.column_name is not null)
          ) as shown
        ) as examples
      from counted c
    )
    select coalesce(jsonb_agg(to_jsonb(report)), '[]')
    into v_report
    from report;

    raise exception 'the end of a dry run' using errcode = 'P2P09';
  exception when sqlstate 'P2P09' then
    -- All that the block did is undone now; variables keep their values.
    if v_report is null then
      raise;
    end if;
  end;

  return query
  select r.table_name, r.effect, r.column_name, r.row_count, r.examples
  from jsonb_to_recordset(v_report)
    as r (table_name text, effect text, column_name text, row_count bigint, examples jsonb)
  order by r.table_name, r.effect, r.column_name nulls first;
end
$_$;

COMMENT ON FUNCTION p2p.preview_load(p_batch_ids uuid[], p_with text) IS 'What load_batch, or a candidate that is not installed, would change: a dry run, nothing stays';

CREATE FUNCTION p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  insert into p2p.ops_extraction_errors (fiat_code, error_type, error_message)
  values (p_fiat, p_error_type, left(p_error_message, 1000))
$$;

COMMENT ON FUNCTION p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text) IS 'Writes down a discovery call that failed';

CREATE FUNCTION p2p.record_lost_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_error_type text, p_error_message text, p_retry_count integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.record_lost_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_error_type text, p_error_message text, p_retry_count integer) IS 'Writes down a page that was lost, and gives its market up if told so';

CREATE FUNCTION p2p.reject_offers(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.reject_offers(p_batch_id uuid) IS 'Step of load_batch: sets aside what cannot be an offer';

CREATE FUNCTION p2p.renew_lease(p_batch_id uuid, p_worker_id text, p_lease_seconds double precision) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
begin
  update p2p.ops_batch_runs r
  set lease_expires_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
  where r.batch_id = p_batch_id
    and r.worker_id = p_worker_id
    and r.status = 'running';

  return found;
end
$$;

COMMENT ON FUNCTION p2p.renew_lease(p_batch_id uuid, p_worker_id text, p_lease_seconds double precision) IS 'Heartbeat of the worker that fetches the batch';

CREATE FUNCTION p2p.repair_json(p_text text, OUT document jsonb, OUT alteration text) RETURNS record
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.repair_json(p_text text, OUT document jsonb, OUT alteration text) IS 'Mends JSON text that jsonb cannot hold, as little as possible';

CREATE FUNCTION p2p.replay_batch(p_batch_id uuid) RETURNS TABLE(status text, offers integer, rows_written bigint, error_summary text)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_written_before bigint;
  v_batch p2p.ops_batch_runs;
begin
  if exists (select from p2p.ops_batch_runs r where r.batch_id = p_batch_id and r.status = 'running') then
    raise exception 'batch % is running', p_batch_id
      using errcode = 'P2P03', hint = 'its worker will load it';
  end if;

  select sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del)
  into v_written_before
  from p2p.compared_tables() t
  join pg_stat_xact_user_tables s on s.relid = t.table_id;

  v_batch := p2p.load_batch(p_batch_id);

  return query
  select
    v_batch.status,
    v_batch.total_offers_inserted,
    (sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del) - v_written_before)::bigint,
    v_batch.error_summary
  from p2p.compared_tables() t
  join pg_stat_xact_user_tables s on s.relid = t.table_id;
end
$$;

COMMENT ON FUNCTION p2p.replay_batch(p_batch_id uuid) IS 'load_batch again, and how many rows that wrote';

CREATE FUNCTION p2p.replayable_batches(p_batch_ids uuid[] DEFAULT NULL::uuid[], p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_until timestamp with time zone DEFAULT NULL::timestamp with time zone, p_last integer DEFAULT NULL::integer, p_all boolean DEFAULT false) RETURNS TABLE(batch_id uuid, batch_start_time timestamp with time zone, status text, offers integer, pages bigint, obstacle text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  with asked as (
    select r.*
    from p2p.ops_batch_runs r
    where (p_batch_ids is null or r.batch_id = any (p_batch_ids))
      and (p_since is null or r.batch_start_time >= p_since)
      and (p_until is null or r.batch_start_time <= p_until)
      and (p_last is null or r.status <> 'running')
    order by r.batch_start_time desc
    limit p_last
  )
  select
    a.batch_id,
    a.batch_start_time,
    a.status,
    a.total_offers_inserted,
    raw.pages,
    case
      when a.status = 'running' then 'it is running'
      when raw.pages < ledger.pages then 'its raw pages are gone'
    end
  from asked a
  cross join lateral (
    select count(*) as pages
    from p2p.stg_responses s
    where s.extraction_timestamp = a.batch_start_time
  ) as raw
  cross join lateral (
    select coalesce(sum(bm.pages_stored), 0) as pages
    from p2p.ops_batch_markets bm
    where bm.batch_id = a.batch_id
  ) as ledger
  order by a.batch_start_time
$$;

COMMENT ON FUNCTION p2p.replayable_batches(p_batch_ids uuid[], p_since timestamp with time zone, p_until timestamp with time zone, p_last integer, p_all boolean) IS 'Batches that p2p-ingest replay takes, and what stands against it';

CREATE FUNCTION p2p.rewrite_advertiser_history(p_time timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.rewrite_advertiser_history(p_time timestamp with time zone) IS 'Part of load_advertisers: history after a batch that was loaded late or again';

CREATE TABLE p2p.ops_data_quality (
    quality_id bigint NOT NULL,
    batch_id uuid NOT NULL,
    check_timestamp timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    metric_name text NOT NULL,
    metric_value numeric,
    threshold_value numeric,
    passed boolean NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL
);

COMMENT ON TABLE p2p.ops_data_quality IS 'Results of the quality checks, one row a batch and check';

CREATE FUNCTION p2p.run_quality_checks(p_batch_id uuid) RETURNS SETOF p2p.ops_data_quality
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.run_quality_checks(p_batch_id uuid) IS 'Measures a batch against quality_thresholds';

CREATE FUNCTION p2p.status_report(p_batches integer) RETURNS json
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.status_report(p_batches integer) IS 'What p2p-ingest status shows';

CREATE FUNCTION p2p.store_market_list(p_exchange text, p_fiats jsonb, p_markets jsonb, p_covered text[], p_missed text[], p_now timestamp with time zone DEFAULT clock_timestamp()) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.store_market_list(p_exchange text, p_fiats jsonb, p_markets jsonb, p_covered text[], p_missed text[], p_now timestamp with time zone) IS 'Takes in fiats, assets and markets that the exchange lists';

CREATE FUNCTION p2p.store_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_offers_reported integer, p_parser text, p_observed_at timestamp with time zone, p_attempt integer, p_http_status integer, p_duration_ms integer, p_body_bytes integer, p_body_sha256 bytea, p_alteration text, p_body_original bytea, p_body text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.store_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_offers_reported integer, p_parser text, p_observed_at timestamp with time zone, p_attempt integer, p_http_status integer, p_duration_ms integer, p_body_bytes integer, p_body_sha256 bytea, p_alteration text, p_body_original bytea, p_body text) IS 'Stores one page as received and marks it done in the ledger';

CREATE FUNCTION p2p.store_payment_methods(p_exchange text, p_methods jsonb) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION p2p.store_payment_methods(p_exchange text, p_methods jsonb) IS 'Takes in payment methods and their names';

CREATE VIEW p2p.batch_overview AS
 SELECT r.batch_id,
    r.batch_start_time,
    r.status,
    r.markets_completed,
    r.markets_expected,
    round(((100.0 * (r.markets_completed)::numeric) / (NULLIF(r.markets_expected, 0))::numeric), 2) AS completeness_percent,
    r.total_offers_inserted AS offers,
    r.total_offers_rejected AS rejected,
    r.total_errors AS errors,
    r.execution_time_seconds AS seconds,
    ( SELECT count(*) AS count
           FROM p2p.ops_data_quality q
          WHERE ((q.batch_id = r.batch_id) AND (NOT q.passed))) AS failed_checks,
    r.error_summary
   FROM p2p.ops_batch_runs r;

COMMENT ON VIEW p2p.batch_overview IS 'Batches with their completeness and failed checks; newest: order by batch_start_time desc';

CREATE TABLE p2p.dim_advertisers (
    advertiser_sk integer NOT NULL,
    exchange_id smallint NOT NULL,
    advertiser_id text NOT NULL,
    nickname text,
    is_merchant boolean,
    user_type text,
    user_grade integer,
    user_identity text,
    vip_level integer,
    registration_days integer,
    effective_date timestamp with time zone NOT NULL,
    expiration_date timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    is_current boolean GENERATED ALWAYS AS ((expiration_date = 'infinity'::timestamp with time zone)) STORED NOT NULL,
    CONSTRAINT dim_advertisers_check CHECK ((effective_date < expiration_date))
);

COMMENT ON TABLE p2p.dim_advertisers IS 'Who advertises, one row for each identity they have had (SCD-2). An advertiser who stays away keeps their row: absence from a batch is not deletion';

COMMENT ON COLUMN p2p.dim_advertisers.advertiser_id IS 'The exchange''s number for the person; stays the same through renames';

COMMENT ON COLUMN p2p.dim_advertisers.registration_days IS 'Days since registration when the row was made; the exchange stopped giving it before 2026';

COMMENT ON COLUMN p2p.dim_advertisers.effective_date IS 'Time of the first batch that saw this identity';

COMMENT ON COLUMN p2p.dim_advertisers.expiration_date IS 'Time of the first batch that saw another one; infinity for the current row';

ALTER TABLE p2p.dim_advertisers ALTER COLUMN advertiser_sk ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_advertisers_advertiser_sk_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.dim_cryptocurrencies (
    crypto_id smallint NOT NULL,
    symbol text NOT NULL,
    name text,
    binance_asset_code text,
    is_active boolean DEFAULT true NOT NULL
);

COMMENT ON TABLE p2p.dim_cryptocurrencies IS 'Assets that are traded, e.g. USDT; an asset may bear the symbol of a fiat (RUB)';

COMMENT ON COLUMN p2p.dim_cryptocurrencies.name IS 'As the exchange describes it; NULL until it does';

ALTER TABLE p2p.dim_cryptocurrencies ALTER COLUMN crypto_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_cryptocurrencies_crypto_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.dim_exchanges (
    exchange_id smallint NOT NULL,
    code text NOT NULL,
    name text NOT NULL
);

COMMENT ON TABLE p2p.dim_exchanges IS 'Exchanges: every fact, market and advertiser belongs to one';

ALTER TABLE p2p.dim_exchanges ALTER COLUMN exchange_id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME p2p.dim_exchanges_exchange_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.dim_fiat_currencies (
    fiat_id smallint NOT NULL,
    currency_code text NOT NULL,
    currency_name text,
    country_code text,
    is_active boolean DEFAULT true NOT NULL
);

COMMENT ON TABLE p2p.dim_fiat_currencies IS 'Fiats, e.g. VES';

COMMENT ON COLUMN p2p.dim_fiat_currencies.currency_name IS 'NULL: no exchange we read gives one';

ALTER TABLE p2p.dim_fiat_currencies ALTER COLUMN fiat_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_fiat_currencies_fiat_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.dim_markets (
    market_id integer NOT NULL,
    exchange_id smallint NOT NULL,
    fiat_id smallint NOT NULL,
    crypto_id smallint NOT NULL,
    trade_type text NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    first_listed_at timestamp with time zone NOT NULL,
    last_listed_at timestamp with time zone NOT NULL,
    CONSTRAINT dim_markets_trade_type_check CHECK ((trade_type = ANY (ARRAY['BUY'::text, 'SELL'::text])))
);

COMMENT ON TABLE p2p.dim_markets IS 'One book: fiat, asset and the side the taker asks for (BUY = the taker buys crypto)';

COMMENT ON COLUMN p2p.dim_markets.is_active IS 'Whether the exchange listed it at the last discovery of its fiat';

ALTER TABLE p2p.dim_markets ALTER COLUMN market_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_markets_market_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.dim_offers (
    offer_id bigint NOT NULL,
    exchange_id smallint NOT NULL,
    offer_external_id text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE p2p.dim_offers IS 'Our number for each ad. Exchanges number ads beyond 2^63, so that theirs is text';

ALTER TABLE p2p.dim_offers ALTER COLUMN offer_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_offers_offer_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.dim_payment_methods (
    payment_method_id integer NOT NULL,
    exchange_id smallint NOT NULL,
    method_code text NOT NULL,
    method_name text,
    category text,
    description text,
    is_active boolean DEFAULT true NOT NULL
);

COMMENT ON TABLE p2p.dim_payment_methods IS 'Ways to pay, by the exchange''s own identifier';

COMMENT ON COLUMN p2p.dim_payment_methods.category IS 'NULL: the exchange does not group them; yours to fill';

ALTER TABLE p2p.dim_payment_methods ALTER COLUMN payment_method_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_payment_methods_payment_method_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.dim_payment_sets (
    payment_set_id integer NOT NULL,
    payment_method_ids integer[] NOT NULL
);

COMMENT ON TABLE p2p.dim_payment_sets IS 'Distinct lists of payment methods, in the order of the ad (the first is the primary one). An offer stores the number of its list: 4 bytes instead of one row a method';

ALTER TABLE p2p.dim_payment_sets ALTER COLUMN payment_set_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_payment_sets_payment_set_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.fact_market_depth (
    depth_id bigint NOT NULL,
    extraction_timestamp timestamp with time zone NOT NULL,
    batch_id uuid NOT NULL,
    exchange_id smallint NOT NULL,
    crypto_id smallint NOT NULL,
    fiat_id smallint NOT NULL,
    trade_type text NOT NULL,
    is_complete boolean NOT NULL,
    total_offers_count integer NOT NULL,
    total_available_volume numeric NOT NULL,
    weighted_avg_price numeric,
    median_price numeric,
    min_price numeric,
    max_price numeric,
    price_std_dev numeric,
    top10_total_volume numeric,
    top10_avg_price numeric,
    best_bid numeric,
    best_ask numeric,
    spread_absolute numeric,
    spread_percentage numeric,
    CONSTRAINT fact_market_depth_trade_type_check CHECK ((trade_type = ANY (ARRAY['BUY'::text, 'SELL'::text])))
);

COMMENT ON TABLE p2p.fact_market_depth IS 'Each book of each batch in one row; promoted copies count once. A book that was fetched and found empty has a row with 0 offers';

COMMENT ON COLUMN p2p.fact_market_depth.is_complete IS 'False where pages of the book were lost: its numbers speak of what came';

COMMENT ON COLUMN p2p.fact_market_depth.weighted_avg_price IS 'By available amount; NULL where none is available';

COMMENT ON COLUMN p2p.fact_market_depth.price_std_dev IS 'Of the population: 0 for one offer';

COMMENT ON COLUMN p2p.fact_market_depth.top10_total_volume IS 'Available in the ten offers with the best price for the taker';

COMMENT ON COLUMN p2p.fact_market_depth.top10_avg_price IS 'Plain average of the ten best prices for the taker';

COMMENT ON COLUMN p2p.fact_market_depth.best_bid IS 'Highest SELL price of the asset and fiat';

COMMENT ON COLUMN p2p.fact_market_depth.best_ask IS 'Lowest BUY price of the asset and fiat';

COMMENT ON COLUMN p2p.fact_market_depth.spread_absolute IS 'best_ask - best_bid; negative spreads are real on this market';

COMMENT ON COLUMN p2p.fact_market_depth.spread_percentage IS 'spread_absolute as a percentage of the middle between best_ask and best_bid';

ALTER TABLE p2p.fact_market_depth ALTER COLUMN depth_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.fact_market_depth_depth_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.fact_offers (
    extraction_timestamp timestamp with time zone NOT NULL,
    offer_id bigint NOT NULL,
    observed_at timestamp with time zone NOT NULL,
    batch_id uuid NOT NULL,
    advertiser_sk integer NOT NULL,
    payment_set_id integer NOT NULL,
    total_orders_count integer,
    avg_response_time_seconds integer,
    payment_time_limit_minutes integer,
    exchange_id smallint NOT NULL,
    crypto_id smallint NOT NULL,
    fiat_id smallint NOT NULL,
    page_number smallint NOT NULL,
    is_promoted boolean NOT NULL,
    is_available boolean,
    trade_type text NOT NULL,
    offer_external_id text NOT NULL,
    price numeric NOT NULL,
    available_amount numeric NOT NULL,
    tradable_quantity numeric,
    min_limit numeric,
    max_limit numeric,
    completion_rate numeric,
    positive_rate numeric,
    price_float_rate numeric,
    avg_completion_time_minutes numeric,
    terms_conditions text,
    CONSTRAINT fact_offers_available_amount_check CHECK ((available_amount >= (0)::numeric)),
    CONSTRAINT fact_offers_price_check CHECK ((price > (0)::numeric)),
    CONSTRAINT fact_offers_trade_type_check CHECK ((trade_type = ANY (ARRAY['BUY'::text, 'SELL'::text])))
);

COMMENT ON TABLE p2p.fact_offers IS 'Every offer of every batch: a snapshot of the whole market each time';

COMMENT ON COLUMN p2p.fact_offers.extraction_timestamp IS 'batch_start_time of the batch';

COMMENT ON COLUMN p2p.fact_offers.offer_id IS 'Our number for the ad, the same in every batch (dim_offers)';

COMMENT ON COLUMN p2p.fact_offers.observed_at IS 'When the page with the offer came';

COMMENT ON COLUMN p2p.fact_offers.payment_set_id IS 'List of payment methods; see fact_offer_payment_methods';

COMMENT ON COLUMN p2p.fact_offers.total_orders_count IS 'Orders of the advertiser in the last 30 days';

COMMENT ON COLUMN p2p.fact_offers.avg_response_time_seconds IS 'NULL: the exchange does not send it';

COMMENT ON COLUMN p2p.fact_offers.page_number IS 'Page of stg_responses that the row was made from';

COMMENT ON COLUMN p2p.fact_offers.is_promoted IS 'Paid to be shown first';

COMMENT ON COLUMN p2p.fact_offers.is_available IS 'Whether the exchange calls the ad tradable; NULL where it does not say';

COMMENT ON COLUMN p2p.fact_offers.trade_type IS 'The side that was asked for, the taker''s: BUY = the taker buys crypto. The ad itself names the opposite';

COMMENT ON COLUMN p2p.fact_offers.price IS 'Fiat for one unit of the asset, with the digits as sent';

COMMENT ON COLUMN p2p.fact_offers.available_amount IS 'Asset that is left (surplusAmount)';

COMMENT ON COLUMN p2p.fact_offers.tradable_quantity IS 'Asset that can be traded now; below available_amount where the maker''s fee is held back';

COMMENT ON COLUMN p2p.fact_offers.min_limit IS 'Least fiat an order';

COMMENT ON COLUMN p2p.fact_offers.max_limit IS 'Most fiat an order';

COMMENT ON COLUMN p2p.fact_offers.completion_rate IS 'Percentage of orders completed in 30 days, 0 to 100';

COMMENT ON COLUMN p2p.fact_offers.positive_rate IS 'Percentage of positive feedback, 0 to 100';

COMMENT ON COLUMN p2p.fact_offers.price_float_rate IS 'NULL since the exchange stopped sending it (before 2026)';

COMMENT ON COLUMN p2p.fact_offers.avg_completion_time_minutes IS 'NULL: the exchange does not send it';

COMMENT ON COLUMN p2p.fact_offers.terms_conditions IS 'NULL since the exchange stopped sending it (before 2026)';

CREATE VIEW p2p.fact_offer_payment_methods AS
 SELECT f.offer_id,
    f.extraction_timestamp,
    method.payment_method_id,
    (method."position" = 1) AS is_primary
   FROM ((p2p.fact_offers f
     JOIN p2p.dim_payment_sets s USING (payment_set_id))
     CROSS JOIN LATERAL unnest(s.payment_method_ids) WITH ORDINALITY method(payment_method_id, "position"));

COMMENT ON VIEW p2p.fact_offer_payment_methods IS 'Payment methods of every offer of every batch, one row each; the first that the ad names is the primary one';

CREATE VIEW p2p.market_daily AS
 SELECT e.code AS exchange,
    c.symbol AS crypto_symbol,
    f.currency_code AS fiat_code,
    d.trade_type,
    date_trunc('day'::text, d.extraction_timestamp, 'UTC'::text) AS time_bucket,
    count(*) AS snapshots,
    (array_agg(best.price ORDER BY d.extraction_timestamp) FILTER (WHERE (best.price IS NOT NULL)))[1] AS best_open,
    max(best.price) AS best_high,
    min(best.price) AS best_low,
    (array_agg(best.price ORDER BY d.extraction_timestamp DESC) FILTER (WHERE (best.price IS NOT NULL)))[1] AS best_close,
    (array_agg(d.median_price ORDER BY d.extraction_timestamp) FILTER (WHERE (d.median_price IS NOT NULL)))[1] AS median_open,
    max(d.median_price) AS median_high,
    min(d.median_price) AS median_low,
    (array_agg(d.median_price ORDER BY d.extraction_timestamp DESC) FILTER (WHERE (d.median_price IS NOT NULL)))[1] AS median_close,
    (sum((d.weighted_avg_price * d.total_available_volume)) / NULLIF(sum(d.total_available_volume), (0)::numeric)) AS weighted_avg_price,
    avg(d.spread_percentage) AS avg_spread_percentage,
    avg(d.total_available_volume) AS avg_volume,
    avg(d.total_offers_count) AS avg_offers,
    max(d.total_offers_count) AS max_offers
   FROM ((((p2p.fact_market_depth d
     CROSS JOIN LATERAL ( SELECT
                CASE d.trade_type
                    WHEN 'BUY'::text THEN d.min_price
                    ELSE d.max_price
                END AS price) best)
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
  GROUP BY e.code, c.symbol, f.currency_code, d.trade_type, (date_trunc('day'::text, d.extraction_timestamp, 'UTC'::text));

COMMENT ON VIEW p2p.market_daily IS 'Each market by day (UTC): open, high, low, close of the best and the median price, spread, volume and offers';

COMMENT ON COLUMN p2p.market_daily.best_open IS 'Best price for the taker in the first snapshot of the day that had offers';

COMMENT ON COLUMN p2p.market_daily.avg_volume IS 'Available amount in a snapshot, on average';

CREATE VIEW p2p.market_hourly AS
 SELECT e.code AS exchange,
    c.symbol AS crypto_symbol,
    f.currency_code AS fiat_code,
    d.trade_type,
    date_trunc('hour'::text, d.extraction_timestamp, 'UTC'::text) AS time_bucket,
    count(*) AS snapshots,
    (array_agg(best.price ORDER BY d.extraction_timestamp) FILTER (WHERE (best.price IS NOT NULL)))[1] AS best_open,
    max(best.price) AS best_high,
    min(best.price) AS best_low,
    (array_agg(best.price ORDER BY d.extraction_timestamp DESC) FILTER (WHERE (best.price IS NOT NULL)))[1] AS best_close,
    (array_agg(d.median_price ORDER BY d.extraction_timestamp) FILTER (WHERE (d.median_price IS NOT NULL)))[1] AS median_open,
    max(d.median_price) AS median_high,
    min(d.median_price) AS median_low,
    (array_agg(d.median_price ORDER BY d.extraction_timestamp DESC) FILTER (WHERE (d.median_price IS NOT NULL)))[1] AS median_close,
    (sum((d.weighted_avg_price * d.total_available_volume)) / NULLIF(sum(d.total_available_volume), (0)::numeric)) AS weighted_avg_price,
    avg(d.spread_percentage) AS avg_spread_percentage,
    avg(d.total_available_volume) AS avg_volume,
    avg(d.total_offers_count) AS avg_offers,
    max(d.total_offers_count) AS max_offers
   FROM ((((p2p.fact_market_depth d
     CROSS JOIN LATERAL ( SELECT
                CASE d.trade_type
                    WHEN 'BUY'::text THEN d.min_price
                    ELSE d.max_price
                END AS price) best)
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
  GROUP BY e.code, c.symbol, f.currency_code, d.trade_type, (date_trunc('hour'::text, d.extraction_timestamp, 'UTC'::text));

COMMENT ON VIEW p2p.market_hourly IS 'Each market by hour (UTC): open, high, low, close of the best and the median price, spread, volume and offers';

COMMENT ON COLUMN p2p.market_hourly.best_open IS 'Best price for the taker in the first snapshot of the hour that had offers';

COMMENT ON COLUMN p2p.market_hourly.avg_volume IS 'Available amount in a snapshot, on average';

CREATE VIEW p2p.merchant_daily AS
 WITH offers_a_snapshot AS (
         SELECT f_1.exchange_id,
            a.advertiser_id,
            f_1.crypto_id,
            f_1.fiat_id,
            f_1.trade_type,
            f_1.extraction_timestamp,
            count(*) AS offers,
            sum(f_1.available_amount) AS volume,
            max(f_1.total_orders_count) AS orders_30_days
           FROM (p2p.fact_offers f_1
             JOIN p2p.dim_advertisers a USING (advertiser_sk))
          GROUP BY f_1.exchange_id, a.advertiser_id, f_1.crypto_id, f_1.fiat_id, f_1.trade_type, f_1.extraction_timestamp
        )
 SELECT e.code AS exchange,
    o.advertiser_id,
    now_called.nickname AS advertiser,
    now_called.is_merchant,
    c.symbol AS crypto_symbol,
    f.currency_code AS fiat_code,
    o.trade_type,
    date_trunc('day'::text, o.extraction_timestamp, 'UTC'::text) AS time_bucket,
    count(*) AS snapshots,
    avg(o.offers) AS avg_offers,
    avg(o.volume) AS avg_volume,
    max(o.orders_30_days) AS orders_30_days
   FROM ((((offers_a_snapshot o
     JOIN p2p.dim_advertisers now_called ON (((now_called.exchange_id = o.exchange_id) AND (now_called.advertiser_id = o.advertiser_id) AND now_called.is_current)))
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_exchanges e ON ((e.exchange_id = o.exchange_id)))
  GROUP BY e.code, o.advertiser_id, now_called.nickname, now_called.is_merchant, c.symbol, f.currency_code, o.trade_type, (date_trunc('day'::text, o.extraction_timestamp, 'UTC'::text));

COMMENT ON VIEW p2p.merchant_daily IS 'Offers and available amount of every advertiser by market and day (UTC), under their present name';

COMMENT ON COLUMN p2p.merchant_daily.snapshots IS 'Snapshots of the day in which they had an offer';

COMMENT ON COLUMN p2p.merchant_daily.avg_volume IS 'Available amount in those snapshots, on average';

CREATE TABLE p2p.ops_batch_markets (
    batch_id uuid NOT NULL,
    market_id integer NOT NULL,
    plan_position integer NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    worker_id text,
    pages_stored integer DEFAULT 0 NOT NULL,
    lost_pages integer[] DEFAULT '{}'::integer[] NOT NULL,
    offers_reported integer,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    reason text,
    CONSTRAINT ops_batch_markets_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'fetching'::text, 'complete'::text, 'incomplete'::text, 'failed'::text, 'deferred'::text])))
)
WITH (fillfactor='70');

COMMENT ON TABLE p2p.ops_batch_markets IS 'The work queue of a batch, and afterwards its ledger: what became of every planned market';

COMMENT ON COLUMN p2p.ops_batch_markets.status IS 'complete: every page; incomplete: some pages are missing (lost_pages); failed: no page at all; deferred: the deadline came first, it is first in line next time';

COMMENT ON COLUMN p2p.ops_batch_markets.offers_reported IS 'The last total the exchange gave for the market; it moves while one pages';

CREATE VIEW p2p.missing_markets AS
 SELECT r.batch_start_time,
    f.currency_code AS fiat_code,
    c.symbol AS crypto_symbol,
    m.trade_type,
    bm.status,
    bm.reason,
    bm.lost_pages,
    bm.pages_stored,
    r.batch_id
   FROM ((((p2p.ops_batch_markets bm
     JOIN p2p.ops_batch_runs r USING (batch_id))
     JOIN p2p.dim_markets m USING (market_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
  WHERE ((bm.status <> 'complete'::text) AND (r.status <> 'running'::text));

COMMENT ON VIEW p2p.missing_markets IS 'Markets that a batch did not fetch whole, and why';

CREATE VIEW p2p.mv_latest_market_state AS
 WITH newest_books AS (
         SELECT m.exchange_id,
            m.fiat_id,
            m.crypto_id,
            m.trade_type,
            newest.extraction_timestamp
           FROM (p2p.dim_markets m
             CROSS JOIN LATERAL ( SELECT d.extraction_timestamp
                   FROM p2p.fact_market_depth d
                  WHERE ((d.exchange_id = m.exchange_id) AND (d.fiat_id = m.fiat_id) AND (d.crypto_id = m.crypto_id) AND (d.trade_type = m.trade_type))
                  ORDER BY d.extraction_timestamp DESC
                 LIMIT 1) newest)
        ), payment_names AS (
         SELECT s.payment_set_id,
            ARRAY( SELECT COALESCE(pm.method_name, pm.method_code) AS "coalesce"
                   FROM (unnest(s.payment_method_ids) WITH ORDINALITY method(payment_method_id, "position")
                     JOIN p2p.dim_payment_methods pm USING (payment_method_id))
                  ORDER BY method."position") AS payment_methods
           FROM p2p.dim_payment_sets s
        )
 SELECT f.offer_external_id,
    c.symbol AS crypto_symbol,
    fc.currency_code AS fiat_code,
    f.trade_type,
    a.nickname AS advertiser,
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
    e.code AS exchange
   FROM ((((((newest_books b
     JOIN p2p.fact_offers f ON (((f.exchange_id = b.exchange_id) AND (f.fiat_id = b.fiat_id) AND (f.crypto_id = b.crypto_id) AND (f.trade_type = b.trade_type) AND (f.extraction_timestamp = b.extraction_timestamp))))
     JOIN p2p.dim_cryptocurrencies c ON ((c.crypto_id = f.crypto_id)))
     JOIN p2p.dim_fiat_currencies fc ON ((fc.fiat_id = f.fiat_id)))
     JOIN p2p.dim_exchanges e ON ((e.exchange_id = f.exchange_id)))
     LEFT JOIN p2p.dim_advertisers a ON ((a.advertiser_sk = f.advertiser_sk)))
     LEFT JOIN payment_names p ON ((p.payment_set_id = f.payment_set_id)));

COMMENT ON VIEW p2p.mv_latest_market_state IS 'Every offer of the newest loaded snapshot of each market';

ALTER TABLE p2p.ops_data_quality ALTER COLUMN quality_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.ops_data_quality_quality_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.ops_discoveries (
    exchange_id smallint NOT NULL,
    fiat_code text NOT NULL,
    discovered_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE p2p.ops_discoveries IS 'When the markets of a fiat were last read from the exchange, -infinity where that failed; fiat_code * stands for the list of all fiats';

CREATE TABLE p2p.ops_extraction_errors (
    error_id bigint NOT NULL,
    batch_id uuid,
    error_timestamp timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    fiat_code text,
    crypto_symbol text,
    trade_type text,
    page_number integer,
    error_type text NOT NULL,
    error_message text NOT NULL,
    stack_trace text,
    retry_count integer DEFAULT 0 NOT NULL,
    is_resolved boolean DEFAULT false NOT NULL
);

COMMENT ON TABLE p2p.ops_extraction_errors IS 'Pages that were lost after all retries, and discovery calls that failed (those have no batch)';

COMMENT ON COLUMN p2p.ops_extraction_errors.retry_count IS 'Attempts after the first';

COMMENT ON COLUMN p2p.ops_extraction_errors.is_resolved IS 'Set when a later batch fetched the same market whole';

ALTER TABLE p2p.ops_extraction_errors ALTER COLUMN error_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.ops_extraction_errors_error_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.ops_rejected_offers (
    batch_id uuid NOT NULL,
    market_id integer NOT NULL,
    page_number integer NOT NULL,
    item_number integer NOT NULL,
    reason text NOT NULL,
    payload jsonb,
    rejected_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE p2p.ops_rejected_offers IS 'Items of stored pages that cannot be offers, with the reason and the original JSON';

COMMENT ON COLUMN p2p.ops_rejected_offers.item_number IS 'Place on the page, from 0';

CREATE TABLE p2p.quality_thresholds (
    metric_name text NOT NULL,
    threshold_value numeric NOT NULL,
    comment text NOT NULL
);

COMMENT ON TABLE p2p.quality_thresholds IS 'Limits of the quality checks: change them with UPDATE';

CREATE TABLE p2p.schema_migrations (
    name text NOT NULL,
    sha256 text NOT NULL,
    body text NOT NULL,
    program_version text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE p2p.schema_migrations IS 'Files of sql/migrations that ran here, with the text that ran: frozen, never run twice';

CREATE TABLE p2p.schema_objects (
    name text NOT NULL,
    sha256 text NOT NULL,
    body text NOT NULL,
    program_version text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE p2p.schema_objects IS 'Files of sql/functions and sql/views as they were last applied';

CREATE TABLE p2p.stg_responses (
    extraction_timestamp timestamp with time zone NOT NULL,
    market_id integer NOT NULL,
    page_number integer NOT NULL,
    batch_id uuid NOT NULL,
    observed_at timestamp with time zone NOT NULL,
    attempt smallint NOT NULL,
    http_status smallint NOT NULL,
    duration_ms integer NOT NULL,
    body_bytes integer NOT NULL,
    body_sha256 bytea NOT NULL,
    parser text NOT NULL,
    alteration text,
    body_original bytea,
    body jsonb NOT NULL
);
ALTER TABLE ONLY p2p.stg_responses ALTER COLUMN body SET COMPRESSION lz4;

COMMENT ON TABLE p2p.stg_responses IS 'Search pages as received, one row a page';

COMMENT ON COLUMN p2p.stg_responses.extraction_timestamp IS 'batch_start_time of the batch';

COMMENT ON COLUMN p2p.stg_responses.observed_at IS 'When the page came';

COMMENT ON COLUMN p2p.stg_responses.body_bytes IS 'Size of the body after decompression';

COMMENT ON COLUMN p2p.stg_responses.body_sha256 IS 'SHA-256 of the body exactly as received';

COMMENT ON COLUMN p2p.stg_responses.parser IS 'Which reading of the body applies: p2p.parse_<parser>(batch_id)';

COMMENT ON COLUMN p2p.stg_responses.alteration IS 'Why body is not what was received, where jsonb cannot hold that; NULL otherwise';

COMMENT ON COLUMN p2p.stg_responses.body_original IS 'The bytes as received, where body had to be altered';

CREATE VIEW p2p.table_sizes AS
 SELECT (c.relname)::text AS table_name,
    to_char(GREATEST(s.n_live_tup, (0)::bigint), 'FM999,999,999,999'::text) AS rows_about,
    pg_size_pretty(pg_total_relation_size((c.oid)::regclass)) AS size,
    split_part(obj_description(c.oid, 'pg_class'::name), ';'::text, 1) AS holds
   FROM ((pg_class c
     JOIN pg_namespace n ON ((n.oid = c.relnamespace)))
     LEFT JOIN pg_stat_user_tables s ON ((s.relid = c.oid)))
  WHERE ((n.nspname = 'p2p'::name) AND (c.relkind = ANY (ARRAY['r'::"char", 'p'::"char"])))
  ORDER BY (pg_total_relation_size((c.oid)::regclass)) DESC;

COMMENT ON VIEW p2p.table_sizes IS 'Size of each table with its indexes, and about how many rows it has';

CREATE VIEW p2p.v_price_history AS
 SELECT c.symbol AS crypto_symbol,
    f.currency_code AS fiat_code,
    d.trade_type,
    date_trunc('hour'::text, d.extraction_timestamp, 'UTC'::text) AS time_bucket,
    (sum((d.weighted_avg_price * d.total_available_volume)) / NULLIF(sum(d.total_available_volume), (0)::numeric)) AS avg_price,
    min(d.min_price) AS min_price,
    max(d.max_price) AS max_price,
    stddev_samp(d.median_price) AS price_volatility,
    avg(d.total_available_volume) AS total_volume,
    (round(avg(d.total_offers_count)))::integer AS offer_count,
    e.code AS exchange
   FROM (((p2p.fact_market_depth d
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
  GROUP BY e.code, f.currency_code, c.symbol, d.trade_type, (date_trunc('hour'::text, d.extraction_timestamp, 'UTC'::text));

COMMENT ON VIEW p2p.v_price_history IS 'Prices of each market by hour';

COMMENT ON COLUMN p2p.v_price_history.avg_price IS 'Weighted by available amount over all snapshots of the hour';

COMMENT ON COLUMN p2p.v_price_history.price_volatility IS 'Standard deviation of the median price between the snapshots of the hour; NULL for one snapshot';

COMMENT ON COLUMN p2p.v_price_history.total_volume IS 'Available amount, the average of the snapshots: an offer stands in many snapshots and must not be added up';

COMMENT ON COLUMN p2p.v_price_history.offer_count IS 'Offers in a snapshot, on average';

ALTER TABLE ONLY p2p.dim_advertisers
    ADD CONSTRAINT dim_advertisers_exchange_id_advertiser_id_effective_date_key UNIQUE (exchange_id, advertiser_id, effective_date);

ALTER TABLE ONLY p2p.dim_advertisers
    ADD CONSTRAINT dim_advertisers_pkey PRIMARY KEY (advertiser_sk);

ALTER TABLE ONLY p2p.dim_cryptocurrencies
    ADD CONSTRAINT dim_cryptocurrencies_pkey PRIMARY KEY (crypto_id);

ALTER TABLE ONLY p2p.dim_cryptocurrencies
    ADD CONSTRAINT dim_cryptocurrencies_symbol_key UNIQUE (symbol);

ALTER TABLE ONLY p2p.dim_exchanges
    ADD CONSTRAINT dim_exchanges_code_key UNIQUE (code);

ALTER TABLE ONLY p2p.dim_exchanges
    ADD CONSTRAINT dim_exchanges_pkey PRIMARY KEY (exchange_id);

ALTER TABLE ONLY p2p.dim_fiat_currencies
    ADD CONSTRAINT dim_fiat_currencies_currency_code_key UNIQUE (currency_code);

ALTER TABLE ONLY p2p.dim_fiat_currencies
    ADD CONSTRAINT dim_fiat_currencies_pkey PRIMARY KEY (fiat_id);

ALTER TABLE ONLY p2p.dim_markets
    ADD CONSTRAINT dim_markets_exchange_id_fiat_id_crypto_id_trade_type_key UNIQUE (exchange_id, fiat_id, crypto_id, trade_type);

ALTER TABLE ONLY p2p.dim_markets
    ADD CONSTRAINT dim_markets_pkey PRIMARY KEY (market_id);

ALTER TABLE ONLY p2p.dim_offers
    ADD CONSTRAINT dim_offers_exchange_id_offer_external_id_key UNIQUE (exchange_id, offer_external_id);

ALTER TABLE ONLY p2p.dim_offers
    ADD CONSTRAINT dim_offers_pkey PRIMARY KEY (offer_id);

ALTER TABLE ONLY p2p.dim_payment_methods
    ADD CONSTRAINT dim_payment_methods_exchange_id_method_code_key UNIQUE (exchange_id, method_code);

ALTER TABLE ONLY p2p.dim_payment_methods
    ADD CONSTRAINT dim_payment_methods_pkey PRIMARY KEY (payment_method_id);

ALTER TABLE ONLY p2p.dim_payment_sets
    ADD CONSTRAINT dim_payment_sets_payment_method_ids_key UNIQUE (payment_method_ids);

ALTER TABLE ONLY p2p.dim_payment_sets
    ADD CONSTRAINT dim_payment_sets_pkey PRIMARY KEY (payment_set_id);

ALTER TABLE ONLY p2p.fact_market_depth
    ADD CONSTRAINT fact_market_depth_exchange_id_fiat_id_crypto_id_trade_type__key UNIQUE (exchange_id, fiat_id, crypto_id, trade_type, extraction_timestamp);

ALTER TABLE ONLY p2p.fact_market_depth
    ADD CONSTRAINT fact_market_depth_pkey PRIMARY KEY (depth_id);

ALTER TABLE ONLY p2p.fact_offers
    ADD CONSTRAINT fact_offers_pkey PRIMARY KEY (extraction_timestamp, offer_id);

ALTER TABLE ONLY p2p.ops_batch_markets
    ADD CONSTRAINT ops_batch_markets_pkey PRIMARY KEY (batch_id, market_id);

ALTER TABLE ONLY p2p.ops_batch_runs
    ADD CONSTRAINT ops_batch_runs_batch_start_time_key UNIQUE (batch_start_time);

ALTER TABLE ONLY p2p.ops_batch_runs
    ADD CONSTRAINT ops_batch_runs_pkey PRIMARY KEY (batch_id);

ALTER TABLE ONLY p2p.ops_data_quality
    ADD CONSTRAINT ops_data_quality_batch_id_metric_name_key UNIQUE (batch_id, metric_name);

ALTER TABLE ONLY p2p.ops_data_quality
    ADD CONSTRAINT ops_data_quality_pkey PRIMARY KEY (quality_id);

ALTER TABLE ONLY p2p.ops_discoveries
    ADD CONSTRAINT ops_discoveries_pkey PRIMARY KEY (exchange_id, fiat_code);

ALTER TABLE ONLY p2p.ops_extraction_errors
    ADD CONSTRAINT ops_extraction_errors_pkey PRIMARY KEY (error_id);

ALTER TABLE ONLY p2p.ops_rejected_offers
    ADD CONSTRAINT ops_rejected_offers_pkey PRIMARY KEY (batch_id, market_id, page_number, item_number);

ALTER TABLE ONLY p2p.quality_thresholds
    ADD CONSTRAINT quality_thresholds_pkey PRIMARY KEY (metric_name);

ALTER TABLE ONLY p2p.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.schema_objects
    ADD CONSTRAINT schema_objects_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.stg_responses
    ADD CONSTRAINT stg_responses_pkey PRIMARY KEY (extraction_timestamp, market_id, page_number);

CREATE UNIQUE INDEX dim_advertisers_one_current_row ON p2p.dim_advertisers USING btree (exchange_id, advertiser_id) WHERE is_current;

COMMENT ON INDEX p2p.dim_advertisers_one_current_row IS 'Holds: one current row an advertiser';

CREATE INDEX fact_market_depth_by_time ON p2p.fact_market_depth USING btree (extraction_timestamp);

COMMENT ON INDEX p2p.fact_market_depth_by_time IS 'load_batch and the views: all books of a batch';

CREATE INDEX fact_offers_by_advertiser ON p2p.fact_offers USING btree (advertiser_sk, extraction_timestamp);

COMMENT ON INDEX p2p.fact_offers_by_advertiser IS 'One advertiser''s history; load_advertisers after a late batch';

CREATE INDEX fact_offers_by_market ON p2p.fact_offers USING btree (fiat_id, crypto_id, trade_type, extraction_timestamp);

COMMENT ON INDEX p2p.fact_offers_by_market IS 'mv_latest_market_state: one book at one time';

CREATE INDEX ops_batch_markets_queue ON p2p.ops_batch_markets USING btree (batch_id, plan_position) WHERE (status = 'pending'::text);

COMMENT ON INDEX p2p.ops_batch_markets_queue IS 'claim_markets: the next markets to fetch';

CREATE UNIQUE INDEX ops_batch_runs_one_running ON p2p.ops_batch_runs USING btree ((true)) WHERE (status = 'running'::text);

COMMENT ON INDEX p2p.ops_batch_runs_one_running IS 'Holds: one batch at a time';

CREATE INDEX ops_extraction_errors_batch ON p2p.ops_extraction_errors USING btree (batch_id);

COMMENT ON INDEX p2p.ops_extraction_errors_batch IS 'load_batch and status: the errors of a batch';

ALTER TABLE ONLY p2p.dim_advertisers
    ADD CONSTRAINT dim_advertisers_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.dim_markets
    ADD CONSTRAINT dim_markets_crypto_id_fkey FOREIGN KEY (crypto_id) REFERENCES p2p.dim_cryptocurrencies(crypto_id);

ALTER TABLE ONLY p2p.dim_markets
    ADD CONSTRAINT dim_markets_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.dim_markets
    ADD CONSTRAINT dim_markets_fiat_id_fkey FOREIGN KEY (fiat_id) REFERENCES p2p.dim_fiat_currencies(fiat_id);

ALTER TABLE ONLY p2p.dim_offers
    ADD CONSTRAINT dim_offers_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.dim_payment_methods
    ADD CONSTRAINT dim_payment_methods_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.ops_batch_markets
    ADD CONSTRAINT ops_batch_markets_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_batch_markets
    ADD CONSTRAINT ops_batch_markets_market_id_fkey FOREIGN KEY (market_id) REFERENCES p2p.dim_markets(market_id);

ALTER TABLE ONLY p2p.ops_data_quality
    ADD CONSTRAINT ops_data_quality_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_discoveries
    ADD CONSTRAINT ops_discoveries_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.ops_extraction_errors
    ADD CONSTRAINT ops_extraction_errors_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_rejected_offers
    ADD CONSTRAINT ops_rejected_offers_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_rejected_offers
    ADD CONSTRAINT ops_rejected_offers_market_id_fkey FOREIGN KEY (market_id) REFERENCES p2p.dim_markets(market_id);

GRANT USAGE ON SCHEMA p2p TO p2p_reader;
GRANT USAGE ON SCHEMA p2p TO p2p_worker;

REVOKE ALL ON TYPE p2p.parsed_offer FROM PUBLIC;
GRANT ALL ON TYPE p2p.parsed_offer TO p2p_worker;

GRANT ALL ON FUNCTION p2p.adopt_abandoned_batch(p_worker_id text, p_lease_seconds double precision) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.choose_offers(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_count integer) TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_batch_runs TO p2p_worker;

GRANT ALL ON FUNCTION p2p.close_batch(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.compared_tables() TO p2p_worker;

GRANT ALL ON FUNCTION p2p.end_fetching(p_batch_id uuid, p_reason text) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.known_fiats(p_exchange text, p_fresh_seconds integer) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.load_advertisers(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.load_batch(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.load_depth(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.load_dimensions(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.load_offers(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.open_batch(p_exchange text, p_worker_id text, p_lease_seconds double precision, p_filter jsonb) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.parse_binance_search_v1(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.parse_pages(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.preview_load(p_batch_ids uuid[], p_with text) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.record_lost_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_error_type text, p_error_message text, p_retry_count integer) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.reject_offers(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.renew_lease(p_batch_id uuid, p_worker_id text, p_lease_seconds double precision) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.repair_json(p_text text, OUT document jsonb, OUT alteration text) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.replay_batch(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.replayable_batches(p_batch_ids uuid[], p_since timestamp with time zone, p_until timestamp with time zone, p_last integer, p_all boolean) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.rewrite_advertiser_history(p_time timestamp with time zone) TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_data_quality TO p2p_worker;

GRANT ALL ON FUNCTION p2p.run_quality_checks(p_batch_id uuid) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.status_report(p_batches integer) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.store_market_list(p_exchange text, p_fiats jsonb, p_markets jsonb, p_covered text[], p_missed text[], p_now timestamp with time zone) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.store_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_offers_reported integer, p_parser text, p_observed_at timestamp with time zone, p_attempt integer, p_http_status integer, p_duration_ms integer, p_body_bytes integer, p_body_sha256 bytea, p_alteration text, p_body_original bytea, p_body text) TO p2p_worker;

GRANT ALL ON FUNCTION p2p.store_payment_methods(p_exchange text, p_methods jsonb) TO p2p_worker;

GRANT SELECT ON TABLE p2p.batch_overview TO p2p_reader;
GRANT SELECT ON TABLE p2p.batch_overview TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_advertisers TO p2p_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.dim_advertisers TO p2p_worker;

GRANT USAGE ON SEQUENCE p2p.dim_advertisers_advertiser_sk_seq TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_cryptocurrencies TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_cryptocurrencies TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_exchanges TO p2p_reader;
GRANT SELECT ON TABLE p2p.dim_exchanges TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_fiat_currencies TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_fiat_currencies TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_markets TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_markets TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_offers TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_offers TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_payment_methods TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_payment_methods TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_payment_sets TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_payment_sets TO p2p_worker;

GRANT SELECT ON TABLE p2p.fact_market_depth TO p2p_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.fact_market_depth TO p2p_worker;

GRANT SELECT ON TABLE p2p.fact_offers TO p2p_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.fact_offers TO p2p_worker;

GRANT SELECT ON TABLE p2p.fact_offer_payment_methods TO p2p_reader;

GRANT SELECT ON TABLE p2p.market_daily TO p2p_reader;

GRANT SELECT ON TABLE p2p.market_hourly TO p2p_reader;

GRANT SELECT ON TABLE p2p.merchant_daily TO p2p_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_batch_markets TO p2p_worker;

GRANT SELECT ON TABLE p2p.missing_markets TO p2p_reader;
GRANT SELECT ON TABLE p2p.missing_markets TO p2p_worker;

GRANT SELECT ON TABLE p2p.mv_latest_market_state TO p2p_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_discoveries TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_extraction_errors TO p2p_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.ops_rejected_offers TO p2p_worker;

GRANT SELECT ON TABLE p2p.quality_thresholds TO p2p_worker;

GRANT SELECT ON TABLE p2p.schema_migrations TO p2p_worker;

GRANT SELECT ON TABLE p2p.schema_objects TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.stg_responses TO p2p_worker;

GRANT SELECT ON TABLE p2p.table_sizes TO p2p_reader;

GRANT SELECT ON TABLE p2p.v_price_history TO p2p_reader;
