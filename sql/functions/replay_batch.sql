-- load_batch for a batch that was loaded before; says how many rows that wrote in the tables of batches (those that a
-- dry run compares). A second call writes none. Raises where the batch is running: loading would end its fetching.
create or replace function p2p.replay_batch(p_batch_id uuid)
returns table (status text, offers integer, rows_written bigint, error_summary text)
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_written_before bigint;
  v_batch p2p.ops_batch_runs;
begin
  if exists (select from p2p.ops_batch_runs r where r.batch_id = p_batch_id and r.status = 'running') then
    raise exception 'batch % is running', p_batch_id
      using errcode = 'P2P03', hint = 'its worker will load it';
  end if;

  v_written_before := p2p.rows_written();

  v_batch := p2p.load_batch(p_batch_id);

  return query
  select
    v_batch.status,
    v_batch.total_offers_inserted,
    p2p.rows_written() - v_written_before,
    v_batch.error_summary;
end
$function$;

comment on function p2p.replay_batch(uuid) is 'load_batch again, and how many rows that wrote';

grant execute on function p2p.replay_batch(uuid) to p2p_worker;
