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

  if exists (select from p2p.ops_batch_runs where batch_id = p_batch_id and raw_deleted_at is not null) then
    raise exception 'the pages of batch % were deleted when they were old enough: it cannot be loaded again', p_batch_id
      using errcode = 'P2P03', hint = 'its facts stay as they are; raw_retention_days in p2p.settings says how long pages are kept';
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

grant execute on function p2p.load_batch(uuid) to p2p_worker;
