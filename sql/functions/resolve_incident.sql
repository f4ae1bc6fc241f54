-- Ends the open incident of this kind and subject. Returns whether there was one, so that of all workers one tells people
-- of it. A second call changes nothing and returns false. Who tells: as with raise_incident.
create or replace function p2p.resolve_incident(
  p_kind text,
  p_subject text,
  p_message text,
  p_is_told boolean default false
)
returns boolean
language sql
set search_path = p2p, pg_temp
as $function$
  with ended as (
    update p2p.ops_incidents i
    set
      resolved_at = greatest(clock_timestamp(), i.raised_at),
      resolved_message = left(p_message, 1000),
      end_told_at = case when p_is_told then clock_timestamp() end
    where i.kind = p_kind
      and i.subject = left(p_subject, 100)
      and i.resolved_at is null
    returning 1
  )
  select exists (select from ended)
$function$;

comment on function p2p.resolve_incident(text, text, text, boolean) is 'Ends an incident; false where none is open';

grant execute on function p2p.resolve_incident(text, text, text, boolean) to p2p_worker;
