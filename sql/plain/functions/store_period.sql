-- Stores an hour or a day ('hour', 'day'; p_starts_at is where it begins) of markets and of advertisers, made anew of the
-- facts (a day: of the hours). Only rows that differ are written: a second call changes no row. Returns whether any was.
-- With p_advertisers only their rows are made, and no market.
-- What was stored stays where the facts no longer have all of it: retention has passed the hour (day), and offers of a
-- batch that was loaded in it are gone.
-- The period is not open afterwards: whoever calls it for the newest one opens it again.
create or replace function p2p.store_period(
  p_unit text,
  p_starts_at timestamptz,
  p_advertisers integer[] default null
)
returns boolean
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_open constant text := format('open_%ss', p_unit);
  v_kind record;
  v_is_stored boolean;
  v_is_gone boolean;
  v_rows bigint;
  v_is_changed boolean := false;
begin
  perform p2p.make_room(p_starts_at);

  execute format('insert into p2p.%I values ($1) on conflict do nothing', v_open)
  using p_starts_at;

  for v_kind in
    select
      k.name,
      k.facts,
      format('stored_%s_%ss', k.name, p_unit) as stored,
      case p_unit
        when 'hour' then format('from_facts_%s_hours', k.name)
        else format('from_hours_%s_days', k.name)
      end as source,
      case p_unit when 'hour' then k.facts else format('stored_%s_hours', k.name) end as made_of
    from (
      values ('market', 'fact_market_depth'), ('merchant', 'fact_offers')
    ) as k (name, facts)
  loop
    continue when v_kind.name = 'market' and p_advertisers is not null;

    execute format('select exists (select from p2p.%I s where s.%I = $1)', v_kind.stored, p_unit)
    into v_is_stored
    using p_starts_at;

    -- Retention dropped the hour before its offers: a few advertisers must not pass for all.
    continue when not v_is_stored and p_advertisers is not null;

    v_is_gone := exists (
      select
      from p2p.dropped_facts d
      where d.table_name = v_kind.made_of
        and d.dropped_before > p_starts_at
    );

    -- Batches that were loaded again have brought theirs back.
    if v_is_gone and p_unit = 'hour' then
      execute format(
        $statement$
          select exists (
            select
            from p2p.ops_batch_runs r
            where r.batch_start_time >= $1
              and r.batch_start_time < $1 + interval '1 hour'
              and r.status in ('completed', 'partial')
              and r.total_offers_inserted > 0
              and not exists (
                select
                from p2p.%I f
                where f.extraction_timestamp = r.batch_start_time
              )
          )
        $statement$,
        v_kind.made_of
      )
      into v_is_gone
      using p_starts_at;
    end if;

    -- Hours that have outlived their retention, and were made anew of offers that have not (summarise_hours).
    if v_is_gone and p_unit = 'day' then
      execute format(
        $statement$
          select exists (
            select
            from p2p.ops_batch_runs r
            where r.batch_start_time >= $1
              and r.batch_start_time < $1 + interval '24 hours'
              and r.status in ('completed', 'partial')
              and r.total_offers_inserted > 0
              and not (
                exists (
                  select
                  from p2p.%I h
                  where h.hour = date_trunc('hour', r.batch_start_time, 'UTC')
                )
                and exists (
                  select
                  from p2p.%I f
                  where f.extraction_timestamp = r.batch_start_time
                )
              )
          )
        $statement$,
        v_kind.made_of,
        v_kind.facts
      )
      into v_is_gone
      using p_starts_at;
    end if;

    continue when v_is_stored and v_is_gone;

    if not v_is_stored then
      execute format('insert into p2p.%I select m.* from p2p.%I m where m.%I = $1', v_kind.stored, v_kind.source, p_unit)
      using p_starts_at;
      get diagnostics v_rows = row_count;
      v_is_changed := v_is_changed or v_rows > 0;
      continue;
    end if;

    execute format(
      'create temp table made_rows on commit drop as select m.* from p2p.%I m where m.%I = $1 %s',
      v_kind.source,
      p_unit,
      case when p_advertisers is not null then 'and m.advertiser_sk = any ($2)' end
    )
    using p_starts_at, p_advertisers;

    -- As text: 461.50 equals 461.5, and is not the same.
    execute format(
      $statement$
        delete from p2p.%1$I s
        where s.%2$I = $1
          %3$s
          and not exists (
            select
            from pg_temp.made_rows m
            where (m.*)::text = (s.*)::text
          )
      $statement$,
      v_kind.stored,
      p_unit,
      case when p_advertisers is not null then 'and s.advertiser_sk = any ($2)' end
    )
    using p_starts_at, p_advertisers;
    get diagnostics v_rows = row_count;
    v_is_changed := v_is_changed or v_rows > 0;

    execute format(
      $statement$
        insert into p2p.%1$I
        select m.*
        from pg_temp.made_rows m
        where not exists (
          select
          from p2p.%1$I s
          where s.%2$I = $1
            and (s.*)::text = (m.*)::text
        )
      $statement$,
      v_kind.stored,
      p_unit
    )
    using p_starts_at;
    get diagnostics v_rows = row_count;
    v_is_changed := v_is_changed or v_rows > 0;

    drop table pg_temp.made_rows;
  end loop;

  execute format('delete from p2p.%I where %I = $1', v_open, p_unit)
  using p_starts_at;

  return v_is_changed;
end
$function$;

comment on function p2p.store_period(text, timestamptz, integer[]) is 'Stores an hour or a day of markets and advertisers, made anew of the facts';

grant execute on function p2p.store_period(text, timestamptz, integer[]) to p2p_worker;
