-- What stands on the watched pages of a batch, counted by page, path and JSON type. Only reads.
-- Watched are shape_pages_per_batch (25) pages a batch of each parser, all of them where there are no more: drawn by lot (a hash of batch, market and page),
-- so that the same batch always shows the same pages. Pages with offers come first; an empty one tells nothing.
-- Unfolding all keys of all pages would cost seconds. With p_only_needed only what leads to a key of parser_keys is.
-- A dot or bracket within a key is shown as _, as is a key without characters: no two places share a path.
-- Bounded against garbage: 8 levels, keys of 100 characters, 500 keys an object, 100 elements an array.
create or replace function p2p.watched_values(p_batch_id uuid, p_only_needed boolean)
returns table (
  parser text,
  page_id integer,
  path text,
  parent_path text,
  json_type text,
  values_seen bigint,
  sample text
)
language plpgsql
stable
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
set plan_cache_mode = force_custom_plan -- from the sixth call of a session on, one without values would be kept: 0.27 s instead of 0.09
as $function$
declare
  v_pages constant integer := p2p.setting_number('shape_pages_per_batch');
  c_empty_page_bytes constant integer := 400;
  c_levels constant integer := 8;
  c_key_characters constant integer := 100;
  c_keys constant integer := 500;
  c_elements constant integer := 100;
  c_sample_characters constant integer := 200;
  -- Every beginning of a needed path, those that end in the middle of a key included: they match nothing.
  v_needed constant text[] := array(
    select distinct left(k.path, characters)
    from p2p.parser_keys k
    cross join generate_series(0, length(k.path)) as characters
    where p_only_needed
  );
begin
  return query
  with recursive pages as (
    select
      drawn.parser,
      row_number() over ()::integer as page_id,
      drawn.body
    from (
      select
        s.parser,
        s.body,
        row_number() over (
          partition by s.parser
          order by
            s.body_bytes < c_empty_page_bytes,
            md5(concat_ws(' ', p_batch_id, s.market_id, s.page_number))
        ) as place
      from p2p.ops_batch_runs r
      join p2p.stg_responses s on s.extraction_timestamp = r.batch_start_time
      where r.batch_id = p_batch_id
    ) as drawn
    where drawn.place <= v_pages
  ),
  nodes as (
    select
      p.parser,
      p.page_id,
      0 as level,
      '' as path,
      null::text as parent_path,
      p.body as value
    from pages p
    union all
    select
      n.parser,
      n.page_id,
      n.level + 1,
      child.path,
      n.path,
      child.value
    from nodes n
    cross join lateral (
      (
        select
          ltrim(n.path || '.' || coalesce(nullif(translate(left(o.key, c_key_characters), '.[]', '___'), ''), '_'), '.'),
          o.value
        from jsonb_each(case jsonb_typeof(n.value) when 'object' then n.value else '{}' end) as o
        limit c_keys
      )
      union all
      (
        select n.path || '[]', a.value
        from jsonb_array_elements(case jsonb_typeof(n.value) when 'array' then n.value else '[]' end) as a
        limit c_elements
      )
    ) as child (path, value)
    where n.level < c_levels
      and (not p_only_needed or child.path = any (v_needed))
      and jsonb_typeof(n.value) in ('object', 'array')
  )
  select
    n.parser,
    n.page_id,
    n.path,
    n.parent_path,
    jsonb_typeof(n.value),
    count(*),
    min(left(n.value #>> '{}', c_sample_characters) collate "C")
      filter (where jsonb_typeof(n.value) in ('string', 'number', 'boolean'))
  from nodes n
  group by n.parser, n.page_id, n.path, n.parent_path, jsonb_typeof(n.value);
end
$function$;

comment on function p2p.watched_values(uuid, boolean) is 'What stands on the watched pages of a batch, by page, path and JSON type';

grant execute on function p2p.watched_values(uuid, boolean) to p2p_worker;
