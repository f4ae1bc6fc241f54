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

CREATE TYPE p2p.rule_finding AS (
	metric numeric,
	offending_rows jsonb
);

COMMENT ON TYPE p2p.rule_finding IS 'What a quality rule found in a batch';

COMMENT ON COLUMN p2p.rule_finding.metric IS 'One finite number, compared with the thresholds of the rule; NULL = there is nothing to judge (yet), which passes';

COMMENT ON COLUMN p2p.rule_finding.offending_rows IS 'JSON array of the rows at fault, the worst first; NULL is an empty one';

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

CREATE FUNCTION p2p.adopt_object(p_name text, p_note text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_state p2p.object_states := (
    select s
    from p2p.object_states s
    where s.name = p2p.find_object(p_name)
  );
begin
  if coalesce(trim(p_note), '') = '' then
    raise exception 'a note is missing: why is % changed?', v_state.identity
      using errcode = 'P2P02';
  elsif v_state.is_missing then
    raise exception '% is missing: there is nothing to adopt', v_state.identity
      using errcode = 'P2P02', hint = 'p2p-ingest migrate makes it again';
  elsif v_state.state = 'shipped' then
    raise exception '% is as shipped: there is nothing to adopt', v_state.identity
      using errcode = 'P2P02';
  end if;

  update p2p.schema_objects o
  set
    adopted_definition = v_state.live_definition,
    adopted_at = clock_timestamp(),
    adopted_by = session_user,
    adopted_note = p_note,
    base_body = o.body,
    base_definition = o.definition,
    base_version = o.program_version
  where o.name = v_state.name;

  insert into p2p.schema_object_history (name, identity, action, program_version, note, definition)
  values (v_state.name, v_state.identity, 'adopted', v_state.shipped_version, p_note, v_state.live_definition);

  return v_state.identity;
end
$$;

COMMENT ON FUNCTION p2p.adopt_object(p_name text, p_note text) IS 'Says that a live change of a shipped function or view is meant to stay';

CREATE FUNCTION p2p.announce_batch(p_batch_id uuid) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  select pg_notify(
    'p2p_batch',
    jsonb_build_object(
      'batch_id', r.batch_id,
      'batch_start_time', r.batch_start_time,
      'load_number', l.load_number,
      'status', r.status,
      'markets_expected', r.markets_expected,
      'markets_completed', r.markets_completed,
      'offers', r.total_offers_inserted,
      'offers_changed', l.offers_changed,
      'rejected', r.total_offers_rejected,
      'failed_steps', (
        select count(*)
        from p2p.ops_batch_steps s
        where s.batch_id = l.batch_id
          and s.load_number = l.load_number
          and s.status = 'failed'
      ),
      'failed_checks', (
        select count(*)
        from p2p.ops_data_quality q
        where q.batch_id = r.batch_id
          and not q.passed
      )
    )::text
  )
  from p2p.ops_batch_runs r
  join p2p.ops_batch_loads l on l.batch_id = r.batch_id
  where r.batch_id = p_batch_id
  order by l.load_number desc
  limit 1
$$;

COMMENT ON FUNCTION p2p.announce_batch(p_batch_id uuid) IS 'Tells listeners on channel p2p_batch what became of a batch';

CREATE FUNCTION p2p.apply_migration(p_name text, p_sha256 text, p_body text, p_program_version text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_known text;
  v_detail text;
  v_hint text;
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

  -- What it makes belongs to the owner of the schema, whoever runs it.
  perform set_config('role', pg_get_userbyid(n.nspowner), true)
  from pg_namespace n
  where n.nspname = 'p2p';

  begin
    execute p_body;
  exception when others then
    get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
    raise exception 'sql/%: %', p_name, concat_ws(E'\n', sqlerrm, nullif(v_detail, ''))
      using errcode = sqlstate, hint = v_hint;
  end;

  insert into p2p.schema_migrations (name, sha256, body, program_version)
  values (p_name, p_sha256, p_body, p_program_version);

  return true;
end
$$;

COMMENT ON FUNCTION p2p.apply_migration(p_name text, p_sha256 text, p_body text, p_program_version text) IS 'Runs one file of sql/migrations once; used by the migrate command';

CREATE FUNCTION p2p.apply_object(p_name text, p_sha256 text, p_body text, p_program_version text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_known p2p.schema_objects := (select o from p2p.schema_objects o where o.name = p_name);
  v_is_known constant boolean := v_known.identity is not null;
  v_is_same_text constant boolean := v_is_known and v_known.sha256 = p_sha256;
  v_live text := p2p.live_definition(v_known.identity);
  v_there text := coalesce(v_known.identity, p2p.object_named(p_name));
  v_identity text;
  v_definition text;
  v_outcome text := 'applied';
begin
  if v_is_same_text and v_live is not null then
    return null;
  end if;

  select d.identity, d.definition
  into v_identity, v_definition
  from p2p.definition_of(p_name, p_body, v_there) as d;

  if not v_is_known then
    v_live := p2p.live_definition(v_identity); -- somebody may have one of this name already
  end if;

  if v_is_known and v_live is null then
    v_outcome := 'made again';
  elsif v_is_known and v_identity <> v_known.identity then
    if v_live = v_known.definition then
      execute 'drop ' || v_known.identity;
    else
      v_outcome := 'left behind';
    end if;
  elsif v_live <> v_definition and (v_live = v_known.definition) is not true then
    v_outcome := 'kept';
  end if;

  if v_outcome <> 'applied' then
    insert into p2p.schema_object_history (name, identity, action, program_version, definition)
    values (p_name, coalesce(v_known.identity, v_identity), v_outcome, p_program_version, v_live);
  end if;

  if v_outcome = 'kept' then
    insert into p2p.schema_objects as o (
      name, sha256, body, program_version, identity, definition, server_major
    )
    values (
      p_name, p_sha256, p_body, p_program_version, v_identity, v_definition,
      current_setting('server_version_num')::integer / 10000
    )
    on conflict (name) do update
    set
      sha256 = excluded.sha256,
      body = excluded.body,
      program_version = excluded.program_version,
      applied_at = clock_timestamp(),
      identity = excluded.identity,
      definition = excluded.definition;

    return v_outcome;
  end if;

  perform p2p.make_object(p_name, p_body, v_identity);
  perform p2p.record_as_shipped(p_name, p_sha256, p_body, p_program_version, v_identity, v_definition);

  return v_outcome;
end
$$;

COMMENT ON FUNCTION p2p.apply_object(p_name text, p_sha256 text, p_body text, p_program_version text) IS 'Brings one function or view to the text of a release unless it was changed live; used by the migrate command';

CREATE FUNCTION p2p.apply_objects(p_files jsonb, p_program_version text) RETURNS TABLE(object_name text, outcome text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_file record;
  v_detail text;
  v_hint text;
begin
  perform pg_advisory_xact_lock(hashtextextended('p2p.migrate', 0));

  for v_file in
    select f.value ->> 'name' as name, f.value ->> 'sha256' as sha256, f.value ->> 'body' as body
    from jsonb_array_elements(p_files) with ordinality as f (value, position)
    order by f.position
  loop
    object_name := v_file.name;

    if v_file.name like 'bootstrap/%' then
      continue when exists (
        select
        from p2p.schema_objects o
        where o.name = v_file.name
          and o.sha256 = v_file.sha256
      );
      perform p2p.record_as_shipped(v_file.name, v_file.sha256, v_file.body, p_program_version, null, null);
      outcome := 'applied';
      return next;
      continue;
    end if;

    begin
      outcome := p2p.apply_object(v_file.name, v_file.sha256, v_file.body, p_program_version);
    exception when others then
      get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
      raise exception 'sql/%: %', v_file.name, concat_ws(E'\n', sqlerrm, nullif(v_detail, ''))
        using errcode = sqlstate, hint = v_hint;
    end;

    if outcome is not null then
      return next;
    end if;
  end loop;

  for object_name, outcome in
    select r.object_name, r.outcome
    from p2p.retire_objects(
      array(select f.value ->> 'name' from jsonb_array_elements(p_files) as f (value)),
      p_program_version
    ) as r
  loop
    return next;
  end loop;
end
$$;

COMMENT ON FUNCTION p2p.apply_objects(p_files jsonb, p_program_version text) IS 'Brings functions and views to a release; used by the migrate command';

CREATE FUNCTION p2p.apply_retention(p_batch_id uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'p2p', 'pg_temp'
    AS $_$
declare
  v_batches constant integer := p2p.setting_number('retention_batches_per_load');
  v_own_time timestamptz;
  v_newest timestamptz;
  v_kind record;
  v_before timestamptz;
  v_times timestamptz[];
  v_rows bigint;
  v_deleted jsonb := '{}'::jsonb;
  v_ledger jsonb;
begin
  if p_batch_id is not null then
    select r.batch_start_time
    into v_own_time
    from p2p.ops_batch_runs r
    where r.batch_id = p_batch_id
      and r.status = 'running';

    if not found then
      return v_deleted;
    end if;
  end if;

  select least(max(r.batch_start_time), clock_timestamp())
  into v_newest
  from p2p.ops_batch_runs r;

  for v_kind in
    select k.table_name, k.setting
    from (
      values
        ('stg_responses', 'raw_retention_days'),
        ('fact_offers', 'offers_retention_days'),
        ('fact_market_depth', 'depth_retention_days')
    ) as k (table_name, setting)
  loop
    v_before := v_newest - make_interval(secs => p2p.setting_number(v_kind.setting)::double precision * 86400);

    -- From one time to the next through the index: reading all rows to find the oldest times would take minutes.
    execute format(
      $statement$
        with recursive times (extraction_timestamp) as (
          select min(t.extraction_timestamp)
          from p2p.%1$I t
          union all
          select (
            select min(t.extraction_timestamp)
            from p2p.%1$I t
            where t.extraction_timestamp > times.extraction_timestamp
          )
          from times
          where times.extraction_timestamp < $1
        )
        select array_agg(oldest.extraction_timestamp)
        from (
          select times.extraction_timestamp
          from times
          where times.extraction_timestamp < $1
            and times.extraction_timestamp is distinct from $2
          limit $3
        ) as oldest
      $statement$,
      v_kind.table_name
    )
    into v_times
    using v_before, v_own_time, v_batches;

    continue when v_times is null;

    execute format('delete from p2p.%I where extraction_timestamp = any ($1)', v_kind.table_name)
    using v_times;
    get diagnostics v_rows = row_count;
    v_deleted := v_deleted || jsonb_build_object(v_kind.table_name, v_rows);

    if v_kind.table_name = 'stg_responses' then
      update p2p.ops_batch_runs r
      set raw_deleted_at = clock_timestamp()
      where r.batch_start_time = any (v_times);
    end if;
  end loop;

  v_before := v_newest - make_interval(secs => p2p.setting_number('ledger_retention_days')::double precision * 86400);

  with oldest as (
    select r.batch_id
    from p2p.ops_batch_runs r
    where r.ledger_deleted_at is null
      and r.batch_start_time < v_before
      and r.status <> 'running'
      and not exists (
        select
        from p2p.stg_responses s
        where s.extraction_timestamp = r.batch_start_time
      )
    order by r.batch_start_time
    limit v_batches
  ),
  ledger as (
    delete from p2p.ops_batch_markets bm
    using oldest
    where bm.batch_id = oldest.batch_id
    returning 1
  ),
  errors as (
    delete from p2p.ops_extraction_errors e
    using oldest
    where e.batch_id = oldest.batch_id
    returning 1
  ),
  rejected as (
    delete from p2p.ops_rejected_offers o
    using oldest
    where o.batch_id = oldest.batch_id
    returning 1
  ),
  marked as (
    update p2p.ops_batch_runs r
    set
      ledger_deleted_at = clock_timestamp(),
      raw_deleted_at = coalesce(r.raw_deleted_at, clock_timestamp())
    from oldest
    where r.batch_id = oldest.batch_id
    returning 1
  )
  select
    jsonb_build_object(
      'ops_batch_markets', (select count(*) from ledger),
      'ops_extraction_errors', (select count(*) from errors),
      'ops_rejected_offers', (select count(*) from rejected)
    )
  into v_ledger
  where exists (select from marked);

  -- Discovery calls that failed belong to no batch.
  delete from p2p.ops_extraction_errors e
  where e.batch_id is null
    and e.error_timestamp < v_before;

  return v_deleted || coalesce(v_ledger, '{}');
end
$_$;

COMMENT ON FUNCTION p2p.apply_retention(p_batch_id uuid) IS 'Deletes what is older than the settings allow, a few batches a call';

CREATE FUNCTION p2p.check_pages(p_since timestamp with time zone, p_until timestamp with time zone, OUT pages_checked bigint, OUT pages_without_checksum bigint, OUT pages_damaged bigint, OUT damaged_pages jsonb) RETURNS record
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  with compared as materialized (
    select
      s.extraction_timestamp,
      s.market_id,
      s.page_number,
      s.batch_id,
      s.stored_sha256,
      s.stored_sha256 <> sha256(convert_to(s.body::text, 'UTF8')) as is_altered,
      s.body_sha256 <> sha256(s.body_original) as is_original_altered
    from p2p.stg_responses s
    where s.extraction_timestamp >= p_since
      and s.extraction_timestamp < p_until
  ),
  damaged as (
    select
      c.*,
      row_number() over (order by c.extraction_timestamp, c.market_id, c.page_number) as place
    from compared c
    where c.is_altered
      or c.is_original_altered
  )
  select
    count(c.stored_sha256),
    count(*) - count(c.stored_sha256),
    (select count(*) from damaged),
    (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'batch_id', d.batch_id,
            'extraction_timestamp', d.extraction_timestamp,
            'market_id', d.market_id,
            'page_number', d.page_number,
            'differs', array_remove(
              array[case when d.is_altered then 'body' end, case when d.is_original_altered then 'body_original' end],
              null
            )
          )
          order by d.place
        ),
        '[]'
      )
      from damaged d
      where d.place <= 1000
    )
  from compared c
$$;

COMMENT ON FUNCTION p2p.check_pages(p_since timestamp with time zone, p_until timestamp with time zone, OUT pages_checked bigint, OUT pages_without_checksum bigint, OUT pages_damaged bigint, OUT damaged_pages jsonb) IS 'Computes the checksums of raw pages again and names the pages that changed since they were stored';

CREATE FUNCTION p2p.check_pipeline_step() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_function regprocedure;
  v_name text;
begin
  begin
    v_function := to_regprocedure(new.function || '(uuid)');
  exception when others then
    null; -- what is no name at all, or stands in a schema that this user may not look into
  end;

  select format('%I.%I', n.nspname, p.proname)
  into v_name
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where p.oid = v_function
    and p.prokind = 'f';

  if not found then
    raise exception 'step %: there is no function %(uuid)', new.name, new.function
      using
        errcode = 'undefined_function',
        hint = 'write the function first, with the batch id as its only argument, and name it with its schema: my.score, without ()';
  end if;

  new.function := v_name;
  return new;
end
$$;

COMMENT ON FUNCTION p2p.check_pipeline_step() IS 'Trigger: refuses a step whose function does not exist';

CREATE FUNCTION p2p.check_quality_rule() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_name text[];
begin
  begin
    v_name := parse_ident(new.function);
  exception when invalid_parameter_value then
    v_name := '{}';
  end;

  if cardinality(v_name) not between 1 and 2 then
    raise exception 'rule %: "%" is no name of a function', new.name, new.function
      using errcode = 'P2P02', hint = 'write it as schema.function, without arguments: p2p.rule_completeness';
  elsif cardinality(v_name) = 1 then
    v_name := array['p2p'] || v_name;
  end if;

  if p2p.rule_function(format('%I.%I', v_name[1], v_name[2])) is null then
    raise exception 'rule %: there is no function %(uuid) that returns p2p.rule_finding', new.name, new.function
      using
        errcode = 'P2P02',
        hint = format(
          'create function %I.%I(p_batch_id uuid) returns p2p.rule_finding … and grant execute on it to p2p_worker',
          v_name[1],
          v_name[2]
        );
  end if;

  new.function := format('%I.%I', v_name[1], v_name[2]);
  return new;
end
$$;

COMMENT ON FUNCTION p2p.check_quality_rule() IS 'Trigger of quality_rules: refuses a function that does not exist';

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
    raw_deleted_at timestamp with time zone,
    ledger_deleted_at timestamp with time zone,
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

COMMENT ON COLUMN p2p.ops_batch_runs.raw_deleted_at IS 'When apply_retention deleted its pages: from then on it cannot be loaded again';

COMMENT ON COLUMN p2p.ops_batch_runs.ledger_deleted_at IS 'When apply_retention deleted its rows of ops_batch_markets, ops_extraction_errors and ops_rejected_offers';

CREATE FUNCTION p2p.close_batch(p_batch_id uuid) RETURNS p2p.ops_batch_runs
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_before p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
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
      v_before.total_offers_extracted as extracted,
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

  return (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
end
$$;

COMMENT ON FUNCTION p2p.close_batch(p_batch_id uuid) IS 'Closes a batch that was loaded: counts and status';

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
        when t.table_name = 'ops_data_quality' then 't.batch_id = any ($1) and t.metric_name <> ''sql_drift'''
        when l.has_time then 't.extraction_timestamp = any ($2)'
        else 't.batch_id = any ($1)'
      end
    )
  from tables t
  join lists l using (table_id)
  left join keys k using (table_id)
  where l.compared is not null
    and (t.is_whole or l.has_time or l.has_batch)
  union all
  select
    'p2p.ops_batch_steps'::regclass,
    'ops_batch_steps',
    array['batch_id', 'step'],
    $statement$
      select row(t.batch_id, t.step)::text as preview_key, t.batch_id, t.step, t.error
      from p2p.ops_batch_steps t
      where t.batch_id = any ($1)
        and t.status = 'failed'
        and t.load_number = (
          select max(l.load_number)
          from p2p.ops_batch_loads l
          where l.batch_id = t.batch_id
        )
    $statement$
$_$;

COMMENT ON FUNCTION p2p.compared_tables() IS 'Which tables preview_load compares, and how';

CREATE FUNCTION p2p.current_sql() RETURNS TABLE(identity text, state text, fingerprint text, definition text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  with shipped as (
    select o.identity, o.state, o.live_definition as definition
    from p2p.object_states o
    where o.identity like 'function %'
      and not o.is_missing
  ),
  named (function) as (
    select s.function
    from p2p.pipeline_steps s
    where s.is_enabled
    union
    select r.function
    from p2p.quality_rules r
    where r.is_enabled
  ),
  of_migrate as materialized (
    select distinct made.name[1] as name
    from p2p.schema_objects o
    cross join regexp_matches(o.body, 'create or replace function p2p\.(\w+)\(', 'g') as made (name)
    where o.name like 'bootstrap/%'
  ),
  functions as materialized (
    select p.oid, 'function ' || p.oid::regprocedure as identity
    from pg_namespace n
    join pg_proc p on p.pronamespace = n.oid
    where n.nspname not in ('pg_catalog', 'information_schema')
      and p.prokind = 'f'
      and (
        n.nspname = 'p2p' and p.proname not in (select m.name from of_migrate m)
        or format('%I.%I', n.nspname, p.proname) in (select named.function from named)
      )
  ),
  own as (
    select f.identity, p2p.function_definition(f.oid) as definition
    from functions f
    where f.identity not in (select shipped.identity from shipped)
  ),
  texts as (
    select shipped.identity, shipped.state, shipped.definition
    from shipped
    union all
    select own.identity, 'own', own.definition
    from own
    union all
    select
      'rows of p2p.pipeline_steps',
      'own',
      string_agg(
        concat_ws(' ', s.position, s.name, s.function, case when s.is_required then 'required' else 'optional' end),
        E'\n' order by s.position
      )
    from p2p.pipeline_steps s
    where s.is_enabled
    union all
    select 'rows of p2p.quality_rules', 'own', string_agg((to_jsonb(r) - 'comment')::text, E'\n' order by r.name)
    from p2p.quality_rules r
    where r.is_enabled
  )
  select
    t.identity,
    t.state,
    encode(sha256(convert_to(t.definition, 'UTF8')), 'hex'),
    t.definition
  from texts t
  where t.definition is not null
  order by t.identity collate "C"
$$;

COMMENT ON FUNCTION p2p.current_sql() IS 'The SQL that a load would run now, one row an object, with its text';

CREATE FUNCTION p2p.current_sql_set() RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_fingerprint constant text := p2p.sql_fingerprint();
  v_set integer;
begin
  select s.sql_set_id
  into v_set
  from p2p.sql_sets s
  where s.fingerprint = v_fingerprint;

  if found then
    return v_set;
  end if;

  -- Two loads may meet new SQL at once.
  insert into p2p.sql_sets (fingerprint)
  values (v_fingerprint)
  on conflict (fingerprint) do nothing
  returning sql_set_id
  into v_set;

  if not found then
    return (select s.sql_set_id from p2p.sql_sets s where s.fingerprint = v_fingerprint);
  end if;

  insert into p2p.sql_versions (identity, fingerprint, definition)
  select c.identity, c.fingerprint, c.definition
  from p2p.current_sql() c
  where not exists (
    select
    from p2p.sql_versions v
    where v.identity = c.identity
      and v.fingerprint = c.fingerprint
  )
  on conflict (identity, fingerprint) do nothing;

  insert into p2p.sql_set_versions (sql_set_id, version_id, state)
  select v_set, v.version_id, c.state
  from p2p.current_sql() c
  join p2p.sql_versions v
    on v.identity = c.identity
    and v.fingerprint = c.fingerprint;

  return v_set;
end
$$;

COMMENT ON FUNCTION p2p.current_sql_set() IS 'The number of the set of SQL that a load would run now';

CREATE FUNCTION p2p.definition_of(p_name text, p_body text, p_known text, OUT identity text, OUT definition text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  identity := p2p.make_object(p_name, p_body, p_known);
  definition := p2p.live_definition(identity);
  raise exception using errcode = 'P2P99', message = 'rolled back';
exception when sqlstate 'P2P99' then
  null; -- variables keep what was read
end
$$;

COMMENT ON FUNCTION p2p.definition_of(p_name text, p_body text, p_known text, OUT identity text, OUT definition text) IS 'What the server would store for a file of sql/functions or sql/views; changes nothing';

CREATE FUNCTION p2p.diagnose(p_interval_minutes integer DEFAULT 10) RETURNS TABLE(topic text, state text, finding text, mend text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $_$
  with me as (
    select
      current_user as name,
      pg_has_role(current_user, n.nspowner, 'usage') as is_owner,
      pg_has_role(current_user, 'p2p_worker', 'usage') as is_worker,
      has_database_privilege(current_database(), 'temporary') as may_make_temporary_tables,
      n.nspowner::regrole as owner
    from pg_namespace n
    where n.nspname = 'p2p'
  ),
  objects as (
    select
      count(*) filter (where o.state = 'drifted' and not o.is_missing) as drifted,
      count(*) filter (where o.is_missing) as missing,
      count(*) filter (where o.has_moved_on) as moved_on,
      count(*) filter (where o.state = 'tuned') as tuned,
      string_agg(o.identity, ', ' order by o.identity) filter (where o.state = 'drifted') as names
    from p2p.object_states o
  ),
  -- `drop` and `create` lose the grants that `create or replace` keeps.
  denied as (
    select
      o.identity,
      format(
        'grant %s to p2p_worker;',
        case
          when o.identity like 'function %' then 'execute on ' || o.identity
          else 'select on ' || substr(o.identity, 6)
        end
      ) as mend
    from p2p.schema_objects o
    where o.body ~ '\ngrant [^;]* to [^;]*p2p_worker'
      and not case
        when o.identity like 'function %'
        then has_function_privilege('p2p_worker', to_regprocedure(substr(o.identity, 10)), 'execute')
        else has_table_privilege('p2p_worker', to_regclass(substr(o.identity, 6)), 'select')
      end
  ),
  last_batch as (
    select r.*
    from p2p.ops_batch_runs r
    where r.status <> 'running'
    order by r.batch_start_time desc
    limit 1
  ),
  last_good as (
    select extract(epoch from clock_timestamp() - max(r.batch_end_time)) as age_seconds
    from p2p.ops_batch_runs r
    where r.status in ('completed', 'partial')
  ),
  abandoned as (
    select r.*
    from p2p.ops_batch_runs r
    where r.status = 'running'
      and r.lease_expires_at < clock_timestamp()
  ),
  failing_rules as (
    select count(*) as rules, string_agg(q.metric_name, ', ' order by q.metric_name) as names
    from p2p.ops_data_quality q
    join last_batch using (batch_id)
    where not q.passed
  ),
  failing_steps as (
    select count(*) as steps, string_agg(s.step || ' (' || s.error || ')', ', ' order by s.step) as names
    from p2p.ops_batch_steps s
    join last_batch using (batch_id)
    where s.status = 'failed'
      and s.load_number = (
        select max(l.load_number)
        from p2p.ops_batch_loads l
        where l.batch_id = s.batch_id
      )
  ),
  switched_off as (
    select count(*) as steps, string_agg(s.name, ', ' order by s.position) as names
    from p2p.pipeline_steps s
    where s.is_required
      and not s.is_enabled
  ),
  quarantined as (
    select count(*) as offers
    from p2p.ops_rejected_offers o
    where o.discarded_at is null
  )
  select
    'server',
    'ok',
    format('PostgreSQL %s, plain tables (no TimescaleDB tier)', current_setting('server_version')),
    null
  union all
  select
    'rights',
    case
      when not (is_owner or is_worker) then 'bad'
      when not may_make_temporary_tables then 'bad'
      else 'ok'
    end,
    case
      when not (is_owner or is_worker) then format('%s has not the role of a worker', name)
      when not may_make_temporary_tables then format('%s may not make temporary tables, which load_batch needs', name)
      when is_owner then format('%s owns the schema; a worker needs only the role p2p_worker', name)
      else format('%s works with the role p2p_worker', name)
    end,
    case
      when not (is_owner or is_worker) then format('as %s: grant p2p_worker to %I;', owner, name)
      when not may_make_temporary_tables
      then format('as the owner of the database: grant temporary on database %I to p2p_worker;', current_database())
    end
  from me
  union all
  select
    'rights',
    'bad',
    format('p2p_worker may not use %s', string_agg(identity, ', ' order by identity)),
    format('as the owner: %s', string_agg(mend, ' ' order by identity))
  from denied
  having count(*) > 0
  union all
  select
    'sql',
    case when drifted + missing > 0 then 'bad' when moved_on > 0 then 'warning' else 'ok' end,
    case
      when drifted + missing > 0 then format('changed live and not adopted, or missing: %s', names)
      when moved_on > 0 then format('tuned objects whose shipped text has moved on: %s', moved_on)
      when tuned > 0 then format('%s tuned, all others as shipped', tuned)
      else 'all functions and views as shipped'
    end,
    case
      when drifted > 0 then 'p2p-ingest sql diff, then sql adopt … --note … or sql restore …'
      when missing > 0 then 'p2p-ingest migrate makes what is missing again'
      when moved_on > 0 then 'p2p-ingest sql diff, merge by hand, then sql adopt … --note …'
    end
  from objects
  union all
  select
    'batches',
    case
      when a.batch_id is not null then 'warning'
      when g.age_seconds is null then 'warning'
      when g.age_seconds > 180 * p_interval_minutes then 'bad'
      when b.status = 'failed' then 'bad'
      else 'ok'
    end,
    case
      when a.batch_id is not null then format('the worker %s died in batch %s', a.worker_id, a.batch_id)
      when g.age_seconds is null then 'no batch has been loaded yet'
      when g.age_seconds > 180 * p_interval_minutes
      then format('the last good batch ended %s minutes ago', round(g.age_seconds / 60))
      when b.status = 'failed' then format('the last batch failed: %s', b.error_summary)
      else format('the last good batch ended %s s ago', round(g.age_seconds))
    end,
    case
      when a.batch_id is not null then 'the next worker loads what it had stored: p2p-ingest once, or run'
      when g.age_seconds is null or g.age_seconds > 180 * p_interval_minutes then 'p2p-ingest once, or start the service'
      when b.status = 'failed' then 'select * from p2p.last_failures; after mending: p2p-ingest replay --last 1'
    end
  from last_good g
  left join last_batch b on true
  left join abandoned a on true
  union all
  select
    'markets',
    case when markets_completed < markets_expected then 'warning' else 'ok' end,
    format('%s of %s markets whole in the last batch', markets_completed, markets_expected),
    case when markets_completed < markets_expected then 'select * from p2p.gaps' end
  from last_batch
  union all
  select 'rules', 'warning', format('failing in the last batch: %s', names), 'select * from p2p.failing_rules'
  from failing_rules
  where rules > 0
  union all
  select 'steps', 'bad', format('failed in the last load: %s', names), 'select * from p2p.failed_steps'
  from failing_steps
  where steps > 0
  union all
  select
    'steps',
    'warning',
    format('required steps that are switched off: %s', names),
    'update p2p.pipeline_steps set is_enabled = true where name = …'
  from switched_off
  where steps > 0
  union all
  select
    'quarantine',
    'warning',
    format('%s rejected offers', offers),
    'p2p-ingest quarantine list; mend the function, then quarantine replay, or discard'
  from quarantined
  where offers > 0
  union all
  select
    'settings',
    'warning',
    format('paused: no batch is begun (since %s)', to_char(c.changed_at, 'YYYY-MM-DD HH24:MI TZ')),
    $$update p2p.settings set value = 'off' where name = 'paused'$$
  from p2p.settings s
  left join lateral (
    select max(l.changed_at) as changed_at
    from p2p.change_log l
    where l.table_name = 'settings'
      and l.row_key = 'paused'
  ) as c on true
  where s.name = 'paused'
    and s.value = 'on'
$_$;

COMMENT ON FUNCTION p2p.diagnose(p_interval_minutes integer) IS 'What is wrong in this database, and what mends it';

CREATE FUNCTION p2p.discard_rejected(p_note text, p_reason text DEFAULT NULL::text, p_batch_id uuid DEFAULT NULL::uuid, p_is_dry_run boolean DEFAULT false) RETURNS TABLE(reason text, offers bigint, batches bigint)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
begin
  if coalesce(trim(p_note), '') = '' then
    raise exception 'a note must say why'
      using errcode = 'P2P02', hint = 'e.g. ''prices of a test of the exchange, 2026-08-07''';
  end if;

  perform p2p.require_in_quarantine(p_reason, p_batch_id);

  return query
  select o.reason, count(*), count(distinct o.batch_id)
  from p2p.ops_rejected_offers o
  where o.discarded_at is null
    and (p_reason is null or o.reason = p_reason)
    and (p_batch_id is null or o.batch_id = p_batch_id)
  group by o.reason
  order by count(*) desc, o.reason;

  if not p_is_dry_run then
    update p2p.ops_rejected_offers o
    set
      discarded_at = clock_timestamp(),
      discarded_by = session_user,
      discard_note = trim(p_note)
    where o.discarded_at is null
      and (p_reason is null or o.reason = p_reason)
      and (p_batch_id is null or o.batch_id = p_batch_id);
  end if;
end
$$;

COMMENT ON FUNCTION p2p.discard_rejected(p_note text, p_reason text, p_batch_id uuid, p_is_dry_run boolean) IS 'Marks rejected offers as needing no repair; they are kept';

CREATE FUNCTION p2p.drop_temporary_tables(p_keep oid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_table name;
begin
  for v_table in
    select c.relname
    from pg_class c
    where c.oid = any (p2p.temporary_tables())
      and c.oid <> all (p_keep)
  loop
    execute format('drop table if exists pg_temp.%I cascade', v_table);
  end loop;
end
$$;

COMMENT ON FUNCTION p2p.drop_temporary_tables(p_keep oid[]) IS 'Drops the temporary tables that a load made';

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

CREATE FUNCTION p2p.fail_batch(p_batch_id uuid, p_reason text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  with fetched as (
    select count(*) filter (where bm.status = 'complete') as complete
    from p2p.ops_batch_markets bm
    where bm.batch_id = p_batch_id
  ),
  lost as (
    select count(*) as errors
    from p2p.ops_extraction_errors e
    where e.batch_id = p_batch_id
  )
  update p2p.ops_batch_runs r
  set
    status = 'failed',
    batch_end_time = coalesce(r.batch_end_time, clock_timestamp()),
    execution_time_seconds = coalesce(
      r.execution_time_seconds,
      extract(epoch from clock_timestamp() - r.batch_start_time)
    ),
    total_errors = lost.errors,
    error_summary = p_reason,
    markets_completed = fetched.complete
  from fetched, lost
  where r.batch_id = p_batch_id
    and (r.status, r.total_errors, r.error_summary, r.markets_completed)
      is distinct from ('failed', lost.errors, p_reason, fetched.complete)
$$;

COMMENT ON FUNCTION p2p.fail_batch(p_batch_id uuid, p_reason text) IS 'Closes a batch that the SQL could not load';

CREATE FUNCTION p2p.find_object(p_name text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $_$
declare
  v_plain constant text := regexp_replace(p_name, '^(sql/)?((functions|views)/|function |view )?(p2p\.)?|\(.*$|\.sql$', '', 'g');
  v_file text;
begin
  select o.name
  into v_file
  from p2p.schema_objects o
  where o.name in ('functions/' || v_plain || '.sql', 'views/' || v_plain || '.sql');

  if v_file is null then
    raise exception 'there is no shipped function or view %', p_name
      using errcode = 'P2P02', hint = 'select name from p2p.object_states lists them';
  end if;

  return v_file;
end
$_$;

COMMENT ON FUNCTION p2p.find_object(p_name text) IS 'The file of a shipped function or view';

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

CREATE FUNCTION p2p.function_definition(p_function oid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select
    replace(pg_get_functiondef(p.oid), E'\r', '')
    || E';\n'
    || coalesce(
      E'\ncomment on function ' || p.oid::regprocedure || ' is ' || quote_literal(obj_description(p.oid, 'pg_proc')) || E';\n',
      ''
    )
  from pg_proc p
  where p.oid = p_function
$$;

COMMENT ON FUNCTION p2p.function_definition(p_function oid) IS 'A function with its comment, as the server stores it';

CREATE FUNCTION p2p.grants_on(p_identity text) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select
    format(
      'grant %s on %s to %s%s',
      a.privilege_type,
      regexp_replace(p_identity, '^view ', ''),
      case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
      case when a.is_grantable then ' with grant option' else '' end
    )
  from (
    select p.proacl as acl, p.proowner as owner
    from pg_proc p
    where p_identity like 'function %'
      and p.oid = to_regprocedure(substr(p_identity, 10))
    union all
    select c.relacl, c.relowner
    from pg_class c
    where p_identity like 'view %'
      and c.oid = to_regclass(substr(p_identity, 6))
  ) as object
  cross join aclexplode(object.acl) as a
  where a.grantee not in (0, object.owner)
$$;

COMMENT ON FUNCTION p2p.grants_on(p_identity text) IS 'Grants on a function or view, as statements; used by the migrate command';

CREATE FUNCTION p2p.guard_setting() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $_$
begin
  if tg_op = 'TRUNCATE' then
    raise exception 'settings cannot be emptied: functions read them'
      using errcode = '23514', hint = 'change one: update p2p.settings set value = … where name = …';
  end if;

  if tg_op = 'DELETE' then
    if old.is_shipped then
      raise exception 'setting % cannot be deleted: functions of the release read it', old.name
        using errcode = '23514', hint = 'change its value instead';
    end if;
    return old;
  end if;

  if tg_op = 'UPDATE' and (new.name, new.kind, new.is_shipped) is distinct from (old.name, old.kind, old.is_shipped) then
    raise exception 'name and kind of setting % stay: functions read it by them', old.name
      using errcode = '23514', hint = 'change its value, its limits or its comment';
  end if;

  if new.kind = 'switch' and new.value not in ('on', 'off') then
    raise exception 'setting % is on or off, not "%"', new.name, new.value
      using errcode = '23514';
  end if;

  if new.kind = 'number' then
    if new.value !~ '^-?\d+(\.\d+)?$' or length(new.value) > 30 then
      raise exception 'setting % is a number (%), not "%"', new.name, new.unit, new.value
        using errcode = '23514';
    elsif not new.value::numeric between new.minimum and new.maximum then
      raise exception 'setting % is between % and % %, not %', new.name, new.minimum, new.maximum, new.unit, new.value
        using errcode = '23514';
    end if;
  end if;

  return new;
end
$_$;

COMMENT ON FUNCTION p2p.guard_setting() IS 'Trigger: refuses changes of settings that functions could not live with';

CREATE FUNCTION p2p.is_beyond(p_metric numeric, p_is_bad_when text, p_threshold numeric) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  select coalesce(
    case p_is_bad_when
      when 'above' then p_metric > p_threshold
      when 'below' then p_metric < p_threshold
    end,
    false
  )
$$;

COMMENT ON FUNCTION p2p.is_beyond(p_metric numeric, p_is_bad_when text, p_threshold numeric) IS 'Whether a metric lies on the bad side of a threshold';

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

CREATE FUNCTION p2p.live_definition(p_identity text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_function regprocedure := case when p_identity like 'function %' then to_regprocedure(substr(p_identity, 10)) end;
  v_view regclass := (
    select c.oid
    from pg_class c
    where p_identity like 'view %'
      and c.oid = to_regclass(substr(p_identity, 6))
      and c.relkind = 'v'
  );
begin
  if v_function is not null then
    return p2p.function_definition(v_function);
  elsif v_view is not null then
    return (
      select
        format('create or replace view %s', v_view)
        || coalesce(' with (' || array_to_string(c.reloptions, ', ') || ')', '')
        || E' as\n'
        || pg_get_viewdef(v_view, true)
        || coalesce(E'\n\ncomment on view ' || v_view || ' is ' || quote_literal(obj_description(v_view, 'pg_class')) || ';', '')
        || coalesce(
          (
            select string_agg(
              format(E'\ncomment on column %s.%I is %L;', v_view, a.attname, col_description(v_view, a.attnum)),
              ''
              order by a.attnum
            )
            from pg_attribute a
            where a.attrelid = v_view
              and col_description(v_view, a.attnum) is not null
          ),
          ''
        )
        || E'\n'
      from pg_class c
      where c.oid = v_view
    );
  end if;

  return null;
end
$$;

COMMENT ON FUNCTION p2p.live_definition(p_identity text) IS 'A function or view with its comments, as the server stores it; NULL where it is missing';

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
  v_began timestamptz := clock_timestamp();
  v_own_tables oid[] := p2p.temporary_tables();
  v_set integer;
  v_before p2p.ops_batch_runs;
  v_steps p2p.ops_batch_steps[];
  v_failed p2p.ops_batch_steps;
begin
  lock table p2p.dim_advertisers in share row exclusive mode;

  select r.*
  into v_before
  from p2p.ops_batch_runs r
  where r.batch_id = p_batch_id;

  if not found then
    raise exception 'there is no batch %', p_batch_id
      using errcode = 'P2P03', hint = 'select batch_id, batch_start_time from p2p.ops_batch_runs order by 2 desc';
  end if;

  if v_before.raw_deleted_at is not null then
    raise exception 'the pages of batch % were deleted when they were old enough: it cannot be loaded again', p_batch_id
      using errcode = 'P2P03', hint = 'its facts stay as they are; raw_retention_days in p2p.settings says how long pages are kept';
  end if;

  perform p2p.end_fetching(p_batch_id, 'the batch was loaded before it was fetched');
  v_set := p2p.current_sql_set();
  v_steps := p2p.run_steps(p_batch_id);

  select s.*
  into v_failed
  from unnest(v_steps) as s
  where s.is_required
    and s.status = 'failed';

  if v_failed.step is null then
    perform p2p.close_batch(p_batch_id);
  elsif v_before.status in ('completed', 'partial') then
    raise exception 'step % failed: %', v_failed.step, v_failed.error
      using
        errcode = 'P2P03',
        detail = v_failed.error_context,
        hint = 'the facts of the batch are as they were; mend the function and load again';
  else
    perform p2p.fail_batch(p_batch_id, format('step %s failed: %s', v_failed.step, v_failed.error));
  end if;

  perform p2p.record_load(v_before, v_steps, v_began, v_set);
  perform p2p.drop_temporary_tables(v_own_tables);
  return (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
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
  if v_batch.status in ('completed', 'partial') and v_deleted + v_written > 0 then
    update p2p.ops_batch_runs
    set total_offers_updated = total_offers_updated + v_deleted + v_written
    where batch_id = p_batch_id;
  end if;
end
$$;

COMMENT ON FUNCTION p2p.load_offers(p_batch_id uuid) IS 'Step of load_batch: writes the snapshot into fact_offers';

CREATE FUNCTION p2p.log_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_old jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  v_new jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
begin
  -- As text: jsonb takes 0.10 and 0.1 for equal.
  if v_old::text is distinct from v_new::text then
    insert into p2p.change_log (table_name, row_key, old_row, new_row)
    values (tg_table_name, coalesce(v_old, v_new) ->> 'name', v_old, v_new);
  end if;

  return null;
end
$$;

COMMENT ON FUNCTION p2p.log_change() IS 'Trigger: keeps who changed a row, when, and how it was';

CREATE FUNCTION p2p.make_object(p_name text, p_body text, p_known text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET check_function_bodies TO 'off'
    AS $_$
declare
  v_object text := regexp_replace(p_name, '^.*/|\.sql$', '', 'g');
  v_before text[] := array(
    select row(p.oid, p.ctid)::text
    from pg_proc p
    where p.pronamespace = 'p2p'::regnamespace
      and p.proname = v_object
  );
  v_identity text;
  v_grant text;
  v_grants text[] := '{}'::text[];
  v_comment text;
  v_role constant text := current_setting('role');
begin
  -- Whoever runs this, the object belongs to the owner of the schema: all who have that role can replace it again.
  perform set_config('role', pg_get_userbyid(n.nspowner), true)
  from pg_namespace n
  where n.nspname = 'p2p';

  -- `create or replace` leaves comments in place, also those that the file does not have.
  for v_comment in select c.statement from p2p.uncomment(p_known) as c (statement) loop
    execute v_comment;
  end loop;

  begin
    execute p_body;
  exception when invalid_table_definition or invalid_function_definition then
    if p_known is null then
      raise;
    end if;

    v_grants := array(select p2p.grants_on(p_known));
    execute 'drop ' || p_known;
    execute p_body;
  end;

  if p_name like 'views/%' then
    v_identity := 'view ' || to_regclass(format('p2p.%I', v_object));
  else
    -- `create or replace` writes a new version of the row: that tells which of several of one name the file made.
    select 'function ' || p.oid::regprocedure
    into v_identity
    from pg_proc p
    where p.pronamespace = 'p2p'::regnamespace
      and p.proname = v_object
      and row(p.oid, p.ctid)::text <> all (v_before);
  end if;

  if v_identity is null then
    raise exception 'it makes no object p2p.%', v_object
      using errcode = 'P2P01', hint = 'a file is named after the one object it makes';
  end if;

  foreach v_grant in array v_grants loop
    execute v_grant;
  end loop;

  if v_identity like 'function %' then
    execute format('revoke execute on %s from public', v_identity);
  end if;

  perform set_config('role', v_role, true);

  return v_identity;
end
$_$;

COMMENT ON FUNCTION p2p.make_object(p_name text, p_body text, p_known text) IS 'Runs a file of sql/functions or sql/views and names what it made; used by migrate and restore_object';

CREATE FUNCTION p2p.object_named(p_name text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  with named as (
    select regexp_replace(p_name, '^.*/|\.sql$', '', 'g') as object
  )
  select case
    when p_name like 'views/%' then (select 'view ' || to_regclass(format('p2p.%I', n.object)))
    else (
      select 'function ' || min(p.oid::regprocedure::text)
      from pg_proc p
      where p.pronamespace = 'p2p'::regnamespace
        and p.proname = n.object
      having count(*) = 1
    )
  end
  from named n
$_$;

COMMENT ON FUNCTION p2p.object_named(p_name text) IS 'What stands in the database under the name of a file of sql/; used by the migrate command';

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

  if p2p.setting_switch('paused') then
    return query
    select null::uuid, p.paused_since, 0, null::text, null::double precision
    from p2p.pause_state() p;
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
  v_read bigint;
  v_items bigint := 0;
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
    get diagnostics v_read = row_count;
    v_items := v_items + v_read;
  end loop;

  analyze pg_temp.parsed_offers (market_id, page_number, offer_external_id, is_promoted);

  update p2p.ops_batch_runs r
  set total_offers_extracted = v_items
  where r.batch_id = p_batch_id
    and r.total_offers_extracted <> v_items;
end
$_$;

COMMENT ON FUNCTION p2p.parse_pages(p_batch_id uuid) IS 'Step of load_batch: reads the stored pages';

CREATE FUNCTION p2p.parser_cannot_read(p_parser text, p_path text, p_json_type text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  select exists (
    select
    from p2p.parser_keys k
    where k.parser = p_parser
      and case
        when k.path = p_path then coalesce(p_json_type <> all (k.json_types), true)
        when p_path = '' or starts_with(k.path, p_path || '.') then p_json_type is distinct from 'object'
        when starts_with(k.path, p_path || '[]') then p_json_type is distinct from 'array'
        else false
      end
  )
$$;

COMMENT ON FUNCTION p2p.parser_cannot_read(p_parser text, p_path text, p_json_type text) IS 'Whether a change of a key takes from a parser what it needs';

CREATE FUNCTION p2p.pause_state() RETURNS TABLE(paused_since timestamp with time zone, paused_by text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  select last_switch.changed_at, last_switch.changed_by
  from (select p2p.setting_switch('paused') as is_on) as paused
  left join lateral (
    select c.changed_at, c.changed_by
    from p2p.change_log c
    where c.table_name = 'settings'
      and c.row_key = 'paused'
      and c.old_row ->> 'value' is distinct from c.new_row ->> 'value'
    order by c.change_id desc
    limit 1
  ) as last_switch on true
  where paused.is_on
$$;

COMMENT ON FUNCTION p2p.pause_state() IS 'Since when and by whom new batches are paused; no row while they are not';

CREATE FUNCTION p2p.preview_load(p_batch_ids uuid[], p_with text DEFAULT NULL::text) RETURNS TABLE(table_name text, effect text, column_name text, row_count bigint, examples jsonb)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET work_mem TO '64MB'
    SET jit TO 'off'
    AS $_$
declare
  v_batch_id uuid;
  v_start_times timestamptz[];
  v_settings jsonb;
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
      select jsonb_object_agg(s.name, s.setting)
      into v_settings
      from pg_settings s
      where s.context in ('user', 'superuser');

      -- As psql would run it: names without a schema are not looked up in p2p.
      perform set_config('search_path', s.reset_val, true) from pg_settings s where s.name = 'search_path';
      execute p_with;

      -- What it set was for its own session. No load would see it, and another time zone makes every row look different.
      perform set_config(earlier.name, earlier.value, true)
      from jsonb_each_text(v_settings) as earlier (name, value)
      join pg_settings s on s.name = earlier.name
      where s.setting is distinct from earlier.value;
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

CREATE FUNCTION p2p.quarantine_batches(p_reason text DEFAULT NULL::text, p_batch_id uuid DEFAULT NULL::uuid, p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_until timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(batch_id uuid, batch_start_time timestamp with time zone, offers bigint, can_be_loaded boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
begin
  perform p2p.require_in_quarantine(p_reason, p_batch_id);

  return query
  select
    r.batch_id,
    r.batch_start_time,
    count(*),
    r.raw_deleted_at is null
  from p2p.ops_rejected_offers o
  join p2p.ops_batch_runs r using (batch_id)
  where o.discarded_at is null
    and r.status <> 'running'
    and (p_reason is null or o.reason = p_reason)
    and (p_batch_id is null or r.batch_id = p_batch_id)
    and (p_since is null or r.batch_start_time >= p_since)
    and (p_until is null or r.batch_start_time <= p_until)
  group by r.batch_id
  order by r.batch_start_time;
end
$$;

COMMENT ON FUNCTION p2p.quarantine_batches(p_reason text, p_batch_id uuid, p_since timestamp with time zone, p_until timestamp with time zone) IS 'Batches that have offers in quarantine, oldest first';

CREATE FUNCTION p2p.record_as_shipped(p_name text, p_sha256 text, p_body text, p_program_version text, p_identity text, p_definition text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  insert into p2p.schema_objects as o (
    name, sha256, body, program_version, identity, definition, server_major, base_body, base_definition, base_version
  )
  values (
    p_name, p_sha256, p_body, p_program_version, p_identity, p_definition,
    current_setting('server_version_num')::integer / 10000,
    case when p_identity is not null then p_body end,
    p_definition,
    case when p_identity is not null then p_program_version end
  )
  on conflict (name) do update
  set
    sha256 = excluded.sha256,
    body = excluded.body,
    program_version = excluded.program_version,
    applied_at = clock_timestamp(),
    identity = excluded.identity,
    definition = excluded.definition,
    server_major = excluded.server_major,
    base_body = excluded.base_body,
    base_definition = excluded.base_definition,
    base_version = excluded.base_version,
    adopted_definition = null,
    adopted_at = null,
    adopted_by = null,
    adopted_note = null
$$;

COMMENT ON FUNCTION p2p.record_as_shipped(p_name text, p_sha256 text, p_body text, p_program_version text, p_identity text, p_definition text) IS 'Notes that an object is as it was shipped; used by migrate and restore_object';

CREATE FUNCTION p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  insert into p2p.ops_extraction_errors (fiat_code, error_type, error_message)
  values (p_fiat, p_error_type, left(p_error_message, 1000))
$$;

COMMENT ON FUNCTION p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text) IS 'Writes down a discovery call that failed';

CREATE TABLE p2p.ops_batch_steps (
    batch_id uuid NOT NULL,
    load_number integer NOT NULL,
    "position" numeric NOT NULL,
    step text NOT NULL,
    is_required boolean NOT NULL,
    status text NOT NULL,
    seconds numeric(10,3) NOT NULL,
    error text,
    error_context text,
    CONSTRAINT ops_batch_steps_check CHECK (((status = 'failed'::text) = (error IS NOT NULL))),
    CONSTRAINT ops_batch_steps_status_check CHECK ((status = ANY (ARRAY['ok'::text, 'failed'::text, 'undone'::text])))
);

COMMENT ON TABLE p2p.ops_batch_steps IS 'What each step of each recorded load did, and how long it took';

COMMENT ON COLUMN p2p.ops_batch_steps.load_number IS 'Which load of the batch, from 1 (ops_batch_loads)';

COMMENT ON COLUMN p2p.ops_batch_steps.step IS 'Its name at that time; the step may be gone since';

COMMENT ON COLUMN p2p.ops_batch_steps.status IS 'failed: it raised error; undone: it ran, but a required step failed after it';

COMMENT ON COLUMN p2p.ops_batch_steps.error_context IS 'Where in the SQL it was raised, as PostgreSQL tells it';

CREATE FUNCTION p2p.record_load(p_before p2p.ops_batch_runs, p_steps p2p.ops_batch_steps[], p_began timestamp with time zone, p_sql_set_id integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_after p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_before.batch_id);
  v_last p2p.ops_batch_loads;
  v_is_same boolean;
begin
  select l.*
  into v_last
  from p2p.ops_batch_loads l
  where l.batch_id = p_before.batch_id
  order by l.load_number desc
  limit 1;

  v_is_same := found
    and v_last.sql_set_id = p_sql_set_id
    and p_before is not distinct from v_after
    and not exists (
      select s.step, s.status, s.error
      from unnest(p_steps) as s
      except
      select s.step, s.status, s.error
      from p2p.ops_batch_steps s
      where s.batch_id = v_last.batch_id
        and s.load_number = v_last.load_number
    );

  if v_is_same then
    return;
  end if;

  insert into p2p.ops_batch_loads (batch_id, load_number, loaded_at, sql_set_id, status, seconds, offers_changed)
  values (
    v_after.batch_id,
    coalesce(v_last.load_number, 0) + 1,
    p_began,
    p_sql_set_id,
    v_after.status,
    extract(epoch from clock_timestamp() - p_began),
    case
      when p_before.status in ('completed', 'partial') then v_after.total_offers_updated - p_before.total_offers_updated
      else v_after.total_offers_inserted
    end
  )
  returning *
  into v_last;

  insert into p2p.ops_batch_steps (
    batch_id, load_number, position, step, is_required, status, seconds, error, error_context
  )
  select
    v_last.batch_id, v_last.load_number, s.position, s.step, s.is_required, s.status, s.seconds, s.error, s.error_context
  from unnest(p_steps) as s;

  if v_after.status <> p_before.status or v_last.offers_changed > 0 then
    perform p2p.announce_batch(v_last.batch_id);
  end if;
end
$$;

COMMENT ON FUNCTION p2p.record_load(p_before p2p.ops_batch_runs, p_steps p2p.ops_batch_steps[], p_began timestamp with time zone, p_sql_set_id integer) IS 'Last act of load_batch: writes down the load and its steps';

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
  set
    reason = excluded.reason,
    rejected_at = excluded.rejected_at,
    discarded_at = null,
    discarded_by = null,
    discard_note = null
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
  join pg_stat_xact_user_tables s on s.relid = t.table_id
  where t.table_name <> 'ops_batch_steps'; -- bookkeeping

  v_batch := p2p.load_batch(p_batch_id);

  return query
  select
    v_batch.status,
    v_batch.total_offers_inserted,
    (sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del) - v_written_before)::bigint,
    v_batch.error_summary
  from p2p.compared_tables() t
  join pg_stat_xact_user_tables s on s.relid = t.table_id
  where t.table_name <> 'ops_batch_steps'; -- bookkeeping
end
$$;

COMMENT ON FUNCTION p2p.replay_batch(p_batch_id uuid) IS 'load_batch again, and how many rows that wrote';

CREATE FUNCTION p2p.replay_quarantine(p_batch_id uuid, p_reason text DEFAULT NULL::text) RETURNS TABLE(repaired bigint, still_rejected bigint, status text)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_places jsonb;
  v_batch p2p.ops_batch_runs;
begin
  select coalesce(jsonb_agg(jsonb_build_array(o.market_id, o.page_number, o.item_number)), '[]')
  into v_places
  from p2p.ops_rejected_offers o
  where o.batch_id = p_batch_id
    and o.discarded_at is null
    and (p_reason is null or o.reason = p_reason);

  v_batch := p2p.load_batch(p_batch_id);

  return query
  select
    count(*) filter (where o.batch_id is null),
    count(*) filter (where o.batch_id is not null),
    v_batch.status
  from jsonb_array_elements(v_places) as place
  left join p2p.ops_rejected_offers o
    on o.batch_id = p_batch_id
    and o.market_id = (place ->> 0)::integer
    and o.page_number = (place ->> 1)::integer
    and o.item_number = (place ->> 2)::integer;
end
$$;

COMMENT ON FUNCTION p2p.replay_quarantine(p_batch_id uuid, p_reason text) IS 'Loads a batch again and counts which of its offers in quarantine were repaired by that';

CREATE FUNCTION p2p.replayable_batches(p_batch_ids uuid[] DEFAULT NULL::uuid[], p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_until timestamp with time zone DEFAULT NULL::timestamp with time zone, p_last integer DEFAULT NULL::integer, p_all boolean DEFAULT false) RETURNS TABLE(batch_id uuid, batch_start_time timestamp with time zone, status text, offers integer, pages bigint, obstacle text, is_current boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  with current_set as (
    select s.sql_set_id
    from p2p.sql_sets s
    where s.fingerprint = p2p.sql_fingerprint()
  ),
  asked as (
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
      when a.raw_deleted_at is not null or raw.pages < ledger.pages then 'its raw pages are gone'
    end,
    not p_all and coalesce(last_load.sql_set_id = (select c.sql_set_id from current_set c), false)
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
  left join lateral (
    select l.sql_set_id
    from p2p.ops_batch_loads l
    where l.batch_id = a.batch_id
    order by l.load_number desc
    limit 1
  ) as last_load on true
  order by a.batch_start_time
$$;

COMMENT ON FUNCTION p2p.replayable_batches(p_batch_ids uuid[], p_since timestamp with time zone, p_until timestamp with time zone, p_last integer, p_all boolean) IS 'Batches that p2p-ingest replay takes, and what stands against it';

CREATE FUNCTION p2p.require_in_quarantine(p_reason text, p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_reasons text;
begin
  if p_batch_id is not null and not exists (select from p2p.ops_batch_runs r where r.batch_id = p_batch_id) then
    raise exception 'there is no batch %', p_batch_id
      using errcode = 'P2P02', hint = 'p2p-ingest status';
  end if;

  if p_reason is null
    or exists (select from p2p.ops_rejected_offers o where o.reason = p_reason and o.discarded_at is null)
  then
    return;
  end if;

  select string_agg(distinct format('"%s"', o.reason), ', ')
  into v_reasons
  from p2p.ops_rejected_offers o
  where o.discarded_at is null;

  raise exception 'no offer in quarantine has the reason "%"', p_reason
    using errcode = 'P2P02', hint = coalesce('there are: ' || v_reasons, 'the quarantine is empty');
end
$$;

COMMENT ON FUNCTION p2p.require_in_quarantine(p_reason text, p_batch_id uuid) IS 'Refuses reasons and batches that the quarantine does not know';

CREATE FUNCTION p2p.reread_definitions() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_major constant integer := current_setting('server_version_num')::integer / 10000;
  v_object p2p.schema_objects;
begin
  for v_object in
    select o.*
    from p2p.schema_objects o
    where o.name ~ '^(functions|views)/'
      and o.server_major is distinct from v_major
    order by o.name
  loop
    v_object.base_body := coalesce(v_object.base_body, v_object.body);
    v_object.base_version := coalesce(v_object.base_version, v_object.program_version);

    select d.identity, d.definition
    into v_object.identity, v_object.definition
    from p2p.definition_of(v_object.name, v_object.body, v_object.identity) as d;

    select d.definition
    into v_object.base_definition
    from p2p.definition_of(v_object.name, v_object.base_body, v_object.identity) as d;

    if v_object.adopted_definition is not null then
      select d.definition
      into v_object.adopted_definition
      from p2p.definition_of(v_object.name, v_object.adopted_definition, v_object.identity) as d;
    end if;

    update p2p.schema_objects o
    set
      identity = v_object.identity,
      definition = v_object.definition,
      server_major = v_major,
      base_body = v_object.base_body,
      base_definition = v_object.base_definition,
      base_version = v_object.base_version,
      adopted_definition = v_object.adopted_definition
    where o.name = v_object.name;
  end loop;
end
$$;

COMMENT ON FUNCTION p2p.reread_definitions() IS 'Reads definitions anew after an upgrade of PostgreSQL, or of release 0.1.0; used by the migrate command';

CREATE FUNCTION p2p.restore_object(p_name text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_object p2p.schema_objects := (
    select o
    from p2p.schema_objects o
    where o.name = p2p.find_object(p_name)
  );
  v_live text := p2p.live_definition(v_object.identity);
begin
  if v_live = v_object.definition then
    return v_object.identity;
  end if;

  insert into p2p.schema_object_history (name, identity, action, program_version, note, definition)
  values (
    v_object.name, v_object.identity, 'restored', v_object.program_version, v_object.adopted_note, v_live
  );

  perform p2p.make_object(v_object.name, v_object.body, v_object.identity);
  perform p2p.record_as_shipped(
    v_object.name, v_object.sha256, v_object.body, v_object.program_version, v_object.identity, v_object.definition
  );

  return v_object.identity;
end
$$;

COMMENT ON FUNCTION p2p.restore_object(p_name text) IS 'Puts a function or view back to the shipped text';

CREATE FUNCTION p2p.retire_objects(p_shipped text[], p_program_version text) RETURNS TABLE(object_name text, outcome text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  v_object p2p.schema_objects;
  v_live text;
begin
  for v_object in
    select o.*
    from p2p.schema_objects o
    where o.name <> all (p_shipped)
    order by o.name desc -- views go before functions
  loop
    v_live := p2p.live_definition(v_object.identity);
    object_name := v_object.name;
    outcome := 'left behind';

    if v_live = v_object.definition then
      begin
        execute 'drop ' || v_object.identity;
        outcome := 'dropped';
      exception when dependent_objects_still_exist then
        null;
      end;
    end if;

    if v_live is not null then
      insert into p2p.schema_object_history (name, identity, action, program_version, definition)
      values (v_object.name, v_object.identity, outcome, p_program_version, v_live);
      return next;
    end if;

    delete from p2p.schema_objects o
    where o.name = v_object.name;
  end loop;
end
$$;

COMMENT ON FUNCTION p2p.retire_objects(p_shipped text[], p_program_version text) IS 'Drops what a release no longer has; used by the migrate command';

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

CREATE FUNCTION p2p.rule_broken_references(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_finding p2p.rule_finding;
begin
  with broken as (
    select
      f.offer_external_id,
      array_remove(
        array[
          case when a.advertiser_sk is null then 'advertiser' end,
          case when m.market_id is null then 'market' end,
          case when p.payment_set_id is null then 'payment methods' end,
          case when o.offer_id is null then 'ad' end
        ],
        null
      ) as missing
    from p2p.fact_offers f
    left join p2p.dim_advertisers a on a.advertiser_sk = f.advertiser_sk
    left join p2p.dim_markets m
      on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type)
    left join p2p.dim_payment_sets p on p.payment_set_id = f.payment_set_id
    left join p2p.dim_offers o on o.offer_id = f.offer_id
    where f.extraction_timestamp = v_now
      and (a.advertiser_sk is null or m.market_id is null or p.payment_set_id is null or o.offer_id is null)
  )
  select
    count(*),
    jsonb_agg(jsonb_build_object('offer', b.offer_external_id, 'missing', b.missing) order by b.offer_external_id)
  into v_finding
  from broken b;
  return v_finding;
end
$$;

COMMENT ON FUNCTION p2p.rule_broken_references(p_batch_id uuid) IS 'Quality rule: facts that point at a missing dimension row';

CREATE FUNCTION p2p.rule_completeness(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_finding p2p.rule_finding;
begin
  with planned as (
    select
      format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as market,
      bm.status,
      bm.reason
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    where bm.batch_id = p_batch_id
  )
  select
    coalesce(round(avg((p.status = 'complete')::integer), 6), 0),
    jsonb_agg(
      jsonb_build_object('market', p.market, 'status', p.status, 'reason', p.reason)
      order by p.status, p.market
    ) filter (where p.status <> 'complete')
  into v_finding
  from planned p;
  return v_finding;
end
$$;

COMMENT ON FUNCTION p2p.rule_completeness(p_batch_id uuid) IS 'Quality rule: share of the planned markets that were fetched whole';

CREATE FUNCTION p2p.rule_crossed_median(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_offers constant integer := 20;
  v_finding p2p.rule_finding;
begin
  with pairs as (
    select
      format('%s/%s', f.currency_code, c.symbol) as pair,
      buy.median_price as buy_median,
      sell.median_price as sell_median,
      round((1 - buy.median_price / sell.median_price) * 100, 2) as percent_crossed
    from p2p.fact_market_depth buy
    join p2p.fact_market_depth sell using (extraction_timestamp, exchange_id, fiat_id, crypto_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    where extraction_timestamp = v_now
      and buy.trade_type = 'BUY'
      and sell.trade_type = 'SELL'
      and buy.is_complete
      and sell.is_complete
      and buy.total_offers_count >= c_offers
      and sell.total_offers_count >= c_offers
  )
  select
    round(avg((p.buy_median < p.sell_median)::integer), 6),
    jsonb_agg(to_jsonb(p) order by p.percent_crossed desc, p.pair) filter (where p.buy_median < p.sell_median)
  into v_finding
  from pairs p;
  return v_finding;
end
$$;

COMMENT ON FUNCTION p2p.rule_crossed_median(p_batch_id uuid) IS 'Quality rule: pairs of books whose medians are crossed';

CREATE FUNCTION p2p.rule_duplicate_offers(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_finding p2p.rule_finding;
begin
  with repeated as (
    select
      f.offer_external_id,
      count(*) as times
    from p2p.fact_offers f
    where f.extraction_timestamp = v_now
    group by f.exchange_id, f.offer_external_id
    having count(*) > 1
  )
  select
    count(*),
    jsonb_agg(
      jsonb_build_object('offer', r.offer_external_id, 'times', r.times)
      order by r.times desc, r.offer_external_id
    )
  into v_finding
  from repeated r;
  return v_finding;
end
$$;

COMMENT ON FUNCTION p2p.rule_duplicate_offers(p_batch_id uuid) IS 'Quality rule: ads that stand in the snapshot more than once';

CREATE FUNCTION p2p.rule_function(p_qualified_name text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  select format('%I.%I', n.nspname, p.proname)
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where array[n.nspname, p.proname]::text[] = parse_ident(p_qualified_name)
    and p.pronargs = 1
    and p.proargtypes[0] = 'uuid'::regtype
    and p.prorettype = 'p2p.rule_finding'::regtype
    and p.prokind = 'f'
$$;

COMMENT ON FUNCTION p2p.rule_function(p_qualified_name text) IS 'The function of a quality rule, NULL where it is gone';

CREATE FUNCTION p2p.rule_needed_keys(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $_$
declare
  c_few constant integer := 3;
  c_tolerated_share constant numeric := 0.2;
  v_finding p2p.rule_finding;
begin
  with shapes as materialized (
    select
      v.parser,
      v.path,
      v.json_type,
      sum(v.values_seen) as values_seen
    from p2p.watched_values(p_batch_id, true) v
    group by v.parser, v.path, v.json_type
  ),
  needed as (
    select
      k.parser,
      k.path,
      k.comment,
      (
        select coalesce(sum(parent.values_seen), 0)
        from shapes parent
        where parent.parser = k.parser
          and parent.path = regexp_replace(k.path, '\.?[^.]+$', '')
          and parent.json_type = 'object'
      ) as objects,
      coalesce(sum(s.values_seen) filter (where s.json_type = any (k.json_types)), 0) as readable,
      coalesce(jsonb_object_agg(s.json_type, s.values_seen) filter (where s.path is not null), '{}') as types
    from p2p.parser_keys k
    left join shapes s using (parser, path)
    group by k.parser, k.path
  ),
  judged as (
    select
      n.*,
      n.objects - n.readable > n.objects * c_tolerated_share
      and (n.objects - n.readable >= c_few or n.readable = 0) as is_lost
    from needed n
  )
  select
    case when exists (select from shapes) then count(*) filter (where j.is_lost) end,
    jsonb_agg(
      jsonb_build_object(
        'parser', j.parser,
        'path', j.path,
        'objects', j.objects,
        'readable', j.readable,
        'types', j.types,
        'lost', j.comment
      )
      order by j.path
    ) filter (where j.is_lost)
  into v_finding
  from judged j;

  return v_finding;
end
$_$;

COMMENT ON FUNCTION p2p.rule_needed_keys(p_batch_id uuid) IS 'Quality rule: keys that a parser needs and does not get';

CREATE FUNCTION p2p.rule_price_anomaly(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_window constant interval := make_interval(mins => (p2p.setting_number('price_history_hours') * 60)::integer);
  c_offers constant integer := 20;
  c_snapshots constant integer := 3;
  v_threshold constant numeric := (
    select coalesce(r.warning_threshold, r.error_threshold)
    from p2p.quality_rules r
    where r.name = 'price_anomaly'
  );
  v_finding p2p.rule_finding;
begin
  with books as (
    select
      format('%s/%s %s', f.currency_code, c.symbol, d.trade_type) as market,
      d.median_price,
      history.usual_median,
      abs(d.median_price / history.usual_median - 1) * 100 as percent_off
    from p2p.fact_market_depth d
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    cross join lateral (
      select
        percentile_disc(0.5) within group (order by h.median_price) as usual_median,
        count(*) as snapshots
      from p2p.fact_market_depth h
      where h.exchange_id = d.exchange_id
        and h.fiat_id = d.fiat_id
        and h.crypto_id = d.crypto_id
        and h.trade_type = d.trade_type
        and h.extraction_timestamp >= v_now - v_window
        and h.extraction_timestamp < v_now
        and h.is_complete
        and h.total_offers_count >= c_offers
    ) as history
    where d.extraction_timestamp = v_now
      and d.is_complete
      and d.total_offers_count >= c_offers
      and history.snapshots >= c_snapshots
  )
  select
    round(max(b.percent_off), 2),
    jsonb_agg(
      jsonb_build_object(
        'market', b.market,
        'median', b.median_price,
        'usual_median', b.usual_median,
        'percent_off', round(b.percent_off, 2)
      )
      order by b.percent_off desc, b.market
    ) filter (where b.percent_off > v_threshold)
  into v_finding
  from books b;
  return v_finding;
end
$$;

COMMENT ON FUNCTION p2p.rule_price_anomaly(p_batch_id uuid) IS 'Quality rule: median of a book against its own last hours';

CREATE FUNCTION p2p.rule_promoted_share(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_offers constant integer := 20;
  v_threshold constant numeric := (
    select coalesce(r.warning_threshold, r.error_threshold)
    from p2p.quality_rules r
    where r.name = 'promoted_share'
  );
  v_finding p2p.rule_finding;
begin
  with books as (
    select
      o.fiat_id,
      o.crypto_id,
      o.trade_type,
      count(*) as offers,
      count(*) filter (where o.is_promoted) as promoted
    from p2p.fact_offers o
    where o.extraction_timestamp = v_now
    group by o.exchange_id, o.fiat_id, o.crypto_id, o.trade_type
    having count(*) >= c_offers
  ),
  named as (
    select
      format('%s/%s %s', f.currency_code, c.symbol, b.trade_type) as market,
      b.offers,
      b.promoted,
      round(b.promoted::numeric / b.offers, 4) as share
    from books b
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
  )
  select
    round(sum(n.promoted) / sum(n.offers), 6),
    jsonb_agg(
      jsonb_build_object('market', n.market, 'offers', n.offers, 'promoted', n.promoted)
      order by n.share desc, n.market
    ) filter (where n.share > v_threshold)
  into v_finding
  from named n;
  return v_finding;
end
$$;

COMMENT ON FUNCTION p2p.rule_promoted_share(p_batch_id uuid) IS 'Quality rule: share of promoted offers in the larger books';

CREATE FUNCTION p2p.rule_rejected_share(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_few_rejected constant integer := 3;
  c_few_items constant integer := 150;
  v_finding p2p.rule_finding;
begin
  with reasons as (
    select
      r.reason,
      count(*) as items,
      (array_agg(
        jsonb_build_object(
          'market', format('%s/%s %s', f.currency_code, c.symbol, m.trade_type),
          'page', r.page_number,
          'item', r.item_number
        )
        order by r.market_id, r.page_number, r.item_number
      ))[1] as example
    from p2p.ops_rejected_offers r
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    where r.batch_id = p_batch_id
    group by r.reason
  ),
  counted as (
    select
      coalesce(sum(r.items), 0) as rejected,
      coalesce(sum(r.items), 0) + (
        select count(*)
        from p2p.fact_offers f
        where f.extraction_timestamp = v_now
      ) as items,
      jsonb_agg(r.example || jsonb_build_object('reason', r.reason, 'items', r.items) order by r.items desc, r.reason)
        as reasons
    from reasons r
  )
  select
    case
      when c.rejected = 0 or c.rejected >= c_few_rejected or c.items >= c_few_items
      then round(c.rejected / nullif(c.items, 0), 6)
    end,
    c.reasons
  into v_finding
  from counted c;
  return v_finding;
end
$$;

COMMENT ON FUNCTION p2p.rule_rejected_share(p_batch_id uuid) IS 'Quality rule: share of the items that could not be offers';

CREATE FUNCTION p2p.rule_sql_drift(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  select
    count(*),
    jsonb_agg(jsonb_build_object('object', s.identity, 'is_missing', s.is_missing) order by s.identity)
  from p2p.object_states s
  where s.state = 'drifted'
$$;

COMMENT ON FUNCTION p2p.rule_sql_drift(p_batch_id uuid) IS 'Quality rule: functions and views changed live and not adopted';

CREATE FUNCTION p2p.rule_stale_timestamps(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  c_longest_batch constant interval := interval '1 hour';
  c_clock_difference constant interval := interval '1 minute';
  v_finding p2p.rule_finding;
begin
  with pages as (
    select
      format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as market,
      s.page_number,
      s.observed_at,
      case
        when s.observed_at > coalesce(r.batch_end_time, clock_timestamp()) + c_clock_difference
        then 'dated after it was loaded'
        when s.observed_at > r.batch_start_time + c_longest_batch
        then 'read long after the batch began'
      end as problem
    from p2p.ops_batch_runs r
    join p2p.stg_responses s on s.extraction_timestamp = r.batch_start_time
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    where r.batch_id = p_batch_id
  )
  select
    case when count(*) > 0 then count(p.problem) end,
    jsonb_agg(
      jsonb_build_object('market', p.market, 'page', p.page_number, 'observed_at', p.observed_at, 'problem', p.problem)
      order by p.observed_at desc, p.market, p.page_number
    ) filter (where p.problem is not null)
  into v_finding
  from pages p;
  return v_finding;
end
$$;

COMMENT ON FUNCTION p2p.rule_stale_timestamps(p_batch_id uuid) IS 'Quality rule: pages whose time does not fit their batch';

CREATE FUNCTION p2p.rule_temporal_consistency(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  c_clock_difference constant interval := interval '1 minute';
  v_finding p2p.rule_finding;
begin
  with contradictions as (
    select
      f.offer_external_id,
      f.observed_at,
      array_remove(
        array[
          case when f.observed_at < v_now - c_clock_difference then 'read before its batch began' end,
          case
            when v_now < a.effective_date or v_now >= a.expiration_date
            then 'advertiser row does not hold at this time'
          end
        ],
        null
      ) as problems
    from p2p.fact_offers f
    left join p2p.dim_advertisers a on a.advertiser_sk = f.advertiser_sk
    where f.extraction_timestamp = v_now
      and (
        f.observed_at < v_now - c_clock_difference
        or v_now < a.effective_date
        or v_now >= a.expiration_date
      )
  )
  select
    count(*),
    jsonb_agg(
      jsonb_build_object('offer', c.offer_external_id, 'observed_at', c.observed_at, 'problems', c.problems)
      order by c.observed_at, c.offer_external_id
    )
  into v_finding
  from contradictions c;
  return v_finding;
end
$$;

COMMENT ON FUNCTION p2p.rule_temporal_consistency(p_batch_id uuid) IS 'Quality rule: facts whose times contradict each other';

CREATE FUNCTION p2p.rule_volume_drop(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_ago constant interval := make_interval(mins => (p2p.setting_number('volume_history_hours') * 60)::integer);
  c_around constant interval := interval '90 minutes';
  c_snapshots constant integer := 3;
  c_offers constant integer := 10;
  c_asset_offers constant integer := 50;
  c_many_offers constant integer := 5000;
  v_threshold constant numeric := (
    select coalesce(r.warning_threshold, r.error_threshold)
    from p2p.quality_rules r
    where r.name = 'volume_drop'
  );
  v_finding p2p.rule_finding;
begin
  with books as (
    select
      d.crypto_id,
      d.total_available_volume as volume,
      d.total_offers_count as offers,
      history.usual_volume,
      history.usual_offers
    from p2p.fact_market_depth d
    cross join lateral (
      select
        percentile_disc(0.5) within group (order by h.total_available_volume) as usual_volume,
        percentile_disc(0.5) within group (order by h.total_offers_count) as usual_offers,
        count(*) as snapshots
      from p2p.fact_market_depth h
      where h.exchange_id = d.exchange_id
        and h.fiat_id = d.fiat_id
        and h.crypto_id = d.crypto_id
        and h.trade_type = d.trade_type
        and h.extraction_timestamp >= v_now - v_ago - c_around
        and h.extraction_timestamp <= v_now - v_ago + c_around
        and h.is_complete
    ) as history
    where d.extraction_timestamp = v_now
      and d.is_complete
      and history.snapshots >= c_snapshots
      and history.usual_offers >= c_offers
  ),
  assets as (
    select
      c.symbol as asset,
      count(*) as books,
      sum(b.volume) as volume,
      sum(b.usual_volume) as usual_volume,
      sum(b.offers) as offers,
      sum(b.usual_offers) as usual_offers,
      100 * (1 - sum(b.volume) / nullif(sum(b.usual_volume), 0)) as volume_lost_percent,
      100 * (1 - sum(b.offers)::numeric / sum(b.usual_offers)) as offers_lost_percent
    from books b
    join p2p.dim_cryptocurrencies c using (crypto_id)
    group by c.symbol
    having sum(b.usual_offers) >= c_asset_offers
  ),
  judged as (
    select
      a.*,
      greatest(
        0,
        case
          when a.usual_offers >= c_many_offers then a.volume_lost_percent
          else least(a.volume_lost_percent, a.offers_lost_percent)
        end
      ) as drop_percent
    from assets a
  )
  select
    round(max(j.drop_percent), 2),
    jsonb_agg(
      jsonb_build_object(
        'asset', j.asset,
        'volume', j.volume,
        'usual_volume', j.usual_volume,
        'offers', j.offers,
        'usual_offers', j.usual_offers,
        'books', j.books,
        'drop_percent', round(j.drop_percent, 2)
      )
      order by j.drop_percent desc, j.asset
    ) filter (where j.drop_percent > v_threshold)
  into v_finding
  from judged j;
  return v_finding;
end
$$;

COMMENT ON FUNCTION p2p.rule_volume_drop(p_batch_id uuid) IS 'Quality rule: available amount of an asset against the day before';

CREATE TABLE p2p.ops_data_quality (
    quality_id bigint NOT NULL,
    batch_id uuid NOT NULL,
    check_timestamp timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    metric_name text NOT NULL,
    metric_value numeric,
    threshold_value numeric,
    passed boolean NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    result text NOT NULL,
    severity text NOT NULL,
    CONSTRAINT only_ok_passes CHECK ((passed = (result = 'ok'::text))),
    CONSTRAINT ops_data_quality_result_check CHECK ((result = ANY (ARRAY['ok'::text, 'warning'::text, 'error'::text, 'broken'::text]))),
    CONSTRAINT ops_data_quality_severity_check CHECK ((severity = ANY (ARRAY['warning'::text, 'error'::text])))
);

COMMENT ON TABLE p2p.ops_data_quality IS 'What the quality rules found, one row a batch and rule: the rules that were enabled when the batch was last checked';

COMMENT ON COLUMN p2p.ops_data_quality.metric_value IS 'NULL where there was nothing to judge, or the rule is broken: details say which';

COMMENT ON COLUMN p2p.ops_data_quality.threshold_value IS 'The threshold that was crossed; where none was, the first that would be';

COMMENT ON COLUMN p2p.ops_data_quality.details IS 'offenders: number of offending rows; samples: at most 10 of them; note or message in words';

COMMENT ON COLUMN p2p.ops_data_quality.result IS 'broken: the rule itself failed (it raised, or returned nonsense); details.message says how';

COMMENT ON COLUMN p2p.ops_data_quality.severity IS 'The most that the rule could become when it ran';

CREATE FUNCTION p2p.run_quality_checks(p_batch_id uuid) RETURNS SETOF p2p.ops_data_quality
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET jit TO 'off'
    AS $$
declare
  v_rule p2p.quality_rules;
  v_new p2p.ops_data_quality;
begin
  delete from p2p.ops_data_quality q
  where q.batch_id = p_batch_id
    and not exists (
      select
      from p2p.quality_rules r
      where r.name = q.metric_name
        and r.is_enabled
    );

  for v_rule in
    select r.*
    from p2p.quality_rules r
    where r.is_enabled
    order by r.name
  loop
    v_new := p2p.run_rule(v_rule, p_batch_id);

    -- Not by "on conflict" alone: that would burn a number of the sequence at every call.
    update p2p.ops_data_quality q
    set
      check_timestamp = clock_timestamp(),
      metric_value = v_new.metric_value,
      threshold_value = v_new.threshold_value,
      passed = v_new.passed,
      result = v_new.result,
      severity = v_new.severity,
      details = v_new.details
    where q.batch_id = p_batch_id
      and q.metric_name = v_new.metric_name
      and (q.metric_value, q.threshold_value, q.result, q.severity, q.details)
        is distinct from (v_new.metric_value, v_new.threshold_value, v_new.result, v_new.severity, v_new.details);

    insert into p2p.ops_data_quality
      (batch_id, metric_name, metric_value, threshold_value, passed, result, severity, details)
    select
      p_batch_id, v_new.metric_name, v_new.metric_value, v_new.threshold_value, v_new.passed, v_new.result,
      v_new.severity, v_new.details
    where not exists (
      select
      from p2p.ops_data_quality q
      where q.batch_id = p_batch_id
        and q.metric_name = v_new.metric_name
    )
    on conflict (batch_id, metric_name) do nothing; -- somebody else checks the same batch
  end loop;

  return query
  select q.*
  from p2p.ops_data_quality q
  where q.batch_id = p_batch_id
  order by q.metric_name;
end
$$;

COMMENT ON FUNCTION p2p.run_quality_checks(p_batch_id uuid) IS 'Step of load_batch: measures a batch by the rules of quality_rules';

CREATE TABLE p2p.quality_rules (
    name text NOT NULL,
    function text NOT NULL,
    severity text NOT NULL,
    is_bad_when text NOT NULL,
    warning_threshold numeric,
    error_threshold numeric,
    is_enabled boolean DEFAULT true NOT NULL,
    comment text NOT NULL,
    CONSTRAINT a_rule_has_the_threshold_of_its_severity CHECK (((error_threshold IS NOT NULL) OR ((severity = 'warning'::text) AND (warning_threshold IS NOT NULL)))),
    CONSTRAINT a_threshold_is_a_finite_number CHECK (((COALESCE(warning_threshold, (0)::numeric) <> ALL (ARRAY['NaN'::numeric, 'Infinity'::numeric, '-Infinity'::numeric])) AND (COALESCE(error_threshold, (0)::numeric) <> ALL (ARRAY['NaN'::numeric, 'Infinity'::numeric, '-Infinity'::numeric])))),
    CONSTRAINT a_warning_comes_before_an_error CHECK (
CASE is_bad_when
    WHEN 'above'::text THEN (warning_threshold <= error_threshold)
    ELSE (warning_threshold >= error_threshold)
END),
    CONSTRAINT quality_rules_comment_check CHECK ((comment <> ''::text)),
    CONSTRAINT quality_rules_is_bad_when_check CHECK ((is_bad_when = ANY (ARRAY['above'::text, 'below'::text]))),
    CONSTRAINT quality_rules_name_check CHECK ((name ~ '^[a-z][a-z0-9_]{0,62}$'::text)),
    CONSTRAINT quality_rules_severity_check CHECK ((severity = ANY (ARRAY['warning'::text, 'error'::text])))
);

COMMENT ON TABLE p2p.quality_rules IS 'What every loaded batch is measured by: change limits with UPDATE, add a rule with a function and INSERT';

COMMENT ON COLUMN p2p.quality_rules.name IS 'Also metric_name in ops_data_quality';

COMMENT ON COLUMN p2p.quality_rules.function IS 'A function (uuid) returning p2p.rule_finding; only reads. Unqualified names are looked for in p2p';

COMMENT ON COLUMN p2p.quality_rules.severity IS 'The most that the rule can become: warning keeps it from being an error, whatever it measures';

COMMENT ON COLUMN p2p.quality_rules.is_bad_when IS 'On which side of a threshold the metric is bad; the threshold itself is still good';

COMMENT ON COLUMN p2p.quality_rules.warning_threshold IS 'In the unit of the metric; NULL = no warning before the error';

CREATE FUNCTION p2p.run_rule(p_rule p2p.quality_rules, p_batch_id uuid) RETURNS p2p.ops_data_quality
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $_$
declare
  v_function constant text := p2p.rule_function(p_rule.function);
  v_findings p2p.rule_finding[];
  v_metric numeric;
  v_offending_rows jsonb;
  v_problem text;
  v_row p2p.ops_data_quality;
begin
  begin
    set local transaction_read_only = on; -- until the end of this block

    if v_function is not null then
      execute format('select array_agg(f.finding) from (select %s($1) as finding limit 2) as f', v_function)
      into v_findings
      using p_batch_id;
    end if;

    v_metric := v_findings[1].metric;
    v_offending_rows := coalesce(v_findings[1].offending_rows, '[]');
    v_problem := case
      when v_function is null
      then format('there is no function %s(uuid) that returns p2p.rule_finding any more', p_rule.function)
      when v_findings is null or num_nulls(v_findings[1]) = 1 then 'the rule returned no row'
      when cardinality(v_findings) > 1 then 'the rule returned several rows'
      when v_metric in ('NaN', 'Infinity', '-Infinity') then format('the rule measured %s', v_metric)
      when jsonb_typeof(v_offending_rows) <> 'array'
      then format('offending_rows is a JSON %s, not an array', jsonb_typeof(v_offending_rows))
    end;
  exception when others or assert_failure then
    if left(sqlstate, 2) in ('40', '57', '58') then
      raise;
    end if;
    v_problem := format('%s (SQLSTATE %s)', left(sqlerrm, 500), sqlstate);
  end;

  v_row.batch_id := p_batch_id;
  v_row.metric_name := p_rule.name;
  v_row.severity := p_rule.severity;
  v_row.metric_value := case when v_problem is null then v_metric end;
  v_row.result := case
    when v_problem is not null then 'broken'
    when v_metric is null then 'ok'
    when p2p.is_beyond(v_metric, p_rule.is_bad_when, p_rule.error_threshold) then p_rule.severity
    when p2p.is_beyond(v_metric, p_rule.is_bad_when, p_rule.warning_threshold) then 'warning'
    else 'ok'
  end;
  v_row.passed := v_row.result = 'ok';
  v_row.threshold_value := case
    when p2p.is_beyond(v_metric, p_rule.is_bad_when, p_rule.error_threshold) then p_rule.error_threshold
    else coalesce(p_rule.warning_threshold, p_rule.error_threshold)
  end;
  v_row.details := case
    when v_problem is not null then jsonb_build_object('message', v_problem)
    else
      jsonb_build_object(
        'offenders', jsonb_array_length(v_offending_rows),
        'samples', p2p.samples_of(v_offending_rows)
      )
      || case when v_metric is null then '{"note": "nothing to judge"}'::jsonb else '{}' end
  end;
  return v_row;
end
$_$;

COMMENT ON FUNCTION p2p.run_rule(p_rule p2p.quality_rules, p_batch_id uuid) IS 'Runs one quality rule on one batch and judges what it found';

CREATE TABLE p2p.pipeline_steps (
    name text NOT NULL,
    "position" numeric NOT NULL,
    function text NOT NULL,
    is_required boolean DEFAULT false NOT NULL,
    is_enabled boolean DEFAULT true NOT NULL,
    comment text NOT NULL,
    CONSTRAINT pipeline_steps_name_check CHECK ((name ~ '^\S(.{0,98}\S)?$'::text)),
    CONSTRAINT pipeline_steps_position_check CHECK ((("position" > (0)::numeric) AND ("position" < 'Infinity'::numeric)))
);

COMMENT ON TABLE p2p.pipeline_steps IS 'What load_batch runs, in order of position: change it with INSERT, UPDATE, DELETE; the next load follows';

COMMENT ON COLUMN p2p.pipeline_steps."position" IS 'Lower ones run first; the shipped steps leave gaps for yours';

COMMENT ON COLUMN p2p.pipeline_steps.function IS 'A function that takes the batch id (uuid); stored with its schema. Steps of one load see one another''s temporary tables';

COMMENT ON COLUMN p2p.pipeline_steps.is_required IS 'A required step that fails fails the batch whole; of an optional one only its own work is undone';

COMMENT ON COLUMN p2p.pipeline_steps.is_enabled IS 'false: load_batch passes it over';

CREATE FUNCTION p2p.run_step(p_batch_id uuid, p_step p2p.pipeline_steps) RETURNS p2p.ops_batch_steps
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_outcome p2p.ops_batch_steps;
  v_began timestamptz := clock_timestamp();
begin
  v_outcome.batch_id := p_batch_id;
  v_outcome.position := p_step.position;
  v_outcome.step := p_step.name;
  v_outcome.is_required := p_step.is_required;

  begin
    execute p2p.step_call(p_step) using p_batch_id;
    set constraints all immediate; -- a constraint that waits for the commit would fail the load, not the step
    v_outcome.status := 'ok';
  exception when assert_failure or others then
    if left(sqlstate, 2) in ('40', '53', '55', '57', '58', 'XX') then
      raise;
    end if;

    get stacked diagnostics v_outcome.error_context = pg_exception_context;
    v_outcome.status := 'failed';
    v_outcome.error := left(sqlerrm, 1000);
    -- Without the lines of load_batch and below, which are the same each time.
    v_outcome.error_context := left(regexp_replace(v_outcome.error_context, '\n[^\n]*run_step\(.*', ''), 2000);
  end;

  v_outcome.seconds := extract(epoch from clock_timestamp() - v_began);
  return v_outcome;
end
$$;

COMMENT ON FUNCTION p2p.run_step(p_batch_id uuid, p_step p2p.pipeline_steps) IS 'Runs one step of a load; what it raises is returned';

CREATE FUNCTION p2p.run_steps(p_batch_id uuid) RETURNS p2p.ops_batch_steps[]
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_step p2p.pipeline_steps;
  v_outcome p2p.ops_batch_steps;
  v_outcomes p2p.ops_batch_steps[] := '{}'::p2p.ops_batch_steps[];
begin
  -- Variables keep their values when this block is undone.
  begin
    for v_step in
      select s.*
      from p2p.pipeline_steps s
      where s.is_enabled
      order by s.position
    loop
      v_outcome := p2p.run_step(p_batch_id, v_step);
      v_outcomes := v_outcomes || v_outcome;

      if v_outcome.status = 'failed' and v_outcome.is_required then
        raise exception using errcode = 'P2P98', message = 'a required step failed';
      end if;
    end loop;
  exception when sqlstate 'P2P98' then
    v_outcomes := array(
      select
        row(
          o.batch_id, o.load_number, o.position, o.step, o.is_required,
          case o.status when 'ok' then 'undone' else o.status end,
          o.seconds, o.error, o.error_context
        )::p2p.ops_batch_steps
      from unnest(v_outcomes) as o
    );
  end;

  return v_outcomes;
end
$$;

COMMENT ON FUNCTION p2p.run_steps(p_batch_id uuid) IS 'Runs the steps of a load; all of them are undone where a required one fails';

CREATE FUNCTION p2p.samples_of(p_offending_rows jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  with first_rows as (
    select
      o.position,
      case
        when octet_length(o.value::text) <= 2000 then o.value
        else to_jsonb(left(o.value::text, 400) || '…')
      end as value
    from jsonb_array_elements(p_offending_rows) with ordinality as o (value, position)
    order by o.position
    limit 10
  ),
  measured as (
    select
      f.position,
      f.value,
      sum(octet_length(f.value::text)) over (order by f.position) as bytes_so_far
    from first_rows f
  )
  select coalesce(jsonb_agg(m.value order by m.position), '[]')
  from measured m
  where m.bytes_so_far <= 8000
$$;

COMMENT ON FUNCTION p2p.samples_of(p_offending_rows jsonb) IS 'The first offending rows of a rule, bounded in number and bytes';

CREATE FUNCTION p2p.setting_number(p_name text) RETURNS numeric
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_value text := (select s.value from p2p.settings s where s.name = p_name and s.kind = 'number');
begin
  if v_value is null then
    raise exception 'there is no setting % that is a number', p_name
      using errcode = 'P2P01', hint = 'select name, value, kind from p2p.settings';
  end if;

  return v_value::numeric;
end
$$;

COMMENT ON FUNCTION p2p.setting_number(p_name text) IS 'The value of a setting that is a number';

CREATE FUNCTION p2p.setting_switch(p_name text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
declare
  v_value text := (select s.value from p2p.settings s where s.name = p_name and s.kind = 'switch');
begin
  if v_value is null then
    raise exception 'there is no setting % that is a switch', p_name
      using errcode = 'P2P01', hint = 'select name, value, kind from p2p.settings';
  end if;

  return v_value = 'on';
end
$$;

COMMENT ON FUNCTION p2p.setting_switch(p_name text) IS 'Whether a setting that is a switch is on';

CREATE FUNCTION p2p.show_quarantine(p_reason text, p_batch_id uuid, p_limit integer) RETURNS TABLE(reason text, batch_id uuid, batch_start_time timestamp with time zone, place text, rejected_at timestamp with time zone, can_be_loaded boolean, payload jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
begin
  perform p2p.require_in_quarantine(p_reason, p_batch_id);

  return query
  select
    q.reason,
    q.batch_id,
    q.batch_start_time,
    q.place,
    q.rejected_at,
    q.can_be_loaded,
    q.payload
  from p2p.offers_in_quarantine q
  where (p_reason is null or q.reason = p_reason)
    and (p_batch_id is null or q.batch_id = p_batch_id)
  order by q.batch_start_time desc, q.market_id, q.page_number, q.item_number
  limit p_limit;
end
$$;

COMMENT ON FUNCTION p2p.show_quarantine(p_reason text, p_batch_id uuid, p_limit integer) IS 'Offers in quarantine by reason and batch, newest first';

CREATE FUNCTION p2p.sql_fingerprint() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  select encode(
    sha256(
      convert_to(string_agg(concat_ws(' ', c.identity, c.state, c.fingerprint), E'\n' order by c.identity collate "C"), 'UTF8')
    ),
    'hex'
  )
  from p2p.current_sql() c
$$;

COMMENT ON FUNCTION p2p.sql_fingerprint() IS 'Fingerprint of the SQL that a load would run now';

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
          json_build_object(
            'check', q.metric_name,
            'result', q.result,
            'value', q.metric_value,
            'threshold', q.threshold_value
          )
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

CREATE FUNCTION p2p.step_call(p_step p2p.pipeline_steps) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $_$
declare
  v_function record;
begin
  select
    format('%I.%I', n.nspname, p.proname) as name,
    n.nspname as schema,
    has_schema_privilege(n.oid, 'usage') as is_in_reach,
    has_function_privilege(p.oid, 'execute') as is_allowed
  into v_function
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where format('%I.%I', n.nspname, p.proname) = p_step.function
    and p.pronargs = 1
    and p.proargtypes[0] = 'uuid'::regtype
    and p.prokind = 'f';

  if not found then
    raise exception 'there is no function %(uuid) any more', p_step.function
      using errcode = 'undefined_function';
  elsif not v_function.is_in_reach then
    raise exception '% may not use schema %: grant usage on schema % to p2p_worker',
      current_user, v_function.schema, quote_ident(v_function.schema)
      using errcode = 'insufficient_privilege';
  elsif not v_function.is_allowed then
    raise exception '% may not run it: grant execute on function %(uuid) to p2p_worker',
      current_user, v_function.name
      using errcode = 'insufficient_privilege';
  end if;

  return format('select from %s($1)', v_function.name);
end
$_$;

COMMENT ON FUNCTION p2p.step_call(p_step p2p.pipeline_steps) IS 'The statement that runs a step of load_batch';

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
    body_bytes, body_sha256, parser, alteration, body_original, body, stored_sha256
  )
  select
    r.batch_start_time, p_market_id, p_page_number, p_batch_id, p_observed_at, p_attempt, p_http_status,
    p_duration_ms, p_body_bytes, p_body_sha256, p_parser, v_alteration,
    case when v_alteration is not null then coalesce(p_body_original, convert_to(p_body, 'UTF8')) end,
    coalesce(v_document, 'null'),
    sha256(convert_to(coalesce(v_document, 'null')::text, 'UTF8'))
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

CREATE FUNCTION p2p.temporary_tables() RETURNS oid[]
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS $$
  select array(
    select c.oid
    from pg_class c
    where c.relnamespace = pg_my_temp_schema()
      and c.relkind in ('r', 'p')
  )
$$;

COMMENT ON FUNCTION p2p.temporary_tables() IS 'Temporary tables of this session';

CREATE FUNCTION p2p.uncomment(p_identity text) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select
    case
      when d.objsubid = 0 then format('comment on %s is null', p_identity)
      else format('comment on column %s.%I is null', v.view, a.attname)
    end
  from (
    select
      case when p_identity like 'function %' then to_regprocedure(substr(p_identity, 10)) end as function,
      case when p_identity like 'view %' then to_regclass(substr(p_identity, 6)) end as view
  ) as v
  join pg_description d
    on d.classoid = 'pg_proc'::regclass and d.objoid = v.function
    or d.classoid = 'pg_class'::regclass and d.objoid = v.view
  left join pg_attribute a on a.attrelid = v.view and a.attnum = d.objsubid and a.attnum > 0
$$;

COMMENT ON FUNCTION p2p.uncomment(p_identity text) IS 'What removes the comments on a function or view; used by migrate and restore_object';

CREATE FUNCTION p2p.watch_shapes(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET jit TO 'off'
    AS $_$
declare
  c_paths constant integer := 1000;
  c_expected_pages constant integer := 20;
  c_standard_errors constant integer := 3;
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
begin
  lock table p2p.response_paths in share row exclusive mode;

  if exists (select from p2p.ops_shape_watches where batch_id = p_batch_id) then
    return;
  end if;

  create temp table seen_values on commit drop as
  select v.*
  from p2p.watched_values(p_batch_id, false) v;

  analyze pg_temp.seen_values;

  create temp table watched_parsers on commit drop as
  select
    v.parser,
    count(distinct v.page_id)::integer as pages,
    not exists (
      select
      from p2p.response_paths p
      where p.parser = v.parser
    ) as is_first,
    exists (
      select
      from p2p.ops_shape_watches w
      join p2p.ops_batch_runs r on r.batch_id = w.batch_id
      where w.parser = v.parser
        and r.batch_start_time > v_now
    ) as is_late
  from pg_temp.seen_values v
  group by v.parser;

  insert into p2p.ops_shape_watches (batch_id, parser, pages, is_late)
  select p_batch_id, w.parser, w.pages, w.is_late
  from pg_temp.watched_parsers w;

  create temp table seen_shapes on commit drop as
  select
    v.parser,
    v.path,
    v.parent_path,
    v.json_type,
    sum(v.values_seen)::bigint as values_seen,
    min(v.sample) as sample
  from pg_temp.seen_values v
  group by v.parser, v.path, v.parent_path, v.json_type;

  create temp table seen_paths on commit drop as
  with sightings as (
    select
      v.parser,
      v.path,
      v.parent_path,
      count(distinct v.page_id) as pages_seen
    from pg_temp.seen_values v
    group by v.parser, v.path, v.parent_path
  )
  select
    s.*,
    k.path is null as is_new,
    coalesce(k.is_gone, false) as was_gone,
    row_number() over (
      partition by s.parser, k.path is null
      order by length(regexp_replace(s.path, '[^.]', '', 'g')), s.path
    ) + (
      select count(*)
      from p2p.response_paths p
      where p.parser = s.parser
    ) as place
  from sightings s
  left join p2p.response_paths k using (parser, path);

  analyze pg_temp.seen_shapes;
  analyze pg_temp.seen_paths;

  -- Events first: they compare with what was known before.
  with changes as (
    select s.parser, 'appeared' as event, s.path
    from pg_temp.seen_paths s
    join p2p.response_shapes parent
      on parent.parser = s.parser
      and parent.path = s.parent_path
      and parent.json_type in ('object', 'array')
      and (parent.json_type = 'array') = (s.path = s.parent_path || '[]')
    where s.is_new
      and s.place <= c_paths
    union all
    select s.parser, 'came back', s.path
    from pg_temp.seen_paths s
    where s.was_gone
  ),
  with_types as (
    select distinct on (c.parser, c.path)
      c.parser,
      c.event,
      c.path,
      t.json_type,
      t.sample
    from changes c
    join pg_temp.seen_shapes t using (parser, path)
    order by c.parser, c.path, t.values_seen desc, t.json_type
  ),
  new_types as (
    select
      t.parser,
      'new type' as event,
      t.path,
      t.json_type,
      t.sample
    from pg_temp.seen_shapes t
    join p2p.response_paths known using (parser, path)
    where not exists (
      select
      from p2p.response_shapes k
      where (k.parser, k.path, k.json_type) = (t.parser, t.path, t.json_type)
    )
  )
  insert into p2p.ops_shape_events (batch_id, event_at, parser, event, path, json_type, is_needed, sample)
  select
    p_batch_id,
    v_now,
    e.parser,
    e.event,
    e.path,
    e.json_type,
    e.event = 'new type' and p2p.parser_cannot_read(e.parser, e.path, e.json_type),
    e.sample
  from (
    select * from with_types
    union all
    select * from new_types
  ) as e
  join pg_temp.watched_parsers w using (parser)
  where not w.is_late
  order by e.path, e.event;

  insert into p2p.ops_shape_events (batch_id, event_at, parser, event, path, is_needed, sample)
  select p_batch_id, v_now, s.parser, 'too many keys', '', false, min(s.path)
  from pg_temp.seen_paths s
  where s.is_new
    and s.place > c_paths
    and not exists (
      select
      from p2p.ops_shape_events e
      where e.parser = s.parser
        and e.event = 'too many keys'
    )
  group by s.parser;

  insert into p2p.response_paths
    (parser, path, first_seen_at, last_seen_at, pages_possible, pages_seen, pages_missed, is_gone)
  select s.parser, s.path, v_now, v_now, 0, 0, 0, w.is_late
  from pg_temp.seen_paths s
  join pg_temp.watched_parsers w using (parser)
  where s.is_new
    and s.place <= c_paths;

  with possible as (
    -- Pages on which a key could stand: those that have the object it belongs to. An array has its elements or none.
    select
      v.parser,
      v.path as parent_path,
      count(distinct v.page_id) as pages
    from pg_temp.seen_values v
    where v.json_type = 'object'
    group by v.parser, v.path
  ),
  counted as (
    select
      k.parser,
      k.path,
      s.path is not null as is_seen,
      w.is_late,
      coalesce(s.pages_seen, 0) as pages_seen,
      greatest(coalesce(s.pages_seen, 0), coalesce(p.pages, 0)) as pages_possible
    from p2p.response_paths k
    join pg_temp.watched_parsers w using (parser)
    left join pg_temp.seen_paths s using (parser, path)
    left join possible p
      on p.parser = k.parser
      and p.parent_path = regexp_replace(k.path, '\.?[^.]+$', '')
      and k.path !~ '\[\]$'
      and k.path <> ''
  )
  update p2p.response_paths k
  set
    first_seen_at = case when c.is_seen then least(k.first_seen_at, v_now) else k.first_seen_at end,
    last_seen_at = case when c.is_seen then greatest(k.last_seen_at, v_now) else k.last_seen_at end,
    pages_possible = case when c.is_late then k.pages_possible else k.pages_possible + c.pages_possible end,
    pages_seen = case when c.is_late then k.pages_seen else k.pages_seen + c.pages_seen end,
    pages_missed = case
      when c.is_late then k.pages_missed
      when c.is_seen then 0
      else k.pages_missed + c.pages_possible
    end,
    is_gone = k.is_gone and (c.is_late or not c.is_seen)
  from counted c
  where (c.parser, c.path) = (k.parser, k.path)
    and (c.is_seen or (c.pages_possible > 0 and not c.is_late));

  with gone as (
    update p2p.response_paths k
    set is_gone = true
    from pg_temp.watched_parsers w
    where w.parser = k.parser
      and not w.is_late
      and not k.is_gone
      and k.pages_missed
        * greatest(k.pages_seen - c_standard_errors * sqrt(k.pages_seen), 0)
        / nullif(k.pages_possible - k.pages_missed, 0) >= c_expected_pages
    returning k.parser, k.path
  )
  insert into p2p.ops_shape_events (batch_id, event_at, parser, event, path, is_needed)
  select p_batch_id, v_now, g.parser, 'disappeared', g.path, p2p.parser_cannot_read(g.parser, g.path, null)
  from gone g
  order by g.path;

  insert into p2p.response_shapes as k (parser, path, json_type, first_seen_at, last_seen_at, values_seen)
  select t.parser, t.path, t.json_type, v_now, v_now, case when w.is_late then 0 else t.values_seen end
  from pg_temp.seen_shapes t
  join pg_temp.watched_parsers w using (parser)
  join p2p.response_paths p using (parser, path)
  on conflict (parser, path, json_type) do update
  set
    first_seen_at = least(k.first_seen_at, v_now),
    last_seen_at = greatest(k.last_seen_at, v_now),
    values_seen = k.values_seen + excluded.values_seen;

  drop table pg_temp.seen_values, pg_temp.watched_parsers, pg_temp.seen_shapes, pg_temp.seen_paths;
end
$_$;

COMMENT ON FUNCTION p2p.watch_shapes(p_batch_id uuid) IS 'Step of load_batch: notices keys that appear, disappear, come back or change their type';

CREATE FUNCTION p2p.watched_values(p_batch_id uuid, p_only_needed boolean) RETURNS TABLE(parser text, page_id integer, path text, parent_path text, json_type text, values_seen bigint, sample text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    SET work_mem TO '64MB'
    SET jit TO 'off'
    AS $$
declare
  v_pages constant integer := p2p.setting_number('shape_pages_per_batch');
  c_empty_page_bytes constant integer := 400;
  c_levels constant integer := 8;
  c_key_characters constant integer := 100;
  c_keys constant integer := 500;
  c_elements constant integer := 100;
  c_sample_characters constant integer := 200;
  -- Every beginning of a needed path, those that end in the middle of a key included: they match nothing.
  v_needed constant text[] := array(
    select distinct left(k.path, characters)
    from p2p.parser_keys k
    cross join generate_series(0, length(k.path)) as characters
    where p_only_needed
  );
begin
  return query
  with recursive pages as (
    select
      s.parser,
      row_number() over ()::integer as page_id,
      s.body
    from p2p.ops_batch_runs r
    join p2p.stg_responses s on s.extraction_timestamp = r.batch_start_time
    where r.batch_id = p_batch_id
    order by
      s.body_bytes < c_empty_page_bytes,
      md5(concat_ws(' ', p_batch_id, s.market_id, s.page_number))
    limit v_pages
  ),
  nodes as (
    select
      p.parser,
      p.page_id,
      0 as level,
      '' as path,
      null::text as parent_path,
      p.body as value
    from pages p
    union all
    select
      n.parser,
      n.page_id,
      n.level + 1,
      child.path,
      n.path,
      child.value
    from nodes n
    cross join lateral (
      (
        select ltrim(n.path || '.' || left(o.key, c_key_characters), '.'), o.value
        from jsonb_each(case jsonb_typeof(n.value) when 'object' then n.value else '{}' end) as o
        limit c_keys
      )
      union all
      (
        select n.path || '[]', a.value
        from jsonb_array_elements(case jsonb_typeof(n.value) when 'array' then n.value else '[]' end) as a
        limit c_elements
      )
    ) as child (path, value)
    where n.level < c_levels
      and (not p_only_needed or child.path = any (v_needed))
      and jsonb_typeof(n.value) in ('object', 'array')
  )
  select
    n.parser,
    n.page_id,
    n.path,
    n.parent_path,
    jsonb_typeof(n.value),
    count(*),
    min(left(n.value #>> '{}', c_sample_characters) collate "C")
      filter (where jsonb_typeof(n.value) in ('string', 'number', 'boolean'))
  from nodes n
  group by n.parser, n.page_id, n.path, n.parent_path, jsonb_typeof(n.value);
end
$$;

COMMENT ON FUNCTION p2p.watched_values(p_batch_id uuid, p_only_needed boolean) IS 'What stands on the watched pages of a batch, by page, path and JSON type';

CREATE TABLE p2p.ops_batch_loads (
    batch_id uuid NOT NULL,
    load_number integer NOT NULL,
    loaded_at timestamp with time zone NOT NULL,
    sql_set_id integer NOT NULL,
    status text NOT NULL,
    seconds numeric(10,3) NOT NULL,
    offers_changed integer NOT NULL,
    CONSTRAINT ops_batch_loads_load_number_check CHECK ((load_number > 0)),
    CONSTRAINT ops_batch_loads_status_check CHECK ((status = ANY (ARRAY['completed'::text, 'partial'::text, 'failed'::text])))
);

COMMENT ON TABLE p2p.ops_batch_loads IS 'Loads of each batch that did something new; the last one made its facts. A load that changes nothing, by the same SQL, leaves no row. Batches of release 0.1.0 have none';

COMMENT ON COLUMN p2p.ops_batch_loads.load_number IS 'From 1 for each batch';

COMMENT ON COLUMN p2p.ops_batch_loads.loaded_at IS 'When the load began';

COMMENT ON COLUMN p2p.ops_batch_loads.status IS 'Status of the batch after it';

COMMENT ON COLUMN p2p.ops_batch_loads.offers_changed IS 'Rows of fact_offers that it wrote or deleted';

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
    r.error_summary,
    ( SELECT count(*) AS count
           FROM p2p.ops_batch_steps s
          WHERE ((s.batch_id = r.batch_id) AND (s.status = 'failed'::text) AND (s.load_number = ( SELECT max(l.load_number) AS max
                   FROM p2p.ops_batch_loads l
                  WHERE (l.batch_id = r.batch_id))))) AS failed_steps
   FROM p2p.ops_batch_runs r;

COMMENT ON VIEW p2p.batch_overview IS 'Batches with their completeness, failed checks and failed steps; newest: order by batch_start_time desc';

CREATE TABLE p2p.sql_set_versions (
    sql_set_id integer NOT NULL,
    version_id integer NOT NULL,
    state text NOT NULL,
    CONSTRAINT sql_set_versions_state_check CHECK ((state = ANY (ARRAY['shipped'::text, 'tuned'::text, 'drifted'::text, 'own'::text])))
);

COMMENT ON TABLE p2p.sql_set_versions IS 'What each set consists of';

COMMENT ON COLUMN p2p.sql_set_versions.state IS 'shipped: as the release has it; tuned: changed here and adopted; drifted: changed here, not adopted; own: of no release';

CREATE TABLE p2p.sql_versions (
    version_id integer NOT NULL,
    identity text NOT NULL,
    fingerprint text NOT NULL,
    definition text NOT NULL,
    first_used_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT sql_versions_check CHECK ((fingerprint = encode(sha256(convert_to(definition, 'UTF8'::name)), 'hex'::text)))
);

COMMENT ON TABLE p2p.sql_versions IS 'Every text that any function, or table of rules, had when a batch was loaded with it';

COMMENT ON COLUMN p2p.sql_versions.identity IS 'function p2p.load_offers(uuid), or rows of p2p.pipeline_steps';

COMMENT ON COLUMN p2p.sql_versions.fingerprint IS 'SHA-256 of definition';

COMMENT ON COLUMN p2p.sql_versions.definition IS 'A function as the server holds it, with its comment: it can be run to bring that version back. Of a table: its rows in force';

CREATE VIEW p2p.batch_sql AS
 SELECT r.batch_id,
    r.batch_start_time,
    l.load_number,
    v.identity,
    sv.state,
    v.fingerprint,
    v.definition
   FROM (((p2p.ops_batch_runs r
     CROSS JOIN LATERAL ( SELECT one.load_number,
            one.sql_set_id
           FROM p2p.ops_batch_loads one
          WHERE (one.batch_id = r.batch_id)
          ORDER BY one.load_number DESC
         LIMIT 1) l)
     JOIN p2p.sql_set_versions sv ON ((sv.sql_set_id = l.sql_set_id)))
     JOIN p2p.sql_versions v ON ((v.version_id = sv.version_id)));

COMMENT ON VIEW p2p.batch_sql IS 'The SQL that made the facts of each batch: where batch_id = …, one row a function, with its text';

COMMENT ON COLUMN p2p.batch_sql.load_number IS 'The newest recorded load of the batch';

CREATE TABLE p2p.dim_cryptocurrencies (
    crypto_id smallint NOT NULL,
    symbol text NOT NULL,
    name text,
    binance_asset_code text,
    is_active boolean DEFAULT true NOT NULL
);

COMMENT ON TABLE p2p.dim_cryptocurrencies IS 'Assets that are traded, e.g. USDT; an asset may bear the symbol of a fiat (RUB)';

COMMENT ON COLUMN p2p.dim_cryptocurrencies.name IS 'As the exchange describes it; NULL until it does';

CREATE TABLE p2p.dim_exchanges (
    exchange_id smallint NOT NULL,
    code text NOT NULL,
    name text NOT NULL
);

COMMENT ON TABLE p2p.dim_exchanges IS 'Exchanges: every fact, market and advertiser belongs to one';

CREATE TABLE p2p.dim_fiat_currencies (
    fiat_id smallint NOT NULL,
    currency_code text NOT NULL,
    currency_name text,
    country_code text,
    is_active boolean DEFAULT true NOT NULL
);

COMMENT ON TABLE p2p.dim_fiat_currencies IS 'Fiats, e.g. VES';

COMMENT ON COLUMN p2p.dim_fiat_currencies.currency_name IS 'NULL: no exchange we read gives one';

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

CREATE VIEW p2p.best_prices AS
 WITH newest_books AS (
         SELECT m.exchange_id,
            m.fiat_id,
            m.crypto_id,
            newest.trade_type,
            newest.extraction_timestamp,
            newest.min_price,
            newest.max_price,
            newest.median_price
           FROM (p2p.dim_markets m
             CROSS JOIN LATERAL ( SELECT d.trade_type,
                    d.extraction_timestamp,
                    d.min_price,
                    d.max_price,
                    d.median_price
                   FROM p2p.fact_market_depth d
                  WHERE ((d.exchange_id = m.exchange_id) AND (d.fiat_id = m.fiat_id) AND (d.crypto_id = m.crypto_id) AND (d.trade_type = m.trade_type))
                  ORDER BY d.extraction_timestamp DESC
                 LIMIT 1) newest)
        ), pairs AS (
         SELECT b.exchange_id,
            b.fiat_id,
            b.crypto_id,
            min(b.min_price) FILTER (WHERE (b.trade_type = 'BUY'::text)) AS best_ask,
            max(b.max_price) FILTER (WHERE (b.trade_type = 'SELL'::text)) AS best_bid,
            min(b.median_price) FILTER (WHERE (b.trade_type = 'BUY'::text)) AS median_ask,
            max(b.median_price) FILTER (WHERE (b.trade_type = 'SELL'::text)) AS median_bid,
            min(b.extraction_timestamp) AS as_of
           FROM newest_books b
          GROUP BY b.exchange_id, b.fiat_id, b.crypto_id
        )
 SELECT ((f.currency_code || '/'::text) || c.symbol) AS pair,
    p.best_ask,
    p.best_bid,
    round((((200)::numeric * (p.best_ask - p.best_bid)) / (p.best_ask + p.best_bid)), 2) AS spread_percent,
    round(p.median_ask, GREATEST(scale(p.best_ask), 2)) AS median_ask,
    round(p.median_bid, GREATEST(scale(p.best_bid), 2)) AS median_bid,
    date_trunc('second'::text, (clock_timestamp() - p.as_of)) AS age,
    e.code AS exchange
   FROM (((pairs p
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
  WHERE (COALESCE(p.best_ask, p.best_bid) IS NOT NULL)
  ORDER BY f.currency_code, c.symbol;

COMMENT ON VIEW p2p.best_prices IS 'The best prices of each pair (fiat/asset) in its newest snapshot, with spread and medians';

COMMENT ON COLUMN p2p.best_prices.best_ask IS 'Lowest price to buy the asset at; NULL where nobody sells it';

COMMENT ON COLUMN p2p.best_prices.best_bid IS 'Highest price to sell the asset at; NULL where nobody buys it';

COMMENT ON COLUMN p2p.best_prices.spread_percent IS 'best_ask - best_bid, of their middle; negative ones are real on this market';

COMMENT ON COLUMN p2p.best_prices.age IS 'Since the snapshot; since the older one where the two sides are of different ones';

CREATE TABLE p2p.change_log (
    change_id bigint NOT NULL,
    table_name text NOT NULL,
    row_key text NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    changed_by text DEFAULT SESSION_USER NOT NULL,
    old_row jsonb,
    new_row jsonb
);

COMMENT ON TABLE p2p.change_log IS 'Every change of a row that steers the SQL, whoever made it; see setting_changes';

COMMENT ON COLUMN p2p.change_log.changed_by IS 'The login of the session, also where it had taken another role';

COMMENT ON COLUMN p2p.change_log.old_row IS 'NULL for a new row';

COMMENT ON COLUMN p2p.change_log.new_row IS 'NULL for a deleted row';

ALTER TABLE p2p.change_log ALTER COLUMN change_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.change_log_change_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

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

CREATE VIEW p2p.coverage AS
 WITH newest AS (
         SELECT max(r.batch_start_time) AS batch_start_time
           FROM p2p.ops_batch_runs r
          WHERE (r.status <> 'running'::text)
        ), last_day AS (
         SELECT r.batch_id
           FROM (p2p.ops_batch_runs r
             CROSS JOIN newest)
          WHERE ((r.status <> 'running'::text) AND (r.batch_start_time > (newest.batch_start_time - '24:00:00'::interval)))
        )
 SELECT f.currency_code AS fiat_code,
    count(DISTINCT bm.market_id) AS markets,
    count(*) AS planned,
    count(*) FILTER (WHERE (bm.status = 'complete'::text)) AS complete,
    round(((100.0 * (count(*) FILTER (WHERE (bm.status = 'complete'::text)))::numeric) / (count(*))::numeric), 2) AS complete_percent,
    count(*) FILTER (WHERE (bm.status = 'incomplete'::text)) AS incomplete,
    count(*) FILTER (WHERE (bm.status = 'failed'::text)) AS failed,
    count(*) FILTER (WHERE (bm.status = 'deferred'::text)) AS deferred,
    count(DISTINCT bm.batch_id) AS batches,
    e.code AS exchange
   FROM ((((last_day
     JOIN p2p.ops_batch_markets bm USING (batch_id))
     JOIN p2p.dim_markets m USING (market_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
  GROUP BY e.code, f.currency_code
  ORDER BY (round(((100.0 * (count(*) FILTER (WHERE (bm.status = 'complete'::text)))::numeric) / (count(*))::numeric), 2)), f.currency_code;

COMMENT ON VIEW p2p.coverage IS 'What was planned and what came whole, by fiat, over the 24 hours up to the newest batch; the worst first';

COMMENT ON COLUMN p2p.coverage.planned IS 'Markets of all batches together: a market counts once a batch';

COMMENT ON COLUMN p2p.coverage.deferred IS 'The deadline came first; first in line in the batch after';

CREATE TABLE p2p.settings (
    name text NOT NULL,
    value text NOT NULL,
    kind text NOT NULL,
    minimum numeric,
    maximum numeric,
    unit text,
    comment text NOT NULL,
    is_shipped boolean DEFAULT false NOT NULL,
    CONSTRAINT settings_comment_check CHECK ((comment <> ''::text)),
    CONSTRAINT settings_kind_check CHECK ((kind = ANY (ARRAY['switch'::text, 'number'::text]))),
    CONSTRAINT settings_number_has_limits CHECK (((kind = 'number'::text) = ((minimum IS NOT NULL) AND (maximum IS NOT NULL) AND (unit IS NOT NULL)))),
    CONSTRAINT settings_value_fits CHECK (
CASE kind
    WHEN 'switch'::text THEN (value = ANY (ARRAY['on'::text, 'off'::text]))
    WHEN 'number'::text THEN
    CASE
        WHEN ((value ~ '^-?\d+(\.\d+)?$'::text) AND (length(value) <= 30)) THEN (((value)::numeric >= minimum) AND ((value)::numeric <= maximum))
        ELSE false
    END
    ELSE NULL::boolean
END)
);

COMMENT ON TABLE p2p.settings IS 'What may be tuned, read at each batch: update p2p.settings set value = … where name = …';

COMMENT ON COLUMN p2p.settings.value IS 'on or off for a switch; a number between minimum and maximum';

COMMENT ON COLUMN p2p.settings.is_shipped IS 'Read by functions of the release, so that it cannot be deleted; false for those of your own functions';

CREATE VIEW p2p.current_settings AS
 SELECT s.name,
    s.value,
        CASE s.kind
            WHEN 'number'::text THEN format('%s to %s %s'::text, s.minimum, s.maximum, s.unit)
            ELSE 'on, off'::text
        END AS allowed,
    "left"(s.comment, 56) AS comment
   FROM p2p.settings s
  ORDER BY s.name;

COMMENT ON VIEW p2p.current_settings IS 'What may be tuned, with its value and what it may be; change it in table settings';

CREATE TABLE p2p.sql_sets (
    sql_set_id integer NOT NULL,
    fingerprint text NOT NULL,
    first_used_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE p2p.sql_sets IS 'All the SQL of one moment; every recorded load names one';

COMMENT ON COLUMN p2p.sql_sets.fingerprint IS 'SHA-256 of the identities, fingerprints and states of its versions';

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
    body jsonb NOT NULL,
    stored_sha256 bytea
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

COMMENT ON COLUMN p2p.stg_responses.stored_sha256 IS 'SHA-256 of body as text, taken when it was stored: check_pages computes it again. NULL for pages of release 0.1.0';

CREATE VIEW p2p.depth_origin AS
 SELECT fiat.currency_code AS fiat_code,
    crypto.symbol AS crypto_symbol,
    d.trade_type,
    d.extraction_timestamp,
    d.batch_id,
    m.market_id,
    page.pages,
    page.body_sha256,
    l.load_number,
    l.loaded_at,
    "left"(v.fingerprint, 12) AS depth_fingerprint,
    sv.state AS depth_state,
    "left"(t.fingerprint, 12) AS set_fingerprint,
    l.sql_set_id
   FROM (((((((p2p.fact_market_depth d
     JOIN p2p.dim_markets m USING (exchange_id, fiat_id, crypto_id, trade_type))
     JOIN p2p.dim_fiat_currencies fiat USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies crypto USING (crypto_id))
     CROSS JOIN LATERAL ( SELECT count(*) AS pages,
            array_agg(encode(s.body_sha256, 'hex'::text) ORDER BY s.page_number) AS body_sha256
           FROM p2p.stg_responses s
          WHERE ((s.extraction_timestamp = d.extraction_timestamp) AND (s.market_id = m.market_id))) page)
     LEFT JOIN p2p.ops_batch_loads l ON (((l.batch_id = d.batch_id) AND (NOT (EXISTS ( SELECT
           FROM p2p.ops_batch_loads newer
          WHERE ((newer.batch_id = l.batch_id) AND (newer.load_number > l.load_number))))))))
     LEFT JOIN p2p.sql_sets t ON ((t.sql_set_id = l.sql_set_id)))
     LEFT JOIN (p2p.sql_set_versions sv
     JOIN p2p.sql_versions v ON ((v.version_id = sv.version_id))) ON (((sv.sql_set_id = l.sql_set_id) AND (v.identity = 'function p2p.load_depth(uuid)'::text))));

COMMENT ON VIEW p2p.depth_origin IS 'Where each row of fact_market_depth comes from: the pages of its book, their checksums, and the SQL that counted them. Give it an extraction_timestamp';

COMMENT ON COLUMN p2p.depth_origin.body_sha256 IS 'Of the pages as received, in their order; NULL where they are no longer kept';

COMMENT ON COLUMN p2p.depth_origin.depth_fingerprint IS 'Of load_depth: see sql_history, batch_sql';

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

ALTER TABLE p2p.dim_cryptocurrencies ALTER COLUMN crypto_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_cryptocurrencies_crypto_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE p2p.dim_exchanges ALTER COLUMN exchange_id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME p2p.dim_exchanges_exchange_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE p2p.dim_fiat_currencies ALTER COLUMN fiat_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_fiat_currencies_fiat_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

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

CREATE VIEW p2p.failed_steps AS
 SELECT r.batch_start_time,
    s.load_number,
    l.loaded_at,
    s.step,
    s.is_required,
    s.seconds,
    s.error,
    s.error_context,
    s.batch_id,
    (s.load_number = ( SELECT max(newest.load_number) AS max
           FROM p2p.ops_batch_loads newest
          WHERE (newest.batch_id = s.batch_id))) AS is_still_so
   FROM ((p2p.ops_batch_steps s
     JOIN p2p.ops_batch_loads l USING (batch_id, load_number))
     JOIN p2p.ops_batch_runs r USING (batch_id))
  WHERE (s.status = 'failed'::text)
  ORDER BY l.loaded_at DESC, s."position";

COMMENT ON VIEW p2p.failed_steps IS 'Steps of loads that failed, and why; newest first';

COMMENT ON COLUMN p2p.failed_steps.is_still_so IS 'Whether no later load of the batch was recorded';

CREATE VIEW p2p.failing_rules AS
 WITH newest AS (
         SELECT r.batch_id,
            r.batch_start_time
           FROM p2p.ops_batch_runs r
          WHERE (r.status <> 'running'::text)
          ORDER BY r.batch_start_time DESC
         LIMIT 1
        )
 SELECT q.metric_name AS rule,
    q.result,
    round(q.metric_value, 6) AS value,
    q.threshold_value AS threshold,
    date_trunc('second'::text, failing.since) AS failing_since,
    failing.batches,
    "left"((q.details)::text, 30) AS details
   FROM (((newest
     JOIN p2p.ops_data_quality q USING (batch_id))
     LEFT JOIN LATERAL ( SELECT r.batch_start_time
           FROM (p2p.ops_batch_runs r
             JOIN p2p.ops_data_quality earlier USING (batch_id))
          WHERE ((earlier.metric_name = q.metric_name) AND earlier.passed AND (r.batch_start_time > (newest.batch_start_time - '7 days'::interval)))
          ORDER BY r.batch_start_time DESC
         LIMIT 1) last_good ON (true))
     CROSS JOIN LATERAL ( SELECT min(r.batch_start_time) AS since,
            count(*) AS batches
           FROM (p2p.ops_batch_runs r
             JOIN p2p.ops_data_quality later USING (batch_id))
          WHERE ((later.metric_name = q.metric_name) AND (r.batch_start_time > COALESCE(last_good.batch_start_time, (newest.batch_start_time - '7 days'::interval))))) failing)
  WHERE (NOT q.passed)
  ORDER BY q.metric_name;

COMMENT ON VIEW p2p.failing_rules IS 'Rules that the newest batch breaks, and since when they are broken';

COMMENT ON COLUMN p2p.failing_rules.result IS 'warning, error, or broken: the rule itself failed';

COMMENT ON COLUMN p2p.failing_rules.failing_since IS 'First batch after the last that kept it; looked for in the last 7 days';

COMMENT ON COLUMN p2p.failing_rules.details IS 'Their beginning; all of them are in ops_data_quality';

CREATE VIEW p2p.freshness AS
 SELECT e.code AS exchange,
    date_trunc('second'::text, good.batch_start_time) AS last_good_batch,
    date_trunc('second'::text, (clock_timestamp() - good.batch_end_time)) AS loaded_ago,
    good.status,
    good.markets_completed,
    good.markets_expected,
    good.total_offers_inserted AS offers,
    paused.value AS paused
   FROM ((p2p.dim_exchanges e
     LEFT JOIN LATERAL ( SELECT r.batch_id,
            r.batch_start_time,
            r.batch_end_time,
            r.status,
            r.total_fiats_processed,
            r.total_offers_extracted,
            r.total_offers_inserted,
            r.total_offers_updated,
            r.total_offers_rejected,
            r.total_offers_duplicate,
            r.total_errors,
            r.error_summary,
            r.execution_time_seconds,
            r.markets_expected,
            r.markets_completed,
            r.worker_id,
            r.lease_expires_at,
            r.raw_deleted_at,
            r.ledger_deleted_at
           FROM p2p.ops_batch_runs r
          WHERE ((r.status = ANY (ARRAY['completed'::text, 'partial'::text])) AND (EXISTS ( SELECT
                   FROM (p2p.ops_batch_markets bm
                     JOIN p2p.dim_markets m USING (market_id))
                  WHERE ((bm.batch_id = r.batch_id) AND (m.exchange_id = e.exchange_id)))))
          ORDER BY r.batch_start_time DESC
         LIMIT 1) good ON (true))
     LEFT JOIN p2p.settings paused ON ((paused.name = 'paused'::text)));

COMMENT ON VIEW p2p.freshness IS 'How old the newest loaded batch of each exchange is';

COMMENT ON COLUMN p2p.freshness.last_good_batch IS 'Its start: the time of its facts';

COMMENT ON COLUMN p2p.freshness.paused IS 'on: no new batch is begun';

CREATE VIEW p2p.gaps AS
 WITH newest AS (
         SELECT max(r_1.batch_start_time) AS batch_start_time
           FROM p2p.ops_batch_runs r_1
          WHERE (r_1.status <> 'running'::text)
        ), last_day AS (
         SELECT bm_1.market_id,
            max(r_1.batch_start_time) AS last_planned,
            count(*) FILTER (WHERE (bm_1.status <> 'complete'::text)) AS batches
           FROM ((newest
             JOIN p2p.ops_batch_runs r_1 ON (((r_1.batch_start_time > (newest.batch_start_time - '24:00:00'::interval)) AND (r_1.status <> 'running'::text))))
             JOIN p2p.ops_batch_markets bm_1 USING (batch_id))
          GROUP BY bm_1.market_id
        )
 SELECT format('%s/%s %s'::text, f.currency_code, c.symbol, m.trade_type) AS market,
    bm.status,
    date_trunc('second'::text, missed.since) AS missing_since,
    l.batches,
    "left"(array_to_string(bm.lost_pages, ','::text), 12) AS lost_pages,
    "left"(bm.reason, 38) AS why
   FROM (((((((last_day l
     JOIN p2p.ops_batch_runs r ON ((r.batch_start_time = l.last_planned)))
     JOIN p2p.ops_batch_markets bm ON (((bm.batch_id = r.batch_id) AND (bm.market_id = l.market_id))))
     JOIN p2p.dim_markets m ON (((m.market_id = l.market_id) AND m.is_active)))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     LEFT JOIN LATERAL ( SELECT d.extraction_timestamp
           FROM p2p.fact_market_depth d
          WHERE ((d.exchange_id = m.exchange_id) AND (d.fiat_id = m.fiat_id) AND (d.crypto_id = m.crypto_id) AND (d.trade_type = m.trade_type) AND d.is_complete)
          ORDER BY d.extraction_timestamp DESC
         LIMIT 1) last_whole ON (true))
     LEFT JOIN LATERAL ( SELECT min(later.batch_start_time) AS since
           FROM p2p.ops_batch_runs later
          WHERE (later.batch_start_time > last_whole.extraction_timestamp)) missed ON (true))
  WHERE ((bm.status <> 'complete'::text) AND (l.batches > 0))
  ORDER BY missed.since NULLS FIRST, (format('%s/%s %s'::text, f.currency_code, c.symbol, m.trade_type));

COMMENT ON VIEW p2p.gaps IS 'Markets whose last plan (of the last 24 hours) was not fetched whole: what is missing now, since when, and why';

COMMENT ON COLUMN p2p.gaps.missing_since IS 'First batch after the last that had it whole; NULL where none had';

COMMENT ON COLUMN p2p.gaps.batches IS 'Batches of the last 24 hours that did not have it whole';

COMMENT ON COLUMN p2p.gaps.lost_pages IS 'Of the last of these batches';

CREATE VIEW p2p.help AS
 SELECT h.to_know,
    h.look_in,
    h.query
   FROM ( VALUES ('What does it cost now?'::text,'best_prices'::text,'select * from p2p.best_prices'::text), ('… by way to pay?'::text,'prices_by_payment_method'::text,'table p2p.prices_by_payment_method limit 20'::text), ('Which offers are there now?'::text,'mv_latest_market_state'::text,'table p2p.mv_latest_market_state limit 20'::text), ('How did prices go, by hour?'::text,'market_hourly'::text,'table p2p.market_hourly limit 20'::text), ('… by day?'::text,'market_daily'::text,'table p2p.market_daily limit 20'::text), ('Average price and volume, by hour?'::text,'v_price_history'::text,'table p2p.v_price_history limit 20'::text), ('Who offers how much, by day?'::text,'merchant_daily'::text,'table p2p.merchant_daily limit 20'::text), ('How could old offers be paid?'::text,'fact_offer_payment_methods'::text,'table p2p.fact_offer_payment_methods limit 5'::text), ('How old is the newest batch?'::text,'freshness'::text,'select * from p2p.freshness'::text), ('How did the last batches go?'::text,'batch_overview'::text,'table p2p.batch_overview limit 10'::text), ('How much came whole, by fiat?'::text,'coverage'::text,'select * from p2p.coverage'::text), ('What is missing now, why, since when?'::text,'gaps'::text,'select * from p2p.gaps'::text), ('What was missing in older batches?'::text,'missing_markets'::text,'table p2p.missing_markets limit 20'::text), ('What went wrong last?'::text,'last_failures'::text,'table p2p.last_failures limit 20'::text), ('Which quality rules fail now?'::text,'failing_rules'::text,'select * from p2p.failing_rules'::text), ('Which steps of a load failed?'::text,'failed_steps'::text,'table p2p.failed_steps limit 20'::text), ('What was rejected, and why?'::text,'quarantine'::text,'select * from p2p.quarantine'::text), ('… with its original JSON?'::text,'offers_in_quarantine'::text,'table p2p.offers_in_quarantine limit 3'::text), ('What can be tuned?'::text,'current_settings'::text,'select * from p2p.current_settings'::text), ('Who changed what, and when?'::text,'setting_changes'::text,'select * from p2p.setting_changes'::text), ('Which SQL was changed here?'::text,'object_states'::text,'table p2p.object_states limit 3'::text), ('Which SQL loaded which batches?'::text,'sql_history'::text,'table p2p.sql_history limit 20'::text), ('… which text loaded a batch?'::text,'batch_sql'::text,'table p2p.batch_sql limit 20'::text), ('Where does a fact come from?'::text,'offer_origin'::text,'table p2p.offer_origin limit 5'::text), ('… a row of a book?'::text,'depth_origin'::text,'table p2p.depth_origin limit 5'::text), ('What keys do the answers have?'::text,'response_keys'::text,'table p2p.response_keys limit 20'::text), ('What changed in the answers?'::text,'shape_events'::text,'table p2p.shape_events limit 20'::text), ('How large are the tables?'::text,'table_sizes'::text,'select * from p2p.table_sizes'::text), ('What do I want to know?'::text,'help'::text,'select * from p2p.help'::text)) h(to_know, look_in, query);

COMMENT ON VIEW p2p.help IS 'What you may want to know, and where it is: start here';

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

CREATE VIEW p2p.last_failures AS
 WITH lost_pages AS (
         SELECT x.error_timestamp AS failed_at,
            COALESCE(concat_ws(' '::text, (x.fiat_code || COALESCE(('/'::text || x.crypto_symbol), ''::text)), x.trade_type, ('page '::text || x.page_number)), ''::text) AS what,
            x.error_type AS kind,
            x.error_message AS message,
            x.is_resolved
           FROM p2p.ops_extraction_errors x
          ORDER BY x.error_id DESC
         LIMIT 200
        ), failed_batches AS (
         SELECT r.batch_end_time,
            ('batch of '::text || to_char((r.batch_start_time AT TIME ZONE 'UTC'::text), 'MM-DD HH24:MI'::text)) AS what,
            'batch'::text AS "?column?",
            r.error_summary,
            (EXISTS ( SELECT
                   FROM p2p.ops_batch_runs later
                  WHERE ((later.batch_start_time > r.batch_start_time) AND (later.status = ANY (ARRAY['completed'::text, 'partial'::text]))))) AS "exists"
           FROM p2p.ops_batch_runs r
          WHERE (r.status = 'failed'::text)
          ORDER BY r.batch_start_time DESC
         LIMIT 200
        )
 SELECT date_trunc('second'::text, a.failed_at) AS failed_at,
    NULLIF(a.what, ''::text) AS what,
    "left"(a.kind, 16) AS kind,
    "left"(a.message, 32) AS message,
    a.is_resolved AS resolved
   FROM ( SELECT lost_pages.failed_at,
            lost_pages.what,
            lost_pages.kind,
            lost_pages.message,
            lost_pages.is_resolved
           FROM lost_pages
        UNION ALL
         SELECT failed_batches.batch_end_time,
            failed_batches.what,
            failed_batches."?column?",
            failed_batches.error_summary,
            failed_batches."exists"
           FROM failed_batches) a
  ORDER BY a.failed_at DESC
 LIMIT 200;

COMMENT ON VIEW p2p.last_failures IS 'The last 200 pages that were lost, discovery calls and batches that failed; newest first';

COMMENT ON COLUMN p2p.last_failures.message IS 'Its beginning; all of it is in ops_extraction_errors';

COMMENT ON COLUMN p2p.last_failures.resolved IS 'Whether a later batch had the market whole; of a batch, whether a later one was loaded';

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

CREATE TABLE p2p.schema_objects (
    name text NOT NULL,
    sha256 text NOT NULL,
    body text NOT NULL,
    program_version text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    identity text,
    definition text,
    server_major integer,
    base_body text,
    base_definition text,
    base_version text,
    adopted_definition text,
    adopted_at timestamp with time zone,
    adopted_by text,
    adopted_note text
);

COMMENT ON TABLE p2p.schema_objects IS 'Every shipped function and view: the text of the release, the text its live form began from, and what was adopted. Read object_states';

COMMENT ON COLUMN p2p.schema_objects.name IS 'File below sql/';

COMMENT ON COLUMN p2p.schema_objects.body IS 'Text of the file in the release that migrated last';

COMMENT ON COLUMN p2p.schema_objects.identity IS 'The object the file makes, e.g. function p2p.load_offers(uuid); NULL for the files of bootstrap';

COMMENT ON COLUMN p2p.schema_objects.definition IS 'What the server makes of body: live objects are compared with this, not with the file';

COMMENT ON COLUMN p2p.schema_objects.server_major IS 'Version of the server that wrote the definitions: another one may write them differently';

COMMENT ON COLUMN p2p.schema_objects.base_body IS 'The shipped text that the live object was made or changed from; older than body where a changed object was kept';

COMMENT ON COLUMN p2p.schema_objects.adopted_definition IS 'The change that is meant to stay, as the server writes it; NULL where there is none';

CREATE VIEW p2p.object_states AS
 SELECT o.name,
    o.identity,
        CASE live.definition
            WHEN o.definition THEN 'shipped'::text
            WHEN o.adopted_definition THEN 'tuned'::text
            ELSE 'drifted'::text
        END AS state,
    (live.definition IS NULL) AS is_missing,
    ((live.definition IS DISTINCT FROM o.definition) AND (o.base_definition IS DISTINCT FROM o.definition)) AS has_moved_on,
    o.adopted_at,
    o.adopted_by,
    o.adopted_note,
    o.base_version,
    o.program_version AS shipped_version,
    o.server_major AS written_by,
    o.base_definition,
    o.definition AS shipped_definition,
    live.definition AS live_definition
   FROM (p2p.schema_objects o
     CROSS JOIN LATERAL ( SELECT p2p.live_definition(o.identity) AS definition
         OFFSET 0) live)
  WHERE (o.identity IS NOT NULL);

COMMENT ON VIEW p2p.object_states IS 'Every shipped function and view: as shipped, tuned (changed live and adopted) or drifted (changed live, not adopted)';

COMMENT ON COLUMN p2p.object_states.is_missing IS 'Somebody dropped it; migrate makes it again';

COMMENT ON COLUMN p2p.object_states.has_moved_on IS 'The release has another text than the one the live object was changed from: see all three with p2p-ingest sql diff';

COMMENT ON COLUMN p2p.object_states.written_by IS 'Version of PostgreSQL that wrote the definitions; after an upgrade of it, migrate reads them again';

COMMENT ON COLUMN p2p.object_states.base_definition IS 'The shipped text that the live object was changed from';

COMMENT ON COLUMN p2p.object_states.shipped_definition IS 'What the release ships now';

CREATE VIEW p2p.offer_origin AS
 SELECT f.offer_external_id,
    f.extraction_timestamp,
    f.batch_id,
    f.offer_id,
    fiat.currency_code AS fiat_code,
    crypto.symbol AS crypto_symbol,
    f.trade_type,
    m.market_id,
    f.page_number,
    f.observed_at,
    encode(s.body_sha256, 'hex'::text) AS body_sha256,
    s.parser,
    l.load_number,
    l.loaded_at,
    "left"(v.fingerprint, 12) AS parser_fingerprint,
    sv.state AS parser_state,
    "left"(t.fingerprint, 12) AS set_fingerprint,
    l.sql_set_id
   FROM (((((((p2p.fact_offers f
     JOIN p2p.dim_markets m USING (exchange_id, fiat_id, crypto_id, trade_type))
     JOIN p2p.dim_fiat_currencies fiat USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies crypto USING (crypto_id))
     LEFT JOIN p2p.stg_responses s ON (((s.extraction_timestamp = f.extraction_timestamp) AND (s.market_id = m.market_id) AND (s.page_number = f.page_number))))
     LEFT JOIN p2p.ops_batch_loads l ON (((l.batch_id = f.batch_id) AND (NOT (EXISTS ( SELECT
           FROM p2p.ops_batch_loads newer
          WHERE ((newer.batch_id = l.batch_id) AND (newer.load_number > l.load_number))))))))
     LEFT JOIN p2p.sql_sets t ON ((t.sql_set_id = l.sql_set_id)))
     LEFT JOIN (p2p.sql_set_versions sv
     JOIN p2p.sql_versions v ON ((v.version_id = sv.version_id))) ON (((sv.sql_set_id = l.sql_set_id) AND (v.identity = (('function p2p.'::text || quote_ident(('parse_'::text || s.parser))) || '(uuid)'::text)))));

COMMENT ON VIEW p2p.offer_origin IS 'Where each row of fact_offers comes from: the page, its checksum, and the SQL that read it. Give it an extraction_timestamp, or an offer_id with one';

COMMENT ON COLUMN p2p.offer_origin.body_sha256 IS 'Of the page as received; NULL where the page is no longer kept';

COMMENT ON COLUMN p2p.offer_origin.parser_fingerprint IS 'Of the function that read the page: see sql_history, batch_sql';

COMMENT ON COLUMN p2p.offer_origin.set_fingerprint IS 'Of all the SQL of that load';

CREATE TABLE p2p.ops_rejected_offers (
    batch_id uuid NOT NULL,
    market_id integer NOT NULL,
    page_number integer NOT NULL,
    item_number integer NOT NULL,
    reason text NOT NULL,
    payload jsonb,
    rejected_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    discarded_at timestamp with time zone,
    discarded_by text,
    discard_note text,
    CONSTRAINT ops_rejected_offers_discarded_with_note CHECK ((((discarded_at IS NULL) = (discarded_by IS NULL)) AND ((discarded_at IS NULL) = (discard_note IS NULL))))
);

COMMENT ON TABLE p2p.ops_rejected_offers IS 'Items of stored pages that cannot be offers, with the reason and the original JSON';

COMMENT ON COLUMN p2p.ops_rejected_offers.item_number IS 'Place on the page, from 0';

COMMENT ON COLUMN p2p.ops_rejected_offers.discarded_at IS 'When somebody decided that it needs no repair: it is kept, but no longer in quarantine; NULL while it is';

COMMENT ON COLUMN p2p.ops_rejected_offers.discarded_by IS 'Login of who discarded it';

COMMENT ON COLUMN p2p.ops_rejected_offers.discard_note IS 'Why it was discarded';

CREATE VIEW p2p.offers_in_quarantine AS
 SELECT o.reason,
    r.batch_start_time,
    o.batch_id,
    format('%s/%s %s %s:%s'::text, f.currency_code, c.symbol, m.trade_type, o.page_number, o.item_number) AS place,
    f.currency_code AS fiat_code,
    c.symbol AS crypto_symbol,
    m.trade_type,
    o.market_id,
    o.page_number,
    o.item_number,
    o.rejected_at,
    (r.raw_deleted_at IS NULL) AS can_be_loaded,
    o.payload
   FROM ((((p2p.ops_rejected_offers o
     JOIN p2p.ops_batch_runs r USING (batch_id))
     JOIN p2p.dim_markets m USING (market_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
  WHERE (o.discarded_at IS NULL);

COMMENT ON VIEW p2p.offers_in_quarantine IS 'Rejected offers that nobody discarded, each with its place and its original JSON';

COMMENT ON COLUMN p2p.offers_in_quarantine.place IS 'Market, page:item';

COMMENT ON COLUMN p2p.offers_in_quarantine.item_number IS 'Place on the page, from 0';

COMMENT ON COLUMN p2p.offers_in_quarantine.can_be_loaded IS 'Whether the page is still there';

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

ALTER TABLE p2p.ops_extraction_errors ALTER COLUMN error_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.ops_extraction_errors_error_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.ops_shape_events (
    event_id bigint NOT NULL,
    batch_id uuid,
    event_at timestamp with time zone NOT NULL,
    parser text NOT NULL,
    event text NOT NULL,
    path text NOT NULL,
    json_type text,
    is_needed boolean NOT NULL,
    sample text,
    CONSTRAINT ops_shape_events_event_check CHECK ((event = ANY (ARRAY['appeared'::text, 'disappeared'::text, 'new type'::text, 'came back'::text, 'too many keys'::text])))
);

COMMENT ON TABLE p2p.ops_shape_events IS 'Changes in what the exchange answers, one row a change';

COMMENT ON COLUMN p2p.ops_shape_events.batch_id IS 'NULL where the batch itself is kept no longer';

COMMENT ON COLUMN p2p.ops_shape_events.event_at IS 'Time of the batch that showed it';

COMMENT ON COLUMN p2p.ops_shape_events.json_type IS 'The type that is new, or that the key came with; of several the most frequent';

COMMENT ON COLUMN p2p.ops_shape_events.is_needed IS 'The parser needs the key (or one below it) and cannot do with this change: gone, or of a type it cannot read';

COMMENT ON COLUMN p2p.ops_shape_events.sample IS 'One value, cut at 200 characters';

ALTER TABLE p2p.ops_shape_events ALTER COLUMN event_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.ops_shape_events_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.ops_shape_watches (
    batch_id uuid NOT NULL,
    parser text NOT NULL,
    pages integer NOT NULL,
    is_late boolean NOT NULL,
    watched_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE p2p.ops_shape_watches IS 'Batches whose answers were watched, so that none counts twice';

COMMENT ON COLUMN p2p.ops_shape_watches.is_late IS 'A later batch had been watched before: this one only widened first and last times';

CREATE TABLE p2p.parser_keys (
    parser text NOT NULL,
    path text NOT NULL,
    json_types text[] NOT NULL,
    comment text NOT NULL,
    CONSTRAINT parser_keys_json_types_check CHECK (((cardinality(json_types) > 0) AND (json_types <@ ARRAY['object'::text, 'array'::text, 'string'::text, 'number'::text, 'boolean'::text, 'null'::text]))),
    CONSTRAINT parser_keys_path_check CHECK (((path ~ '^[^.]+(\.[^.]+)*$'::text) AND (path !~ '\[\]$'::text)))
);

COMMENT ON TABLE p2p.parser_keys IS 'Keys that a parser needs, and the JSON types it can read: rule needed_keys alerts on them. Change it with the parser';

COMMENT ON COLUMN p2p.parser_keys.comment IS 'What is lost without the key';

CREATE VIEW p2p.prices_by_payment_method AS
 WITH newest_books AS (
         SELECT ((((f.currency_code || '/'::text) || c.symbol) || ' '::text) || m.trade_type) AS market,
            m.exchange_id,
            m.fiat_id,
            m.crypto_id,
            m.trade_type,
            newest.extraction_timestamp
           FROM (((p2p.dim_markets m
             JOIN p2p.dim_fiat_currencies f USING (fiat_id))
             JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
             CROSS JOIN LATERAL ( SELECT d.extraction_timestamp
                   FROM p2p.fact_market_depth d
                  WHERE ((d.exchange_id = m.exchange_id) AND (d.fiat_id = m.fiat_id) AND (d.crypto_id = m.crypto_id) AND (d.trade_type = m.trade_type))
                  ORDER BY d.extraction_timestamp DESC
                 LIMIT 1) newest)
        ), prices AS (
         SELECT b.market,
            b.exchange_id,
            b.trade_type,
            method.payment_method_id,
            count(*) AS offers,
            min(o.price) AS lowest,
            max(o.price) AS highest,
            percentile_disc((0.5)::double precision) WITHIN GROUP (ORDER BY o.price) AS median_price,
            sum(o.available_amount) AS available_amount
           FROM (((newest_books b
             JOIN p2p.fact_offers o ON (((o.exchange_id = b.exchange_id) AND (o.fiat_id = b.fiat_id) AND (o.crypto_id = b.crypto_id) AND (o.trade_type = b.trade_type) AND (o.extraction_timestamp = b.extraction_timestamp))))
             JOIN p2p.dim_payment_sets s USING (payment_set_id))
             CROSS JOIN LATERAL unnest(s.payment_method_ids) method(payment_method_id))
          GROUP BY b.market, b.exchange_id, b.trade_type, method.payment_method_id
        )
 SELECT p.market,
    "left"(COALESCE(pm.method_name, pm.method_code), 30) AS payment_method,
    p.offers,
        CASE p.trade_type
            WHEN 'BUY'::text THEN p.lowest
            ELSE p.highest
        END AS best_price,
    p.median_price,
    p.available_amount,
    e.code AS exchange
   FROM ((prices p
     JOIN p2p.dim_payment_methods pm USING (payment_method_id))
     JOIN p2p.dim_exchanges e ON ((e.exchange_id = p.exchange_id)));

COMMENT ON VIEW p2p.prices_by_payment_method IS 'What each way to pay costs in the newest snapshot of each market; an offer counts for every method it takes';

COMMENT ON COLUMN p2p.prices_by_payment_method.market IS 'e.g. VES/USDT BUY';

COMMENT ON COLUMN p2p.prices_by_payment_method.best_price IS 'Best for the taker: the lowest to BUY, the highest to SELL';

COMMENT ON COLUMN p2p.prices_by_payment_method.median_price IS 'A price that was asked: the lower one of the two in the middle';

CREATE VIEW p2p.quarantine AS
 SELECT q.reason,
    count(*) AS offers,
    count(DISTINCT q.batch_id) AS batches,
    date_trunc('second'::text, min(q.batch_start_time)) AS first_batch,
    date_trunc('second'::text, max(q.batch_start_time)) AS last_batch,
    (array_agg(q.place ORDER BY q.batch_start_time DESC, q.place))[1] AS example
   FROM p2p.offers_in_quarantine q
  GROUP BY q.reason
  ORDER BY (count(*)) DESC, q.reason;

COMMENT ON VIEW p2p.quarantine IS 'Rejected offers that nobody discarded, by reason';

COMMENT ON COLUMN p2p.quarantine.example IS 'Place of one of them in last_batch: market, page:item (items from 0)';

CREATE TABLE p2p.response_paths (
    parser text NOT NULL,
    path text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    pages_possible bigint NOT NULL,
    pages_seen bigint NOT NULL,
    pages_missed bigint NOT NULL,
    is_gone boolean NOT NULL
);

COMMENT ON TABLE p2p.response_paths IS 'Every key ever seen in the answers, and whether it still comes. Counted in watched pages; see watch_shapes and view response_keys';

COMMENT ON COLUMN p2p.response_paths.parser IS 'Which parser reads the answers, as in stg_responses';

COMMENT ON COLUMN p2p.response_paths.path IS 'The empty path is the answer itself';

COMMENT ON COLUMN p2p.response_paths.first_seen_at IS 'Time of the batch';

COMMENT ON COLUMN p2p.response_paths.pages_possible IS 'Watched pages since the key was first seen that had the object it belongs to';

COMMENT ON COLUMN p2p.response_paths.pages_seen IS 'Those of them that had the key';

COMMENT ON COLUMN p2p.response_paths.pages_missed IS 'Those in a row, up to the newest, that had it not';

COMMENT ON COLUMN p2p.response_paths.is_gone IS 'It is reported as disappeared, and has not come back';

CREATE TABLE p2p.response_shapes (
    parser text NOT NULL,
    path text NOT NULL,
    json_type text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    values_seen bigint NOT NULL,
    CONSTRAINT response_shapes_json_type_check CHECK ((json_type = ANY (ARRAY['object'::text, 'array'::text, 'string'::text, 'number'::text, 'boolean'::text, 'null'::text])))
);

COMMENT ON TABLE p2p.response_shapes IS 'The JSON types that each key was ever seen with';

COMMENT ON COLUMN p2p.response_shapes.values_seen IS 'Values of this type on watched pages';

CREATE VIEW p2p.response_keys AS
 SELECT p.parser,
    p.path,
    s.json_types,
    round(((100.0 * s.null_values) / NULLIF(s.all_values, (0)::numeric)), 2) AS null_percent,
    round(((100.0 * (p.pages_seen)::numeric) / (NULLIF(p.pages_possible, 0))::numeric), 2) AS present_percent,
    s.all_values AS values_seen,
    p.pages_seen,
    p.first_seen_at,
    p.last_seen_at,
    p.is_gone,
    (k.path IS NOT NULL) AS is_needed
   FROM ((p2p.response_paths p
     CROSS JOIN LATERAL ( SELECT array_agg(t.json_type ORDER BY t.values_seen DESC, t.json_type) AS json_types,
            sum(t.values_seen) AS all_values,
            COALESCE(sum(t.values_seen) FILTER (WHERE (t.json_type = 'null'::text)), (0)::numeric) AS null_values
           FROM p2p.response_shapes t
          WHERE ((t.parser = p.parser) AND (t.path = p.path))) s)
     LEFT JOIN p2p.parser_keys k USING (parser, path))
  WHERE (p.path <> ''::text);

COMMENT ON VIEW p2p.response_keys IS 'Every key of the answers: its JSON types, how often it is NULL and how often it is there at all; is_needed = the parser needs it';

COMMENT ON COLUMN p2p.response_keys.null_percent IS 'Of its values on watched pages';

COMMENT ON COLUMN p2p.response_keys.present_percent IS 'Of the watched pages that have the object it belongs to, since it was first seen';

CREATE TABLE p2p.schema_migrations (
    name text NOT NULL,
    sha256 text NOT NULL,
    body text NOT NULL,
    program_version text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE p2p.schema_migrations IS 'Files of sql/migrations that ran here, with the text that ran: frozen, never run twice';

CREATE TABLE p2p.schema_object_history (
    event_id bigint NOT NULL,
    name text NOT NULL,
    identity text NOT NULL,
    happened_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    changed_by text DEFAULT SESSION_USER NOT NULL,
    action text NOT NULL,
    program_version text NOT NULL,
    note text,
    definition text,
    CONSTRAINT schema_object_history_action_check CHECK ((action = ANY (ARRAY['kept'::text, 'made again'::text, 'adopted'::text, 'restored'::text, 'left behind'::text, 'dropped'::text])))
);

COMMENT ON TABLE p2p.schema_object_history IS 'What became of changed functions and views, with the live text at that moment: nothing that somebody wrote is lost';

COMMENT ON COLUMN p2p.schema_object_history.action IS 'kept: a release did not overwrite it; made again: it was missing; adopted: meant to stay; restored: put back to the shipped text; left behind: no longer shipped, or another signature is; dropped: no longer shipped and unchanged';

COMMENT ON COLUMN p2p.schema_object_history.definition IS 'The live text before the action';

ALTER TABLE p2p.schema_object_history ALTER COLUMN event_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.schema_object_history_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW p2p.setting_changes AS
 SELECT date_trunc('second'::text, c.changed_at) AS changed_at,
    c.changed_by,
    c.table_name,
    c.row_key,
    COALESCE(
        CASE
            WHEN (c.old_row IS NULL) THEN 'added'::text
            WHEN (c.new_row IS NULL) THEN 'deleted'::text
            ELSE NULL::text
        END, "left"(( SELECT string_agg(format('%s: %s → %s'::text, n.key, o.value, n.value), ', '::text ORDER BY (n.key <> 'value'::text), n.key) AS string_agg
           FROM (jsonb_each_text(c.new_row) n(key, value)
             JOIN jsonb_each_text(c.old_row) o(key, value) ON ((o.key = n.key)))
          WHERE (o.value IS DISTINCT FROM n.value)), 42)) AS change
   FROM p2p.change_log c
  ORDER BY c.change_id DESC;

COMMENT ON VIEW p2p.setting_changes IS 'Who changed which setting, when, and from what to what; newest first';

COMMENT ON COLUMN p2p.setting_changes.table_name IS 'Where the row stands: settings, and other tables that steer the SQL';

COMMENT ON COLUMN p2p.setting_changes.change IS 'Its beginning; the rows before and after are in change_log';

CREATE VIEW p2p.shape_events AS
 SELECT date_trunc('second'::text, e.event_at) AS event_at,
    e.parser,
    e.event,
    e.path,
    e.json_type,
    e.is_needed,
    "left"(e.sample, 30) AS sample
   FROM p2p.ops_shape_events e
  ORDER BY e.event_at DESC, e.event_id DESC;

COMMENT ON VIEW p2p.shape_events IS 'Changes in what the exchange answers, newest first';

COMMENT ON COLUMN p2p.shape_events.is_needed IS 'A parser needs the key and cannot do with the change';

CREATE VIEW p2p.sql_history AS
SELECT
    NULL::text AS identity,
    NULL::text AS fingerprint,
    NULL::text AS state,
    NULL::timestamp with time zone AS first_batch,
    NULL::timestamp with time zone AS last_batch,
    NULL::bigint AS loads,
    NULL::bigint AS batches,
    NULL::integer AS version_id;

COMMENT ON VIEW p2p.sql_history IS 'Every version of every function that loaded a batch, and which batches';

COMMENT ON COLUMN p2p.sql_history.first_batch IS 'Start of the earliest batch that it loaded';

COMMENT ON COLUMN p2p.sql_history.loads IS 'Recorded loads with it';

COMMENT ON COLUMN p2p.sql_history.batches IS 'Batches whose facts are of it now: a batch that was loaded again counts for the newest version only';

ALTER TABLE p2p.sql_sets ALTER COLUMN sql_set_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.sql_sets_sql_set_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE p2p.sql_versions ALTER COLUMN version_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.sql_versions_version_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW p2p.table_sizes AS
 SELECT (c.relname)::text AS table_name,
    to_char(GREATEST(s.n_live_tup, (0)::bigint), 'FM999,999,999,999'::text) AS rows_about,
    pg_size_pretty(pg_total_relation_size((c.oid)::regclass)) AS size,
    "left"(regexp_replace(obj_description(c.oid, 'pg_class'::name), '(;|, and |(?<!e\.g)\. ).*$'::text, ''::text), 66) AS holds
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

ALTER TABLE ONLY p2p.change_log
    ADD CONSTRAINT change_log_pkey PRIMARY KEY (change_id);

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

ALTER TABLE ONLY p2p.ops_batch_loads
    ADD CONSTRAINT ops_batch_loads_pkey PRIMARY KEY (batch_id, load_number);

ALTER TABLE ONLY p2p.ops_batch_markets
    ADD CONSTRAINT ops_batch_markets_pkey PRIMARY KEY (batch_id, market_id);

ALTER TABLE ONLY p2p.ops_batch_runs
    ADD CONSTRAINT ops_batch_runs_batch_start_time_key UNIQUE (batch_start_time);

ALTER TABLE ONLY p2p.ops_batch_runs
    ADD CONSTRAINT ops_batch_runs_pkey PRIMARY KEY (batch_id);

ALTER TABLE ONLY p2p.ops_batch_steps
    ADD CONSTRAINT ops_batch_steps_pkey PRIMARY KEY (batch_id, load_number, step);

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

ALTER TABLE ONLY p2p.ops_shape_events
    ADD CONSTRAINT ops_shape_events_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY p2p.ops_shape_watches
    ADD CONSTRAINT ops_shape_watches_pkey PRIMARY KEY (batch_id, parser);

ALTER TABLE ONLY p2p.parser_keys
    ADD CONSTRAINT parser_keys_pkey PRIMARY KEY (parser, path);

ALTER TABLE ONLY p2p.pipeline_steps
    ADD CONSTRAINT pipeline_steps_one_a_position UNIQUE ("position") DEFERRABLE;

COMMENT ON CONSTRAINT pipeline_steps_one_a_position ON p2p.pipeline_steps IS 'Holds: the order is never open';

ALTER TABLE ONLY p2p.pipeline_steps
    ADD CONSTRAINT pipeline_steps_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.quality_rules
    ADD CONSTRAINT quality_rules_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.response_paths
    ADD CONSTRAINT response_paths_pkey PRIMARY KEY (parser, path);

ALTER TABLE ONLY p2p.response_shapes
    ADD CONSTRAINT response_shapes_pkey PRIMARY KEY (parser, path, json_type);

ALTER TABLE ONLY p2p.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.schema_object_history
    ADD CONSTRAINT schema_object_history_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY p2p.schema_objects
    ADD CONSTRAINT schema_objects_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.sql_set_versions
    ADD CONSTRAINT sql_set_versions_pkey PRIMARY KEY (sql_set_id, version_id);

ALTER TABLE ONLY p2p.sql_sets
    ADD CONSTRAINT sql_sets_fingerprint_key UNIQUE (fingerprint);

ALTER TABLE ONLY p2p.sql_sets
    ADD CONSTRAINT sql_sets_pkey PRIMARY KEY (sql_set_id);

ALTER TABLE ONLY p2p.sql_versions
    ADD CONSTRAINT sql_versions_identity_fingerprint_key UNIQUE (identity, fingerprint);

ALTER TABLE ONLY p2p.sql_versions
    ADD CONSTRAINT sql_versions_pkey PRIMARY KEY (version_id);

ALTER TABLE ONLY p2p.stg_responses
    ADD CONSTRAINT stg_responses_pkey PRIMARY KEY (extraction_timestamp, market_id, page_number);

CREATE INDEX change_log_by_row ON p2p.change_log USING btree (table_name, row_key, change_id);

COMMENT ON INDEX p2p.change_log_by_row IS 'The history of one setting; pause_state';

CREATE UNIQUE INDEX dim_advertisers_one_current_row ON p2p.dim_advertisers USING btree (exchange_id, advertiser_id) WHERE is_current;

COMMENT ON INDEX p2p.dim_advertisers_one_current_row IS 'Holds: one current row an advertiser';

CREATE INDEX fact_market_depth_by_time ON p2p.fact_market_depth USING btree (extraction_timestamp);

COMMENT ON INDEX p2p.fact_market_depth_by_time IS 'load_batch and the views: all books of a batch';

CREATE INDEX fact_offers_by_advertiser ON p2p.fact_offers USING btree (advertiser_sk, extraction_timestamp);

COMMENT ON INDEX p2p.fact_offers_by_advertiser IS 'One advertiser''s history; load_advertisers after a late batch';

CREATE INDEX fact_offers_by_market ON p2p.fact_offers USING btree (fiat_id, crypto_id, trade_type, extraction_timestamp);

COMMENT ON INDEX p2p.fact_offers_by_market IS 'mv_latest_market_state: one book at one time';

CREATE INDEX ops_batch_loads_by_set ON p2p.ops_batch_loads USING btree (sql_set_id);

COMMENT ON INDEX p2p.ops_batch_loads_by_set IS 'sql_history: batches by set';

CREATE INDEX ops_batch_markets_queue ON p2p.ops_batch_markets USING btree (batch_id, plan_position) WHERE (status = 'pending'::text);

COMMENT ON INDEX p2p.ops_batch_markets_queue IS 'claim_markets: the next markets to fetch';

CREATE UNIQUE INDEX ops_batch_runs_one_running ON p2p.ops_batch_runs USING btree ((true)) WHERE (status = 'running'::text);

COMMENT ON INDEX p2p.ops_batch_runs_one_running IS 'Holds: one batch at a time';

CREATE INDEX ops_batch_steps_failed ON p2p.ops_batch_steps USING btree (batch_id, load_number) WHERE (status = 'failed'::text);

COMMENT ON INDEX p2p.ops_batch_steps_failed IS 'failed_steps, batch_overview';

CREATE INDEX ops_extraction_errors_batch ON p2p.ops_extraction_errors USING btree (batch_id);

COMMENT ON INDEX p2p.ops_extraction_errors_batch IS 'load_batch and status: the errors of a batch';

CREATE INDEX ops_shape_events_by_batch ON p2p.ops_shape_events USING btree (batch_id);

COMMENT ON INDEX p2p.ops_shape_events_by_batch IS 'The events of a batch; removal with its batch';

CREATE INDEX sql_set_versions_by_version ON p2p.sql_set_versions USING btree (version_id);

COMMENT ON INDEX p2p.sql_set_versions_by_version IS 'Which sets, and so which batches, had a version';

CREATE OR REPLACE VIEW p2p.sql_history AS
 WITH loads AS (
         SELECT l.sql_set_id,
            l.batch_id,
            (l.load_number = max(l.load_number) OVER (PARTITION BY l.batch_id)) AS is_newest
           FROM p2p.ops_batch_loads l
        ), use_of_sets AS (
         SELECT l.sql_set_id,
            min(r.batch_start_time) AS first_batch,
            max(r.batch_start_time) AS last_batch,
            count(*) AS loads,
            count(*) FILTER (WHERE l.is_newest) AS batches
           FROM (loads l
             JOIN p2p.ops_batch_runs r USING (batch_id))
          GROUP BY l.sql_set_id
        )
 SELECT v.identity,
    "left"(v.fingerprint, 12) AS fingerprint,
    sv.state,
    min(u.first_batch) AS first_batch,
    max(u.last_batch) AS last_batch,
    (sum(u.loads))::bigint AS loads,
    (sum(u.batches))::bigint AS batches,
    v.version_id
   FROM ((use_of_sets u
     JOIN p2p.sql_set_versions sv USING (sql_set_id))
     JOIN p2p.sql_versions v USING (version_id))
  GROUP BY v.version_id, sv.state
  ORDER BY v.identity, (min(v.first_used_at)), sv.state;

CREATE TRIGGER check_function BEFORE INSERT OR UPDATE OF function ON p2p.pipeline_steps FOR EACH ROW EXECUTE FUNCTION p2p.check_pipeline_step();

CREATE TRIGGER check_quality_rule BEFORE INSERT OR UPDATE ON p2p.quality_rules FOR EACH ROW EXECUTE FUNCTION p2p.check_quality_rule();

CREATE TRIGGER guard_setting BEFORE INSERT OR DELETE OR UPDATE ON p2p.settings FOR EACH ROW EXECUTE FUNCTION p2p.guard_setting();

CREATE TRIGGER guard_settings BEFORE TRUNCATE ON p2p.settings FOR EACH STATEMENT EXECUTE FUNCTION p2p.guard_setting();

CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON p2p.pipeline_steps FOR EACH ROW EXECUTE FUNCTION p2p.log_change();

CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON p2p.quality_rules FOR EACH ROW EXECUTE FUNCTION p2p.log_change();

CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON p2p.settings FOR EACH ROW EXECUTE FUNCTION p2p.log_change();

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

ALTER TABLE ONLY p2p.ops_batch_loads
    ADD CONSTRAINT ops_batch_loads_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_batch_loads
    ADD CONSTRAINT ops_batch_loads_sql_set_id_fkey FOREIGN KEY (sql_set_id) REFERENCES p2p.sql_sets(sql_set_id);

ALTER TABLE ONLY p2p.ops_batch_markets
    ADD CONSTRAINT ops_batch_markets_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_batch_markets
    ADD CONSTRAINT ops_batch_markets_market_id_fkey FOREIGN KEY (market_id) REFERENCES p2p.dim_markets(market_id);

ALTER TABLE ONLY p2p.ops_batch_steps
    ADD CONSTRAINT ops_batch_steps_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_batch_steps
    ADD CONSTRAINT ops_batch_steps_batch_id_load_number_fkey FOREIGN KEY (batch_id, load_number) REFERENCES p2p.ops_batch_loads(batch_id, load_number) ON DELETE CASCADE;

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

ALTER TABLE ONLY p2p.ops_shape_events
    ADD CONSTRAINT ops_shape_events_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE SET NULL;

ALTER TABLE ONLY p2p.ops_shape_watches
    ADD CONSTRAINT ops_shape_watches_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.response_shapes
    ADD CONSTRAINT response_shapes_parser_path_fkey FOREIGN KEY (parser, path) REFERENCES p2p.response_paths(parser, path) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.sql_set_versions
    ADD CONSTRAINT sql_set_versions_sql_set_id_fkey FOREIGN KEY (sql_set_id) REFERENCES p2p.sql_sets(sql_set_id);

ALTER TABLE ONLY p2p.sql_set_versions
    ADD CONSTRAINT sql_set_versions_version_id_fkey FOREIGN KEY (version_id) REFERENCES p2p.sql_versions(version_id);

GRANT USAGE ON SCHEMA p2p TO p2p_reader;
GRANT USAGE ON SCHEMA p2p TO p2p_worker;

REVOKE ALL ON TYPE p2p.parsed_offer FROM PUBLIC;
GRANT ALL ON TYPE p2p.parsed_offer TO p2p_worker;

REVOKE ALL ON TYPE p2p.rule_finding FROM PUBLIC;
GRANT ALL ON TYPE p2p.rule_finding TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.adopt_abandoned_batch(p_worker_id text, p_lease_seconds double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.adopt_abandoned_batch(p_worker_id text, p_lease_seconds double precision) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.adopt_object(p_name text, p_note text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.announce_batch(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.announce_batch(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.apply_migration(p_name text, p_sha256 text, p_body text, p_program_version text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.apply_object(p_name text, p_sha256 text, p_body text, p_program_version text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.apply_objects(p_files jsonb, p_program_version text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.apply_retention(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.apply_retention(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.check_pages(p_since timestamp with time zone, p_until timestamp with time zone, OUT pages_checked bigint, OUT pages_without_checksum bigint, OUT pages_damaged bigint, OUT damaged_pages jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.check_pages(p_since timestamp with time zone, p_until timestamp with time zone, OUT pages_checked bigint, OUT pages_without_checksum bigint, OUT pages_damaged bigint, OUT damaged_pages jsonb) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.check_pipeline_step() FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.check_quality_rule() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.check_quality_rule() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.choose_offers(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.choose_offers(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_count integer) TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_batch_runs TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.close_batch(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.close_batch(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.compared_tables() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.compared_tables() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.current_sql() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.current_sql() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.current_sql_set() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.current_sql_set() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.definition_of(p_name text, p_body text, p_known text, OUT identity text, OUT definition text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.diagnose(p_interval_minutes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.diagnose(p_interval_minutes integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.discard_rejected(p_note text, p_reason text, p_batch_id uuid, p_is_dry_run boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.discard_rejected(p_note text, p_reason text, p_batch_id uuid, p_is_dry_run boolean) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.drop_temporary_tables(p_keep oid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.drop_temporary_tables(p_keep oid[]) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.end_fetching(p_batch_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.end_fetching(p_batch_id uuid, p_reason text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.fail_batch(p_batch_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.fail_batch(p_batch_id uuid, p_reason text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.find_object(p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.find_object(p_name text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.function_definition(p_function oid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.function_definition(p_function oid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.grants_on(p_identity text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.guard_setting() FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.is_beyond(p_metric numeric, p_is_bad_when text, p_threshold numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.is_beyond(p_metric numeric, p_is_bad_when text, p_threshold numeric) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.known_fiats(p_exchange text, p_fresh_seconds integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.known_fiats(p_exchange text, p_fresh_seconds integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.live_definition(p_identity text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.live_definition(p_identity text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.load_advertisers(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.load_advertisers(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.load_batch(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.load_batch(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.load_depth(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.load_depth(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.load_dimensions(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.load_dimensions(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.load_offers(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.load_offers(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.log_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.make_object(p_name text, p_body text, p_known text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.object_named(p_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.open_batch(p_exchange text, p_worker_id text, p_lease_seconds double precision, p_filter jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.open_batch(p_exchange text, p_worker_id text, p_lease_seconds double precision, p_filter jsonb) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.parse_binance_search_v1(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.parse_binance_search_v1(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.parse_pages(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.parse_pages(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.parser_cannot_read(p_parser text, p_path text, p_json_type text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.parser_cannot_read(p_parser text, p_path text, p_json_type text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.pause_state() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.pause_state() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.preview_load(p_batch_ids uuid[], p_with text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.preview_load(p_batch_ids uuid[], p_with text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.quarantine_batches(p_reason text, p_batch_id uuid, p_since timestamp with time zone, p_until timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.quarantine_batches(p_reason text, p_batch_id uuid, p_since timestamp with time zone, p_until timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.record_as_shipped(p_name text, p_sha256 text, p_body text, p_program_version text, p_identity text, p_definition text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text) TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.ops_batch_steps TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.record_load(p_before p2p.ops_batch_runs, p_steps p2p.ops_batch_steps[], p_began timestamp with time zone, p_sql_set_id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.record_load(p_before p2p.ops_batch_runs, p_steps p2p.ops_batch_steps[], p_began timestamp with time zone, p_sql_set_id integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.record_lost_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_error_type text, p_error_message text, p_retry_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.record_lost_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_error_type text, p_error_message text, p_retry_count integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.reject_offers(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.reject_offers(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.renew_lease(p_batch_id uuid, p_worker_id text, p_lease_seconds double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.renew_lease(p_batch_id uuid, p_worker_id text, p_lease_seconds double precision) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.repair_json(p_text text, OUT document jsonb, OUT alteration text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.repair_json(p_text text, OUT document jsonb, OUT alteration text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.replay_batch(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.replay_batch(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.replay_quarantine(p_batch_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.replay_quarantine(p_batch_id uuid, p_reason text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.replayable_batches(p_batch_ids uuid[], p_since timestamp with time zone, p_until timestamp with time zone, p_last integer, p_all boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.replayable_batches(p_batch_ids uuid[], p_since timestamp with time zone, p_until timestamp with time zone, p_last integer, p_all boolean) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.require_in_quarantine(p_reason text, p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.require_in_quarantine(p_reason text, p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.reread_definitions() FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.restore_object(p_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.retire_objects(p_shipped text[], p_program_version text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.rewrite_advertiser_history(p_time timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rewrite_advertiser_history(p_time timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_broken_references(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_broken_references(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_completeness(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_completeness(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_crossed_median(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_crossed_median(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_duplicate_offers(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_duplicate_offers(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_function(p_qualified_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_function(p_qualified_name text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_needed_keys(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_needed_keys(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_price_anomaly(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_price_anomaly(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_promoted_share(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_promoted_share(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_rejected_share(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_rejected_share(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_sql_drift(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_sql_drift(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_stale_timestamps(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_stale_timestamps(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_temporal_consistency(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_temporal_consistency(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_volume_drop(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_volume_drop(p_batch_id uuid) TO p2p_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.ops_data_quality TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.run_quality_checks(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.run_quality_checks(p_batch_id uuid) TO p2p_worker;

GRANT SELECT ON TABLE p2p.quality_rules TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.run_rule(p_rule p2p.quality_rules, p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.run_rule(p_rule p2p.quality_rules, p_batch_id uuid) TO p2p_worker;

GRANT SELECT ON TABLE p2p.pipeline_steps TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.run_step(p_batch_id uuid, p_step p2p.pipeline_steps) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.run_step(p_batch_id uuid, p_step p2p.pipeline_steps) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.run_steps(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.run_steps(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.samples_of(p_offending_rows jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.samples_of(p_offending_rows jsonb) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.setting_number(p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.setting_number(p_name text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.setting_switch(p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.setting_switch(p_name text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.show_quarantine(p_reason text, p_batch_id uuid, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.show_quarantine(p_reason text, p_batch_id uuid, p_limit integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.sql_fingerprint() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.sql_fingerprint() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.status_report(p_batches integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.status_report(p_batches integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.step_call(p_step p2p.pipeline_steps) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.step_call(p_step p2p.pipeline_steps) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.store_market_list(p_exchange text, p_fiats jsonb, p_markets jsonb, p_covered text[], p_missed text[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.store_market_list(p_exchange text, p_fiats jsonb, p_markets jsonb, p_covered text[], p_missed text[], p_now timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.store_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_offers_reported integer, p_parser text, p_observed_at timestamp with time zone, p_attempt integer, p_http_status integer, p_duration_ms integer, p_body_bytes integer, p_body_sha256 bytea, p_alteration text, p_body_original bytea, p_body text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.store_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_offers_reported integer, p_parser text, p_observed_at timestamp with time zone, p_attempt integer, p_http_status integer, p_duration_ms integer, p_body_bytes integer, p_body_sha256 bytea, p_alteration text, p_body_original bytea, p_body text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.store_payment_methods(p_exchange text, p_methods jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.store_payment_methods(p_exchange text, p_methods jsonb) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.temporary_tables() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.temporary_tables() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.uncomment(p_identity text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.watch_shapes(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.watch_shapes(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.watched_values(p_batch_id uuid, p_only_needed boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.watched_values(p_batch_id uuid, p_only_needed boolean) TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.ops_batch_loads TO p2p_worker;

GRANT SELECT ON TABLE p2p.batch_overview TO p2p_reader;
GRANT SELECT ON TABLE p2p.batch_overview TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.sql_set_versions TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.sql_versions TO p2p_worker;

GRANT SELECT ON TABLE p2p.batch_sql TO p2p_reader;
GRANT SELECT ON TABLE p2p.batch_sql TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_cryptocurrencies TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_cryptocurrencies TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_exchanges TO p2p_reader;
GRANT SELECT ON TABLE p2p.dim_exchanges TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_fiat_currencies TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_fiat_currencies TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_markets TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_markets TO p2p_worker;

GRANT SELECT ON TABLE p2p.fact_market_depth TO p2p_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.fact_market_depth TO p2p_worker;

GRANT SELECT ON TABLE p2p.best_prices TO p2p_reader;

GRANT SELECT ON TABLE p2p.change_log TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_batch_markets TO p2p_worker;

GRANT SELECT ON TABLE p2p.coverage TO p2p_reader;

GRANT SELECT ON TABLE p2p.settings TO p2p_worker;

GRANT SELECT ON TABLE p2p.current_settings TO p2p_reader;
GRANT SELECT ON TABLE p2p.current_settings TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.sql_sets TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.stg_responses TO p2p_worker;

GRANT SELECT ON TABLE p2p.depth_origin TO p2p_reader;
GRANT SELECT ON TABLE p2p.depth_origin TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_advertisers TO p2p_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.dim_advertisers TO p2p_worker;

GRANT USAGE ON SEQUENCE p2p.dim_advertisers_advertiser_sk_seq TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_offers TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_offers TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_payment_methods TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_payment_methods TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_payment_sets TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_payment_sets TO p2p_worker;

GRANT SELECT ON TABLE p2p.fact_offers TO p2p_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.fact_offers TO p2p_worker;

GRANT SELECT ON TABLE p2p.fact_offer_payment_methods TO p2p_reader;

GRANT SELECT ON TABLE p2p.failed_steps TO p2p_reader;
GRANT SELECT ON TABLE p2p.failed_steps TO p2p_worker;

GRANT SELECT ON TABLE p2p.failing_rules TO p2p_reader;

GRANT SELECT ON TABLE p2p.freshness TO p2p_reader;
GRANT SELECT ON TABLE p2p.freshness TO p2p_worker;

GRANT SELECT ON TABLE p2p.gaps TO p2p_reader;

GRANT SELECT ON TABLE p2p.help TO p2p_reader;
GRANT SELECT ON TABLE p2p.help TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_extraction_errors TO p2p_worker;

GRANT SELECT ON TABLE p2p.last_failures TO p2p_reader;

GRANT SELECT ON TABLE p2p.market_daily TO p2p_reader;

GRANT SELECT ON TABLE p2p.market_hourly TO p2p_reader;

GRANT SELECT ON TABLE p2p.merchant_daily TO p2p_reader;

GRANT SELECT ON TABLE p2p.missing_markets TO p2p_reader;
GRANT SELECT ON TABLE p2p.missing_markets TO p2p_worker;

GRANT SELECT ON TABLE p2p.mv_latest_market_state TO p2p_reader;

GRANT SELECT ON TABLE p2p.schema_objects TO p2p_worker;

GRANT SELECT ON TABLE p2p.object_states TO p2p_worker;

GRANT SELECT ON TABLE p2p.offer_origin TO p2p_reader;
GRANT SELECT ON TABLE p2p.offer_origin TO p2p_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.ops_rejected_offers TO p2p_worker;

GRANT SELECT ON TABLE p2p.offers_in_quarantine TO p2p_reader;
GRANT SELECT ON TABLE p2p.offers_in_quarantine TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_discoveries TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.ops_shape_events TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.ops_shape_watches TO p2p_worker;

GRANT SELECT ON TABLE p2p.parser_keys TO p2p_worker;

GRANT SELECT ON TABLE p2p.prices_by_payment_method TO p2p_reader;

GRANT SELECT ON TABLE p2p.quarantine TO p2p_reader;
GRANT SELECT ON TABLE p2p.quarantine TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.response_paths TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.response_shapes TO p2p_worker;

GRANT SELECT ON TABLE p2p.response_keys TO p2p_reader;

GRANT SELECT ON TABLE p2p.schema_migrations TO p2p_worker;

GRANT SELECT ON TABLE p2p.setting_changes TO p2p_reader;
GRANT SELECT ON TABLE p2p.setting_changes TO p2p_worker;

GRANT SELECT ON TABLE p2p.shape_events TO p2p_reader;

GRANT SELECT ON TABLE p2p.sql_history TO p2p_reader;
GRANT SELECT ON TABLE p2p.sql_history TO p2p_worker;

GRANT SELECT ON TABLE p2p.table_sizes TO p2p_reader;

GRANT SELECT ON TABLE p2p.v_price_history TO p2p_reader;
