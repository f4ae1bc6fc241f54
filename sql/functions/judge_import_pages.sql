-- What is to become of each page that an import has for the batch of p_time. Where a page was read several times, the
-- whole book counts before a filtered one, then the earliest reading: the order of lines and files does not matter.
-- problem is NULL where the page is to be stored (is_there false) or stored already (is_there true); else why it is left out.
-- Of a batch that the worker fetched, or whose pages are deleted, nothing is changed. Changes nothing.
create or replace function p2p.judge_import_pages(p_import_id uuid, p_time timestamptz)
returns table (file_number integer, line_number bigint, market_id integer, is_there boolean, problem text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with batch as materialized (
    select
      r.batch_id,
      r.batch_id is not null as is_known,
      r.status,
      r.imported_from,
      r.raw_deleted_at,
      r.ledger_deleted_at,
      case
        when r.batch_id is null
        then p2p.import_obstacle(
          p_time,
          (select max(s.batch_start_time) from p2p.stg_import_pages s where s.import_id = p_import_id)
        )
      end as obstacle
    from (values (p_time)) as asked (batch_start_time)
    left join p2p.ops_batch_runs r on r.batch_start_time = asked.batch_start_time
  ),
  readings as (
    select
      s.file_number,
      s.line_number,
      m.market_id,
      s.page_number,
      s.stored_sha256,
      row_number() over reading as place,
      first_value(s.stored_sha256) over reading as chosen_sha256,
      first_value(i.files[s.file_number] || ':' || s.line_number) over reading as chosen_line
    from p2p.stg_import_pages s
    join p2p.stg_imports i on i.import_id = s.import_id
    left join p2p.dim_fiat_currencies f on f.currency_code = s.fiat
    left join p2p.dim_cryptocurrencies c on c.symbol = s.asset
    left join p2p.dim_markets m
      on (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type) = (s.exchange_id, f.fiat_id, c.crypto_id, s.trade_type)
    where s.import_id = p_import_id
      and s.batch_start_time = p_time
    window reading as (
      partition by s.exchange_id, s.fiat, s.asset, s.trade_type, s.page_number
      order by
        s.filtered_by is not null,
        s.observed_at,
        s.stored_sha256,
        s.file_number,
        s.line_number
    )
  )
  select
    r.file_number,
    r.line_number,
    r.market_id,
    known.is_there or repeats.is_repeated,
    case
      when known.is_there or repeats.is_repeated then null
      when r.place > 1
      then format('its batch has another reading of this page, of %s', r.chosen_line)
      when page.stored_sha256 is not null
      then 'its batch has another reading of this page, stored before'
      when b.is_known and b.imported_from is null
      then format('batch %s of that very time was fetched by the worker: nothing is added to it', b.batch_id)
      when b.raw_deleted_at is not null
      then format('the pages of batch %s are deleted since: nothing can be added to it', b.batch_id)
      else b.obstacle
    end
  from readings r
  cross join batch b
  left join p2p.stg_responses page
    on page.extraction_timestamp = p_time
    and page.market_id = r.market_id
    and page.page_number = r.page_number
  cross join lateral (
    select
      coalesce(page.stored_sha256 = r.stored_sha256, false)
      -- Pages that are no longer kept were there if their market was.
      or b.raw_deleted_at is not null and (
        b.ledger_deleted_at is not null
        or exists (
          select
          from p2p.ops_batch_markets bm
          where bm.batch_id = b.batch_id
            and bm.market_id = r.market_id
            and r.page_number <= bm.pages_stored + cardinality(bm.lost_pages)
        )
      ) as is_there
  ) as known
  cross join lateral (
    select r.place > 1 and r.stored_sha256 = r.chosen_sha256 as is_repeated
  ) as repeats
$function$;

comment on function p2p.judge_import_pages(uuid, timestamptz) is 'What is to become of each page that an import has for a batch';

grant execute on function p2p.judge_import_pages(uuid, timestamptz) to p2p_worker;
