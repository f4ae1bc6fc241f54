-- Writes down a discovery call that failed after all retries. It belongs to no batch.
create or replace function p2p.record_discovery_problem(
  p_fiat text,
  p_error_type text,
  p_error_message text,
  p_exchange text default null
)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  insert into p2p.ops_extraction_errors (exchange_id, fiat_code, error_type, error_message)
  values (
    (
      select e.exchange_id
      from p2p.dim_exchanges e
      where e.code = p_exchange
    ),
    p_fiat,
    p_error_type,
    left(p_error_message, 1000)
  )
$function$;

comment on function p2p.record_discovery_problem(text, text, text, text) is 'Writes down a discovery call that failed';

grant execute on function p2p.record_discovery_problem(text, text, text, text) to p2p_worker;
