-- Trigger of settings: policies of TimescaleDB follow the settings that they are made from. A policy that cannot be made
-- is a warning, not an error: the setting is right, and policy_audit names what is wrong.
-- Runs with the rights of its owner: who may change a setting need not own the tables.
create or replace function p2p.follow_settings()
returns trigger
language plpgsql
security definer
set search_path = p2p, pg_temp
as $function$
declare
  v_refused text;
begin
  select string_agg(format('%s of %s: %s', a.policy, a.relation, a.outcome), '; ')
  into v_refused
  from p2p.apply_policies() a
  where a.outcome like 'refused%';

  if v_refused is not null then
    raise warning 'not every policy follows the settings: %', v_refused
      using hint = 'select * from p2p.policy_audit where status = ''violated''';
  end if;

  return null;
end
$function$;

comment on function p2p.follow_settings() is 'Trigger: policies of TimescaleDB follow the settings';

revoke execute on function p2p.follow_settings() from public;

create or replace trigger follow_settings
after update of value on p2p.settings
for each row
when (
  new.name in ('raw_retention_days', 'offers_retention_days', 'depth_retention_days', 'columnstore_after_days')
  and new.value is distinct from old.value
)
execute function p2p.follow_settings();
