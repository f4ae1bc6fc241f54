-- Facts and raw pages become hypertables of TimescaleDB. Their partitions become chunks as they stand (attach_chunk): rows
-- are read once, to prove the bounds, and not copied. One transaction that locks others out of the three tables: killed in
-- the middle it has not happened, and the next migrate begins again.
do $$
declare
  v_schema constant text := (select x.extnamespace::regnamespace::text from pg_extension x where x.extname = 'timescaledb');
  v_table record;
  v_partition record;
  v_oldest timestamptz;
begin
  for v_table in
    select
      t.table_name,
      format('p2p.%I', t.table_name)::regclass as parent,
      format('p2p.%I', t.table_name || '_hypertable') as new_name,
      t.chunk_interval
    from (
      values
        -- A day of offers with its indexes fits the memory of a small server; books are 600 rows a batch.
        ('fact_offers', interval '1 day'),
        ('fact_market_depth', interval '7 days'),
        ('stg_responses', interval '1 day')
    ) as t (table_name, chunk_interval)
  loop
    execute format('lock table %s in access exclusive mode', v_table.parent);
    execute format(
      'create table %s (like %s including all excluding indexes)',
      v_table.new_name,
      v_table.parent
    );
    execute format(
      'select %1$s.create_hypertable(%2$L, %1$s.by_range(%3$L, %4$L::interval), create_default_indexes => false)',
      v_schema,
      v_table.new_name,
      'extraction_timestamp',
      v_table.chunk_interval
    );
    perform p2p.take_indexes(v_table.parent, v_table.new_name);

    for v_partition in
      select
        i.inhrelid::regclass as name,
        bounds.parts[1] as lower_bound,
        bounds.parts[2] as upper_bound
      from pg_inherits i
      join pg_class c on c.oid = i.inhrelid
      cross join lateral regexp_match(
        pg_get_expr(c.relpartbound, c.oid),
        $pattern$FROM \((MINVALUE|'[^']+')\) TO \((MAXVALUE|'[^']+')\)$pattern$
      ) as bounds (parts)
      where i.inhparent = v_table.parent
      order by c.relname
    loop
      execute format('select min(t.extraction_timestamp) from %s t', v_partition.name)
      into v_oldest;

      execute format('alter table %s detach partition %s', v_table.parent, v_partition.name);

      -- Those that stood ready for days to come: TimescaleDB makes its own when a row comes.
      if v_oldest is null then
        execute format('drop table %s', v_partition.name);
        continue;
      end if;

      if v_partition.upper_bound is null or v_partition.upper_bound = 'MAXVALUE' then
        raise exception 'partition % of table % has no end, and cannot be a chunk', v_partition.name, v_table.parent
          using errcode = 'P2P01', hint = 'detach it, run migrate, and insert its rows again';
      end if;

      execute format(
        'call %s.attach_chunk(%L, %L, %L)',
        v_schema,
        v_table.new_name,
        v_partition.name,
        jsonb_build_object(
          'extraction_timestamp',
          jsonb_build_array(
            case
              when v_partition.lower_bound = 'MINVALUE' then date_trunc('day', v_oldest, 'UTC')::text
              else trim(v_partition.lower_bound, '''')
            end,
            trim(v_partition.upper_bound, '''')
          )
        )
      );
    end loop;

    perform p2p.replace_table(v_table.parent, v_table.new_name);
    execute format('drop table p2p.%I', v_table.table_name || '_replaced');
  end loop;
end
$$;

-- Into a chunk rows are inserted by its own name, whatever the table grants; on the chunks themselves nothing is granted.
grant usage on schema p2p_partitions to p2p_worker;

-- Packed, a day of offers takes a tenth. A database that has batches keeps what its DBA has.
alter table p2p.settings disable trigger user;

update p2p.settings s
set value = '400'
where s.name = 'offers_retention_days'
  and s.value = '35'
  and not exists (select from p2p.ops_batch_runs);

alter table p2p.settings enable trigger user;
