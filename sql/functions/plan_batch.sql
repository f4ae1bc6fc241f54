-- Plans a batch: which markets, in which order, and how many of them the allowance has room for. A second call adds what
-- discovery has found since, and changes no row that is there. Returns how many markets are planned.
-- Planned are the active markets that live workers serve; in a batch begun by hand, those of the one who began it.
--   order      priority, then those deferred last time (the longest first, so that nobody starves), then those that had most
--              offers, and most of what is traded of their asset, then new ones by name
--   not due    a market that was empty for empty_market_after_hours is visited every empty_market_every_hours; not one
--              of raised priority
--   allowance  of an exchange: what its workers may send until the deadline, plan_share_percent of it. A market costs the
--              pages that it took last. One that would begin beyond it is deferred at once, and fetched all the same if
--              time is left when all others are
-- Made to be tuned: claim_markets and the ledger go by the rows that it leaves, whatever their order.
create or replace function p2p.plan_batch(p_batch_id uuid, p_deadline_seconds double precision)
returns integer
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
  v_empty_after interval := make_interval(secs => p2p.setting_number('empty_market_after_hours')::double precision * 3600);
  v_empty_every interval := make_interval(secs => p2p.setting_number('empty_market_every_hours')::double precision * 3600);
  v_share numeric := p2p.setting_number('plan_share_percent') / 100;
  v_last_loaded timestamptz := (
    select max(r.batch_start_time)
    from p2p.ops_batch_runs r
    where r.status in ('completed', 'partial')
      and r.imported_from is null
  );
  v_planned integer;
begin
  insert into p2p.ops_batch_markets (batch_id, market_id, plan_position, status, estimated_requests, reason)
  with planners as materialized (
    select w.worker_id
    from p2p.live_workers() w
    where v_batch.due_at is not null and w.doing <> 'stopping'
      or w.worker_id = v_batch.worker_id
  ),
  patterns as materialized (
    select distinct p.exchange_id, p.fiat, p.asset
    from p2p.market_patterns() p
    join planners using (worker_id)
  ),
  rates as (
    select
      we.exchange_id,
      we.rate_per_minute / 60 as rate_per_second,
      case
        when we.breaker = 'open' then 0
        else greatest(p_deadline_seconds - coalesce(extract(epoch from we.paused_until - clock_timestamp()), 0), 0)
      end as seconds
    from planners
    join p2p.ops_worker_exchanges we using (worker_id)
  ),
  allowances as (
    select
      r.exchange_id,
      floor(
        v_share * case
          when sum(r.seconds) > 0 then sum(r.rate_per_second * least(r.seconds, p_deadline_seconds)::numeric)
          else sum(r.rate_per_second) * p_deadline_seconds::numeric -- all are kept from sending: who knows how long
        end
      ) as requests
    from rates r
    group by r.exchange_id
  ),
  already as (
    select
      m.exchange_id,
      coalesce(sum(bm.estimated_requests) filter (where bm.status not in ('not_due', 'deferred')), 0) as requests,
      max(bm.plan_position) as plan_position
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    where bm.batch_id = p_batch_id
    group by m.exchange_id
  ),
  candidates as (
    select
      m.market_id,
      m.exchange_id,
      m.priority,
      v.waiting_since,
      coalesce(v.offers, 0) as offers,
      m.crypto_id,
      -- By its key, market by market: the planner expects few markets here, and joins them one by one.
      coalesce(
        (
          select d.total_available_volume
          from p2p.fact_market_depth d
          where (d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type) = (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type)
            and d.extraction_timestamp = v_last_loaded
        ),
        0
      ) as volume,
      f.currency_code as fiat,
      c.symbol as asset,
      m.trade_type,
      greatest(v.pages, 1) as cost,
      case
        when m.priority <= 0
          and v.waiting_since is null
          and v.empty_since <= v_batch.batch_start_time - v_empty_after
          -- A minute less, because batches do not begin to the second.
          and v.visited_at + v_empty_every > v_batch.batch_start_time + interval '1 minute'
        then format(
          'empty since %s, due at %s',
          to_char(v.empty_since at time zone 'UTC', 'MM-DD HH24:MI'),
          to_char((v.visited_at + v_empty_every) at time zone 'UTC', 'HH24:MI"Z"')
        )
      end as why_not_due
    from p2p.dim_markets m
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    left join p2p.ops_market_visits v using (market_id)
    where m.is_active
      and f.is_active
      and c.is_active
      and exists (
        select
        from patterns p
        where p.exchange_id = m.exchange_id
          and p.fiat in ('*', f.currency_code)
          and p.asset in ('*', c.symbol)
      )
      and not exists (
        select
        from p2p.ops_batch_markets bm
        where bm.batch_id = p_batch_id
          and bm.market_id = m.market_id
      )
  ),
  valued as (
    select
      k.*,
      coalesce(k.volume / nullif(sum(k.volume) over (partition by k.crypto_id), 0), 0) as volume_share
    from candidates k
  ),
  ordered as (
    select
      k.*,
      row_number() over (
        order by
          k.why_not_due is not null,
          k.priority desc,
          k.waiting_since nulls last,
          k.offers desc,
          k.volume_share desc,
          k.asset <> 'USDT',
          k.fiat,
          k.asset,
          k.trade_type,
          k.market_id
      ) as place
    from valued k
  ),
  measured as (
    select
      o.*,
      sum(o.cost) filter (where o.why_not_due is null) over (partition by o.exchange_id order by o.place) - o.cost as cost_before
    from ordered o
  )
  select
    p_batch_id,
    q.market_id,
    coalesce((select max(a.plan_position) from already a), 0) + q.place,
    case
      when q.why_not_due is not null then 'not_due'
      when coalesce(already.requests, 0) + q.cost_before >= allowances.requests then 'deferred'
      else 'pending'
    end,
    q.cost,
    case
      when q.why_not_due is not null then q.why_not_due
      when coalesce(already.requests, 0) + q.cost_before >= allowances.requests
      then format('beyond the allowance of %s requests', allowances.requests)
    end
  from measured q
  join allowances using (exchange_id)
  left join already using (exchange_id)
  order by q.place;

  select count(*)
  into v_planned
  from p2p.ops_batch_markets bm
  where bm.batch_id = p_batch_id
    and bm.status <> 'not_due';

  update p2p.ops_batch_runs r
  set markets_expected = v_planned
  where r.batch_id = p_batch_id
    and r.markets_expected <> v_planned;

  return v_planned;
end
$function$;

comment on function p2p.plan_batch(uuid, double precision) is 'Plans a batch: which markets, in which order, within the allowance. Yours to tune';

grant execute on function p2p.plan_batch(uuid, double precision) to p2p_worker;
