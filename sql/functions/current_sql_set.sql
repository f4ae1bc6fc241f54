-- The number of the set of SQL that a load would run now. Writes it down when it was never used before, with those of
-- its versions that are new; a second call finds it and changes nothing.
create or replace function p2p.current_sql_set()
returns integer
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_fingerprint constant text := p2p.sql_fingerprint();
  v_set integer;
begin
  select s.sql_set_id
  into v_set
  from p2p.sql_sets s
  where s.fingerprint = v_fingerprint;

  if found then
    return v_set;
  end if;

  -- Two loads may meet new SQL at once.
  insert into p2p.sql_sets (fingerprint)
  values (v_fingerprint)
  on conflict (fingerprint) do nothing
  returning sql_set_id
  into v_set;

  if not found then
    return (select s.sql_set_id from p2p.sql_sets s where s.fingerprint = v_fingerprint);
  end if;

  insert into p2p.sql_versions (identity, fingerprint, definition)
  select c.identity, c.fingerprint, c.definition
  from p2p.current_sql() c
  where not exists (
    select
    from p2p.sql_versions v
    where v.identity = c.identity
      and v.fingerprint = c.fingerprint
  )
  on conflict (identity, fingerprint) do nothing;

  insert into p2p.sql_set_versions (sql_set_id, version_id, state)
  select v_set, v.version_id, c.state
  from p2p.current_sql() c
  join p2p.sql_versions v
    on v.identity = c.identity
    and v.fingerprint = c.fingerprint;

  return v_set;
end
$function$;

comment on function p2p.current_sql_set() is 'The number of the set of SQL that a load would run now';

grant execute on function p2p.current_sql_set() to p2p_worker;
