-- Whether a parser needs the key at a path, or one below it, and cannot read it with this JSON type there.
-- NULL as the type = the key is gone. Only reads parser_keys.
create or replace function p2p.parser_cannot_read(p_parser text, p_path text, p_json_type text)
returns boolean
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select exists (
    select
    from p2p.parser_keys k
    where k.parser = p_parser
      and case
        when k.path = p_path then coalesce(p_json_type <> all (k.json_types), true)
        when p_path = '' or starts_with(k.path, p_path || '.') then p_json_type is distinct from 'object'
        when starts_with(k.path, p_path || '[]') then p_json_type is distinct from 'array'
        else false
      end
  )
$function$;

comment on function p2p.parser_cannot_read(text, text, text) is 'Whether a change of a key takes from a parser what it needs';

grant execute on function p2p.parser_cannot_read(text, text, text) to p2p_worker;
