-- The statement that runs a step, with the batch id as $1. The name of its function is looked up in the catalog and
-- taken from there. Raises where the function is gone, or this user may not run it. Changes nothing.
create or replace function p2p.step_call(p_step p2p.pipeline_steps)
returns text
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  v_function record;
begin
  select
    format('%I.%I', n.nspname, p.proname) as name,
    n.nspname as schema,
    has_schema_privilege(n.oid, 'usage') as is_in_reach,
    has_function_privilege(p.oid, 'execute') as is_allowed
  into v_function
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where format('%I.%I', n.nspname, p.proname) = p_step.function
    and p.pronargs = 1
    and p.proargtypes[0] = 'uuid'::regtype
    and p.prokind = 'f';

  if not found then
    raise exception 'there is no function %(uuid) any more', p_step.function
      using errcode = 'undefined_function';
  elsif not v_function.is_in_reach then
    raise exception '% may not use schema %: grant usage on schema % to p2p_worker',
      current_user, v_function.schema, quote_ident(v_function.schema)
      using errcode = 'insufficient_privilege';
  elsif not v_function.is_allowed then
    raise exception '% may not run it: grant execute on function %(uuid) to p2p_worker',
      current_user, v_function.name
      using errcode = 'insufficient_privilege';
  end if;

  return format('select from %s($1)', v_function.name);
end
$function$;

comment on function p2p.step_call(p2p.pipeline_steps) is 'The statement that runs a step of load_batch';

grant execute on function p2p.step_call(p2p.pipeline_steps) to p2p_worker;
