-- What a person should be told of after a load of the batch, one row a kind; none where all is well. Changes nothing.
create or replace function p2p.batch_alerts(p_batch_id uuid)
returns table (kind text, message text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with failed_rules as (
    select q.metric_name, q.metric_value, q.threshold_value, q.result
    from p2p.ops_data_quality q
    where q.batch_id = p_batch_id
      and q.result in ('error', 'broken')
  ),
  changes as (
    select format('%s %s', e.path, e.event) as what
    from p2p.ops_shape_events e
    where e.batch_id = p_batch_id
      and e.is_needed
    union
    select format('%s %s', sample.value ->> 'path', 'missing or unreadable')
    from p2p.ops_data_quality q
    cross join jsonb_array_elements(coalesce(q.details -> 'samples', '[]')) as sample (value)
    where q.batch_id = p_batch_id
      and q.metric_name = 'needed_keys'
      and q.result = 'error'
  ),
  told as (
    select
      'structure_changed' as kind,
      'the answers have changed: ' || string_agg(c.what, ', ' order by c.what) as message
    from changes c
    union all
    select
      case f.metric_name when 'completeness' then 'completeness' else 'rule_failed' end,
      string_agg(
        case f.result
          when 'broken' then format('%s is broken', f.metric_name)
          else format('%s is %s, limit %s', f.metric_name, round(f.metric_value, 4), f.threshold_value)
        end,
        ', ' order by f.metric_name
      )
    from failed_rules f
    where f.metric_name <> 'needed_keys'
      or f.result = 'broken'
    group by 1
    union all
    select
      'step_failed',
      string_agg(format('%s: %s', s.step, s.error), ', ' order by s.step)
    from p2p.failed_steps s
    where s.batch_id = p_batch_id
      and s.is_still_so
  )
  select t.kind, t.message
  from told t
  where t.message is not null
$function$;

comment on function p2p.batch_alerts(uuid) is 'What a person should be told of after a load of the batch';

grant execute on function p2p.batch_alerts(uuid) to p2p_worker;
