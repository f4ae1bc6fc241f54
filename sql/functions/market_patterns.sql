-- What each live worker fetches, one row a pattern of its filter; * stands for all. With a worker, its own alone.
-- Changes nothing.
create or replace function p2p.market_patterns(p_worker_id text default null)
returns table (worker_id text, exchange_id smallint, fiat text, asset text)
language sql
stable
rows 10
set search_path = p2p, pg_temp
as $function$
  select
    w.worker_id,
    we.exchange_id,
    pattern.fiat,
    pattern.asset
  from p2p.live_workers() w
  join p2p.ops_worker_exchanges we using (worker_id)
  cross join jsonb_to_recordset(we.market_filter) as pattern (fiat text, asset text)
  where p_worker_id is null
    or w.worker_id = p_worker_id
$function$;

comment on function p2p.market_patterns(text) is 'What each live worker fetches: fiats and assets of its exchanges';

grant execute on function p2p.market_patterns(text) to p2p_worker;
