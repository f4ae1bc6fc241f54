-- Where facts are kept. plain: partitions and views, on any PostgreSQL. timescaledb: hypertables and continuous
-- aggregates, on TimescaleDB Community. Names, columns and answers are the same on both.

-- Which tier this database is on: the answer for all SQL of the project. Recorded by the conversion itself, so that a
-- database whose extension went missing is not taken for a plain one.
create or replace function p2p.database_tier()
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  select
    case
      when exists (
        select
        from p2p.schema_migrations m
        where m.name like 'timescaledb/%'
      ) then 'timescaledb'
      else 'plain'
    end
$function$;

comment on function p2p.database_tier() is 'plain or timescaledb: how facts are kept in this database';

revoke execute on function p2p.database_tier() from public;

grant execute on function p2p.database_tier() to p2p_worker;

-- Which tier this database could be on, and what keeps it from TimescaleDB: by what is there to be called, not by a
-- version. Reads system catalogs only: migrate asks with this very query before schema p2p exists (src/database/tier.ts).
create or replace function p2p.server_tier(out tier text, out reason text, out hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
  with extension as (
    select
      x.extversion as version,
      x.extnamespace as schema
    from pg_catalog.pg_extension x
    where x.extname = 'timescaledb'
  ),
  missing as (
    select pg_catalog.string_agg(routine.name, ', ' order by routine.name) as routines
    from extension e
    cross join (
      values
        ('attach_chunk'),
        ('add_columnstore_policy'),
        ('add_continuous_aggregate_policy'),
        ('drop_chunks'),
        ('refresh_continuous_aggregate')
    ) as routine (name)
    where not exists (
      select
      from pg_catalog.pg_proc p
      where p.pronamespace = e.schema
        and p.proname = routine.name
    )
  ),
  facts as (
    select
      (select e.version from extension e) as version,
      pg_catalog.current_setting('timescaledb.license', true) as license,
      (select m.routines from missing m) as missing,
      exists (select from pg_catalog.pg_available_extensions a where a.name = 'timescaledb') as is_available
  ),
  obstacles as (
    select
      case
        when f.version is null and f.is_available then 'TimescaleDB is on this server, but not in this database'
        when f.version is null then 'this server has no TimescaleDB'
        when f.license is null then 'the library of TimescaleDB ' || f.version || ' is not loaded'
        when f.license <> 'timescale' then 'TimescaleDB ' || f.version || ' runs with timescaledb.license = ' || f.license
        when f.missing is not null then 'TimescaleDB ' || f.version || ' has no ' || f.missing
      end as obstacle,
      case
        when f.version is null and f.is_available then 'create extension timescaledb schema public'
        when f.version is null then null
        when f.license is null then 'shared_preload_libraries = timescaledb in postgresql.conf, and restart the server'
        when f.license <> 'timescale' then 'alter system set timescaledb.license = ''timescale'', and restart the server'
        when f.missing is not null then 'alter extension timescaledb update'
      end as remedy,
      f.version
    from facts f
  )
  select
    case when o.obstacle is null then 'timescaledb' else 'plain' end,
    coalesce(o.obstacle, 'TimescaleDB ' || o.version),
    o.remedy
  from obstacles o
$function$;

comment on function p2p.server_tier() is 'The tier this database could be on, why, and what would bring it to TimescaleDB';

revoke execute on function p2p.server_tier() from public;

grant execute on function p2p.server_tier() to p2p_worker;
