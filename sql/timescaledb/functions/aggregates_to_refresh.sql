-- What has to be refreshed after facts of p_from to p_until (the last time itself included) were written, in this order,
-- so that the aggregates say what the facts say. Changes nothing; a window that is up to date is not returned. NULL: no
-- limit. Each row is one statement of the caller's, because a refresh cannot run in a function. In psql:
--   select statement from p2p.aggregates_to_refresh('2026-03-01', '2026-03-02') \gexec
-- Windows are whole buckets, a day or a few of facts each, so that none takes long and one that fails costs little.
-- Left out are
--   the bucket of the newest batch: it is read from the facts until it is over;
--   times whose facts were dropped while the aggregate still has them: a refresh would delete that history.
create or replace function p2p.aggregates_to_refresh(p_from timestamptz, p_until timestamptz)
returns table (aggregate text, window_start timestamptz, window_end timestamptz, statement text)
language plpgsql
stable
set search_path = p2p, pg_temp
as $function$
#variable_conflict use_column
declare
  v_newest constant timestamptz := (select max(r.batch_start_time) from p2p.ops_batch_runs r);
begin
  return query
  with facts as (
    select
      c.hypertable_name::text as table_name,
      c.range_start,
      c.range_end
    from timescaledb_information.chunks c
    where c.hypertable_schema = 'p2p'
  ),
  asked as (
    select
      s.aggregate,
      s.level,
      s.table_name,
      s.bucket,
      s.facts_since,
      step.width,
      date_bin(step.width, greatest(p_from, min(f.range_start)), timestamptz '2000-01-01 00:00Z') as starts_at,
      date_bin(s.bucket, greatest(p_from, min(f.range_start)), timestamptz '2000-01-01 00:00Z') as first_bucket,
      least(
        date_bin(s.bucket, least(p_until, max(f.range_end)), timestamptz '2000-01-01 00:00Z') + s.bucket,
        date_bin(s.bucket, v_newest, timestamptz '2000-01-01 00:00Z')
      ) as ends_at
    from p2p.aggregate_sources s
    join facts f on f.table_name = s.table_name
    cross join lateral (
      select
        case
          when s.level > 1 then interval '30 days'
          when s.table_name = 'fact_offers' then interval '1 day'
          else interval '7 days'
        end as width
    ) as step
    group by s.aggregate, s.level, s.table_name, s.bucket, s.facts_since, step.width
  ),
  -- Steps are laid out only where there are facts: an import of one old day is not ten years of windows.
  windows as (
    select distinct
      a.aggregate,
      a.level,
      a.table_name,
      a.facts_since,
      greatest(step.starts_at, a.first_bucket) as starts_at,
      least(step.starts_at + a.width, a.ends_at) as ends_at
    from asked a
    join facts f
      on f.table_name = a.table_name
      and f.range_start < a.ends_at
      and f.range_end > a.first_bucket
    cross join lateral generate_series(
      date_bin(a.width, greatest(f.range_start, a.first_bucket), timestamptz '2000-01-01 00:00Z'),
      least(f.range_end, a.ends_at) - interval '1 microsecond',
      a.width
    ) as step (starts_at)
  ),
  outdated as (
    select w.*
    from windows w
    where w.starts_at < w.ends_at
      and exists (
        select
        from p2p.outdated_ranges r
        where r.aggregate = w.aggregate
          and r.starts_at < w.ends_at
          and r.ends_at > w.starts_at
      )
      and (w.starts_at >= w.facts_since or not p2p.holds_history(w.aggregate, w.starts_at, least(w.ends_at, w.facts_since)))
  ),
  -- An aggregate on top gets outdated only when the one below is refreshed.
  chosen as (
    select o.*
    from outdated o
    union
    select w.*
    from windows w
    join outdated o
      on o.table_name = w.table_name
      and o.level < w.level
      and o.starts_at < w.ends_at
      and o.ends_at > w.starts_at
    where w.starts_at < w.ends_at
  )
  select
    c.aggregate,
    c.starts_at,
    c.ends_at,
    format(
      'call %s.refresh_continuous_aggregate(%L, %L, %L)',
      p2p.timescaledb_schema(),
      format('p2p.%I', c.aggregate),
      to_char(c.starts_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"'),
      to_char(c.ends_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"')
    )
  from chosen c
  order by c.level, c.aggregate, c.starts_at;
end
$function$;

comment on function p2p.aggregates_to_refresh(timestamptz, timestamptz) is 'Which aggregates to refresh after facts of these times were written, and for what window';

grant execute on function p2p.aggregates_to_refresh(timestamptz, timestamptz) to p2p_worker;
