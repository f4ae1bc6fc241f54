-- Opens and ends incidents by what incident_causes says, and returns what people have yet to be told and this worker is to
-- tell: what it is the teller of, and what the teller left untold that is dead. The same again at each call until
-- incidents_told says that it was told; the worker knows what it has in hand. Called every few seconds by every worker.
-- Incidents of other kinds (yours, made with raise_incident) are told, and left alone.
create or replace function p2p.watch_incidents(
  p_worker_id text,
  p_interval_minutes integer,
  p_alert_on_failures integer
)
returns table (
  incident_id bigint,
  kind text,
  subject text,
  message text,
  is_open boolean,
  raised_at timestamptz,
  lasted_seconds double precision
)
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  -- One at a time: who judges by an older view of the batches must not act after a newer one.
  perform pg_advisory_xact_lock(hashtextextended('p2p.incidents', 0));

  with causes as materialized (
    select c.kind, c.subject, min(c.message) filter (where c.opens) as message, bool_or(c.opens) as opens
    from p2p.incident_causes(p_interval_minutes, p_alert_on_failures) as c
    group by c.kind, c.subject
  ),
  begun as (
    insert into p2p.ops_incidents (kind, subject, message, raised_by, teller)
    select c.kind, left(c.subject, 100), left(c.message, 1000), p_worker_id, p_worker_id
    from causes c
    where c.opens
      and not exists (
        select
        from p2p.ops_incidents o
        where o.kind = c.kind
          and o.subject = c.subject
          and o.resolved_at is null
      )
    on conflict do nothing
  )
  update p2p.ops_incidents as i
  set
    resolved_at = greatest(clock_timestamp(), i.raised_at),
    resolved_message = case i.kind
      when 'breaker_open' then format('no worker is shut out by %s any more', i.subject)
      when 'batch_failed' then 'a batch was completed'
      when 'no_good_batch' then 'a batch was loaded'
      when 'disk_full' then 'there is room again'
      else 'the newest batch gives no cause for it any more'
    end,
    teller = case when i.begin_told_at is null then i.teller else p_worker_id end
  where i.resolved_at is null
    and i.kind in (
      'structure_changed', 'rule_failed', 'step_failed', 'completeness', 'batch_failed', 'no_good_batch', 'breaker_open',
      'disk_full'
    )
    and not exists (
      select
      from causes c
      where c.kind = i.kind
        and c.subject = i.subject
    );

  -- Who has taken leave may still be telling; a server that was down has heard nobody.
  update p2p.ops_incidents as i
  set teller = p_worker_id
  where (i.begin_told_at is null or i.resolved_at is not null and i.end_told_at is null)
    and i.teller <> p_worker_id
    and not exists (
      select
      from p2p.ops_workers w
      where w.worker_id = i.teller
        and (p2p.is_alive(w.lease_expires_at, w.doing) or w.last_seen_at > clock_timestamp() - interval '20 seconds')
    );

  return query
  select
    i.incident_id,
    i.kind,
    i.subject,
    case when part.is_open then i.message else coalesce(i.resolved_message, '') end,
    part.is_open,
    i.raised_at,
    extract(epoch from coalesce(i.resolved_at, clock_timestamp()) - i.raised_at)::double precision
  from p2p.ops_incidents i
  cross join (values (true), (false)) as part (is_open)
  where (i.begin_told_at is null or i.resolved_at is not null and i.end_told_at is null)
    and i.teller = p_worker_id
    and case when part.is_open then i.begin_told_at is null else i.resolved_at is not null and i.end_told_at is null end
  order by i.incident_id, part.is_open desc;
end
$function$;

comment on function p2p.watch_incidents(text, integer, integer) is 'Opens and ends incidents, and returns what this worker is to tell people';

grant execute on function p2p.watch_incidents(text, integer, integer) to p2p_worker;
