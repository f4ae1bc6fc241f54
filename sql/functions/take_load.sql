-- What a worker is to do that has nothing in hand any more: whatever is still in its name goes back into the queue first.
-- Expects that all its pages are stored; p_give_up_reason of one that can fetch no more (it is told to stop, or the exchange
-- is closed to it), which says what it is doing (beat: stopping) before it asks. Returns
--   fetch   there are markets that it may claim; also where it gave up an exchange, and serves another
--   wait    others fetch, or load: ask again
--   others  it gave up, and others go on: it need not wait
--   load    it is the loader: fetching is ended, what was not fetched is deferred with the reason, and load_batch is next;
--           where it was told to stop, the batch is cut short
--   closed  the batch is over
-- Exactly one of several becomes the loader. One that dies, or is idle, is replaced: load_batch may be called again.
-- After the deadline markets that live workers have in hand are waited for, ten seconds at most. Only who stops leaves the
-- load to others: where all have given up, one of them loads.
create or replace function p2p.take_load(p_batch_id uuid, p_worker_id text, p_give_up_reason text)
returns text
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  c_patience constant interval := interval '10 seconds';
  c_worth_waiting constant interval := interval '60 seconds';
  v_gives_up constant boolean := p_give_up_reason is not null;
  v_is_stopping boolean;
  v_batch p2p.ops_batch_runs;
  v_loader text;
  v_is_in_time boolean;
  v_left record;
begin
  for v_attempt in 1..2 loop
    select r.*
    into v_batch
    from p2p.ops_batch_runs r
    where r.batch_id = p_batch_id
      and r.status = 'running';

    if not found then
      return 'closed';
    end if;

    select w.doing = 'stopping'
    into v_is_stopping
    from p2p.live_workers() w
    where w.worker_id = p_worker_id;

    if not found then
      return 'wait'; -- until it has beaten again: nobody would count on it
    end if;

    v_loader := (select w.worker_id from p2p.workers_at_work() w where w.worker_id = v_batch.loader_id);

    if v_loader = p_worker_id then
      return 'load';
    elsif v_loader is not null then
      return case when v_gives_up then 'others' else 'wait' end;
    end if;

    if v_attempt = 1 then
      -- Who else decides at this moment is waited for; a load that goes on without its worker is not.
      if v_batch.loader_id is null then
        perform
        from p2p.ops_batch_runs r
        where r.batch_id = p_batch_id
        for no key update;
      else
        perform
        from p2p.ops_batch_runs r
        where r.batch_id = p_batch_id
        for no key update skip locked;

        if not found then
          return 'wait';
        end if;
      end if;
    end if;
  end loop;

  if exists (
    select
    from p2p.unfetched_markets(p_batch_id) u
    where u.worker_id = p_worker_id
      and u.status = 'fetching'
  ) then
    perform p2p.give_back(p_batch_id, p_worker_id, null);
  end if;

  v_is_in_time := coalesce(v_batch.fetch_until > clock_timestamp(), false);

  with at_work as materialized (
    select w.worker_id, w.doing
    from p2p.workers_at_work() w
    where w.worker_id <> p_worker_id
      -- Who goes relies on those that have beaten lately, not on those that only count as alive after a restart of the server;
      -- nor on one that reads lists of markets: told to stop, it joins no batch.
      and (not v_is_stopping or w.lease_expires_at > clock_timestamp() and w.doing <> 'discovering')
  ),
  left_over as materialized (
    select
      m.exchange_id,
      f.currency_code as fiat,
      c.symbol as asset,
      u.status = 'fetching' and u.worker_id in (select a.worker_id from at_work a) as is_held
    from p2p.unfetched_markets(p_batch_id) u
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
  ),
  free as (
    select
      p.worker_id = p_worker_id as is_mine,
      we.breaker <> 'open'
        and coalesce(we.paused_until < clock_timestamp() + c_worth_waiting, true)
        and w.doing <> 'stopping' as can_go_on
    from p2p.market_patterns() p
    join p2p.ops_worker_exchanges we using (worker_id, exchange_id)
    join p2p.live_workers() w using (worker_id)
    where (p.worker_id = p_worker_id or p.worker_id in (select a.worker_id from at_work a where a.doing <> 'stopping'))
      and exists (
        select
        from left_over l
        where not l.is_held
          and l.exchange_id = p.exchange_id
          and p.fiat in ('*', l.fiat)
          and p.asset in ('*', l.asset)
      )
  )
  select
    exists (select from left_over) as is_any,
    exists (select from left_over l where l.is_held) as is_any_held,
    exists (select from free f where f.is_mine) as is_any_mine,
    exists (select from free f where f.is_mine and f.can_go_on) as is_any_mine_now,
    exists (select from free f where not f.is_mine) as is_any_others,
    exists (select from free f where not f.is_mine and f.can_go_on) as is_any_others_now,
    exists (select from at_work a where a.doing <> 'stopping') as are_others_at_work
  into v_left;

  if v_is_in_time then
    if v_gives_up then
      if v_left.is_any_mine_now then
        return 'fetch'; -- of another exchange: it gave up one
      elsif v_left.is_any_held
        or v_left.is_any_others_now
        or v_is_stopping and not v_left.is_any and v_left.are_others_at_work
      then
        return 'others';
      end if;
    elsif v_left.is_any_mine then
      return 'fetch';
    elsif v_left.is_any_held or v_left.is_any_others then
      return 'wait';
    end if;
  elsif v_is_stopping and v_left.are_others_at_work then
    return 'others'; -- one that is only closed out stays: the others may be, too
  elsif v_left.is_any_held and clock_timestamp() < v_batch.fetch_until + c_patience then
    return 'wait';
  end if;

  if v_left.is_any then
    if v_is_in_time then
      -- Each exchange for its own reason.
      perform p2p.end_fetching(p_batch_id, why.reason, why.exchange_id)
      from (
        select
          m.exchange_id,
          coalesce(
            max(p_give_up_reason) filter (where we.worker_id = p_worker_id),
            max(we.breaker_reason) filter (where we.breaker = 'open'),
            case when count(we.worker_id) > 0 then 'no live worker serves this market' end,
            'no live worker serves this exchange'
          ) as reason
        from p2p.ops_batch_markets bm
        join p2p.dim_markets m using (market_id)
        left join p2p.ops_worker_exchanges we
          on we.exchange_id = m.exchange_id
          and we.worker_id in (select w.worker_id from p2p.live_workers() w)
        where bm.batch_id = p_batch_id
        group by m.exchange_id
      ) as why;
    else
      perform p2p.end_fetching(
        p_batch_id,
        -- The start is cut to the second.
        coalesce(
          'the deadline of ' || floor(extract(epoch from v_batch.fetch_until - v_batch.batch_start_time)) || ' s came first',
          'a former release left it under way' -- it knew no deadline
        )
      );
    end if;
  end if;

  update p2p.ops_batch_runs r
  set
    loader_id = p_worker_id,
    is_cut_short = r.is_cut_short or (v_is_stopping and v_is_in_time and v_left.is_any)
  where r.batch_id = p_batch_id;

  return 'load';
end
$function$;

comment on function p2p.take_load(uuid, text, text) is 'What a worker is to do that has nothing in hand any more: fetch, wait, load, or leave it to others';

grant execute on function p2p.take_load(uuid, text, text) to p2p_worker;
