-- What `migrate` itself stands on. Runs at the beginning of every `migrate`, as one implicit transaction;
-- each statement may run any number of times. Migrators queue here: `create … if not exists` alone is not
-- safe against a second one.
select pg_advisory_xact_lock(hashtextextended('p2p.migrate', 0));

create schema if not exists p2p;

comment on schema p2p is 'Binance P2P, every ten minutes. Start with: select * from p2p.mv_latest_market_state limit 10';

create table if not exists p2p.schema_migrations (
  name            text        primary key,
  sha256          text        not null,
  body            text        not null,
  program_version text        not null,
  applied_at      timestamptz not null default clock_timestamp()
);

comment on table p2p.schema_migrations is 'Files of sql/migrations that ran here, with the text that ran: frozen, never run twice';

create table if not exists p2p.schema_objects (
  name            text        primary key,
  sha256          text        not null,
  body            text        not null,
  program_version text        not null,
  applied_at      timestamptz not null default clock_timestamp()
);

comment on table p2p.schema_objects is 'Files of sql/functions and sql/views as they were last applied';

-- Runs one file of sql/migrations unless it ran before. Raises when its text is not the text that ran.
-- Returns whether it ran now.
create or replace function p2p.apply_migration(p_name text, p_sha256 text, p_body text, p_program_version text)
returns boolean
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_known text;
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

  begin
    execute p_body;
  exception when others then
    raise exception 'sql/%: %', p_name, sqlerrm
      using errcode = sqlstate;
  end;

  insert into p2p.schema_migrations (name, sha256, body, program_version)
  values (p_name, p_sha256, p_body, p_program_version);

  return true;
end
$function$;

comment on function p2p.apply_migration(text, text, text, text) is 'Runs one file of sql/migrations once; used by the migrate command';

-- Re-applies those files of sql/functions and sql/views whose text changed, all of them or none.
-- Expects a json array of {name, sha256, body}, in the order to apply (functions may call each other: their
-- bodies are not checked here). Returns the names that were applied.
create or replace function p2p.apply_objects(p_files jsonb, p_program_version text)
returns setof text
language plpgsql
set search_path = p2p, pg_temp
set check_function_bodies = off
as $function$
declare
  v_file record;
begin
  perform pg_advisory_xact_lock(hashtextextended('p2p.migrate', 0));

  for v_file in
    select
      f.value ->> 'name' as name,
      f.value ->> 'sha256' as sha256,
      f.value ->> 'body' as body
    from jsonb_array_elements(p_files) with ordinality as f (value, position)
    where not exists (
      select
      from p2p.schema_objects o
      where o.name = f.value ->> 'name'
        and o.sha256 = f.value ->> 'sha256'
    )
    order by f.position
  loop
    begin
      execute v_file.body;
    exception when others then
      raise exception 'sql/%: %', v_file.name, sqlerrm
        using errcode = sqlstate;
    end;

    insert into p2p.schema_objects as o (name, sha256, body, program_version)
    values (v_file.name, v_file.sha256, v_file.body, p_program_version)
    on conflict (name) do update
    set
      sha256 = excluded.sha256,
      body = excluded.body,
      program_version = excluded.program_version,
      applied_at = excluded.applied_at;

    return next v_file.name;
  end loop;
end
$function$;

comment on function p2p.apply_objects(jsonb, text) is 'Re-applies changed files of sql/functions and sql/views; used by the migrate command';
