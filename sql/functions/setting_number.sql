-- The value of a setting that is a number. Raises where there is no such setting. Changes nothing.
create or replace function p2p.setting_number(p_name text)
returns numeric
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_value text := (select s.value from p2p.settings s where s.name = p_name and s.kind = 'number');
begin
  if v_value is null then
    raise exception 'there is no setting % that is a number', p_name
      using errcode = 'P2P01', hint = 'select name, value, kind from p2p.settings';
  end if;

  return v_value::numeric;
end
$function$;

comment on function p2p.setting_number(text) is 'The value of a setting that is a number';

grant execute on function p2p.setting_number(text) to p2p_worker;
