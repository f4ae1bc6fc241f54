-- Opens and ends incidents by what incident_causes says, and returns those that are news: of all workers that call, one
-- gets each, and tells people. Called every few seconds by every worker. A second call returns nothing, until something
-- changes. Incidents of other kinds (yours, made with raise_incident) it leaves alone.
create or replace function p2p.watch_incidents(
  p_worker_id text,
  p_interval_minutes integer,
  p_alert_on_failures integer
)
returns table (
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

  return query
  with causes as materialized (
    select c.kind, c.subject, min(c.message) filter (where c.opens) as message, bool_or(c.opens) as opens
    from p2p.incident_causes(p_interval_minutes, p_alert_on_failures) as c
    group by c.kind, c.subject
  ),
  begun as (
    insert into p2p.ops_incidents as i (kind, subject, message, raised_by)
    select c.kind, left(c.subject, 100), left(c.message, 1000), p_worker_id
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
    returning i.*
  ),
  ended as (
    update p2p.ops_incidents as i
    set
      resolved_at = greatest(clock_timestamp(), i.raised_at),
      resolved_message = case i.kind
        when 'breaker_open' then format('no worker is shut out by %s any more', i.subject)
        when 'batch_failed' then 'a batch was completed'
        when 'no_good_batch' then 'a batch was loaded'
        when 'disk_full' then 'there is room again'
        else 'the newest batch gives no cause for it any more'
      end
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
      )
    returning i.*
  )
  select
    news.kind,
    news.subject,
    coalesce(news.resolved_message, news.message),
    news.resolved_at is null,
    news.raised_at,
    extract(epoch from coalesce(news.resolved_at, clock_timestamp()) - news.raised_at)::double precision
  from (
    select b.* from begun b
    union all
    select e.* from ended e
  ) as news
  order by news.incident_id;
end
$function$;

comment on function p2p.watch_incidents(text, integer, integer) is 'Opens and ends incidents, and returns those that are news';

grant execute on function p2p.watch_incidents(text, integer, integer) to p2p_worker;
