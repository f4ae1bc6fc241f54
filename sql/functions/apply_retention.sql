-- Drops what is older than the settings allow: whole partitions of pages as received, offers and books (drop_older), and
-- the ledger with errors and rejected offers by batch (rows of ops_batch_runs and results of checks stay). And makes
-- partitions for partitions_ahead_days to come. Made to be an optional step of load_batch.
-- Age counts from the newest batch, so that nothing is dropped while no batch comes, and never from a time to come. A
-- day, or month, goes when all of it is older, but never that of a batch that is running, nor a later one.
-- Of the ledger each call clears the oldest retention_batches_per_load batches at most, so that no load gets slow by an
-- old backlog.
-- As a step it acts only in the first load of a batch: loading again deletes nothing. With NULL instead of a batch a
-- DBA clears away at once: select p2p.apply_retention(null). Returns how many partitions, or rows of the ledger, went,
-- by table; and under held_up what could not go, and why (also in dropped_facts).
-- Runs with the rights of its owner: the worker may delete what the settings say, and no other page.
create or replace function p2p.apply_retention(p_batch_id uuid)
returns jsonb
language plpgsql
security definer
set search_path = p2p, pg_temp
as $function$
declare
  v_newest timestamptz;
  v_running timestamptz := (select min(r.batch_start_time) from p2p.ops_batch_runs r where r.status = 'running');
  v_kind record;
  v_drop record;
  v_before timestamptz;
  v_deleted jsonb := '{}'::jsonb;
  v_held_up jsonb := '{}'::jsonb;
  v_ledger jsonb;
begin
  if p_batch_id is not null
    and not exists (select from p2p.ops_batch_runs r where r.batch_id = p_batch_id and r.status = 'running')
  then
    return v_deleted;
  end if;

  select least(max(r.batch_start_time), clock_timestamp())
  into v_newest
  from p2p.ops_batch_runs r;

  perform p2p.make_room(v_newest + make_interval(days => day))
  from generate_series(1, p2p.setting_number('partitions_ahead_days')::integer) as day;

  for v_kind in
    select
      t.table_name,
      v_newest - make_interval(secs => p2p.setting_number(t.retention_setting)::double precision * 86400) as before
    from p2p.partitioned_tables t
    where t.retention_setting is not null
    order by t.table_name
  loop
    select d.dropped, d.held_up_by
    into v_drop
    from p2p.drop_older(v_kind.table_name, least(v_kind.before, v_running)) as d;

    if v_drop.dropped > 0 then
      v_deleted := v_deleted || jsonb_build_object(v_kind.table_name, v_drop.dropped);
    end if;

    if v_drop.held_up_by is not null then
      v_held_up := v_held_up || jsonb_build_object(v_kind.table_name, v_drop.held_up_by);
    end if;
  end loop;

  -- Batches that came late, after their day was dropped, have pages again.
  update p2p.ops_batch_runs r
  set raw_deleted_at = clock_timestamp()
  where v_deleted ? 'stg_responses'
    and r.raw_deleted_at is null
    and r.status <> 'running'
    and r.batch_start_time < (select d.dropped_before from p2p.dropped_facts d where d.table_name = 'stg_responses')
    and not exists (
      select
      from p2p.stg_responses s
      where s.extraction_timestamp = r.batch_start_time
    );

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
    limit p2p.setting_number('retention_batches_per_load')
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

  -- Nor do due times that got no batch, and workers that are long dead.
  delete from p2p.ops_skipped_batches s
  where s.due_at < v_before;

  delete from p2p.ops_workers w
  where w.last_seen_at < clock_timestamp() - interval '30 days';

  -- Nor do incidents that are over; open ones stay.
  delete from p2p.ops_incidents i
  where i.raised_at < v_before
    and i.resolved_at is not null;

  -- Nor do pages of an import that was killed, which only another import would clear away.
  delete from p2p.stg_imports i
  where i.seen_at < clock_timestamp() - interval '1 day';

  return v_deleted
    || coalesce(v_ledger, '{}')
    || case when v_held_up <> '{}' then jsonb_build_object('held_up', v_held_up) else '{}' end;
end
$function$;

comment on function p2p.apply_retention(uuid) is 'Drops what is older than the settings allow, and makes partitions for days to come';

revoke execute on function p2p.apply_retention(uuid) from public;

grant execute on function p2p.apply_retention(uuid) to p2p_worker;
