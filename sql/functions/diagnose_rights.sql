-- What the login of the caller, and the role p2p_worker, may not do that a worker does, for `diagnose`. Changes nothing.
create or replace function p2p.diagnose_rights()
returns table (topic text, state text, finding text, mend text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with me as (
    select
      current_user as name,
      pg_has_role(current_user, n.nspowner, 'usage') as is_owner,
      pg_has_role(current_user, 'p2p_worker', 'usage') as is_worker,
      has_database_privilege(current_database(), 'temporary') as may_make_temporary_tables,
      n.nspowner::regrole as owner
    from pg_namespace n
    where n.nspname = 'p2p'
  ),
  denied as (
    select
      o.identity,
      format(
        'grant %s to p2p_worker;',
        case
          when o.identity like 'function %' then 'execute on ' || o.identity
          else 'select on ' || substr(o.identity, 6)
        end
      ) as mend
    from p2p.schema_objects o
    where o.body ~ '\ngrant [^;]* to [^;]*p2p_worker'
      and not case
        when o.identity like 'function %'
        then has_function_privilege('p2p_worker', to_regprocedure(substr(o.identity, 10)), 'execute')
        else has_table_privilege('p2p_worker', to_regclass(substr(o.identity, 6)), 'select')
      end
  )
  select
    'rights',
    case
      when not (is_owner or is_worker) then 'bad'
      when not may_make_temporary_tables then 'bad'
      else 'ok'
    end,
    case
      when not (is_owner or is_worker) then format('%s has not the role of a worker', name)
      when not may_make_temporary_tables then format('%s may not make temporary tables, which load_batch needs', name)
      when is_owner then format('%s owns the schema; a worker needs only the role p2p_worker', name)
      else format('%s works with the role p2p_worker', name)
    end,
    case
      when not (is_owner or is_worker) then format('as %s: grant p2p_worker to %I;', owner, name)
      when not may_make_temporary_tables
      then format('as the owner of the database: grant temporary on database %I to p2p_worker;', current_database())
    end
  from me
  union all
  select
    'rights',
    'bad',
    format('p2p_worker may not use %s', string_agg(identity, ', ' order by identity)),
    format('as the owner: %s', string_agg(mend, ' ' order by identity))
  from denied
  having count(*) > 0
  union all
  select
    'rights',
    'warning',
    format('%s may not read as p2p_reader does, as the status page reads: it stays empty', name),
    'as who made the roles, or a superuser: grant p2p_reader to p2p_worker;'
  from me
  -- From PostgreSQL 16 on to be a member and to be allowed to act as one are two things.
  where not pg_has_role(name, 'p2p_reader', case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end)
  union all
  select
    'rights',
    'bad',
    format('p2p_worker may not %s', string_agg(format('%s %s', lower(w.privilege), w.table_name), ', ' order by w.table_name, w.privilege)),
    format(
      'as the owner: %s',
      string_agg(format('grant %s on p2p.%I to p2p_worker;', lower(w.privilege), w.table_name), ' ' order by w.table_name, w.privilege)
    )
  from p2p.worker_rights() w
  where not case
    when w.privilege = 'USAGE' then has_sequence_privilege('p2p_worker', to_regclass('p2p.' || w.table_name), w.privilege)
    else has_table_privilege('p2p_worker', to_regclass('p2p.' || w.table_name), w.privilege)
  end
  having count(*) > 0
$function$;

comment on function p2p.diagnose_rights() is 'What a worker may not do here, and what mends it';

grant execute on function p2p.diagnose_rights() to p2p_worker;
