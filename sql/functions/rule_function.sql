-- Looks the function of a quality rule up in the catalog. Returns its name as SQL needs it, with the schema; NULL where
-- there is none (any more) that takes a batch and returns p2p.rule_finding. Only reads.
create or replace function p2p.rule_function(p_qualified_name text)
returns text
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select format('%I.%I', n.nspname, p.proname)
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where array[n.nspname, p.proname]::text[] = parse_ident(p_qualified_name)
    and p.pronargs = 1
    and p.proargtypes[0] = 'uuid'::regtype
    and p.prorettype = 'p2p.rule_finding'::regtype
    and p.prokind = 'f'
$function$;

comment on function p2p.rule_function(text) is 'The function of a quality rule, NULL where it is gone';

grant execute on function p2p.rule_function(text) to p2p_worker;
