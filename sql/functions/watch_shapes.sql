-- Step of load_batch: notices what is new, gone or back in the answers of a batch, and of another type. Reads the pages
-- that watched_values draws. Writes response_paths and response_shapes, and one row in ops_shape_events a change:
--   appeared      a key never seen before, in an object seen before (what stands below it makes no event of its own)
--   new type      a key seen before, with a JSON type never seen before
--   disappeared   the number of pages on which it should have stood since it was last seen reached 20: by chance
--                 that happens once in e^20 times. Expected is what it showed so far, less three standard errors,
--                 so that a rare key is not missed after one lucky sight
--   came back     a key that had disappeared
--   too many keys response_paths holds 1,000 of the parser: nothing new is taken up any more (one event, once)
-- The first batch of a parser teaches and makes no events. A batch is watched once: a second call, and a replay, change
-- nothing. A batch older than one already watched only widens first and last times.
create or replace function p2p.watch_shapes(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
set jit = off
as $function$
declare
  c_paths constant integer := 1000;
  c_expected_pages constant integer := 20;
  c_standard_errors constant integer := 3;
  v_now constant timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
begin
  lock table p2p.response_paths in share row exclusive mode;

  if exists (select from p2p.ops_shape_watches where batch_id = p_batch_id) then
    return;
  end if;

  create temp table seen_values on commit drop as
  select v.*
  from p2p.watched_values(p_batch_id, false) v;

  analyze pg_temp.seen_values;

  create temp table watched_parsers on commit drop as
  select
    v.parser,
    count(distinct v.page_id)::integer as pages,
    not exists (
      select
      from p2p.response_paths p
      where p.parser = v.parser
    ) as is_first,
    exists (
      select
      from p2p.ops_shape_watches w
      join p2p.ops_batch_runs r on r.batch_id = w.batch_id
      where w.parser = v.parser
        and r.batch_start_time > v_now
    ) as is_late
  from pg_temp.seen_values v
  group by v.parser;

  insert into p2p.ops_shape_watches (batch_id, parser, pages, is_late)
  select p_batch_id, w.parser, w.pages, w.is_late
  from pg_temp.watched_parsers w;

  create temp table seen_shapes on commit drop as
  select
    v.parser,
    v.path,
    v.parent_path,
    v.json_type,
    sum(v.values_seen)::bigint as values_seen,
    min(v.sample) as sample
  from pg_temp.seen_values v
  group by v.parser, v.path, v.parent_path, v.json_type;

  create temp table seen_paths on commit drop as
  with sightings as (
    select
      v.parser,
      v.path,
      v.parent_path,
      count(distinct v.page_id) as pages_seen
    from pg_temp.seen_values v
    group by v.parser, v.path, v.parent_path
  )
  select
    s.*,
    k.path is null as is_new,
    coalesce(k.is_gone, false) as was_gone,
    row_number() over (
      partition by s.parser, k.path is null
      order by length(regexp_replace(s.path, '[^.]', '', 'g')), s.path
    ) + (
      select count(*)
      from p2p.response_paths p
      where p.parser = s.parser
    ) as place
  from sightings s
  left join p2p.response_paths k using (parser, path);

  analyze pg_temp.seen_shapes;
  analyze pg_temp.seen_paths;

  -- Events first: they compare with what was known before.
  with changes as (
    select s.parser, 'appeared' as event, s.path
    from pg_temp.seen_paths s
    join p2p.response_shapes parent
      on parent.parser = s.parser
      and parent.path = s.parent_path
      and parent.json_type in ('object', 'array')
      and (parent.json_type = 'array') = (s.path = s.parent_path || '[]')
    where s.is_new
      and s.place <= c_paths
    union all
    select s.parser, 'came back', s.path
    from pg_temp.seen_paths s
    where s.was_gone
  ),
  with_types as (
    select distinct on (c.parser, c.path)
      c.parser,
      c.event,
      c.path,
      t.json_type,
      t.sample
    from changes c
    join pg_temp.seen_shapes t using (parser, path)
    order by c.parser, c.path, t.values_seen desc, t.json_type
  ),
  new_types as (
    select
      t.parser,
      'new type' as event,
      t.path,
      t.json_type,
      t.sample
    from pg_temp.seen_shapes t
    join p2p.response_paths known using (parser, path)
    where not exists (
      select
      from p2p.response_shapes k
      where (k.parser, k.path, k.json_type) = (t.parser, t.path, t.json_type)
    )
  )
  insert into p2p.ops_shape_events (batch_id, event_at, parser, event, path, json_type, is_needed, sample)
  select
    p_batch_id,
    v_now,
    e.parser,
    e.event,
    e.path,
    e.json_type,
    e.event = 'new type' and p2p.parser_cannot_read(e.parser, e.path, e.json_type),
    e.sample
  from (
    select * from with_types
    union all
    select * from new_types
  ) as e
  join pg_temp.watched_parsers w using (parser)
  where not w.is_late
  order by e.path, e.event;

  insert into p2p.ops_shape_events (batch_id, event_at, parser, event, path, is_needed, sample)
  select p_batch_id, v_now, s.parser, 'too many keys', '', false, min(s.path)
  from pg_temp.seen_paths s
  where s.is_new
    and s.place > c_paths
    and not exists (
      select
      from p2p.ops_shape_events e
      where e.parser = s.parser
        and e.event = 'too many keys'
    )
  group by s.parser;

  insert into p2p.response_paths
    (parser, path, first_seen_at, last_seen_at, pages_possible, pages_seen, pages_missed, is_gone)
  select s.parser, s.path, v_now, v_now, 0, 0, 0, w.is_late
  from pg_temp.seen_paths s
  join pg_temp.watched_parsers w using (parser)
  where s.is_new
    and s.place <= c_paths;

  with possible as (
    -- Pages on which a key could stand: those that have the object it belongs to. An array has its elements or none.
    select
      v.parser,
      v.path as parent_path,
      count(distinct v.page_id) as pages
    from pg_temp.seen_values v
    where v.json_type = 'object'
    group by v.parser, v.path
  ),
  counted as (
    select
      k.parser,
      k.path,
      s.path is not null as is_seen,
      w.is_late,
      coalesce(s.pages_seen, 0) as pages_seen,
      greatest(coalesce(s.pages_seen, 0), coalesce(p.pages, 0)) as pages_possible
    from p2p.response_paths k
    join pg_temp.watched_parsers w using (parser)
    left join pg_temp.seen_paths s using (parser, path)
    left join possible p
      on p.parser = k.parser
      and p.parent_path = regexp_replace(k.path, '\.?[^.]+$', '')
      and k.path !~ '\[\]$'
      and k.path <> ''
  )
  update p2p.response_paths k
  set
    first_seen_at = case when c.is_seen then least(k.first_seen_at, v_now) else k.first_seen_at end,
    last_seen_at = case when c.is_seen then greatest(k.last_seen_at, v_now) else k.last_seen_at end,
    pages_possible = case when c.is_late then k.pages_possible else k.pages_possible + c.pages_possible end,
    pages_seen = case when c.is_late then k.pages_seen else k.pages_seen + c.pages_seen end,
    pages_missed = case
      when c.is_late then k.pages_missed
      when c.is_seen then 0
      else k.pages_missed + c.pages_possible
    end,
    is_gone = k.is_gone and (c.is_late or not c.is_seen)
  from counted c
  where (c.parser, c.path) = (k.parser, k.path)
    and (c.is_seen or (c.pages_possible > 0 and not c.is_late));

  with gone as (
    update p2p.response_paths k
    set is_gone = true
    from pg_temp.watched_parsers w
    where w.parser = k.parser
      and not w.is_late
      and not k.is_gone
      and k.pages_missed
        * greatest(k.pages_seen - c_standard_errors * sqrt(k.pages_seen), 0)
        / nullif(k.pages_possible - k.pages_missed, 0) >= c_expected_pages
    returning k.parser, k.path
  )
  insert into p2p.ops_shape_events (batch_id, event_at, parser, event, path, is_needed)
  select p_batch_id, v_now, g.parser, 'disappeared', g.path, p2p.parser_cannot_read(g.parser, g.path, null)
  from gone g
  order by g.path;

  insert into p2p.response_shapes as k (parser, path, json_type, first_seen_at, last_seen_at, values_seen)
  select t.parser, t.path, t.json_type, v_now, v_now, case when w.is_late then 0 else t.values_seen end
  from pg_temp.seen_shapes t
  join pg_temp.watched_parsers w using (parser)
  join p2p.response_paths p using (parser, path)
  on conflict (parser, path, json_type) do update
  set
    first_seen_at = least(k.first_seen_at, v_now),
    last_seen_at = greatest(k.last_seen_at, v_now),
    values_seen = k.values_seen + excluded.values_seen;

  drop table pg_temp.seen_values, pg_temp.watched_parsers, pg_temp.seen_shapes, pg_temp.seen_paths;
end
$function$;

comment on function p2p.watch_shapes(uuid) is 'Step of load_batch: notices keys that appear, disappear, come back or change their type';

grant execute on function p2p.watch_shapes(uuid) to p2p_worker;
