-- What the status page shows at its top, as one document: state, running batch, workers, rules. Times are seconds since
-- 1970; how old they are is the reader's to say, so that nothing changes in it where nothing has happened.
-- Expects the interval of the schedule, by which late is told from in time. Changes nothing; reads what a reader may.
create or replace function p2p.page_overview(p_interval_minutes integer)
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with last_batch as (
    select o.*
    from p2p.batch_overview o
    where o.status <> 'running'
    order by o.batch_start_time desc
    limit 1
  ),
  last_good as (
    select o.batch_start_time, o.batch_end_time
    from p2p.batch_overview o
    where o.status in ('completed', 'partial')
    order by o.batch_start_time desc
    limit 1
  ),
  running as (
    select o.batch_start_time, o.fetch_until, o.loader_id, o.markets_expected
    from p2p.batch_overview o
    where o.status = 'running'
  ),
  running_markets as (
    select
      bm.worker,
      bm.status,
      count(*) as markets,
      count(*) filter (where bm.is_over) as ended,
      coalesce(sum(bm.pages_stored), 0) as pages,
      -- An exchange puts 20 offers on a page.
      coalesce(sum(least(bm.offers_reported, bm.pages_stored * 20)), 0) as offers
    from running
    join p2p.batch_markets bm using (batch_start_time)
    where bm.status <> 'not_due'
    group by bm.worker, bm.status
  ),
  present as (
    select w.*
    from p2p.workers w
    where w.alive
      or w.doing <> 'gone'
      and w.seen < interval '1 hour'
    limit 100
  ),
  shut as (
    select w.worker, w.exchange, last_note.noted_at, last_note.why
    from present w
    left join lateral (
      select h.noted_at, h.why
      from p2p.access_history h
      where h.exchange = w.exchange
        and h.breaker = w.breaker
        and starts_with(w.worker, h.worker)
        and h.noted_at > now() - interval '1 day'
      order by h.noted_at desc
      limit 1
    ) as last_note on true
    where w.alive
      and w.breaker <> 'closed'
  ),
  rules as (
    select *
    from p2p.rule_results
    where is_enabled
  ),
  paused as (
    select c.changed_at, c.changed_by
    from p2p.current_settings s
    left join lateral (
      select c.changed_at, c.changed_by
      from p2p.setting_changes c
      where c.table_name = 'settings'
        and c.row_key = 'paused'
        and c.change like '%→ on%'
      limit 1
    ) as c on true
    where s.name = 'paused'
      and s.value = 'on'
  ),
  last_due as (
    select s.due_at, s.outcome, s.why
    from p2p.schedule s
    limit 1
  ),
  open_incidents as (
    select i.kind, i.subject, i.since, i.message
    from p2p.incidents i
    where i.state = 'open'
    limit 20
  ),
  problems (place, level, text, since) as (
    select 1, 'bad', 'No batch has come for longer than three intervals', g.batch_end_time
    from last_good g
    where g.batch_end_time < clock_timestamp() - 3 * make_interval(mins => p_interval_minutes)
      and not exists (select from paused)
    union all
    select
      2,
      'bad',
      'The last batch failed' || coalesce(': ' || left(b.error_summary, 300), ''),
      b.batch_end_time
    from last_batch b
    where b.status = 'failed'
    union all
    select
      3,
      'bad',
      format('%s is not asked (%s): %s', s.exchange, s.worker, coalesce(s.why, 'it failed again and again')),
      s.noted_at
    from shut s
    union all
    select
      case when bool_or(r.result <> 'warning') then 4 else 5 end,
      case when bool_or(r.result <> 'warning') then 'bad' else 'warn' end,
      'Quality: ' || string_agg(format('%s (%s)', r.rule, r.result), ', ' order by r.result, r.rule),
      max(r.checked_at)
    from rules r
    where r.result <> 'ok'
    having count(*) > 0
    union all
    select
      6,
      'warn',
      format('%s of %s markets of the last batch are missing', b.markets_expected - b.markets_completed, b.markets_expected),
      b.batch_end_time
    from last_batch b
    where b.status = 'partial'
      and b.markets_completed < b.markets_expected
    union all
    select
      7,
      'warn',
      format('%s %s of the last load failed', b.failed_steps, case b.failed_steps when 1 then 'step' else 'steps' end),
      b.batch_end_time
    from last_batch b
    where b.failed_steps > 0
    union all
    select 8, 'warn', format('The batch due then was skipped: %s', d.why), d.due_at
    from last_due d
    where d.outcome = 'skipped'
    union all
    select 9, 'warn', 'Paused: no new batch is begun' || coalesce(', says ' || p.changed_by, ''), p.changed_at
    from paused p
    union all
    select 10, 'warn', 'No worker is alive', max(w.batch_end_time)
    from last_batch w
    where not exists (select from present where present.alive)
    having count(*) > 0
    union all
    -- What an incident tells is mostly told above, but not all of it.
    select
      11,
      'warn',
      format('%s %s open', count(*), case count(*) when 1 then 'incident is' else 'incidents are' end),
      min(i.since)
    from open_incidents i
    having count(*) > 0
  )
  select json_build_object(
    'state', (
      select coalesce(
        min(p.level),
        case when exists (select from last_good) then 'ok' else 'none' end
      )
      from problems p
    ),
    'problems', (
      select coalesce(
        json_agg(
          json_build_object('level', p.level, 'text', p.text, 'since', round(extract(epoch from p.since)))
          order by p.place
        ),
        '[]'
      )
      from problems p
    ),
    'incidents', (
      select coalesce(
        json_agg(
          json_build_object(
            'kind', i.kind,
            'subject', i.subject,
            'since', round(extract(epoch from i.since)),
            'message', i.message
          )
          order by i.since desc
        ),
        '[]'
      )
      from open_incidents i
    ),
    'is_paused', exists (select from paused),
    'last_good', (
      select json_build_object(
        'start', round(extract(epoch from g.batch_start_time)),
        'end', round(extract(epoch from g.batch_end_time), 1)
      )
      from last_good g
    ),
    'last_batch', (
      select json_build_object(
        'start', round(extract(epoch from b.batch_start_time)),
        'end', round(extract(epoch from b.batch_end_time), 1),
        'status', b.status,
        'markets', b.markets_completed,
        'of', b.markets_expected,
        'offers', b.offers,
        'rejected', b.rejected,
        'seconds', round(b.seconds, 1)
      )
      from last_batch b
    ),
    'running', (
      select json_build_object(
        'start', round(extract(epoch from r.batch_start_time), 1),
        'fetch_until', round(extract(epoch from r.fetch_until), 1),
        'is_loading', r.loader_id is not null,
        'markets', r.markets_expected,
        'ended', (select coalesce(sum(m.ended), 0) from running_markets m),
        'by_state', (
          select coalesce(json_object_agg(s.status, s.markets), '{}')
          from (
            select m.status, sum(m.markets) as markets
            from running_markets m
            group by m.status
          ) as s
        ),
        'pages', (select coalesce(sum(m.pages), 0) from running_markets m),
        'offers', (select coalesce(sum(m.offers), 0) from running_markets m),
        'by_worker', (
          select coalesce(json_agg(w order by w.worker), '[]')
          from (
            select
              m.worker,
              sum(m.pages) as pages,
              sum(m.offers) as offers,
              coalesce(sum(m.markets) filter (where m.status = 'fetching'), 0) as held,
              sum(m.ended) as ended
            from running_markets m
            where m.worker is not null
            group by m.worker
          ) as w
        )
      )
      from running r
    ),
    'workers', (
      select coalesce(
        json_agg(
          json_build_object(
            'worker', w.worker,
            'alive', w.alive,
            'doing', w.doing,
            'exchange', w.exchange,
            'rate', w.rate,
            'ceiling', w.ceiling,
            'breaker', w.breaker,
            'paused_seconds', round(extract(epoch from w.pause)),
            'held', w.held
          )
          order by w.alive desc, w.worker, w.exchange
        ),
        '[]'
      )
      from present w
    ),
    'rules', (
      select coalesce(
        json_agg(
          json_build_object(
            'rule', r.rule,
            'result', r.result,
            'value', r.value,
            'bad_when', r.is_bad_when,
            'warning', r.warning_threshold,
            'error', r.error_threshold,
            'comment', r.comment,
            'details', r.details
          )
          order by array_position(array['broken', 'error', 'warning', 'ok'], r.result) nulls last, r.rule
        ),
        '[]'
      )
      from rules r
    )
  )
$function$;

comment on function p2p.page_overview(integer) is 'What the status page shows at its top';

grant execute on function p2p.page_overview(integer) to p2p_reader, p2p_worker;
