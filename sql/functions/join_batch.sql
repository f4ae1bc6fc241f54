-- What a worker is to do now: help with the batch that runs, open one, or let it be. One batch runs at a time in the
-- whole fleet.
-- Expects a worker that beats; p_due_at and p_interval_seconds of the schedule, or NULL for a batch begun by hand.
-- outcome:
--   opened  a batch was opened and planned
--   joined  a batch runs: help with it. Where seconds_left is 0 or less, all that is left is to load it (take_load). Once it is
--           loaded, call again with the same p_due_at: it may still be its turn
--   held    begun by hand, while others are at a batch; detail names them
--   done    this due time had its batch, or was skipped; or the worker is told to stop, and opens none
--   late    it is longer past than schedule_grace_seconds: skipped. The first batch of a schedule is never late
--   paused  setting paused is on: skipped, unless it had its batch; detail says since when and by whom
-- Due times that got no batch are written to ops_skipped_batches, those since the last one accounted for as well.
-- A due time that is further ahead than schedule_grace_seconds (60 at least), or than an interval, is an error: the worker's
-- clock is wrong. Nearer it is at most the next one.
-- A second call with the same p_due_at joins what the first has opened.
-- Waits for another worker that is just opening a batch, and for no load.
create or replace function p2p.join_batch(
  p_worker_id text,
  p_due_at timestamptz,
  p_interval_seconds double precision,
  p_deadline_seconds double precision
)
returns table (
  outcome text,
  batch_id uuid,
  batch_start_time timestamptz,
  markets_expected integer,
  seconds_left double precision,
  detail text
)
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_worker p2p.ops_workers;
  v_batch p2p.ops_batch_runs;
  v_others text;
  v_seconds_late double precision := extract(epoch from clock_timestamp() - p_due_at);
  v_seconds_ahead constant double precision
    := least(greatest(p2p.setting_number('schedule_grace_seconds'), 60), p_interval_seconds);
  v_horizon timestamptz;
  v_is_accounted_for boolean;
begin
  -- Its batch would have all others believe, until then, that every due time had its batch.
  if -v_seconds_late > v_seconds_ahead then
    raise exception 'the clock of worker % is at least % s ahead of the database', p_worker_id, -round(v_seconds_late)
      using errcode = 'P2P03', hint = 'set the clock of its machine, or of the database''s';
  end if;

  select w.*
  into v_worker
  from p2p.live_workers() w
  where w.worker_id = p_worker_id;

  if not found then
    raise exception 'worker % is not known, or its lease has run out', p_worker_id
      using errcode = 'P2P03', hint = 'beat comes first';
  end if;

  -- A batch that runs is joined without waiting for whoever opens the next.
  select r.*
  into v_batch
  from p2p.ops_batch_runs r
  where r.status = 'running';

  if not found then
    perform pg_advisory_xact_lock(hashtextextended('p2p.join_batch', 0));

    select r.*
    into v_batch
    from p2p.ops_batch_runs r
    where r.status = 'running';
  end if;

  if v_batch.batch_id is not null then
    outcome := 'joined';

    if v_worker.purpose = 'once' and v_batch.worker_id <> p_worker_id then
      select string_agg(format('%s (%s)', w.worker_id, w.doing), ', ' order by w.worker_id)
      into v_others
      from p2p.workers_at_work() w
      where w.worker_id <> p_worker_id;

      if v_others is not null then
        outcome := 'held';
        detail := v_others;
      end if;
    end if;
  elsif v_worker.doing = 'stopping' then
    outcome := 'done';
  else
    -- What lies further ahead is from a time when all clocks were wrong: it holds nothing up. Its own batch is known also
    -- where the clock has jumped back since this call began.
    v_horizon := greatest(p_due_at, clock_timestamp() + make_interval(secs => v_seconds_ahead));
    v_is_accounted_for := exists (
      select
      from p2p.ops_batch_runs r
      where r.due_at between p_due_at and v_horizon
    )
    or exists (
      select
      from p2p.ops_skipped_batches s
      where s.due_at between p_due_at and v_horizon
    );

    if not v_is_accounted_for then
      perform p2p.record_missed_batches(p_due_at, p_interval_seconds, p_worker_id);
    end if;

    if p2p.setting_switch('paused') then
      outcome := 'paused';
      detail := (
        select 'paused' || coalesce(
          ' since ' || to_char(p.paused_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"') || ' by ' || p.paused_by,
          ''
        )
        from p2p.pause_state() p
      );
    elsif v_is_accounted_for then
      outcome := 'done';
    elsif v_seconds_late > p2p.setting_number('schedule_grace_seconds')
      and exists (select from p2p.ops_batch_runs r where r.due_at is not null)
    then
      outcome := 'late';
      detail := format('%s; %s s late', p2p.why_late(p_due_at), round(v_seconds_late));
    else
      outcome := 'opened';
    end if;

    if outcome in ('paused', 'late') and p_due_at is not null and not v_is_accounted_for then
      insert into p2p.ops_skipped_batches (due_at, reason, worker_id)
      values (p_due_at, detail, p_worker_id);
    end if;
  end if;

  if outcome = 'opened' then
    insert into p2p.ops_batch_runs (batch_start_time, worker_id, due_at, fetch_until)
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
      p_due_at,
      clock_timestamp() + make_interval(secs => p_deadline_seconds)
    )
    returning *
    into v_batch;

    v_batch.markets_expected := p2p.plan_batch(v_batch.batch_id, p_deadline_seconds);

    -- Where the clock has jumped meanwhile all leases are over, and nothing is planned: such a batch must not be.
    if not exists (
      select
      from p2p.live_workers() w
      where w.worker_id = p_worker_id
    ) then
      raise exception 'the lease of worker % has run out', p_worker_id
        using errcode = 'P2P03', hint = 'beat comes first';
    end if;
  end if;

  if outcome in ('opened', 'joined') then
    -- Others see it at work before its next beat. Last, so that no beat waits for what came before.
    update p2p.ops_workers w
    set doing = 'fetching'
    where w.worker_id = p_worker_id
      and w.doing = 'idle';
  end if;

  batch_id := v_batch.batch_id;
  batch_start_time := v_batch.batch_start_time;
  markets_expected := v_batch.markets_expected;
  seconds_left := case
    when v_batch.batch_id is not null
    then coalesce(extract(epoch from v_batch.fetch_until - clock_timestamp()), 0)
  end;
  seconds_left := case when v_batch.loader_id is not null then least(seconds_left, 0) else seconds_left end;
  return next;
end
$function$;

comment on function p2p.join_batch(text, timestamptz, double precision, double precision) is 'What a worker is to do now: help with the batch that runs, open one, or let it be';

grant execute on function p2p.join_batch(text, timestamptz, double precision, double precision) to p2p_worker;
