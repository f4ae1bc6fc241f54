-- Whether the pages of the batches that began in [p_since, p_until) are what was stored: computes their checksums again.
-- Where the bytes as received were kept (body_original), those are checked too, against the checksum of the worker.
-- Returns one row; damaged_pages names up to 1,000 of them, oldest first, each with its key in stg_responses. Reads
-- some 2,000 pages a second and changes nothing.
create or replace function p2p.check_pages(
  p_since timestamptz,
  p_until timestamptz,
  out pages_checked bigint,
  out pages_without_checksum bigint,
  out pages_damaged bigint,
  out damaged_pages jsonb
)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with compared as materialized (
    select
      s.extraction_timestamp,
      s.market_id,
      s.page_number,
      s.batch_id,
      s.stored_sha256,
      s.stored_sha256 <> sha256(convert_to(s.body::text, 'UTF8')) as is_altered,
      s.body_sha256 <> sha256(s.body_original) as is_original_altered
    from p2p.stg_responses s
    where s.extraction_timestamp >= p_since
      and s.extraction_timestamp < p_until
  ),
  damaged as (
    select
      c.*,
      row_number() over (order by c.extraction_timestamp, c.market_id, c.page_number) as place
    from compared c
    where c.is_altered
      or c.is_original_altered
  )
  select
    count(c.stored_sha256),
    count(*) - count(c.stored_sha256),
    (select count(*) from damaged),
    (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'batch_id', d.batch_id,
            'extraction_timestamp', d.extraction_timestamp,
            'market_id', d.market_id,
            'page_number', d.page_number,
            'differs', array_remove(
              array[case when d.is_altered then 'body' end, case when d.is_original_altered then 'body_original' end],
              null
            )
          )
          order by d.place
        ),
        '[]'
      )
      from damaged d
      where d.place <= 1000
    )
  from compared c
$function$;

comment on function p2p.check_pages(timestamptz, timestamptz) is 'Computes the checksums of raw pages again and names the pages that changed since they were stored';

grant execute on function p2p.check_pages(timestamptz, timestamptz) to p2p_worker;
