-- Trigger of settings: refuses what would break the functions that read them, and says what a value must be.
-- (The constraint settings_value_fits holds the values; this one only speaks more clearly, and earlier.)
create or replace function p2p.guard_setting()
returns trigger
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  if tg_op = 'TRUNCATE' then
    raise exception 'settings cannot be emptied: functions read them'
      using errcode = '23514', hint = 'change one: update p2p.settings set value = … where name = …';
  end if;

  if tg_op = 'DELETE' then
    if old.is_shipped then
      raise exception 'setting % cannot be deleted: functions of the release read it', old.name
        using errcode = '23514', hint = 'change its value instead';
    end if;
    return old;
  end if;

  if tg_op = 'UPDATE' and (new.name, new.kind, new.is_shipped) is distinct from (old.name, old.kind, old.is_shipped) then
    raise exception 'name and kind of setting % stay: functions read it by them', old.name
      using errcode = '23514', hint = 'change its value, its limits or its comment';
  end if;

  if new.kind = 'switch' and new.value not in ('on', 'off') then
    raise exception 'setting % is on or off, not "%"', new.name, new.value
      using errcode = '23514';
  end if;

  if new.kind = 'number' then
    if new.value !~ '^-?\d+(\.\d+)?$' or length(new.value) > 30 then
      raise exception 'setting % is a number (%), not "%"', new.name, new.unit, new.value
        using errcode = '23514';
    elsif not new.value::numeric between new.minimum and new.maximum then
      raise exception 'setting % is between % and % %, not %', new.name, new.minimum, new.maximum, new.unit, new.value
        using errcode = '23514';
    end if;
  end if;

  return new;
end
$function$;

comment on function p2p.guard_setting() is 'Trigger: refuses changes of settings that functions could not live with';

revoke execute on function p2p.guard_setting() from public;

create or replace trigger guard_setting
before insert or update or delete on p2p.settings
for each row execute function p2p.guard_setting();

create or replace trigger guard_settings
before truncate on p2p.settings
for each statement execute function p2p.guard_setting();
