-- Step 1 of load_batch: reads the stored pages, each with the parser that its page names.
-- Makes pg_temp.parsed_offers, one row an item, and writes their number down. A second call changes nothing unless it
-- changed.
-- Raises where a batch was loaded before and pages of it are gone since: its facts would go after them.
create or replace function p2p.parse_pages(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
set default_statistics_target = 10
as $function$
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
$function$;

comment on function p2p.parse_pages(uuid) is 'Step of load_batch: reads the stored pages';

grant execute on function p2p.parse_pages(uuid) to p2p_worker;
