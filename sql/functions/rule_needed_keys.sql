-- Quality rule. Metric: number of keys that a parser needs (parser_keys) and that are missing, or of a type it cannot
-- read, in more than a fifth of the objects they belong to. One odd offer says nothing: three of them must, or all.
-- Offending rows: those keys, and the types they came with. NULL where there are no pages.
-- Reads the same pages as watch_shapes (see watched_values), whether the batch was watched or not: a replay finds the
-- same. Served by the primary key of stg_responses. Only reads.
create or replace function p2p.rule_needed_keys(p_batch_id uuid)
returns p2p.rule_finding
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
declare
  c_few constant integer := 3;
  c_tolerated_share constant numeric := 0.2;
  v_finding p2p.rule_finding;
begin
  with shapes as materialized (
    select
      v.parser,
      v.path,
      v.json_type,
      sum(v.values_seen) as values_seen
    from p2p.watched_values(p_batch_id, true) v
    group by v.parser, v.path, v.json_type
  ),
  needed as (
    select
      k.parser,
      k.path,
      k.comment,
      (
        select coalesce(sum(parent.values_seen), 0)
        from shapes parent
        where parent.parser = k.parser
          and parent.path = regexp_replace(k.path, '\.?[^.]+$', '')
          and parent.json_type = 'object'
      ) as objects,
      coalesce(sum(s.values_seen) filter (where s.json_type = any (k.json_types)), 0) as readable,
      coalesce(jsonb_object_agg(s.json_type, s.values_seen) filter (where s.path is not null), '{}') as types
    from p2p.parser_keys k
    left join shapes s using (parser, path)
    group by k.parser, k.path
  ),
  judged as (
    select
      n.*,
      n.objects - n.readable > n.objects * c_tolerated_share
      and (n.objects - n.readable >= c_few or n.readable = 0) as is_lost
    from needed n
  )
  select
    case when exists (select from shapes) then count(*) filter (where j.is_lost) end,
    jsonb_agg(
      jsonb_build_object(
        'parser', j.parser,
        'path', j.path,
        'objects', j.objects,
        'readable', j.readable,
        'types', j.types,
        'lost', j.comment
      )
      order by j.path
    ) filter (where j.is_lost)
  into v_finding
  from judged j;

  return v_finding;
end
$function$;

comment on function p2p.rule_needed_keys(uuid) is 'Quality rule: keys that a parser needs and does not get';

grant execute on function p2p.rule_needed_keys(uuid) to p2p_worker;
