-- Drops the chunks of a table that end at or before p_before, the oldest first, and notes in dropped_facts up to when rows
-- are gone. Returns how many it dropped, and what kept it from the rest, if anything did: that is noted too, and the next
-- call tries again. A second call drops nothing.
-- Chunks that an aggregate does not hold yet stay until it was refreshed (outdated_ranges): what it never read would be
-- lost. Not so where their facts were dropped before and came again: the aggregate keeps what it had.
-- Dropping needs a moment without readers of those chunks. It waits half a second for that and gives up. Who writes to or
-- reads other chunks is not disturbed.
-- For the owner, who alone may drop chunks: apply_retention calls it with those rights.
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
  v_schema constant text := p2p.timescaledb_schema();
  v_chunk record;
  v_dropped_before timestamptz;
begin
  dropped := 0;

  if not exists (select from p2p.partitioned_tables t where t.table_name = p_table) then
    raise exception 'table % is not kept by day or month', p_table
      using errcode = 'P2P01', hint = 'select table_name from p2p.partitioned_tables';
  end if;

  for v_chunk in
    select
      c.range_start,
      c.range_end,
      (
        select min(r.aggregate)
        from p2p.outdated_ranges r
        join p2p.aggregate_sources s on s.aggregate = r.aggregate and s.level = 1
        where r.table_name = p_table
          and r.starts_at < c.range_end
          and r.ends_at > c.range_start
          and not (c.range_end <= s.facts_since and p2p.holds_history(r.aggregate, c.range_start, c.range_end))
      ) as missing_in
    from timescaledb_information.chunks c
    where c.hypertable_schema = 'p2p'
      and c.hypertable_name = p_table
      and c.range_end <= p_before
    order by c.range_end
  loop
    if v_chunk.missing_in is not null then
      held_up_by := format(
        '%s does not hold all of %s to %s yet',
        v_chunk.missing_in,
        to_char(v_chunk.range_start at time zone 'UTC', 'YYYY-MM-DD'),
        to_char(v_chunk.range_end at time zone 'UTC', 'YYYY-MM-DD')
      );
      exit;
    end if;

    begin
      execute format('select count(*) from %s.drop_chunks($1, older_than => $2)', v_schema)
      using format('p2p.%I', p_table)::regclass, v_chunk.range_end;
      dropped := dropped + 1;
      v_dropped_before := v_chunk.range_end;
    exception
      when lock_not_available then
        held_up_by := 'somebody reads what is to be dropped';
        exit;
      when dependent_objects_still_exist then
        held_up_by := sqlerrm;
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

comment on function p2p.drop_older(text, timestamptz) is 'Drops what ends at or before a time, in whole chunks; for the owner';

revoke execute on function p2p.drop_older(text, timestamptz) from public;
