-- Takes the oldest batch of an import out of what waits, stores its pages as a batch of its own time and loads it, all in
-- one transaction: readers see the batch whole or not at all, and what is killed in the middle never began.
-- The batch is not `running` at any moment, so that the worker's own batches go on beside it. Its times are those of the
-- recording. The same pages make the same batch, with the same id, in any database.
-- A batch whose pages are all there is not touched, unless it failed: then it is loaded again. With p_dry_run nothing is
-- changed but that the batch no longer waits.
-- Returns one row, or none where no batch waits. batch_id is NULL where none was or would be made. problems are why lines
-- are left out, at most 100 reasons: [{"file": 1, "line": 7, "lines": 3, "problem": …}], with the first line of each.
create or replace function p2p.import_next_batch(p_import_id uuid, p_dry_run boolean)
returns table (
  batch_start_time timestamptz,
  batch_id uuid,
  outcome text,
  status text,
  error_summary text,
  pages_stored integer,
  pages_there integer,
  pages_left_out integer,
  offers integer,
  problems jsonb
)
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_time timestamptz;
  v_batch p2p.ops_batch_runs;
begin
  update p2p.stg_imports i
  set seen_at = clock_timestamp()
  where i.import_id = p_import_id;

  if not found then
    raise exception 'import % is not under way: it was silent for ten minutes, or the server was restarted', p_import_id
      using errcode = 'P2P03', hint = 'call import again: what was loaded stays and is recognised';
  end if;

  select min(s.batch_start_time)
  into v_time
  from p2p.stg_import_pages s
  where s.import_id = p_import_id;

  if v_time is null then
    return;
  end if;

  -- As load_batch does, but first of all: another load, or another import, is waited for before anything is locked
  -- that the worker's next batch needs.
  if not p_dry_run then
    lock table p2p.dim_advertisers in share row exclusive mode;
  end if;

  create temp table import_verdicts on commit drop as
  select j.*
  from p2p.judge_import_pages(p_import_id, v_time) j;

  analyze pg_temp.import_verdicts;

  select
    v_time,
    count(*) filter (where j.problem is null and not j.is_there),
    count(*) filter (where j.problem is null and j.is_there),
    count(*) filter (where j.problem is not null),
    coalesce(
      (
        select jsonb_agg(
          jsonb_build_object(
            'file', shown.first_line[1], 'line', shown.first_line[2], 'lines', shown.lines, 'problem', shown.problem
          )
          order by shown.first_line
        )
        from (
          select
            v.problem,
            min(array[v.file_number, v.line_number]) as first_line,
            count(*) as lines
          from pg_temp.import_verdicts v
          where v.problem is not null
          group by v.problem
          order by first_line
          limit 100
        ) as shown
      ),
      '[]'
    )
  into batch_start_time, pages_stored, pages_there, pages_left_out, problems
  from pg_temp.import_verdicts j;

  select r.*
  into v_batch
  from p2p.ops_batch_runs r
  where r.batch_start_time = v_time;

  outcome := case
    when pages_stored = 0 and pages_there = 0 then 'left out'
    when pages_stored > 0 and v_batch.batch_id is null then 'new'
    when pages_stored > 0 then 'more pages'
    when v_batch.status = 'failed' and v_batch.imported_from is not null and v_batch.raw_deleted_at is null
    then 'loaded again'
    else 'there already'
  end;

  if p_dry_run then
    offers := (
      select coalesce(sum(jsonb_array_length(s.body -> 'data')), 0)
      from pg_temp.import_verdicts j
      join p2p.stg_import_pages s using (file_number, line_number)
      where s.import_id = p_import_id
        and j.problem is null
        and not j.is_there
        and jsonb_typeof(s.body -> 'data') = 'array'
    );
  elsif outcome in ('new', 'more pages', 'loaded again') then
    if pages_stored > 0 then
      v_batch.batch_id := p2p.store_imported_batch(p_import_id, v_time);
    end if;

    v_batch := p2p.load_batch(v_batch.batch_id);
    offers := v_batch.total_offers_inserted;
  else
    offers := coalesce(v_batch.total_offers_inserted, 0);
  end if;

  if outcome <> 'left out' then
    batch_id := v_batch.batch_id;
    status := v_batch.status;
    error_summary := v_batch.error_summary;
  end if;

  delete from p2p.stg_import_pages s
  where s.import_id = p_import_id
    and s.batch_start_time = v_time;

  drop table pg_temp.import_verdicts;
  return next;
end
$function$;

comment on function p2p.import_next_batch(uuid, boolean) is 'Makes a batch of the oldest pages of an import, and loads it';

grant execute on function p2p.import_next_batch(uuid, boolean) to p2p_worker;
