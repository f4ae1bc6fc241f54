-- Reads the items of all bybit_online_v1 pages of a batch: POST /fiat/otc/item/online, as Bybit documents its twin
-- /v5/p2p/item/online (2025 and 2026) and as public clients of 2022 to 2026 read it.
-- Tolerant: numbers may be strings or numbers, keys may be missing, unknown keys are ignored; what cannot be
-- read is NULL. Decides nothing and changes nothing. What the exchange does not say stays NULL:
--   is_promoted        `recommend` is there, but not what it means; it may be no paid place
--   user_grade         `authStatus` is there, but not what its numbers mean
--   tradable_quantity  lastQuantity, the "tradable quantity of token": there is no other that holds a fee back
create or replace function p2p.parse_bybit_online_v1(p_batch_id uuid)
returns setof p2p.parsed_offer
language plpgsql
stable
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
as $function$
declare
  -- Repetition is not bounded here ({1,40} makes matching ten times slower): lengths are checked beside it.
  v_number constant text := '^-?\d+(\.\d+)?([eE][+-]?\d\d?)?$';
  v_digits constant integer := 60;
  v_whole constant text := '^-?\d{1,9}$';
begin
  return query
  with items as (
    select
      s.market_id,
      s.page_number::smallint as page_number,
      (i.position - 1)::integer as item_number,
      s.observed_at,
      m.trade_type,
      i.item
    from p2p.ops_batch_runs r
    join p2p.stg_responses s on s.extraction_timestamp = r.batch_start_time
    join p2p.dim_markets m on m.market_id = s.market_id
    cross join jsonb_array_elements(
      case when jsonb_typeof(s.body #> '{result,items}') = 'array' then s.body #> '{result,items}' else '[]' end
    ) with ordinality as i (item, position)
    where r.batch_id = p_batch_id
      and s.parser = 'bybit_online_v1'
    offset 0 -- keeps the item from being cut out of its page again for each field below
  ),
  fields as materialized (
    select
      i.market_id,
      i.page_number,
      i.item_number,
      i.observed_at,
      i.trade_type,
      i.item ->> 'id' as id,
      i.item ->> 'tokenId' as asset,
      i.item ->> 'currencyId' as fiat,
      i.item ->> 'side' as ad_side,
      i.item ->> 'status' as ad_status,
      i.item ->> 'price' as price,
      i.item ->> 'lastQuantity' as last_quantity,
      i.item ->> 'minAmount' as min_amount,
      i.item ->> 'maxAmount' as max_amount,
      case when i.item ->> 'priceType' = '1' then i.item ->> 'premium' end as premium,
      i.item ->> 'paymentPeriod' as payment_period,
      i.item ->> 'remark' as remark,
      coalesce(i.item -> 'payments', 'null') as payments,
      -- Since 2025 everybody's userId is 0 without a key, and userMaskId tells them apart.
      coalesce(nullif(i.item ->> 'userMaskId', ''), nullif(i.item ->> 'userId', '0')) as advertiser_id,
      i.item ->> 'nickName' as nick_name,
      i.item ->> 'userType' as user_type,
      case when jsonb_typeof(i.item -> 'authTag') = 'array' then i.item -> 'authTag' end as tags,
      i.item ->> 'recentOrderNum' as recent_orders,
      i.item ->> 'recentExecuteRate' as execute_rate
    from items i
  ),
  payment_lists as (
    select distinct f.payments
    from fields f
  ),
  methods as materialized (
    select
      l.payments,
      (
        select coalesce(jsonb_agg(jsonb_build_array(one.code, null) order by one.position), '[]')
        from (
          select
            method.value #>> '{}' as code,
            min(method.position) as position
          from jsonb_array_elements(
            case when jsonb_typeof(l.payments) = 'array' then l.payments else '[]' end
          ) with ordinality as method (value, position)
          where jsonb_typeof(method.value) in ('string', 'number')
            and method.value <> '""'
          group by method.value #>> '{}'
        ) as one
      ) as payment_methods
    from payment_lists l
  ),
  tag_lists as (
    select distinct f.tags
    from fields f
    where f.tags is not null
  ),
  merchants as materialized (
    select
      l.tags,
      l.tags ?| array['VA', 'BA'] as is_merchant, -- verified and block advertisers; GA is a general one
      (
        select coalesce(string_agg(distinct tag.value #>> '{}', ',' order by tag.value #>> '{}'), '')
        from jsonb_array_elements(l.tags) as tag
      ) as identity
    from tag_lists l
  )
  select
    f.market_id,
    f.page_number,
    f.item_number,
    array['result', 'items', f.item_number::text],
    f.observed_at,
    f.id,
    f.asset,
    f.fiat,
    f.ad_side = case f.trade_type when 'BUY' then '1' else '0' end, -- 1 sells: the ad speaks for its owner
    null::boolean,
    f.ad_status = '10', -- 10 online, 20 offline, 30 completed
    case when f.price ~ v_number and length(f.price) <= v_digits then f.price::numeric end,
    case when f.last_quantity ~ v_number and length(f.last_quantity) <= v_digits then f.last_quantity::numeric end,
    case when f.last_quantity ~ v_number and length(f.last_quantity) <= v_digits then f.last_quantity::numeric end,
    case when f.min_amount ~ v_number and length(f.min_amount) <= v_digits then f.min_amount::numeric end,
    case when f.max_amount ~ v_number and length(f.max_amount) <= v_digits then f.max_amount::numeric end,
    array_remove(array[
      case when f.price !~ v_number or length(f.price) > v_digits then 'price' end,
      case when f.last_quantity !~ v_number or length(f.last_quantity) > v_digits then 'available_amount' end,
      case when f.min_amount !~ v_number or length(f.min_amount) > v_digits then 'min_limit' end,
      case when f.max_amount !~ v_number or length(f.max_amount) > v_digits then 'max_limit' end
    ], null),
    case when f.premium ~ v_number and length(f.premium) <= v_digits then f.premium::numeric end,
    -- 0 to 100 already
    case when f.execute_rate ~ v_number and length(f.execute_rate) <= v_digits then f.execute_rate::numeric end,
    null::numeric,
    case when f.recent_orders ~ v_whole then f.recent_orders::integer end,
    case when f.payment_period ~ v_whole then f.payment_period::integer end,
    nullif(f.remark, ''),
    f.advertiser_id,
    f.nick_name,
    merchants.is_merchant,
    f.user_type,
    null::integer,
    merchants.identity,
    null::integer,
    null::integer,
    m.payment_methods
  from fields f
  join methods m on m.payments = f.payments
  left join merchants on merchants.tags = f.tags;
end
$function$;

comment on function p2p.parse_bybit_online_v1(uuid) is 'Reads the offers of Bybit''s item/online pages of a batch';

grant execute on function p2p.parse_bybit_online_v1(uuid) to p2p_worker;
