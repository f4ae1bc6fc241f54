-- Step 1 of load_batch: reads the stored pages, each with the parser that its page names.
-- Makes pg_temp.parsed_offers, one row an item, and writes their number down. A second call changes nothing unless it changed.
create or replace function p2p.parse_pages(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_parser text;
  v_read bigint;
  v_items bigint := 0;
begin
  create temp table parsed_offers of p2p.parsed_offer on commit drop;

  for v_parser in
    select distinct s.parser
    from p2p.stg_responses s
    join p2p.ops_batch_runs r on r.batch_start_time = s.extraction_timestamp
    where r.batch_id = p_batch_id
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
