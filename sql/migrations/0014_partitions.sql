-- Facts and raw pages are kept in partitions: a day, or a month, is dropped in a moment, and what reads one day reads
-- nothing else. Heaps that have rows become one partition each, as they stand: they are read once (to prove what is in
-- them), not copied. All of this is one transaction that locks others out of the three tables.

do $$
begin
  -- Not `if not exists`, which wants the right to create one even where it is there.
  if to_regnamespace('p2p_partitions') is null then
    create schema p2p_partitions;
  end if;
exception when insufficient_privilege then
  raise exception 'schema p2p_partitions is missing, and this user may not create schemas'
    using
      errcode = 'P2P01',
      hint = format('have an administrator run: create schema p2p_partitions authorization %I', current_user);
end
$$;

comment on schema p2p_partitions is 'Partitions of tables of schema p2p: read and write those, and see p2p.partitions';

create table p2p.partitioned_tables (
  table_name        text primary key,
  step              text not null check (step in ('day', 'month')),
  retention_setting text
);

comment on table p2p.partitioned_tables is 'Tables of schema p2p that are kept by day or month (UTC): make_room and apply_retention go by it';
comment on column p2p.partitioned_tables.step is 'What one partition holds';
comment on column p2p.partitioned_tables.retention_setting is 'Row of settings that says how many days are kept; NULL: for ever';

-- Books take 86,000 rows a day and are kept for ten years: 3,650 partitions by day would make planning slow, 120 do not.
insert into p2p.partitioned_tables (table_name, step, retention_setting)
values
  ('stg_responses', 'day', 'raw_retention_days'),
  ('fact_offers', 'day', 'offers_retention_days'),
  ('fact_market_depth', 'month', 'depth_retention_days');

create table p2p.dropped_facts (
  table_name     text        primary key,
  dropped_before timestamptz not null default '-infinity',
  dropped_at     timestamptz,
  held_up_since  timestamptz,
  held_up_by     text
);

comment on table p2p.dropped_facts is 'Up to when rows were dropped because they were old enough, and what kept some from being dropped; see drop_older';
comment on column p2p.dropped_facts.dropped_before is 'Rows before this time are gone, but for those of batches that were loaded later';
comment on column p2p.dropped_facts.held_up_since is 'Since when something that is old enough could not be dropped; NULL where nothing waits';
comment on column p2p.dropped_facts.held_up_by is 'Why';

grant select
on p2p.partitioned_tables, p2p.dropped_facts
to p2p_worker;

-- depth_id stays a number of its own, by a sequence: identity columns of partitioned tables came with PostgreSQL 17.
-- The key is what load_depth goes by, so that no index stands for depth_id alone.
do $$
declare
  v_last bigint;
  v_is_called boolean;
begin
  select s.last_value, s.is_called
  into v_last, v_is_called
  from p2p.fact_market_depth_depth_id_seq s;

  alter table p2p.fact_market_depth alter column depth_id drop identity;
  create sequence p2p.fact_market_depth_depth_id_seq owned by p2p.fact_market_depth.depth_id;
  perform setval('p2p.fact_market_depth_depth_id_seq', v_last, v_is_called);
end
$$;

alter table p2p.fact_market_depth
alter column depth_id set default nextval('p2p.fact_market_depth_depth_id_seq'),
drop constraint if exists fact_market_depth_pkey,
drop constraint if exists fact_market_depth_exchange_id_fiat_id_crypto_id_trade_type__key,
add constraint fact_market_depth_pkey primary key (exchange_id, fiat_id, crypto_id, trade_type, extraction_timestamp);

comment on column p2p.fact_market_depth.depth_id is 'A number of the row, from a sequence';

grant usage
on sequence p2p.fact_market_depth_depth_id_seq
to p2p_worker;

do $$
declare
  v_table record;
  v_newest timestamptz;
  v_end timestamptz;
  v_heap text;
begin
  for v_table in
    select
      t.table_name,
      t.step,
      format('p2p.%I', t.table_name) as name,
      format('p2p.%I', t.table_name || '_partitioned') as new_name,
      t.table_name || '_replaced' as old_name
    from p2p.partitioned_tables t
    order by t.table_name
  loop
    execute format(
      'create table %s (like %s including all excluding indexes excluding identity) partition by range (extraction_timestamp)',
      v_table.new_name,
      v_table.name
    );
    perform p2p.take_indexes(v_table.name, v_table.new_name);
    perform p2p.replace_table(v_table.name, v_table.new_name);

    execute format('select max(t.extraction_timestamp) from p2p.%I t', v_table.old_name)
    into v_newest;

    if v_newest is null then
      execute format('drop table p2p.%I', v_table.old_name);
      continue;
    end if;

    v_end := (date_trunc(v_table.step, v_newest at time zone 'UTC') + ('1 ' || v_table.step)::interval) at time zone 'UTC';
    v_heap := format('%s_before_%s', v_table.table_name, to_char(v_end at time zone 'UTC', 'YYYYMMDD'));
    execute format('alter table p2p.%I set schema p2p_partitions', v_table.old_name);
    execute format('alter table p2p_partitions.%I rename to %I', v_table.old_name, v_heap);
    execute format(
      'alter table %s attach partition p2p_partitions.%I for values from (minvalue) to (%L)',
      v_table.name,
      v_heap,
      v_end
    );
  end loop;
end
$$;

-- Settings of a new database; one that has batches keeps what it has. Functions come after migrations: where the
-- triggers are there already, what they would ask for is not.
alter table p2p.settings disable trigger user;

insert into p2p.settings (name, value, kind, minimum, maximum, unit, comment, is_shipped)
values (
  'partitions_ahead_days', '3', 'number', 1, 60, 'days',
  'Partitions that stand ready for days to come', true
);

-- 1.4 GB a day of pages, and as much of offers where they are not compressed.
update p2p.settings s
set value = shipped.value
from (values ('raw_retention_days', '7'), ('offers_retention_days', '35')) as shipped (name, value)
where s.name = shipped.name
  and not exists (select from p2p.ops_batch_runs);

update p2p.settings s
set comment = 'Old batches whose ledger one load clears away at most'
where s.name = 'retention_batches_per_load';

alter table p2p.settings enable trigger user;

alter table p2p.pipeline_steps disable trigger user;

update p2p.pipeline_steps s
set comment = 'Drops what is older than the settings allow, and makes partitions for days to come'
where s.name = 'apply_retention'
  and s.comment = 'Deletes what is older than the settings allow, a few batches a load';

alter table p2p.pipeline_steps enable trigger user;
