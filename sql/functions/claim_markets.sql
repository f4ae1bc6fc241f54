-- Gives the worker the next p_count markets of the batch that its filter takes in: first what nobody has begun, then what
-- workers have in hand that are dead, or at no batch (they lost the database, and could not give it back), then what the plan had no room for. Two workers never get the same one.
-- next_page is the first page that is not stored, or lost: what another worker has brought is not fetched again.
-- Returns nothing when none is left, the deadline came, or the batch is being loaded.
create or replace function p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_exchange text, p_count integer)
returns table (market_id integer, fiat text, asset text, side text, next_page integer, offers_reported integer)
language sql
set search_path = p2p, pg_temp
as $function$
  with at_work as materialized (
    select w.worker_id
    from p2p.workers_at_work() w
  ),
  patterns as materialized (
    select p.exchange_id, p.fiat, p.asset
    from p2p.market_patterns(p_worker_id) p
    join p2p.dim_exchanges e using (exchange_id)
    where e.code = p_exchange
  ),
  open_batch as materialized (
    select r.batch_id
    from p2p.ops_batch_runs r
    where r.batch_id = p_batch_id
      and r.status = 'running'
      and r.loader_id is null
      and r.fetch_until > clock_timestamp()
  ),
  pending as materialized (
    select bm.market_id
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    where bm.batch_id = (select o.batch_id from open_batch o)
      and bm.status = 'pending'
      and exists (
        select
        from patterns p
        where p.exchange_id = m.exchange_id
          and p.fiat in ('*', f.currency_code)
          and p.asset in ('*', c.symbol)
      )
    order by bm.plan_position
    limit p_count
    for update of bm skip locked
  ),
  -- Only looked for when nothing else is left, which spares a look at all markets of the batch.
  others as materialized (
    select bm.market_id
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    where (select count(*) from pending) < p_count
      and bm.batch_id = (select o.batch_id from open_batch o)
      and (
        bm.status = 'fetching' and bm.worker_id not in (select a.worker_id from at_work a)
        or bm.status = 'deferred' and bm.finished_at is null
      )
      and exists (
        select
        from patterns p
        where p.exchange_id = m.exchange_id
          and p.fiat in ('*', f.currency_code)
          and p.asset in ('*', c.symbol)
      )
    order by bm.status = 'deferred', bm.plan_position
    limit p_count - (select count(*) from pending)
    for update of bm skip locked
  ),
  claimed as (
    update p2p.ops_batch_markets bm
    set
      status = 'fetching',
      worker_id = p_worker_id,
      started_at = coalesce(bm.started_at, clock_timestamp()),
      reason = null
    where bm.batch_id = p_batch_id
      and bm.market_id in (select p.market_id from pending p union all select o.market_id from others o)
    returning bm.*
  )
  select
    c.market_id,
    f.currency_code,
    a.symbol,
    m.trade_type,
    coalesce(
      (
        select min(page.number)
        from generate_series(1, c.pages_stored + cardinality(c.lost_pages)) as page (number)
        where page.number <> all (c.lost_pages)
          and not exists (
            select
            from p2p.stg_responses s
            join p2p.ops_batch_runs r on r.batch_start_time = s.extraction_timestamp
            where r.batch_id = p_batch_id
              and s.market_id = c.market_id
              and s.page_number = page.number
          )
      ),
      c.pages_stored + cardinality(c.lost_pages) + 1
    ),
    c.offers_reported
  from claimed c
  join p2p.dim_markets m using (market_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies a using (crypto_id)
  order by c.plan_position
$function$;

comment on function p2p.claim_markets(uuid, text, text, integer) is 'Takes the next markets from the work queue of a batch';

grant execute on function p2p.claim_markets(uuid, text, text, integer) to p2p_worker;
