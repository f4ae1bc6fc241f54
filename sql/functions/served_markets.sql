-- Which markets each live worker serves: those of its exchanges that its filter takes in, active or not. With a worker,
-- its own alone. Changes nothing.
create or replace function p2p.served_markets(p_worker_id text default null)
returns table (worker_id text, exchange_id smallint, market_id integer)
language sql
stable
rows 2000
set search_path = p2p, pg_temp
as $function$
  with patterns as materialized (
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
  )
  select distinct
    p.worker_id,
    p.exchange_id,
    m.market_id
  from patterns p
  join p2p.dim_markets m using (exchange_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  where p.fiat in ('*', f.currency_code)
    and p.asset in ('*', c.symbol)
$function$;

comment on function p2p.served_markets(text) is 'Which markets each live worker serves';

grant execute on function p2p.served_markets(text) to p2p_worker;
