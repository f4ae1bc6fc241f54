-- Whether a metric lies beyond a threshold, on its bad side. False where either is NULL.
create or replace function p2p.is_beyond(p_metric numeric, p_is_bad_when text, p_threshold numeric)
returns boolean
language sql
immutable
set search_path = p2p, pg_temp
as $function$
  select coalesce(
    case p_is_bad_when
      when 'above' then p_metric > p_threshold
      when 'below' then p_metric < p_threshold
    end,
    false
  )
$function$;

comment on function p2p.is_beyond(numeric, text, numeric) is 'Whether a metric lies on the bad side of a threshold';

grant execute on function p2p.is_beyond(numeric, text, numeric) to p2p_worker;
