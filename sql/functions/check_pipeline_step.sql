-- Trigger of pipeline_steps: refuses a row whose function does not exist, or is none that takes the batch id, and
-- stores its name with the schema, so that nobody's search_path decides which function runs.
create or replace function p2p.check_pipeline_step()
returns trigger
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_function regprocedure;
  v_name text;
begin
  begin
    v_function := to_regprocedure(new.function || '(uuid)');
  exception when others then
    null; -- what is no name at all, or stands in a schema that this user may not look into
  end;

  select format('%I.%I', n.nspname, p.proname)
  into v_name
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where p.oid = v_function
    and p.prokind = 'f';

  if not found then
    raise exception 'step %: there is no function %(uuid)', new.name, new.function
      using
        errcode = 'undefined_function',
        hint = 'write the function first, with the batch id as its only argument, and name it with its schema: my.score, without ()';
  end if;

  new.function := v_name;
  return new;
end
$function$;

comment on function p2p.check_pipeline_step() is 'Trigger: refuses a step whose function does not exist';

create or replace trigger check_function
before insert or update of function
on p2p.pipeline_steps
for each row
execute function p2p.check_pipeline_step();
