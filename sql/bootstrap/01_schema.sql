-- What `migrate` itself stands on: the files of this folder, in their order, as one implicit transaction at the
-- beginning of a `migrate` that has anything to do. Each statement may run any number of times.
-- Migrators queue here: `create … if not exists` alone is not safe against a second one.
select pg_advisory_xact_lock(hashtextextended('p2p.migrate', 0));

-- `create schema if not exists` wants the right to create one even where it is there.
do $$
begin
  if to_regnamespace('p2p') is null then
    create schema p2p;
  end if;
exception when insufficient_privilege then
  raise exception 'schema p2p is missing, and this user may not create schemas'
    using
      errcode = 'P2P01',
      hint = format(
        'have an administrator run: create schema p2p authorization %1$I; create schema p2p_partitions authorization %1$I',
        current_user
      );
end
$$;

-- Two group roles of the whole server: give them to logins (grant p2p_worker to ingest). The owner is whoever migrates.
do $$
declare
  v_role text;
begin
  foreach v_role in array array['p2p_reader', 'p2p_worker'] loop
    continue when exists (select from pg_roles where rolname = v_role);

    begin
      execute format('create role %I nologin', v_role);
    exception
      when duplicate_object or unique_violation then
        null; -- another database of this server is migrated at the same time
      when insufficient_privilege then
        raise exception 'role % is missing, and this user may not create roles', v_role
          using errcode = 'P2P01', hint = 'have an administrator run: create role p2p_reader; create role p2p_worker';
    end;
  end loop;
end
$$;

comment on schema p2p is 'Binance P2P, every ten minutes. Start with: select * from p2p.mv_latest_market_state limit 10';

grant usage on schema p2p to p2p_reader, p2p_worker;

-- What follows belongs to the owner of the schema, whoever runs it. Until the end of this transaction.
select set_config('role', pg_get_userbyid(n.nspowner), true)
from pg_namespace n
where n.nspname = 'p2p';
