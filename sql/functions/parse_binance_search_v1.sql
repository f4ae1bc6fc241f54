-- Reads the items of all binance_search_v1 pages of a batch: POST …/adv/search, answers of 2021 to 2026.
-- Tolerant: numbers may be strings or numbers, keys may be missing, unknown keys are ignored; what cannot be
-- read is NULL. Decides nothing and changes nothing.
create or replace function p2p.parse_binance_search_v1(p_batch_id uuid)
returns setof p2p.parsed_offer
language plpgsql
stable
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
set parallel_setup_cost = 0
set parallel_tuple_cost = 0
set min_parallel_table_scan_size = 0
set min_parallel_index_scan_size = 0
as $function$
declare
  v_now constant timestamptz := (select r.batch_start_time from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  -- Repetition is not bounded here ({1,40} makes matching ten times slower): lengths are checked beside it.
  v_number constant text := '^-?\d+(\.\d+)?([eE][+-]?\d\d?)?$';
  v_digits constant integer := 60;
  -- Nearly all numbers are plain: one look at all of an item costs half of a look at each. An array written as text
  -- puts whatever else there is into quotes.
  v_plain constant text := '^\{((-?\d+(\.\d+)?|NULL)[,}])+$';
  v_whole constant text := '^-?\d{1,9}$';
begin
  return query
  with fields as (
    select
      s.market_id,
      s.page_number::smallint as page_number,
      (entry.position - 1)::integer as item_number,
      s.observed_at,
      m.trade_type,
      i."privilegeType" as privilege,
      i.adv ->> 'advNo' as adv_no,
      i.adv ->> 'asset' as asset,
      i.adv ->> 'fiatUnit' as fiat,
      i.adv ->> 'tradeType' as ad_side,
      i.adv ->> 'isTradable' as is_tradable,
      i.adv ->> 'price' as price,
      i.adv ->> 'surplusAmount' as surplus_amount,
      i.adv ->> 'tradableQuantity' as tradable_quantity,
      i.adv ->> 'minSingleTransAmount' as min_amount,
      i.adv ->> 'maxSingleTransAmount' as max_amount,
      i.adv ->> 'priceFloatingRatio' as floating_ratio,
      i.adv ->> 'payTimeLimit' as pay_time_limit,
      i.adv ->> 'remarks' as remarks,
      coalesce(i.adv -> 'tradeMethods', 'null') as trade_methods,
      i.advertiser ->> 'userNo' as user_no,
      i.advertiser ->> 'nickName' as nick_name,
      i.advertiser ->> 'userType' as user_type,
      i.advertiser ->> 'userGrade' as user_grade,
      i.advertiser ->> 'userIdentity' as user_identity,
      i.advertiser ->> 'vipLevel' as vip_level,
      i.advertiser ->> 'monthOrderCount' as month_orders,
      i.advertiser ->> 'monthFinishRate' as finish_rate,
      i.advertiser ->> 'positiveRate' as positive_rate,
      i.advertiser ->> 'registrationTime' as registration_time
    from p2p.stg_responses s
    join p2p.dim_markets m on m.market_id = s.market_id
    -- Strict and silent: what is no array has no items.
    cross join jsonb_path_query(s.body, 'strict $.data[*]', silent => true) with ordinality as entry (json, position)
    cross join jsonb_to_record(case jsonb_typeof(entry.json) when 'object' then entry.json else '{}' end) as i (
      adv jsonb,
      advertiser jsonb,
      "privilegeType" text
    )
    where s.extraction_timestamp = v_now
      and s.parser = 'binance_search_v1'
    offset 0 -- each key is read once
  ),
  checked as materialized (
    select
      f.*,
      array[
        f.price, f.surplus_amount, f.tradable_quantity, f.min_amount, f.max_amount, f.floating_ratio, f.finish_rate,
        f.positive_rate, f.month_orders, f.pay_time_limit, f.user_grade, f.vip_level
      ]::text ~ v_plain as are_plain
    from fields f
  ),
  method_lists as (
    select distinct f.trade_methods
    from checked f
  ),
  methods as materialized (
    select
      l.trade_methods,
      (
        select coalesce(jsonb_agg(jsonb_build_array(one.code, one.name) order by one.position), '[]')
        from (
          select
            method.value ->> 'identifier' as code,
            max(method.value ->> 'tradeMethodName') as name,
            min(method.position) as position
          from jsonb_array_elements(
            case when jsonb_typeof(l.trade_methods) = 'array' then l.trade_methods else '[]' end
          ) with ordinality as method (value, position)
          where method.value ->> 'identifier' <> ''
          group by method.value ->> 'identifier'
        ) as one
      ) as payment_methods
    from method_lists l
  )
  select
    f.market_id,
    f.page_number,
    f.item_number,
    array['data', f.item_number::text],
    f.observed_at,
    f.adv_no,
    f.asset,
    f.fiat,
    f.ad_side <> f.trade_type, -- the ad speaks for its owner, the request for the taker
    f.privilege = '8',
    case f.is_tradable when 'true' then true when 'false' then false end,
    case when (f.are_plain or f.price ~ v_number) and length(f.price) <= v_digits then f.price::numeric end,
    case when (f.are_plain or f.surplus_amount ~ v_number) and length(f.surplus_amount) <= v_digits then f.surplus_amount::numeric end,
    case when (f.are_plain or f.tradable_quantity ~ v_number) and length(f.tradable_quantity) <= v_digits then f.tradable_quantity::numeric end,
    case when (f.are_plain or f.min_amount ~ v_number) and length(f.min_amount) <= v_digits then f.min_amount::numeric end,
    case when (f.are_plain or f.max_amount ~ v_number) and length(f.max_amount) <= v_digits then f.max_amount::numeric end,
    array_remove(array[
      case when not f.are_plain and f.price !~ v_number or length(f.price) > v_digits then 'price' end,
      case when not f.are_plain and f.surplus_amount !~ v_number or length(f.surplus_amount) > v_digits then 'available_amount' end,
      case when not f.are_plain and f.min_amount !~ v_number or length(f.min_amount) > v_digits then 'min_limit' end,
      case when not f.are_plain and f.max_amount !~ v_number or length(f.max_amount) > v_digits then 'max_limit' end
    ], null),
    case when (f.are_plain or f.floating_ratio ~ v_number) and length(f.floating_ratio) <= v_digits then f.floating_ratio::numeric end,
    case when (f.are_plain or f.finish_rate ~ v_number) and length(f.finish_rate) <= v_digits then f.finish_rate::numeric * 100 end,
    case when (f.are_plain or f.positive_rate ~ v_number) and length(f.positive_rate) <= v_digits then f.positive_rate::numeric * 100 end,
    case when f.are_plain and length(f.month_orders) <= 9 and strpos(f.month_orders, '.') = 0 or f.month_orders ~ v_whole then f.month_orders::integer end,
    case when f.are_plain and length(f.pay_time_limit) <= 9 and strpos(f.pay_time_limit, '.') = 0 or f.pay_time_limit ~ v_whole then f.pay_time_limit::integer end,
    nullif(f.remarks, ''),
    f.user_no,
    f.nick_name,
    f.user_type = 'merchant',
    f.user_type,
    case when f.are_plain and length(f.user_grade) <= 9 and strpos(f.user_grade, '.') = 0 or f.user_grade ~ v_whole then f.user_grade::integer end,
    f.user_identity,
    case when f.are_plain and length(f.vip_level) <= 9 and strpos(f.vip_level, '.') = 0 or f.vip_level ~ v_whole then f.vip_level::integer end,
    case
      when f.registration_time ~ '^\d{12,14}$'
      then floor((extract(epoch from f.observed_at) - f.registration_time::numeric / 1000) / 86400)::integer
    end,
    m.payment_methods
  from checked f
  join methods m on m.trade_methods = f.trade_methods;
end
$function$;

comment on function p2p.parse_binance_search_v1(uuid) is 'Reads the offers of Binance''s adv/search pages of a batch';

grant execute on function p2p.parse_binance_search_v1(uuid) to p2p_worker;
