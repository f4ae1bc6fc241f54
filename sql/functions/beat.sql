-- Says that a worker lives, what it does and what its exchanges allow it: registers it, and renews its lease. Called every
-- few seconds, also while batches are loaded, so that it writes nothing but ops_workers, ops_worker_exchanges and, once a
-- minute and when a breaker changes, ops_access_history; and waits for nobody.
-- Expects p_exchanges as [{"exchange": "binance", "filter": [{"fiat": "*", "asset": "*"}], "rate_per_minute": 100,
-- "ceiling_per_minute": null, "paused_seconds": 0, "breaker": "closed", "breaker_reason": null, "breaker_memory": null,
-- "requests": 0, "refused": 0, "retries": 0}]: all of the worker's.
-- Clears away workers that have been dead for a week and have a younger one of the same name, and history that is too old.
create or replace function p2p.beat(
  p_worker_id text,
  p_worker_name text,
  p_version text,
  p_purpose text,
  p_doing text,
  p_lease_seconds double precision,
  p_exchanges jsonb
)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_now constant timestamptz := clock_timestamp();
  v_unknown text;
begin
  select string_agg(x.exchange, ', ')
  into v_unknown
  from jsonb_to_recordset(p_exchanges) as x (exchange text)
  where not exists (
    select
    from p2p.dim_exchanges e
    where e.code = x.exchange
  );

  if v_unknown is not null then
    raise exception 'there is no exchange %', v_unknown
      using errcode = 'P2P01', hint = 'select code, name from p2p.dim_exchanges';
  end if;

  insert into p2p.ops_workers as w (
    worker_id, worker_name, version, purpose, started_at, last_seen_at, lease_expires_at, doing
  )
  values (
    p_worker_id, p_worker_name, p_version, p_purpose, v_now, v_now, v_now + make_interval(secs => p_lease_seconds), p_doing
  )
  on conflict (worker_id) do update
  set
    last_seen_at = excluded.last_seen_at,
    lease_expires_at = excluded.lease_expires_at,
    doing = excluded.doing;

  insert into p2p.ops_worker_exchanges as we (
    worker_id, exchange_id, market_filter, rate_per_minute, ceiling_per_minute, paused_until, breaker, breaker_reason,
    breaker_since, breaker_memory, requests_total, refused_total, retries_total, updated_at
  )
  select
    p_worker_id,
    e.exchange_id,
    x.filter,
    x.rate_per_minute,
    x.ceiling_per_minute,
    case when x.paused_seconds > 0 then v_now + make_interval(secs => x.paused_seconds) end,
    x.breaker,
    x.breaker_reason,
    case when x.breaker <> 'closed' then v_now end,
    x.breaker_memory,
    coalesce(x.requests, 0),
    coalesce(x.refused, 0),
    coalesce(x.retries, 0),
    v_now
  from jsonb_to_recordset(p_exchanges) as x (
    exchange text, filter jsonb, rate_per_minute numeric, ceiling_per_minute numeric, paused_seconds double precision,
    breaker text, breaker_reason text, breaker_memory jsonb, requests bigint, refused bigint, retries bigint
  )
  join p2p.dim_exchanges e on e.code = x.exchange
  on conflict (worker_id, exchange_id) do update
  set
    market_filter = excluded.market_filter,
    rate_per_minute = excluded.rate_per_minute,
    ceiling_per_minute = excluded.ceiling_per_minute,
    paused_until = excluded.paused_until,
    breaker = excluded.breaker,
    breaker_reason = excluded.breaker_reason,
    breaker_since = case when we.breaker = excluded.breaker then we.breaker_since else excluded.breaker_since end,
    breaker_memory = excluded.breaker_memory,
    requests_total = excluded.requests_total,
    refused_total = excluded.refused_total,
    retries_total = excluded.retries_total,
    updated_at = excluded.updated_at;

  insert into p2p.ops_access_history as h (
    worker_id, exchange_id, noted_at, worker_name, rate_per_minute, ceiling_per_minute, breaker, breaker_reason,
    requests, refused, requests_total, refused_total
  )
  select
    we.worker_id,
    we.exchange_id,
    date_trunc('second', v_now),
    p_worker_name,
    we.rate_per_minute,
    we.ceiling_per_minute,
    we.breaker,
    we.breaker_reason,
    greatest(we.requests_total - coalesce(before.requests_total, 0), 0),
    greatest(we.refused_total - coalesce(before.refused_total, 0), 0),
    we.requests_total,
    we.refused_total
  from p2p.ops_worker_exchanges we
  left join lateral (
    select last.noted_at, last.breaker, last.requests_total, last.refused_total
    from p2p.ops_access_history last
    where last.worker_id = we.worker_id
      and last.exchange_id = we.exchange_id
    order by last.noted_at desc
    limit 1
  ) as before on true
  where we.worker_id = p_worker_id
    and we.updated_at = v_now
    and (
      before.noted_at is null
      or before.noted_at <= v_now - interval '1 minute'
      or before.breaker <> we.breaker
    )
  on conflict (worker_id, exchange_id, noted_at) do update -- twice in a second
  set
    rate_per_minute = excluded.rate_per_minute,
    ceiling_per_minute = excluded.ceiling_per_minute,
    breaker = excluded.breaker,
    breaker_reason = excluded.breaker_reason,
    requests = h.requests + excluded.requests,
    refused = h.refused + excluded.refused,
    requests_total = excluded.requests_total,
    refused_total = excluded.refused_total;

  if found then
    delete from p2p.ops_access_history h
    where h.ctid in (
      select old.ctid
      from p2p.ops_access_history old
      where old.noted_at < v_now - make_interval(secs => p2p.setting_number('access_retention_days')::double precision * 86400)
      limit 1000
      for update skip locked
    );
  end if;

  -- Skipping what is locked: another beat clears away the same rows.
  delete from p2p.ops_workers w
  where w.worker_id in (
    select dead.worker_id
    from p2p.ops_workers dead
    where dead.worker_name = p_worker_name
      and dead.worker_id <> p_worker_id
      and dead.last_seen_at < v_now - interval '7 days'
    for update skip locked
  );
end
$function$;

comment on function p2p.beat(text, text, text, text, text, double precision, jsonb) is 'Says that a worker lives, what it does and what its exchanges allow it';

grant execute on function p2p.beat(text, text, text, text, text, double precision, jsonb) to p2p_worker;
