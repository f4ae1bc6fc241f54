-- The server and its settings, for `diagnose`: what stops a worker from writing, breaks off its loads, or leaves it no
-- connection. Changes nothing.
create or replace function p2p.diagnose_server()
returns table (topic text, state text, finding text, mend text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with hurting as (
    select
      s.name,
      s.source,
      case when s.name = 'default_transaction_read_only' then 'off' else '0' end as wanted,
      case
        when s.name = 'default_transaction_read_only' then 'nothing can be written'
        else format('what takes longer than %s ms is broken off, and a load may', s.setting)
      end as effect
    from pg_settings s
    where s.name = 'default_transaction_read_only' and s.setting = 'on'
      or s.name in ('statement_timeout', 'lock_timeout', 'transaction_timeout') and s.setting::bigint between 1 and 299999
  ),
  connections as (
    select
      (select sum(d.numbackends) from pg_stat_database d) as taken,
      current_setting('max_connections')::integer as most,
      nullif(db.datconnlimit, -1) as for_database,
      nullif(r.rolconnlimit, -1) as for_role
    from pg_database db
    join pg_roles r on r.rolname = current_user
    where db.datname = current_database()
  )
  select
    'server',
    case when t.database = 'plain' and t.tier = 'timescaledb' then 'warning' else 'ok' end,
    format(
      'PostgreSQL %s, %s (%s)',
      current_setting('server_version'),
      case t.database when 'plain' then 'plain tables' else 'tables of TimescaleDB' end,
      t.reason
    ),
    case
      when t.database = 'plain' and t.tier = 'timescaledb' then 'p2p-ingest migrate converts the tables; what it would do: migrate --dry-run'
      when t.hint like 'create extension%' then t.hint || ', then p2p-ingest migrate'
    end
  from (
    select p2p.database_tier() as database, s.*
    from p2p.server_tier() s
  ) as t
  union all
  select 'server', 'bad', 'this server is a standby: nothing can be written', 'DATABASE_URL must name the primary'
  where pg_is_in_recovery()
  union all
  select
    'server',
    case when h.name = 'default_transaction_read_only' then 'bad' else 'warning' end,
    format('%s is set for %s: %s', h.name, case when h.source like '%user' then current_user::text else 'this database' end, h.effect),
    case h.source
      when 'user' then format('alter role %I reset %s', current_user, h.name)
      when 'database user' then format('alter role %I in database %I reset %s', current_user, current_database(), h.name)
      when 'database' then format('alter database %I reset %s', current_database(), h.name)
      else format('alter database %I set %s = %s', current_database(), h.name, h.wanted)
    end
  from hurting h
  union all
  select
    'server',
    'warning',
    format('%s of %s connections are taken', c.taken, c.most),
    'select * from pg_stat_activity; or alter system set max_connections = …, and restart'
  from connections c
  where c.most - c.taken < 8
  union all
  select
    'server',
    'warning',
    format('%s may have %s connections; a worker takes up to 7', who.name, who.least),
    who.mend
  from connections c
  cross join lateral (
    values
      (format('database %I', current_database()), c.for_database, format('alter database %I connection limit -1', current_database())),
      (format('login %I', current_user), c.for_role, format('alter role %I connection limit -1', current_user))
  ) as who (name, least, mend)
  where who.least < 9
  union all
  select
    'server',
    'ok',
    'jit is on: it compiles queries over many chunks for longer than they run',
    format('alter database %I set jit = off', current_database())
  where current_setting('jit')::boolean
    and pg_jit_available()
    and p2p.database_tier() = 'timescaledb'
$function$;

comment on function p2p.diagnose_server() is 'What is wrong with the server, and what mends it';

grant execute on function p2p.diagnose_server() to p2p_worker;
