-- Makes the partitions that a batch of this time needs, past or to come: one of each table of partitioned_tables that
-- is partitioned. Returns how many it made; a second call makes none. Readers and writers go on meanwhile: a table of
-- its own that is attached takes a weaker lock than `partition of`. A statement that itself reads or writes one of the
-- tables cannot make room in it.
-- A step of which another partition holds a part (the heap of release 0.2.0) gets one for the rest.
-- Runs with the rights of its owner, who alone may create tables.
create or replace function p2p.make_room(p_at timestamptz)
returns integer
language plpgsql
security definer
set search_path = p2p, pg_temp
set timezone = 'UTC'
as $function$
declare
  v_missing record;
  v_made integer := 0;
begin
  for v_attempt in 1..2 loop
    for v_missing in
      with wanted as (
        select
          t.table_name,
          t.step,
          date_trunc(t.step, p_at) as step_begins,
          format('%s_%s', t.table_name, to_char(p_at, case t.step when 'day' then 'YYYYMMDD' else 'YYYYMM' end)) as partition_name
        from p2p.partitioned_tables t
        join pg_class c on c.oid = to_regclass(format('p2p.%I', t.table_name))
        where c.relkind = 'p'
      ),
      missing as (
        select w.*
        from wanted w
        where case
          -- Reading the bounds of 400 partitions takes 30 ms, and is done only where none has the name.
          when exists (
            select
            from pg_class c
            where c.relnamespace = 'p2p_partitions'::regnamespace
              and c.relname = w.partition_name
              and c.relispartition
          ) then false
          else not exists (
            select
            from p2p.partitions p
            where p.table_name = w.table_name
              and p.starts_at <= p_at
              and p.ends_at > p_at
          )
        end
      )
      select
        m.table_name,
        m.partition_name,
        greatest(m.step_begins, max(p.ends_at) filter (where p.ends_at <= p_at)) as starts_at,
        least(m.step_begins + ('1 ' || m.step)::interval, min(p.starts_at) filter (where p.starts_at > p_at)) as ends_at
      from missing m
      left join p2p.partitions p on p.table_name = m.table_name
      group by m.table_name, m.step, m.step_begins, m.partition_name
      order by m.table_name
    loop
      -- Whoever was first has made them when we have the lock, so that they are looked for again.
      if v_attempt = 1 then
        perform pg_advisory_xact_lock(hashtextextended('p2p.make_room', 0));
        exit;
      end if;

      if to_regclass(format('p2p_partitions.%I', v_missing.partition_name)) is not null then
        raise exception 'there is a table p2p_partitions.%, but it is no partition of p2p.%',
          v_missing.partition_name, v_missing.table_name
          using errcode = 'P2P01', hint = 'attach it again, or give it another name';
      end if;

      execute format(
        'create table p2p_partitions.%I (like p2p.%I including all excluding indexes excluding comments)',
        v_missing.partition_name,
        v_missing.table_name
      );
      execute format(
        'alter table p2p.%I attach partition p2p_partitions.%I for values from (%L) to (%L)',
        v_missing.table_name,
        v_missing.partition_name,
        v_missing.starts_at,
        v_missing.ends_at
      );
      v_made := v_made + 1;
    end loop;
  end loop;

  return v_made;
end
$function$;

comment on function p2p.make_room(timestamptz) is 'Makes the partitions that a batch of this time needs';

grant execute on function p2p.make_room(timestamptz) to p2p_worker;
