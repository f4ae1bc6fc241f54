-- Opens an incident, unless one of this kind and subject is open. Returns whether it is news, so that of all workers one
-- tells people of it. A second call changes nothing and returns false.
-- Somebody is told of it: by the caller, with p_is_told, else by watch_incidents, through a worker.
-- p_seconds_ago: when it began, where that could not be written down at the time. Texts are cut to what the table takes.
create or replace function p2p.raise_incident(
  p_kind text,
  p_subject text,
  p_message text,
  p_worker_id text,
  p_seconds_ago double precision default 0,
  p_is_told boolean default false
)
returns boolean
language sql
set search_path = p2p, pg_temp
as $function$
  with opened as (
    insert into p2p.ops_incidents (kind, subject, message, raised_at, raised_by, teller, begin_told_at)
    select
      p_kind,
      left(p_subject, 100),
      left(p_message, 1000),
      clock_timestamp() - make_interval(secs => p_seconds_ago),
      p_worker_id,
      p_worker_id,
      case when p_is_told then clock_timestamp() end
    where not exists ( -- a conflict would burn a number at each call
      select
      from p2p.ops_incidents i
      where i.kind = p_kind
        and i.subject = left(p_subject, 100)
        and i.resolved_at is null
    )
    on conflict (kind, subject) where resolved_at is null do nothing
    returning 1
  )
  select exists (select from opened)
$function$;

comment on function p2p.raise_incident(text, text, text, text, double precision, boolean) is 'Opens an incident; false where it is open already';

grant execute on function p2p.raise_incident(text, text, text, text, double precision, boolean) to p2p_worker;
