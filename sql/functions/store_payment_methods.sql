-- Takes in payment methods with the names that the exchange gives them: [{"code": "Zelle", "name": "Zelle"}, …].
-- A name that was known is replaced only by another name. A second call changes no row.
create or replace function p2p.store_payment_methods(p_exchange text, p_methods jsonb)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  insert into p2p.dim_payment_methods as m (exchange_id, method_code, method_name)
  select
    e.exchange_id,
    listed.value ->> 'code',
    max(nullif(listed.value ->> 'name', ''))
  from jsonb_array_elements(p_methods) as listed
  join p2p.dim_exchanges e on e.code = p_exchange
  group by e.exchange_id, listed.value ->> 'code'
  on conflict (exchange_id, method_code) do update
  set method_name = excluded.method_name
  where m.method_name is distinct from excluded.method_name
    and excluded.method_name is not null
$function$;

comment on function p2p.store_payment_methods(text, jsonb) is 'Takes in payment methods and their names';

grant execute on function p2p.store_payment_methods(text, jsonb) to p2p_worker;
