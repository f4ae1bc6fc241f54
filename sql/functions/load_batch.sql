-- Makes facts of the stored pages of a batch, in one transaction: readers see all of it or nothing. What is done is
-- rows of pipeline_steps; close_batch comes after all of them.
-- May be called again at any time: with the same pages and the same SQL it changes no row; after a function was
-- changed it brings the facts of this batch to what the new SQL makes of them.
-- Where a required step fails, a batch without facts is closed as failed, with the reason: its pages stay, and calling
-- again after the SQL was mended makes it what it should have been. Of a batch that has facts nothing is changed, and
-- the error is raised.
-- Ends the fetching, if nobody has: what is loaded is what there is.
-- Loads wait for one another; readers wait for nothing.
-- Into packed chunks of TimescaleDB a load writes as well, but slowly: it unpacks the books that it writes to, however many
-- rows of them, which TimescaleDB would refuse beyond 100,000. (Elsewhere the setting
-- means nothing, and does nothing. In the head of the function only a superuser could give it where there is no TimescaleDB.)
create or replace function p2p.load_batch(p_batch_id uuid)
returns p2p.ops_batch_runs
language plpgsql
set search_path = p2p, pg_temp
set work_mem = '64MB'
set jit = off
as $function$
declare
  v_began timestamptz := clock_timestamp();
  v_own_tables oid[] := p2p.temporary_tables();
  v_set integer;
  v_before p2p.ops_batch_runs;
  v_steps p2p.ops_batch_steps[];
  v_failed p2p.ops_batch_steps;
begin
  perform set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
  lock table p2p.dim_advertisers in share row exclusive mode;

  select r.*
  into v_before
  from p2p.ops_batch_runs r
  where r.batch_id = p_batch_id;

  if not found then
    raise exception 'there is no batch %', p_batch_id
      using errcode = 'P2P03', hint = 'select batch_id, batch_start_time from p2p.ops_batch_runs order by 2 desc';
  end if;

  if v_before.raw_deleted_at is not null then
    raise exception 'the pages of batch % were deleted when they were old enough: it cannot be loaded again', p_batch_id
      using errcode = 'P2P03', hint = 'its facts stay as they are; raw_retention_days in p2p.settings says how long pages are kept';
  end if;

  perform p2p.make_room(v_before.batch_start_time); -- its facts may have been old enough to go, and its pages not
  perform p2p.end_fetching(p_batch_id, 'the batch was loaded before it was fetched');
  v_set := p2p.current_sql_set();
  v_steps := p2p.run_steps(p_batch_id);

  select s.*
  into v_failed
  from unnest(v_steps) as s
  where s.is_required
    and s.status = 'failed';

  if v_failed.step is null then
    perform p2p.close_batch(p_batch_id);
  elsif v_before.status in ('completed', 'partial') then
    raise exception 'step % failed: %', v_failed.step, v_failed.error
      using
        errcode = 'P2P03',
        detail = v_failed.error_context,
        hint = 'the facts of the batch are as they were; mend the function and load again';
  else
    perform p2p.fail_batch(p_batch_id, format('step %s failed: %s', v_failed.step, v_failed.error));
  end if;

  perform p2p.record_load(v_before, v_steps, v_began, v_set);
  perform p2p.drop_temporary_tables(v_own_tables);
  return (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
end
$function$;

comment on function p2p.load_batch(uuid) is 'Makes facts of the stored pages of a batch; safe to call again';

grant execute on function p2p.load_batch(uuid) to p2p_worker;
