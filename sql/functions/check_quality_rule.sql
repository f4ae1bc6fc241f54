-- Trigger of quality_rules: refuses a row whose function is not there as (uuid) returning p2p.rule_finding.
-- Writes the name of the function with its schema, as SQL would quote it. Changes nothing else.
create or replace function p2p.check_quality_rule()
returns trigger
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_name text[];
begin
  begin
    v_name := parse_ident(new.function);
  exception when invalid_parameter_value then
    v_name := '{}';
  end;

  if cardinality(v_name) not between 1 and 2 then
    raise exception 'rule %: "%" is no name of a function', new.name, new.function
      using errcode = 'P2P02', hint = 'write it as schema.function, without arguments: p2p.rule_completeness';
  elsif cardinality(v_name) = 1 then
    v_name := array['p2p'] || v_name;
  end if;

  if p2p.rule_function(format('%I.%I', v_name[1], v_name[2])) is null then
    raise exception 'rule %: there is no function %(uuid) that returns p2p.rule_finding', new.name, new.function
      using
        errcode = 'P2P02',
        hint = format(
          'create function %I.%I(p_batch_id uuid) returns p2p.rule_finding … and grant execute on it to p2p_worker',
          v_name[1],
          v_name[2]
        );
  end if;

  new.function := format('%I.%I', v_name[1], v_name[2]);
  return new;
end
$function$;

comment on function p2p.check_quality_rule() is 'Trigger of quality_rules: refuses a function that does not exist';

grant execute on function p2p.check_quality_rule() to p2p_worker;

create or replace trigger check_quality_rule
before insert or update on p2p.quality_rules
for each row
execute function p2p.check_quality_rule();
