-- Step 3 of load_batch: one offer once. The same ad comes again as a paid copy on page 1, and when the book moved
-- while it was read. The newest reading counts; a reading on the side the ad belongs to counts before any other.
-- Makes pg_temp.chosen_offers: one row an ad, promoted if any of its copies was.
create or replace function p2p.choose_offers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
set default_statistics_target = 10
as $function$
begin
  -- Few ads come more than once: only those are sorted, by what is needed for it. Rows are wide, and reading them again
  -- costs less than keeping them aside.
  create temp table chosen_offers on commit drop as
  with valid as not materialized (
    select
      m.exchange_id,
      m.crypto_id,
      m.fiat_id,
      m.trade_type,
      p.*
    from pg_temp.parsed_offers p
    join p2p.dim_markets m on m.market_id = p.market_id
    where not exists (
      select
      from p2p.ops_rejected_offers o
      where o.batch_id = p_batch_id
        and (o.market_id, o.page_number, o.item_number) = (p.market_id, p.page_number, p.item_number)
    )
  ),
  repeated as materialized (
    select
      v.exchange_id,
      v.offer_external_id,
      coalesce(bool_or(v.is_promoted), false) as was_promoted
    from valid v
    group by v.exchange_id, v.offer_external_id
    having count(*) > 1
  ),
  readings as (
    select
      v.market_id,
      v.page_number,
      v.item_number,
      row_number() over (
        partition by v.exchange_id, v.offer_external_id
        order by
          v.is_own_side desc nulls last,
          v.observed_at desc,
          v.page_number desc,
          v.item_number desc,
          v.market_id -- any of them, but the same each time
      ) as place
    from valid v
    join repeated using (exchange_id, offer_external_id)
  )
  select
    v.*,
    coalesce(repeated.was_promoted, v.is_promoted, false) as was_promoted
  from valid v
  left join repeated using (exchange_id, offer_external_id)
  where not exists (
    select
    from readings r
    where r.place > 1
      and (r.market_id, r.page_number, r.item_number) = (v.market_id, v.page_number, v.item_number)
  );

  analyze pg_temp.chosen_offers (exchange_id, offer_external_id, advertiser_id);
end
$function$;

comment on function p2p.choose_offers(uuid) is 'Step of load_batch: keeps one reading of each ad';

grant execute on function p2p.choose_offers(uuid) to p2p_worker;
