-- The fingerprint of the SQL that a load would run now, states included. Changes nothing.
create or replace function p2p.sql_fingerprint()
returns text
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select encode(
    sha256(
      convert_to(string_agg(concat_ws(' ', c.identity, c.state, c.fingerprint), E'\n' order by c.identity collate "C"), 'UTF8')
    ),
    'hex'
  )
  from p2p.current_sql() c
$function$;

comment on function p2p.sql_fingerprint() is 'Fingerprint of the SQL that a load would run now';

grant execute on function p2p.sql_fingerprint() to p2p_worker;
