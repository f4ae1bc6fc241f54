-- The batches that `replay` takes, oldest first: those of p_batch_ids, or else those that started within
-- [p_since, p_until], or else the last p_last of them that are not running. Changes nothing.
-- pages are the raw pages that are there; obstacle says why a batch must not be loaded again, NULL where it
-- may. is_current says that the SQL of now has loaded it already, so that nothing would change; with p_all that does
-- not count.
create or replace function p2p.replayable_batches(
  p_batch_ids uuid[] default null,
  p_since timestamptz default null,
  p_until timestamptz default null,
  p_last integer default null,
  p_all boolean default false
)
returns table (batch_id uuid, batch_start_time timestamptz, status text, offers integer, pages bigint, obstacle text, is_current boolean)
language sql
stable
set search_path = p2p, pg_temp
as $function$
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
      when not p2p.has_its_pages(a) then 'its raw pages are gone'
    end,
    not p_all and coalesce(last_load.sql_set_id = (select c.sql_set_id from current_set c), false)
  from asked a
  cross join lateral (
    select count(*) as pages
    from p2p.stg_responses s
    where s.extraction_timestamp = a.batch_start_time
  ) as raw
  left join lateral (
    select l.sql_set_id
    from p2p.ops_batch_loads l
    where l.batch_id = a.batch_id
    order by l.load_number desc
    limit 1
  ) as last_load on true
  order by a.batch_start_time
$function$;

comment on function p2p.replayable_batches(uuid[], timestamptz, timestamptz, integer, boolean) is 'Batches that p2p-ingest replay takes, and what stands against it';

grant execute on function p2p.replayable_batches(uuid[], timestamptz, timestamptz, integer, boolean) to p2p_worker;
