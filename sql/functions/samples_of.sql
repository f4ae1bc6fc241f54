-- The first of the offending rows of a rule: at most 10, and at most 8,000 bytes together. A row that is longer
-- than 2,000 bytes is cut, and becomes a string.
create or replace function p2p.samples_of(p_offending_rows jsonb)
returns jsonb
language sql
immutable
set search_path = p2p, pg_temp
as $function$
  with first_rows as (
    select
      o.position,
      case
        when octet_length(o.value::text) <= 2000 then o.value
        else to_jsonb(left(o.value::text, 400) || '…')
      end as value
    from jsonb_array_elements(p_offending_rows) with ordinality as o (value, position)
    order by o.position
    limit 10
  ),
  measured as (
    select
      f.position,
      f.value,
      sum(octet_length(f.value::text)) over (order by f.position) as bytes_so_far
    from first_rows f
  )
  select coalesce(jsonb_agg(m.value order by m.position), '[]')
  from measured m
  where m.bytes_so_far <= 8000
$function$;

comment on function p2p.samples_of(jsonb) is 'The first offending rows of a rule, bounded in number and bytes';

grant execute on function p2p.samples_of(jsonb) to p2p_worker;
