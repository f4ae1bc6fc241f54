-- What load_batch would make of batches that are loaded already, with the SQL of now or, before it is installed, with
-- the text of a candidate in p_with: all of it happens, is compared with what was there, and is undone.
--
--   select * from p2p.preview_load(array['…'::uuid], $$ create or replace function p2p.reject_offers … $$)
--
-- Returns one row for each table and effect: how many rows appear, vanish or change, and for those that change one
-- more for each column. examples: up to five of {"key", "market", "before", "after"}, values as text. No row: nothing would
-- change. Values are compared as text: 461.5 is not 461.50. Of the facts only those of these batches are compared.
-- Nothing stays but what no rollback takes back: gaps in sequences; setval() in a candidate is refused. Errors of the
-- candidate, or of a step, come as they are. Other loads wait while it runs, readers do not. The caller's rights decide what a candidate may do.
create or replace function p2p.preview_load(p_batch_ids uuid[], p_with text default null)
returns table (table_name text, effect text, column_name text, row_count bigint, examples jsonb)
language plpgsql
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
as $function$
declare
  v_batch_id uuid;
  v_start_times timestamptz[];
  v_settings jsonb;
  v_tables_before jsonb;
  v_table record;
  v_report jsonb;
begin
  -- The one thing of a candidate that no transaction takes back, and that breaks later inserts.
  if p_with ~* '\msetval\s*\(' then
    raise exception 'setval() stays although a dry run is undone: leave it out'
      using errcode = 'P2P02';
  end if;

  select b.batch_id
  into v_batch_id
  from p2p.ops_batch_runs b
  where b.batch_id = any (p_batch_ids)
    and b.status = 'running';

  if found then
    raise exception 'batch % is running', v_batch_id
      using errcode = 'P2P03', hint = 'a dry run of it would end its fetching: wait until it is loaded';
  end if;

  select array_agg(b.batch_start_time)
  into v_start_times
  from p2p.ops_batch_runs b
  where b.batch_id = any (p_batch_ids);

  begin
    -- As load_batch does, but before anything is looked at: what other loads write must not pass for an effect.
    lock table p2p.dim_advertisers in share row exclusive mode;

    select jsonb_agg(to_jsonb(t))
    into v_tables_before
    from p2p.compared_tables() t;

    for v_table in
      select earlier.table_id, earlier.rows_statement
      from jsonb_to_recordset(v_tables_before) as earlier (table_id oid, rows_statement text)
    loop
      execute format('create temp table %I on commit drop as %s', 'preview_' || v_table.table_id, v_table.rows_statement)
      using p_batch_ids, v_start_times;
    end loop;

    if p_with is not null then
      select jsonb_object_agg(s.name, s.setting)
      into v_settings
      from pg_settings s
      where s.context in ('user', 'superuser');

      -- As psql would run it: names without a schema are not looked up in p2p.
      perform set_config('search_path', s.reset_val, true) from pg_settings s where s.name = 'search_path';
      execute p_with;

      -- What it set was for its own session. No load would see it, and another time zone makes every row look different.
      perform set_config(earlier.name, earlier.value, true)
      from jsonb_each_text(v_settings) as earlier (name, value)
      join pg_settings s on s.name = earlier.name
      where s.setting is distinct from earlier.value;
    end if;

    for v_batch_id in
      select asked.batch_id
      from unnest(p_batch_ids) as asked (batch_id)
      left join p2p.ops_batch_runs b on b.batch_id = asked.batch_id
      group by asked.batch_id, b.batch_start_time
      order by b.batch_start_time nulls first
    loop
      perform p2p.load_batch(v_batch_id);
    end loop;

    create temp table preview_differences (
      place      bigint generated always as identity primary key,
      table_name text,
      row_key    jsonb,
      before     jsonb,
      after      jsonb
    ) on commit drop;

    -- The candidate may have made tables, dropped some, or changed their columns.
    for v_table in
      select
        coalesce(now.table_name, earlier.table_name) as table_name,
        coalesce(now.key_columns, earlier.key_columns) as key_columns,
        coalesce('table pg_temp.' || quote_ident('preview_' || earlier.table_id), now.rows_statement || ' and false') as before_statement,
        coalesce(now.rows_statement, format('select * from pg_temp.%I where false', 'preview_' || earlier.table_id)) as after_statement
      from jsonb_to_recordset(v_tables_before) as earlier (table_id oid, table_name text, key_columns text[])
      full join p2p.compared_tables() as now using (table_id)
      order by 1
    loop
      execute format(
        $statement$
          insert into pg_temp.preview_differences (table_name, row_key, before, after)
          select
            $3,
            (
              select jsonb_object_agg(key.name, coalesce(to_jsonb(preview_after), to_jsonb(preview_before)) -> key.name)
              from unnest($4) as key (name)
            ),
            to_jsonb(preview_before) - 'preview_key',
            to_jsonb(preview_after) - 'preview_key'
          from (%s) as preview_before
          full join (%s) as preview_after using (preview_key)
          where preview_before::text is distinct from preview_after::text
          order by hashtext(preview_key), preview_key -- examples from all over the table
        $statement$,
        v_table.before_statement,
        v_table.after_statement
      )
      using p_batch_ids, v_start_times, v_table.table_name, v_table.key_columns;
    end loop;

    with changed_values as materialized (
      select d.place, d.table_name, now.column_name
      from pg_temp.preview_differences d
      cross join jsonb_each_text(d.after) as now (column_name, value)
      where d.before is not null
        and now.value is distinct from d.before ->> now.column_name
    ),
    effects as (
      select
        d.place,
        d.table_name,
        case when d.before is null then 'appears' else 'vanishes' end as effect,
        null as column_name
      from pg_temp.preview_differences d
      where d.before is null
        or d.after is null
      union all
      select v.place, v.table_name, 'changes', null
      from changed_values v
      group by v.place, v.table_name
      union all
      select v.place, v.table_name, 'changes', v.column_name
      from changed_values v
    ),
    counted as (
      select
        e.table_name,
        e.effect,
        e.column_name,
        count(*) as row_count,
        (array_agg(e.place order by e.place))[1:5] as places
      from effects e
      group by e.table_name, e.effect, e.column_name
    ),
    report as (
      select
        c.table_name,
        c.effect,
        c.column_name,
        c.row_count,
        (
          select coalesce(
            jsonb_agg(
              case c.effect
                when 'appears' then jsonb_build_object('after', shown.after)
                when 'vanishes' then jsonb_build_object('before', shown.before)
                else jsonb_build_object('before', shown.before -> c.column_name, 'after', shown.after -> c.column_name)
              end || jsonb_build_object('key', shown.row_key, 'market', shown.market)
              order by shown.place
            ),
            '[]'
          )
          from (
            -- Values as text, so that no reader of JSON takes digits away.
            select
              d.place,
              (select jsonb_object_agg(v.key, v.value) from jsonb_each_text(d.row_key) as v) as row_key,
              (select jsonb_object_agg(v.key, v.value) from jsonb_each_text(d.before) as v) as before,
              (select jsonb_object_agg(v.key, v.value) from jsonb_each_text(d.after) as v) as after,
              (
                select concat(f.currency_code, '/', a.symbol, ' ', m.trade_type)
                from p2p.dim_markets m
                join p2p.dim_fiat_currencies f on f.fiat_id = m.fiat_id
                join p2p.dim_cryptocurrencies a on a.crypto_id = m.crypto_id
                where m.market_id::text = d.example ->> 'market_id'
                  or (m.exchange_id::text, m.fiat_id::text, m.crypto_id::text, m.trade_type)
                    = (d.example ->> 'exchange_id', d.example ->> 'fiat_id', d.example ->> 'crypto_id', d.example ->> 'trade_type')
                limit 1
              ) as market
            from (
              select d.*, coalesce(d.after, d.before) as example
              from pg_temp.preview_differences d
            ) as d
            where d.place = any (c.places)
              and (c.effect <> 'changes' or c.column_name is not null)
          ) as shown
        ) as examples
      from counted c
    )
    select coalesce(jsonb_agg(to_jsonb(report)), '[]')
    into v_report
    from report;

    raise exception 'the end of a dry run' using errcode = 'P2P09';
  exception when sqlstate 'P2P09' then
    -- All that the block did is undone now; variables keep their values.
    if v_report is null then
      raise;
    end if;
  end;

  return query
  select r.table_name, r.effect, r.column_name, r.row_count, r.examples
  from jsonb_to_recordset(v_report)
    as r (table_name text, effect text, column_name text, row_count bigint, examples jsonb)
  order by r.table_name, r.effect, r.column_name nulls first;
end
$function$;

comment on function p2p.preview_load(uuid[], text) is 'What load_batch, or a candidate that is not installed, would change: a dry run, nothing stays';

grant execute on function p2p.preview_load(uuid[], text) to p2p_worker;
