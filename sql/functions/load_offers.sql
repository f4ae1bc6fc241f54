-- Step 6 of load_batch: the snapshot itself. Afterwards fact_offers holds for this batch what was chosen, nothing else;
-- rows that are there already and stay the same are not touched.
create or replace function p2p.load_offers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_gone bigint[];
  v_deleted integer := 0;
  v_written integer;
begin
  -- Looked for before it is deleted: from a packed chunk a delete would first unpack the whole day, for nothing.
  v_gone := array(
    select f.offer_id
    from p2p.fact_offers f
    where f.extraction_timestamp = v_batch.batch_start_time
      and not exists (
        select
        from pg_temp.offer_numbers o
        where o.offer_id = f.offer_id
      )
  );

  if v_gone <> '{}' then
    delete from p2p.fact_offers f
    where f.extraction_timestamp = v_batch.batch_start_time
      and f.offer_id = any (v_gone);
    get diagnostics v_deleted = row_count;
  end if;

  -- observed_at to the minute: exact times are as good as random to the columnstore, 4 bytes an offer. The page has them.
  insert into p2p.fact_offers as f (
    extraction_timestamp, offer_id, observed_at, batch_id, advertiser_sk, payment_set_id, total_orders_count,
    payment_time_limit_minutes, exchange_id, crypto_id, fiat_id, page_number, is_promoted, is_available, trade_type,
    offer_external_id, price, available_amount, tradable_quantity, min_limit, max_limit, completion_rate,
    positive_rate, price_float_rate, terms_conditions
  )
  select
    v_batch.batch_start_time, o.offer_id, date_trunc('minute', c.observed_at, 'UTC'), p_batch_id, a.advertiser_sk, l.payment_set_id,
    c.total_orders_count, c.payment_time_limit_minutes, c.exchange_id, c.crypto_id, c.fiat_id, c.page_number,
    c.was_promoted, c.is_available, c.trade_type, c.offer_external_id, c.price, c.available_amount,
    c.tradable_quantity, c.min_limit, c.max_limit, c.completion_rate, c.positive_rate, c.price_float_rate,
    c.terms_conditions
  from pg_temp.chosen_offers c
  join pg_temp.offer_numbers o
    on o.exchange_id = c.exchange_id
    and o.offer_external_id = c.offer_external_id
  join pg_temp.seen_advertisers a
    on a.exchange_id = c.exchange_id
    and a.advertiser_id = c.advertiser_id
  join pg_temp.payment_lists l
    on l.exchange_id = c.exchange_id
    and l.payment_methods = c.payment_methods
  order by c.fiat_id, c.crypto_id, c.trade_type, o.offer_id
  on conflict (extraction_timestamp, offer_id) do update
  set
    observed_at = excluded.observed_at,
    advertiser_sk = excluded.advertiser_sk,
    payment_set_id = excluded.payment_set_id,
    total_orders_count = excluded.total_orders_count,
    payment_time_limit_minutes = excluded.payment_time_limit_minutes,
    crypto_id = excluded.crypto_id,
    fiat_id = excluded.fiat_id,
    page_number = excluded.page_number,
    is_promoted = excluded.is_promoted,
    is_available = excluded.is_available,
    trade_type = excluded.trade_type,
    price = excluded.price,
    available_amount = excluded.available_amount,
    tradable_quantity = excluded.tradable_quantity,
    min_limit = excluded.min_limit,
    max_limit = excluded.max_limit,
    completion_rate = excluded.completion_rate,
    positive_rate = excluded.positive_rate,
    price_float_rate = excluded.price_float_rate,
    terms_conditions = excluded.terms_conditions
  where (f.*)::text is distinct from (excluded.*)::text; -- as text: 461.50 equals 461.5, and is not the same
  get diagnostics v_written = row_count;

  -- What was written to a batch that had been loaded before is a change of it.
  if v_batch.status in ('completed', 'partial') and v_deleted + v_written > 0 then
    update p2p.ops_batch_runs
    set total_offers_updated = total_offers_updated + v_deleted + v_written
    where batch_id = p_batch_id;
  end if;
end
$function$;

comment on function p2p.load_offers(uuid) is 'Step of load_batch: writes the snapshot into fact_offers';

grant execute on function p2p.load_offers(uuid) to p2p_worker;
