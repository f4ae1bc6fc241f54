-- Writes down a page that could not be had after all attempts. With p_ends_market the market is given up.
-- A second call with the same page changes nothing.
create or replace function p2p.record_lost_page(
  p_batch_id uuid,
  p_worker_id text,
  p_market_id integer,
  p_page_number integer,
  p_ends_market boolean,
  p_error_type text,
  p_error_message text,
  p_retry_count integer
)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  perform p2p.lock_queue(p_batch_id, false);

  update p2p.ops_batch_markets bm
  set lost_pages = bm.lost_pages || p_page_number
  where bm.batch_id = p_batch_id
    and bm.market_id = p_market_id
    and bm.worker_id = p_worker_id
    and bm.status = 'fetching'
    and p_page_number <> all (bm.lost_pages);

  if not found then
    return;
  end if;

  insert into p2p.ops_extraction_errors (
    batch_id, exchange_id, fiat_code, crypto_symbol, trade_type, page_number, error_type, error_message, retry_count
  )
  select
    p_batch_id, m.exchange_id, f.currency_code, c.symbol, m.trade_type, p_page_number, p_error_type, left(p_error_message, 1000), p_retry_count
  from p2p.dim_markets m
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  where m.market_id = p_market_id;

  if p_ends_market then
    perform p2p.finish_market(p_batch_id, p_market_id, p_error_type || ': ' || left(p_error_message, 200));
  end if;
end
$function$;

comment on function p2p.record_lost_page(uuid, text, integer, integer, boolean, text, text, integer)
is 'Writes down a page that was lost, and gives its market up if told so';

grant execute on function p2p.record_lost_page(uuid, text, integer, integer, boolean, text, text, integer) to p2p_worker;
