-- Whether the raw pages that made a batch are still here: apply_retention has not deleted them, and a backup that this
-- database may come from has not left them out. Without them it cannot be loaded again (parse_pages). Changes
-- nothing.
create or replace function p2p.has_its_pages(p_batch p2p.ops_batch_runs)
returns boolean
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select
    p_batch.raw_deleted_at is null
    and (
      select count(*)
      from p2p.stg_responses s
      where s.extraction_timestamp = p_batch.batch_start_time
    ) >= (
      select coalesce(sum(bm.pages_stored), 0)
      from p2p.ops_batch_markets bm
      where bm.batch_id = p_batch.batch_id
    )
$function$;

comment on function p2p.has_its_pages(p2p.ops_batch_runs) is 'Whether the raw pages of a batch are still here';

grant execute on function p2p.has_its_pages(p2p.ops_batch_runs) to p2p_worker;
