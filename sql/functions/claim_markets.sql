-- Gives the worker the next p_count pending markets of the batch. Two workers never get the same one.
-- Returns nothing when none is left, or when the batch is no longer this worker's.
create or replace function p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_count integer)
returns table (market_id integer, fiat text, asset text, side text)
language sql
set search_path = p2p, pg_temp
as $function$
  with next_markets as (
    select bm.market_id
    from p2p.ops_batch_markets bm
    join p2p.ops_batch_runs r on r.batch_id = bm.batch_id
    where bm.batch_id = p_batch_id
      and bm.status = 'pending'
      and r.status = 'running'
      and r.worker_id = p_worker_id
    order by bm.plan_position
    limit p_count
    for update of bm skip locked
  ),
  claimed as (
    update p2p.ops_batch_markets bm
    set
      status = 'fetching',
      worker_id = p_worker_id,
      started_at = clock_timestamp()
    from next_markets n
    where bm.batch_id = p_batch_id
      and bm.market_id = n.market_id
    returning bm.market_id, bm.plan_position
  )
  select m.market_id, f.currency_code, c.symbol, m.trade_type
  from claimed
  join p2p.dim_markets m using (market_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  order by claimed.plan_position
$function$;

comment on function p2p.claim_markets(uuid, text, integer) is 'Takes the next markets from the work queue of a batch';

grant execute on function p2p.claim_markets(uuid, text, integer) to p2p_worker;
