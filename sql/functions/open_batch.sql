-- Opens a batch over all active markets that the filter takes in, unless one is running.
-- Expects p_filter as [{"fiat": "VES", "asset": "*"}, …].
-- Order: markets that the batch before had to defer, then by how many offers they had, then new ones by name.
-- Returns one row. Where another batch runs: batch_id is NULL and the row says who holds it. Where the setting
-- `paused` is on: batch_id and held_by are NULL, and batch_start_time says since when; see pause_state.
create or replace function p2p.open_batch(
  p_exchange text,
  p_worker_id text,
  p_lease_seconds double precision,
  p_filter jsonb
)
returns table (
  batch_id uuid,
  batch_start_time timestamptz,
  markets_expected integer,
  held_by text,
  lease_ends_in_seconds double precision
)
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_batch p2p.ops_batch_runs;
begin
  lock table p2p.ops_batch_runs in share row exclusive mode;

  select r.*
  into v_batch
  from p2p.ops_batch_runs r
  where r.status = 'running';

  if found then
    return query
    select
      null::uuid,
      v_batch.batch_start_time,
      v_batch.markets_expected,
      v_batch.worker_id,
      extract(epoch from v_batch.lease_expires_at - clock_timestamp())::double precision;
    return;
  end if;

  if p2p.setting_switch('paused') then
    return query
    select null::uuid, p.paused_since, 0, null::text, null::double precision
    from p2p.pause_state() p;
    return;
  end if;

  insert into p2p.ops_batch_runs (batch_start_time, worker_id, lease_expires_at)
  values (
    -- The time of a batch is the key of its facts: no two share one, even where the clock steps back a little.
    -- Whole seconds: batches of a schedule are then exactly as far apart as it says, which costs the columnstore nothing;
    -- with milliseconds a time takes 3 bytes an offer.
    greatest(
      date_trunc('second', clock_timestamp()),
      (
        select max(r.batch_start_time) + interval '1 millisecond'
        from p2p.ops_batch_runs r
        where r.batch_start_time < clock_timestamp() + interval '1 minute'
      )
    ),
    p_worker_id,
    clock_timestamp() + make_interval(secs => p_lease_seconds)
  )
  returning *
  into v_batch;

  insert into p2p.ops_batch_markets (batch_id, market_id, plan_position)
  with wanted as (
    select
      m.market_id,
      m.trade_type,
      f.currency_code,
      c.symbol
    from p2p.dim_markets m
    join p2p.dim_exchanges e on e.exchange_id = m.exchange_id and e.code = p_exchange
    join p2p.dim_fiat_currencies f on f.fiat_id = m.fiat_id and f.is_active
    join p2p.dim_cryptocurrencies c on c.crypto_id = m.crypto_id and c.is_active
    where m.is_active
      and exists (
        select
        from jsonb_to_recordset(p_filter) as pattern (fiat text, asset text)
        where pattern.fiat in ('*', f.currency_code)
          and pattern.asset in ('*', c.symbol)
      )
  ),
  last_plan as (
    select distinct on (bm.market_id)
      bm.market_id,
      bm.status = 'deferred' as was_deferred,
      bm.offers_reported
    from p2p.ops_batch_markets bm
    join p2p.ops_batch_runs r on r.batch_id = bm.batch_id
    where r.batch_start_time > v_batch.batch_start_time - interval '1 day'
      and r.imported_from is null -- what others recorded was no plan
    order by bm.market_id, r.batch_start_time desc
  )
  select
    v_batch.batch_id,
    w.market_id,
    row_number() over (
      order by
        coalesce(l.was_deferred, false) desc,
        coalesce(l.offers_reported, 0) desc,
        w.symbol <> 'USDT',
        w.currency_code,
        w.symbol,
        w.trade_type
    )
  from wanted w
  left join last_plan l on l.market_id = w.market_id;

  update p2p.ops_batch_runs r
  set markets_expected = (
    select count(*)
    from p2p.ops_batch_markets bm
    where bm.batch_id = v_batch.batch_id
  )
  where r.batch_id = v_batch.batch_id
  returning *
  into v_batch;

  return query
  select v_batch.batch_id, v_batch.batch_start_time, v_batch.markets_expected, null::text, null::double precision;
end
$function$;

comment on function p2p.open_batch(text, text, double precision, jsonb) is 'Opens a batch over the active markets that the filter takes in; tells the holder where one runs already';

grant execute on function p2p.open_batch(text, text, double precision, jsonb) to p2p_worker;
