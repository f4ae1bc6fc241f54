create or replace view p2p.response_keys as
select
  p.parser,
  p.path,
  s.json_types,
  round(100.0 * s.null_values / nullif(s.all_values, 0), 2) as null_percent,
  round(100.0 * p.pages_seen / nullif(p.pages_possible, 0), 2) as present_percent,
  s.all_values as values_seen,
  p.pages_seen,
  p.first_seen_at,
  p.last_seen_at,
  p.is_gone,
  k.path is not null as is_needed
from p2p.response_paths p
cross join lateral (
  select
    array_agg(t.json_type order by t.values_seen desc, t.json_type) as json_types,
    sum(t.values_seen) as all_values,
    coalesce(sum(t.values_seen) filter (where t.json_type = 'null'), 0) as null_values
  from p2p.response_shapes t
  where t.parser = p.parser
    and t.path = p.path
) as s
left join p2p.parser_keys k using (parser, path)
where p.path <> '';

comment on view p2p.response_keys is 'Every key of the answers: its JSON types, how often it is NULL and how often it is there at all; is_needed = the parser needs it';
comment on column p2p.response_keys.null_percent is 'Of its values on watched pages';
comment on column p2p.response_keys.present_percent is 'Of the watched pages that have the object it belongs to, since it was first seen';

grant select on p2p.response_keys to p2p_reader;
