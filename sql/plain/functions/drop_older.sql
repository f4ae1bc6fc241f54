-- Drops the partitions of a table of partitioned_tables that end at or before p_before, the oldest first, and notes in
-- dropped_facts up to when rows are gone. Returns how many it dropped, and what kept it from the rest, if anything did:
-- that is noted too, and the next call tries again. A second call drops nothing.
-- A partition goes with all its rows, so that the heap of release 0.2.0 goes when the newest row in it is old enough.
-- Dropping needs a moment without readers of the table. It waits half a second for that (new readers wait behind it)
-- and gives up; from then on readers wait until the transaction ends. What stands on a partition is never dropped.
-- For the owner, who alone may drop tables: apply_retention calls it with those rights.
create or replace function p2p.drop_older(
  p_table text,
  p_before timestamptz,
  out dropped integer,
  out held_up_by text
)
language plpgsql
set search_path = p2p, pg_temp
set lock_timeout = '500ms'
as $function$
declare
  v_partition record;
  v_dropped_before timestamptz;
begin
  dropped := 0;

  if not exists (select from p2p.partitioned_tables t where t.table_name = p_table) then
    raise exception 'table % is not kept by day or month', p_table
      using errcode = 'P2P01', hint = 'select table_name from p2p.partitioned_tables';
  end if;

  for v_partition in
    select p.partition_name, p.ends_at
    from p2p.partitions p
    where p.table_name = p_table
      and p.ends_at <= p_before
    order by p.ends_at
  loop
    begin
      execute 'drop table ' || v_partition.partition_name; -- quoted in the view
      dropped := dropped + 1;
      v_dropped_before := v_partition.ends_at;
    exception
      when lock_not_available or object_in_use then
        select coalesce('read by ' || string_agg(distinct format('%s (pid %s)', a.usename, a.pid), ', '), 'locked')
        into held_up_by
        from pg_locks l
        join pg_stat_activity a on a.pid = l.pid
        where l.database = (select d.oid from pg_database d where d.datname = current_database())
          and l.relation in (to_regclass(format('p2p.%I', p_table)), to_regclass(v_partition.partition_name))
          and l.granted
          and l.pid <> pg_backend_pid();
        exit;
      when dependent_objects_still_exist then
        get stacked diagnostics held_up_by = pg_exception_detail; -- the message does not say what stands on it
        exit;
    end;
  end loop;

  if dropped > 0 or held_up_by is not null then
    insert into p2p.dropped_facts as d (table_name, dropped_before, dropped_at, held_up_since, held_up_by)
    values (
      p_table,
      coalesce(v_dropped_before, '-infinity'),
      case when dropped > 0 then clock_timestamp() end,
      case when held_up_by is not null then clock_timestamp() end,
      held_up_by
    )
    on conflict (table_name) do update
    set
      dropped_before = greatest(d.dropped_before, excluded.dropped_before),
      dropped_at = coalesce(excluded.dropped_at, d.dropped_at),
      held_up_since = case when excluded.held_up_by is not null then coalesce(d.held_up_since, excluded.held_up_since) end,
      held_up_by = excluded.held_up_by;
  else
    update p2p.dropped_facts d
    set
      held_up_since = null,
      held_up_by = null
    where d.table_name = p_table
      and d.held_up_by is not null;
  end if;
end
$function$;

comment on function p2p.drop_older(text, timestamptz) is 'Drops what ends at or before a time, in whole partitions; for the owner';

revoke execute on function p2p.drop_older(text, timestamptz) from public;
