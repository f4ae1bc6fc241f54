-- What is wrong here and what mends it, as far as the database can tell; `p2p-ingest doctor` adds what it cannot.
-- Expects the interval at which batches are due. state: ok, warning (worth a look) or bad (wants mending).
-- Changes nothing; for owner and worker.
create or replace function p2p.diagnose(p_interval_minutes integer default 10)
returns table (topic text, state text, finding text, mend text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select d.*
  from p2p.diagnose_server() d
  union all
  select
    'policies',
    case when a.subject is null then 'ok' else 'bad' end,
    case
      when a.subject is null then 'every rule of policy_audit holds'
      else format('%s: %s — violated: %s', a.subject, a.rule, a.finding)
    end,
    a.mends
  from (values (true)) as one
  left join p2p.policy_audit a on a.status = 'violated'
  union all
  select d.*
  from p2p.diagnose_rights() d
  union all
  select d.*
  from p2p.diagnose_sql() d
  union all
  select d.*
  from p2p.diagnose_batches(p_interval_minutes) d
  union all
  select
    'settings',
    'warning',
    format('paused: no batch is begun (since %s)', to_char(c.changed_at, 'YYYY-MM-DD HH24:MI TZ')),
    $$update p2p.settings set value = 'off' where name = 'paused'$$
  from p2p.settings s
  left join lateral (
    select max(l.changed_at) as changed_at
    from p2p.change_log l
    where l.table_name = 'settings'
      and l.row_key = 'paused'
  ) as c on true
  where s.name = 'paused'
    and s.value = 'on'
$function$;

comment on function p2p.diagnose(integer) is 'What is wrong in this database, and what mends it';

grant execute on function p2p.diagnose(integer) to p2p_worker;
