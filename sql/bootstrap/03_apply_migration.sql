-- Runs one file of sql/migrations unless it ran before. Raises when its text is not the text that ran.
-- Returns whether it ran now.
create or replace function p2p.apply_migration(p_name text, p_sha256 text, p_body text, p_program_version text)
returns boolean
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_known text;
  v_detail text;
  v_hint text;
begin
  perform pg_advisory_xact_lock(hashtextextended('p2p.migrate', 0));

  select m.sha256
  into v_known
  from p2p.schema_migrations m
  where m.name = p_name;

  if v_known = p_sha256 then
    return false;
  elsif v_known is not null then
    raise exception 'sql/% was edited after it ran in this database', p_name
      using errcode = 'P2P01', hint = 'put the old text back and write a new migration';
  end if;

  -- What it makes belongs to the owner of the schema, whoever runs it.
  perform set_config('role', pg_get_userbyid(n.nspowner), true)
  from pg_namespace n
  where n.nspname = 'p2p';

  begin
    execute p_body;
  exception when others then
    get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
    raise exception 'sql/%: %', p_name, concat_ws(E'\n', sqlerrm, nullif(v_detail, ''))
      using errcode = sqlstate, hint = v_hint;
  end;

  insert into p2p.schema_migrations (name, sha256, body, program_version)
  values (p_name, p_sha256, p_body, p_program_version);

  return true;
end
$function$;

comment on function p2p.apply_migration(text, text, text, text) is 'Runs one file of sql/migrations once; used by the migrate command';

revoke execute on function p2p.apply_migration(text, text, text, text) from public;
