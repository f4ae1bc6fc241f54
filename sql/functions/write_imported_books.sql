-- Writes the ledger of the markets that an import just stored pages of: whole is a book whose pages are all there, as
-- far as the recording tells. Its pages say how many offers there are (total); one without a total ends with a page that
-- is not full. A book that was asked for with a filter is never whole, nor is one with a tenth fewer offers than its total.
-- Changes ops_batch_markets of this batch, and only rows that become another; a second call changes nothing.
create or replace function p2p.write_imported_books(p_batch_id uuid, p_import_id uuid)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  with batch as (
    select r.batch_id, r.batch_start_time, r.worker_id
    from p2p.ops_batch_runs r
    where r.batch_id = p_batch_id
  ),
  brought as (
    select
      m.market_id,
      s.fiat,
      s.asset,
      s.trade_type,
      max(s.page_size) as page_size,
      max(s.filtered_by) as filtered_by
    from batch b
    join p2p.stg_import_pages s on s.import_id = p_import_id and s.batch_start_time = b.batch_start_time
    join p2p.dim_fiat_currencies f on f.currency_code = s.fiat
    join p2p.dim_cryptocurrencies c on c.symbol = s.asset
    join p2p.dim_markets m
      on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (s.exchange_id, f.fiat_id, c.crypto_id, s.trade_type)
    join p2p.stg_responses page -- what another reading of the page was asked for says nothing of the one that counts
      on page.extraction_timestamp = b.batch_start_time
      and page.market_id = m.market_id
      and page.page_number = s.page_number
      and page.stored_sha256 = s.stored_sha256
    group by m.market_id, s.fiat, s.asset, s.trade_type
  ),
  pages as (
    select
      s.market_id,
      s.page_number,
      s.observed_at,
      case jsonb_typeof(s.body -> 'data') when 'array' then jsonb_array_length(s.body -> 'data') else 0 end as items,
      case when s.body ->> 'total' ~ '^\d{1,9}$' then (s.body ->> 'total')::integer end as total
    from batch b
    join p2p.stg_responses s on s.extraction_timestamp = b.batch_start_time
    join brought using (market_id)
  ),
  books as (
    select
      p.market_id,
      count(*)::integer as pages_stored,
      array_agg(p.page_number) as page_numbers,
      max(p.page_number) as last_page,
      (array_agg(p.items order by p.page_number desc))[1] as last_items,
      (array_agg(p.total order by p.page_number desc) filter (where p.total is not null))[1] as total,
      sum(p.items) as items,
      min(p.observed_at) as started_at,
      max(p.observed_at) as finished_at
    from pages p
    group by p.market_id
  ),
  measured as (
    select
      k.*,
      br.fiat,
      br.asset,
      br.trade_type,
      coalesce(br.page_size, 20) as page_size,
      coalesce(
        'filtered by ' || br.filtered_by,
        (select bm.reason from p2p.ops_batch_markets bm where bm.batch_id = p_batch_id and bm.market_id = k.market_id and bm.reason like 'filtered by %')
      ) as filter,
      case
        when k.last_items = 0 then k.last_page
        when k.total is null then k.last_page
        else greatest(k.last_page, least(ceil(k.total::numeric / coalesce(br.page_size, 20)), 500)::integer) -- no book has 500 pages
      end as pages
    from books k
    join brought br using (market_id)
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
        when j.items < 0.9 * j.total
        then format('%s of %s offers are in the recording', j.items, j.total)
      end as reason
    from judged j
  )
  insert into p2p.ops_batch_markets as bm (
    batch_id, market_id, plan_position, status, worker_id, pages_stored, lost_pages, offers_reported, started_at,
    finished_at, reason
  )
  select
    b.batch_id,
    r.market_id,
    (
      select coalesce(max(earlier.plan_position), 0)
      from p2p.ops_batch_markets earlier
      where earlier.batch_id = b.batch_id
    ) + row_number() over (order by r.fiat, r.asset, r.trade_type),
    case when r.reason is null then 'complete' else 'incomplete' end,
    b.worker_id,
    r.pages_stored,
    r.lost_pages,
    r.total,
    r.started_at,
    r.finished_at,
    r.reason
  from reasoned r
  cross join batch b
  on conflict (batch_id, market_id) do update
  set
    status = excluded.status,
    pages_stored = excluded.pages_stored,
    lost_pages = excluded.lost_pages,
    offers_reported = excluded.offers_reported,
    started_at = excluded.started_at,
    finished_at = excluded.finished_at,
    reason = excluded.reason
  where (bm.pages_stored, bm.status, bm.reason) is distinct from (excluded.pages_stored, excluded.status, excluded.reason)
$function$;

comment on function p2p.write_imported_books(uuid, uuid) is 'Writes the ledger of the markets that an import stored pages of';

grant execute on function p2p.write_imported_books(uuid, uuid) to p2p_worker;
