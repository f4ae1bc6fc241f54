-- Begins an import of these files, and clears away what imports have left that were killed: those that gave no sign of
-- life for ten minutes. Changes only the room that imports sort their pages in. Returns the import's id.
create or replace function p2p.begin_import(p_worker_id text, p_files text[])
returns uuid
language sql
set search_path = p2p, pg_temp
as $function$
  delete from p2p.stg_imports i
  where i.seen_at < clock_timestamp() - interval '10 minutes';

  insert into p2p.stg_imports (worker_id, files)
  values (p_worker_id, p_files)
  returning import_id
$function$;

comment on function p2p.begin_import(text, text[]) is 'Begins an import of files with pages that others recorded';

grant execute on function p2p.begin_import(text, text[]) to p2p_worker;
