-- Ends an import, whether it came to its end or not: what still waits for its batch is forgotten. A second call changes
-- nothing.
create or replace function p2p.end_import(p_import_id uuid)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  delete from p2p.stg_imports i
  where i.import_id = p_import_id
$function$;

comment on function p2p.end_import(uuid) is 'Ends an import; pages that still wait for their batch are forgotten';

grant execute on function p2p.end_import(uuid) to p2p_worker;
