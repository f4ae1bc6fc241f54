-- Whether an aggregate (its name, as in aggregate_sources) has rows for these times. Changes nothing.
-- Runs with the rights of its owner, who alone may read where they are stored.
create or replace function p2p.holds_history(p_aggregate text, p_from timestamptz, p_until timestamptz)
returns boolean
language plpgsql
stable
security definer
set search_path = p2p, pg_temp
as $function$
declare
  v_source p2p.aggregate_sources := (select s from p2p.aggregate_sources s where s.aggregate = p_aggregate);
  v_found boolean;
begin
  execute format(
    'select exists (select from %I.%I m where m.%3$I >= $1 and m.%3$I < $2)',
    v_source.stored_schema,
    v_source.stored_table,
    v_source.time_column
  )
  into v_found
  using p_from, p_until;

  return v_found;
end
$function$;

comment on function p2p.holds_history(text, timestamptz, timestamptz) is 'Whether an aggregate has rows for these times';

grant execute on function p2p.holds_history(text, timestamptz, timestamptz) to p2p_worker;
