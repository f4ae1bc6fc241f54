-- Step 4 of load_batch: payment methods, their lists and the numbers of ads that are new. Adds rows, and fills in
-- names that were missing; a second call adds nothing.
-- Of a list the first 500 are kept: the index of dim_payment_sets holds no more, and real ads name 1 to 5.
-- Makes pg_temp.payment_lists: what each list of the pages is called in dim_payment_sets,
-- and pg_temp.offer_numbers: what each ad is called in dim_offers.
create or replace function p2p.load_dimensions(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
set default_statistics_target = 10
as $function$
declare
  c_most_methods constant integer := 500;
begin
  create temp table payment_lists on commit drop as
  select
    c.exchange_id,
    c.payment_methods,
    null::integer as payment_set_id,
    '{}'::integer[] as payment_method_ids,
    row_number() over () as list_number
  from pg_temp.chosen_offers c
  group by c.exchange_id, c.payment_methods;

  analyze pg_temp.payment_lists (exchange_id, list_number);

  insert into p2p.dim_payment_methods as m (exchange_id, method_code, method_name)
  select
    l.exchange_id,
    left(method.value ->> 0, 200),
    max(method.value ->> 1)
  from pg_temp.payment_lists l
  cross join jsonb_array_elements(l.payment_methods) with ordinality as method (value, position)
  where method.position <= c_most_methods
  group by 1, 2
  on conflict (exchange_id, method_code) do update
  set method_name = excluded.method_name
  where m.method_name is null
    and excluded.method_name is not null;

  -- By number: lists themselves are slow to sort.
  update pg_temp.payment_lists l
  set payment_method_ids = coalesce(known.payment_method_ids, '{}')
  from (
    select
      list.list_number,
      array_agg(m.payment_method_id order by method.position) filter (where m.payment_method_id is not null)
        as payment_method_ids
    from pg_temp.payment_lists list
    left join jsonb_array_elements(list.payment_methods) with ordinality as method (value, position)
      on method.position <= c_most_methods
    left join p2p.dim_payment_methods m
      on m.exchange_id = list.exchange_id
      and m.method_code = left(method.value ->> 0, 200)
    group by list.list_number
  ) as known
  where l.list_number = known.list_number;

  insert into p2p.dim_payment_sets (payment_method_ids)
  select distinct l.payment_method_ids
  from pg_temp.payment_lists l
  where not exists (
    select
    from p2p.dim_payment_sets s
    where s.payment_method_ids = l.payment_method_ids
  );

  update pg_temp.payment_lists l
  set payment_set_id = s.payment_set_id
  from p2p.dim_payment_sets s
  where s.payment_method_ids = l.payment_method_ids;

  analyze pg_temp.payment_lists (exchange_id, payment_methods);

  -- All are looked up before the first is added: a dim_offers that was analyzed while it was empty is read whole for each.
  create temp table new_offers on commit drop as
  select c.exchange_id, c.offer_external_id, r.batch_start_time
  from pg_temp.chosen_offers c
  join p2p.ops_batch_runs r on r.batch_id = p_batch_id
  where not exists (
    select
    from p2p.dim_offers o
    where o.exchange_id = c.exchange_id
      and o.offer_external_id = c.offer_external_id
  );

  insert into p2p.dim_offers (exchange_id, offer_external_id, first_seen_at)
  select n.exchange_id, n.offer_external_id, n.batch_start_time
  from pg_temp.new_offers n;

  drop table pg_temp.new_offers;

  create temp table offer_numbers on commit drop as
  select o.exchange_id, o.offer_external_id, o.offer_id
  from pg_temp.chosen_offers c
  join p2p.dim_offers o using (exchange_id, offer_external_id);

  analyze pg_temp.offer_numbers;
end
$function$;

comment on function p2p.load_dimensions(uuid) is 'Step of load_batch: payment methods, their lists, numbers of new ads';

grant execute on function p2p.load_dimensions(uuid) to p2p_worker;
