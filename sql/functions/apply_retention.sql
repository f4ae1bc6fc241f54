-- Deletes what is older than the settings allow: pages as received, offers, books, and the ledger with errors and
-- rejected offers (rows of ops_batch_runs and results of checks stay). Made to be an optional step of load_batch.
-- Age counts from the newest batch, so that nothing is deleted while no batch comes, and never from a time to come.
-- Each call clears the oldest retention_batches_per_load batches of each kind at most: one of 50,000 offers with its
-- pages takes a second, and no load must get slow by an old backlog.
-- As a step it acts only in the first load of a batch: loading again deletes nothing. With NULL instead of a batch a
-- DBA clears away at once: select p2p.apply_retention(null). Returns how many rows went, by table.
-- Runs with the rights of its owner: the worker may delete what the settings say, and no other page.
create or replace function p2p.apply_retention(p_batch_id uuid)
returns jsonb
language plpgsql
security definer
set search_path = p2p, pg_temp
as $function$
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
$function$;

comment on function p2p.apply_retention(uuid) is 'Deletes what is older than the settings allow, a few batches a call';

revoke execute on function p2p.apply_retention(uuid) from public;

grant execute on function p2p.apply_retention(uuid) to p2p_worker;
