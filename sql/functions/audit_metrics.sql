-- What database_metrics() is too quick for: how the SQL and the policies stand, one row a sample, as there. Reads the text
-- of every function and the catalog of partitions: the worker asks once a minute, and nobody waits for it. Changes nothing.
-- A metric of your own that takes long is one more CTE here.
create or replace function p2p.audit_metrics()
returns table (metric text, help text, labels jsonb, value double precision)
language sql
stable
rows 10
set search_path = p2p, pg_temp
set jit = off -- the estimates of policy_audit are high, and compiling takes longer than all the rest
as $function$
  with sql_drift as (
    select
      'p2p_sql_drift_objects' as metric,
      'Shipped functions and views that were changed live, or dropped, and not adopted' as help,
      '{}'::jsonb as labels,
      count(*)::double precision as value
    from p2p.object_states o
    where o.state = 'drifted'
  ),
  policy_violations as (
    select
      'p2p_policy_violations',
      'Rules of the view policy_audit that are violated',
      '{}'::jsonb,
      count(*)
    from p2p.policy_audit a
    where a.status = 'violated'
  )
  table sql_drift
  union all table policy_violations
$function$;

comment on function p2p.audit_metrics() is 'How the SQL and the policies stand, as metrics of Prometheus: add rows of your own that take long';

grant execute on function p2p.audit_metrics() to p2p_worker;
