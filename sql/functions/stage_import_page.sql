-- Takes in one line of an import: a page as it was recorded, which waits for its batch from then on. p_body is its text,
-- so that every digit survives; what jsonb cannot hold is mended as store_page does it.
-- A second call with the same line changes nothing. Returns NULL, or why the line cannot be taken.
-- Raises where the import is not (any more) under way.
create or replace function p2p.stage_import_page(
  p_import_id uuid,
  p_file_number integer,
  p_line_number bigint,
  p_batch_start_time timestamptz,
  p_observed_at timestamptz,
  p_exchange text,
  p_fiat text,
  p_asset text,
  p_side text,
  p_page_number integer,
  p_page_size integer,
  p_filtered_by text,
  p_parser text,
  p_alteration text,
  p_body text
)
returns text
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_document jsonb;
  v_mended text;
begin
  begin
    v_document := p_body::jsonb;
  exception when others then
    select r.document, r.alteration
    into v_document, v_mended
    from p2p.repair_json(p_body) r;

    if v_document is null then
      return v_mended;
    end if;
  end;

  if clock_timestamp() + interval '1 minute' < greatest(p_observed_at, p_batch_start_time) then
    return 'its time has not come yet, says the clock of the database';
  end if;

  update p2p.stg_imports i
  set seen_at = clock_timestamp()
  where i.import_id = p_import_id
    and i.seen_at < clock_timestamp() - interval '10 seconds'; -- pages come by the hundred a second

  insert into p2p.stg_import_pages (
    import_id, file_number, line_number, batch_start_time, observed_at, exchange_id, fiat, asset, trade_type,
    page_number, page_size, filtered_by, parser, body_bytes, body_sha256, alteration, body_original, stored_sha256, body
  )
  select
    p_import_id, p_file_number, p_line_number, p_batch_start_time, p_observed_at, e.exchange_id, p_fiat, p_asset,
    p_side, p_page_number, p_page_size, p_filtered_by, p_parser, octet_length(p_body),
    sha256(convert_to(p_body, 'UTF8')),
    nullif(concat_ws('; ', p_alteration, v_mended), ''),
    case when v_mended is not null then convert_to(p_body, 'UTF8') end,
    sha256(convert_to(v_document::text, 'UTF8')),
    v_document
  from p2p.dim_exchanges e
  where e.code = p_exchange
    and exists (
      select
      from p2p.stg_imports i
      where i.import_id = p_import_id
    )
  on conflict (import_id, file_number, line_number) do nothing;

  if not found and not exists (select from p2p.stg_imports i where i.import_id = p_import_id) then
    raise exception 'import % is not under way: it was silent for ten minutes, or the server was restarted', p_import_id
      using errcode = 'P2P03', hint = 'call import again: what was loaded stays and is recognised';
  end if;

  return null;
end
$function$;

comment on function p2p.stage_import_page(uuid, integer, bigint, timestamptz, timestamptz, text, text, text, text, integer, integer, text, text, text, text)
is 'Takes in one line of an import, to wait for its batch';

grant execute on function p2p.stage_import_page(uuid, integer, bigint, timestamptz, timestamptz, text, text, text, text, integer, integer, text, text, text, text) to p2p_worker;
