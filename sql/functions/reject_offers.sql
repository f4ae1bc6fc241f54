-- Step 2 of load_batch: what cannot be an offer goes to ops_rejected_offers, with the reason and the original JSON.
-- Ids that were objects, lists or booleans are none: {} of one ad would be the same as {} of another.
-- A second call leaves rows that are still rejected for the same reason as they are, discarded ones included; one
-- that is rejected for another reason than before is back in quarantine.
create or replace function p2p.reject_offers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table refused_items on commit drop as
  select judged.*
  from (
    select
      p.market_id,
      p.page_number,
      p.item_number,
      p.item_path,
      case
        when coalesce(p.offer_external_id, '') = '' then 'no offer id'
        when length(p.offer_external_id) > 100 then 'offer id is too long'
        when left(p.offer_external_id, 1) in ('{', '[') or p.offer_external_id in ('true', 'false') then 'offer id is no text'
        when coalesce(p.advertiser_id, '') = '' then 'no advertiser'
        when length(p.advertiser_id) > 100 then 'advertiser id is too long'
        when left(p.advertiser_id, 1) in ('{', '[') or p.advertiser_id in ('true', 'false') then 'advertiser id is no text'
        when 'price' = any (p.unreadable) then 'price is not a number'
        when p.price is null then 'no price'
        when p.price <= 0 then 'price is not positive'
        when 'available_amount' = any (p.unreadable) then 'amount is not a number'
        when p.available_amount is null then 'no amount'
        when p.available_amount < 0 then 'amount is negative'
        when p.unreadable && array['min_limit', 'max_limit'] then 'limit is not a number'
        when p.min_limit < 0 or p.max_limit < 0 then 'limit is negative'
        when p.min_limit > p.max_limit then 'limits are crossed'
        when p.asset <> c.symbol or p.fiat <> f.currency_code then 'belongs to another market'
      end as reason
    from pg_temp.parsed_offers p
    join p2p.dim_markets m on m.market_id = p.market_id
    join p2p.dim_cryptocurrencies c on c.crypto_id = m.crypto_id
    join p2p.dim_fiat_currencies f on f.fiat_id = m.fiat_id
  ) as judged
  where judged.reason is not null;

  delete from p2p.ops_rejected_offers o
  where o.batch_id = p_batch_id
    and not exists (
      select
      from pg_temp.refused_items r
      where (r.market_id, r.page_number, r.item_number) = (o.market_id, o.page_number, o.item_number)
    );

  insert into p2p.ops_rejected_offers as o (batch_id, market_id, page_number, item_number, reason, payload)
  select
    p_batch_id,
    r.market_id,
    r.page_number,
    r.item_number,
    r.reason,
    s.body #> r.item_path
  from pg_temp.refused_items r
  join p2p.ops_batch_runs b on b.batch_id = p_batch_id
  join p2p.stg_responses s
    on s.extraction_timestamp = b.batch_start_time
    and s.market_id = r.market_id
    and s.page_number = r.page_number
  on conflict (batch_id, market_id, page_number, item_number) do update
  set
    reason = excluded.reason,
    rejected_at = excluded.rejected_at,
    discarded_at = null,
    discarded_by = null,
    discard_note = null
  where o.reason <> excluded.reason;

  drop table pg_temp.refused_items;
end
$function$;

comment on function p2p.reject_offers(uuid) is 'Step of load_batch: sets aside what cannot be an offer';

grant execute on function p2p.reject_offers(uuid) to p2p_worker;
