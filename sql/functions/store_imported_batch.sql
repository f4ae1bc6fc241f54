-- Part of import_next_batch: stores the pages that pg_temp.import_verdicts lets in as a batch of their time, or adds them to
-- the one that an import made before, and writes its ledger. Returns the batch, which load_batch has to load.
-- The batch stands as failed, which is what a batch without facts is, until load_batch makes it what it is; both happen
-- in one transaction.
create or replace function p2p.store_imported_batch(p_import_id uuid, p_time timestamptz)
returns uuid
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch_id uuid;
begin
  perform p2p.import_markets(p_import_id, p_time);

  create temp table import_choices on commit drop as
  select
    s.file_number,
    s.line_number,
    v.market_id,
    s.page_number,
    s.page_size,
    s.filtered_by,
    s.observed_at
  from pg_temp.import_verdicts v
  join p2p.stg_import_pages s
    on s.import_id = p_import_id
    and s.file_number = v.file_number
    and s.line_number = v.line_number
  where v.problem is null
    and not v.is_there;

  analyze pg_temp.import_choices;

  insert into p2p.ops_batch_runs as r (
    batch_id, batch_start_time, batch_end_time, status, error_summary, execution_time_seconds, worker_id,
    imported_from
  )
  select
    -- The id follows from the time: the same history has the same ids everywhere.
    encode(substring(sha256(convert_to('p2p import ' || extract(epoch from p_time), 'UTF8')) for 16), 'hex')::uuid,
    p_time,
    greatest(p_time, (select max(c.observed_at) from pg_temp.import_choices c)),
    'failed',
    'not loaded yet',
    extract(epoch from greatest(p_time, (select max(c.observed_at) from pg_temp.import_choices c)) - p_time),
    i.worker_id,
    array(
      select i.files[c.file_number]
      from pg_temp.import_choices c
      group by c.file_number
      order by c.file_number
    )
  from p2p.stg_imports i
  where i.import_id = p_import_id
  on conflict (batch_start_time) do update
  set
    batch_end_time = greatest(r.batch_end_time, excluded.batch_end_time),
    execution_time_seconds = greatest(r.execution_time_seconds, excluded.execution_time_seconds),
    imported_from = r.imported_from || array(
      select file.name
      from unnest(excluded.imported_from) with ordinality as file (name, place)
      where file.name <> all (r.imported_from)
      order by file.place
    )
  returning r.batch_id
  into v_batch_id;

  insert into p2p.stg_responses (
    extraction_timestamp, market_id, page_number, batch_id, observed_at, body_bytes, body_sha256, parser, alteration,
    body_original, body, stored_sha256
  )
  select
    p_time, c.market_id, s.page_number, v_batch_id, s.observed_at, s.body_bytes, s.body_sha256, s.parser, s.alteration,
    s.body_original, s.body, s.stored_sha256
  from pg_temp.import_choices c
  join p2p.stg_import_pages s
    on s.import_id = p_import_id
    and s.file_number = c.file_number
    and s.line_number = c.line_number;

  perform p2p.write_imported_books(v_batch_id);

  update p2p.ops_batch_runs r
  set markets_expected = ledger.markets
  from (
    select count(*) as markets
    from p2p.ops_batch_markets bm
    where bm.batch_id = v_batch_id
  ) as ledger
  where r.batch_id = v_batch_id
    and r.markets_expected <> ledger.markets;

  drop table pg_temp.import_choices;
  return v_batch_id;
end
$function$;

comment on function p2p.store_imported_batch(uuid, timestamptz) is 'Part of import_next_batch: stores pages as a batch of their own time';

grant execute on function p2p.store_imported_batch(uuid, timestamptz) to p2p_worker;
