-- Trigger of tables whose rows steer the SQL: writes each change into change_log, with who made it. Expects a key
-- column `name`. An update that changes nothing is no change.
-- Runs with the rights of its owner: whoever may update a setting must not need the right to write the log.
create or replace function p2p.log_change()
returns trigger
language plpgsql
security definer
set search_path = p2p, pg_temp
as $function$
declare
  v_old jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  v_new jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
begin
  -- As text: jsonb takes 0.10 and 0.1 for equal.
  if v_old::text is distinct from v_new::text then
    insert into p2p.change_log (table_name, row_key, old_row, new_row)
    values (tg_table_name, coalesce(v_old, v_new) ->> 'name', v_old, v_new);
  end if;

  return null;
end
$function$;

comment on function p2p.log_change() is 'Trigger: keeps who changed a row, when, and how it was';

revoke execute on function p2p.log_change() from public;

create or replace trigger log_change
after insert or update or delete on p2p.settings
for each row execute function p2p.log_change();

create or replace trigger log_change
after insert or update or delete on p2p.pipeline_steps
for each row execute function p2p.log_change();

create or replace trigger log_change
after insert or update or delete on p2p.quality_rules
for each row execute function p2p.log_change();
