-- Stores one page as received and marks it done in the ledger, both or neither. With p_ends_market the market
-- is finished as well.
-- A second call with the same page changes nothing. A page of a market that is no longer this worker's is not stored:
-- the worker was silent for longer than its lease, and another goes on with the market.
-- Returns what became of it: stored; already (it was there); unreadable (the bytes are kept, but jsonb cannot hold
-- them in any form: the page is lost and the error recorded); not_ours.
-- stored_sha256 takes 0.2 ms for a page of 45 KB, nearly all of it for turning jsonb into text. jsonb_hash_extended takes
-- 0.06 ms, but the same change at two places 32 values apart cancels out in it: of 200 pages it missed one where every
-- isTradable was changed.
create or replace function p2p.store_page(
  p_batch_id uuid,
  p_worker_id text,
  p_market_id integer,
  p_page_number integer,
  p_ends_market boolean,
  p_offers_reported integer,
  p_parser text,
  p_observed_at timestamptz,
  p_attempt integer,
  p_http_status integer,
  p_duration_ms integer,
  p_body_bytes integer,
  p_body_sha256 bytea,
  p_alteration text,
  p_body_original bytea,
  p_body text
)
returns text
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_document jsonb;
  v_alteration text := p_alteration;
  v_problem text;
begin
  begin
    v_document := p_body::jsonb;
  exception when others then
    select r.document, concat_ws('; ', p_alteration, r.alteration)
    into v_document, v_alteration
    from p2p.repair_json(p_body) r;
    v_problem := case when v_document is null then sqlerrm end;
  end;

  perform p2p.lock_queue(p_batch_id, false);

  -- The row of the ledger is locked before it is believed, and a page that another call is just storing is waited
  -- for: a worker that heard no answer calls again while its first call may still run.
  insert into p2p.stg_responses (
    extraction_timestamp, market_id, page_number, batch_id, observed_at, attempt, http_status, duration_ms,
    body_bytes, body_sha256, parser, alteration, body_original, body, stored_sha256
  )
  select
    r.batch_start_time, p_market_id, p_page_number, p_batch_id, p_observed_at, p_attempt, p_http_status,
    p_duration_ms, p_body_bytes, p_body_sha256, p_parser, v_alteration,
    case when v_alteration is not null then coalesce(p_body_original, convert_to(p_body, 'UTF8')) end,
    coalesce(v_document, 'null'),
    sha256(convert_to(coalesce(v_document, 'null')::text, 'UTF8'))
  from p2p.ops_batch_markets bm
  join p2p.ops_batch_runs r on r.batch_id = bm.batch_id
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id
    and bm.worker_id = p_worker_id
    and bm.status = 'fetching'
    and r.status = 'running'
  for update of bm
  on conflict (extraction_timestamp, market_id, page_number) do nothing;

  if not found then
    return case
      when exists (
        select
        from p2p.stg_responses s
        join p2p.ops_batch_runs r on r.batch_start_time = s.extraction_timestamp
        join p2p.ops_batch_markets bm on bm.batch_id = r.batch_id
        where r.batch_id = p_batch_id
          and s.market_id = p_market_id
          and s.page_number = p_page_number
          and bm.market_id = p_market_id
          and bm.worker_id = p_worker_id
      ) then 'already'
      else 'not_ours'
    end;
  end if;

  update p2p.ops_batch_markets bm
  set
    pages_stored = bm.pages_stored + case when v_problem is null then 1 else 0 end,
    offers_reported = coalesce(p_offers_reported, bm.offers_reported)
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id;

  if v_problem is not null then
    perform p2p.record_lost_page(
      p_batch_id, p_worker_id, p_market_id, p_page_number, p_ends_market, 'unreadable', v_problem, p_attempt - 1
    );
    return 'unreadable';
  end if;

  if p_ends_market then
    perform p2p.finish_market(p_batch_id, p_market_id, null);
  end if;

  return 'stored';
end
$function$;

comment on function p2p.store_page(uuid, text, integer, integer, boolean, integer, text, timestamptz, integer, integer, integer, integer, bytea, text, bytea, text)
is 'Stores one page as received and marks it done in the ledger';

grant execute on function p2p.store_page(uuid, text, integer, integer, boolean, integer, text, timestamptz, integer, integer, integer, integer, bytea, text, bytea, text) to p2p_worker;
