-- What the newest worker of that name had learned of an exchange, for the next one to begin with; no row where there was
-- none. Changes nothing.
create or replace function p2p.remembered_access(p_worker_name text, p_exchange text)
returns table (
  rate_per_minute numeric,
  ceiling_per_minute numeric,
  breaker text,
  breaker_reason text,
  breaker_memory jsonb,
  seconds_ago double precision
)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select
    we.rate_per_minute,
    we.ceiling_per_minute,
    we.breaker,
    we.breaker_reason,
    we.breaker_memory,
    -- A clock that has stepped back does not lengthen what is waited for.
    greatest(extract(epoch from clock_timestamp() - we.updated_at)::double precision, 0)
  from p2p.ops_workers w
  join p2p.ops_worker_exchanges we using (worker_id)
  join p2p.dim_exchanges e using (exchange_id)
  where w.worker_name = p_worker_name
    and e.code = p_exchange
  order by we.updated_at desc
  limit 1
$function$;

comment on function p2p.remembered_access(text, text) is 'What the worker before, of the same name, had learned of an exchange';

grant execute on function p2p.remembered_access(text, text) to p2p_worker;
