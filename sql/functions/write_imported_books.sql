-- Part of store_imported_batch: writes the ledger of the markets of pg_temp.import_choices, which have just got pages. Whole
-- is a book whose pages are all there, as far as the recording tells. Its pages say how many offers there are (total); one
-- without a total ends with a page that is not full. A book that was asked for with a filter is never whole, nor is one
-- that lacks a tenth of its total. Changes ops_batch_markets of this batch, and only rows that become another.
create or replace function p2p.write_imported_books(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_position integer := (
    select coalesce(max(bm.plan_position), 0)
    from p2p.ops_batch_markets bm
    where bm.batch_id = p_batch_id
  );
begin
  create temp table import_book_pages on commit drop as
  select
    s.market_id,
    s.page_number,
    s.observed_at,
    case jsonb_typeof(answer.data) when 'array' then jsonb_array_length(answer.data) else 0 end as items,
    case when answer.total ~ '^\d{1,9}$' then answer.total::integer end as total
  from p2p.stg_responses s
  cross join jsonb_to_record(s.body) as answer (data jsonb, total text) -- decompresses the page once, not for each key
  where s.extraction_timestamp = v_batch.batch_start_time
    and s.market_id in (select c.market_id from pg_temp.import_choices c);

  analyze pg_temp.import_book_pages;

  with books as (
    select
      p.market_id,
      count(*)::integer as pages_stored,
      array_agg(p.page_number) as page_numbers,
      max(p.page_number) as last_page,
      (array_agg(p.items order by p.page_number desc))[1] as last_items,
      (array_agg(p.total order by p.page_number desc) filter (where p.total is not null))[1] as total,
      sum(p.items) as items,
      min(p.observed_at) as started_at,
      max(p.observed_at) as finished_at,
      coalesce(max(c.page_size), 20) as page_size,
      max(c.filtered_by) as filtered_by
    from pg_temp.import_book_pages p
    left join pg_temp.import_choices c using (market_id, page_number)
    group by p.market_id
  ),
  measured as (
    select
      k.*,
      f.currency_code as fiat,
      a.symbol as asset,
      m.trade_type,
      coalesce('filtered by ' || k.filtered_by, known.reason) as filter,
      case
        when k.last_items = 0 then k.last_page
        when k.total is null then k.last_page
        else greatest(k.last_page, least(ceil(k.total::numeric / k.page_size), 500)::integer) -- no book has 500 pages
      end as pages
    from books k
    join p2p.dim_markets m on m.market_id = k.market_id
    join p2p.dim_fiat_currencies f on f.fiat_id = m.fiat_id
    join p2p.dim_cryptocurrencies a on a.crypto_id = m.crypto_id
    left join p2p.ops_batch_markets known
      on known.batch_id = p_batch_id
      and known.market_id = k.market_id
      and known.reason like 'filtered by %'
  ),
  judged as (
    select
      m.*,
      array(
        select wanted.page_number
        from generate_series(1, m.pages) as wanted (page_number)
        where wanted.page_number <> all (m.page_numbers)
        order by 1
      ) as lost_pages
    from measured m
  ),
  reasoned as (
    select
      j.*,
      case
        when j.filter is not null
        then j.filter
        when j.lost_pages <> '{}'
        then format('%s of %s pages are not in the recording', cardinality(j.lost_pages), j.pages)
        when j.last_items = 0
        then null
        when j.total is null and j.last_items >= j.page_size
        then 'the recording does not say how many offers there were'
        when j.total - j.items > greatest(3, 0.1 * j.total) -- the total moves while one pages
        then format('%s of %s offers are in the recording', j.items, j.total)
      end as reason
    from judged j
  )
  insert into p2p.ops_batch_markets as bm (
    batch_id, market_id, plan_position, status, worker_id, pages_stored, lost_pages, offers_reported, started_at,
    finished_at, reason
  )
  select
    p_batch_id,
    r.market_id,
    v_position + row_number() over (order by r.fiat, r.asset, r.trade_type),
    case when r.reason is null then 'complete' else 'incomplete' end,
    v_batch.worker_id,
    r.pages_stored,
    r.lost_pages,
    r.total,
    r.started_at,
    r.finished_at,
    r.reason
  from reasoned r
  on conflict (batch_id, market_id) do update
  set
    status = excluded.status,
    pages_stored = excluded.pages_stored,
    lost_pages = excluded.lost_pages,
    offers_reported = excluded.offers_reported,
    started_at = excluded.started_at,
    finished_at = excluded.finished_at,
    reason = excluded.reason
  where (bm.pages_stored, bm.status, bm.reason) is distinct from (excluded.pages_stored, excluded.status, excluded.reason);

  drop table pg_temp.import_book_pages;
end
$function$;

comment on function p2p.write_imported_books(uuid) is 'Writes the ledger of the markets that an import stored pages of';

grant execute on function p2p.write_imported_books(uuid) to p2p_worker;
