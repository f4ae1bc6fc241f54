-- Tells listeners on channel p2p_batch what became of a batch: a JSON document of some 300 bytes, numbers only, so that
-- it always fits (8,000 bytes). They hear it when the load is committed. Changes nothing.
create or replace function p2p.announce_batch(p_batch_id uuid)
returns void
language sql
set search_path = p2p, pg_temp
as $function$
  select pg_notify(
    'p2p_batch',
    jsonb_build_object(
      'batch_id', r.batch_id,
      'batch_start_time', r.batch_start_time,
      'load_number', l.load_number,
      'status', r.status,
      'markets_expected', r.markets_expected,
      'markets_completed', r.markets_completed,
      'offers', r.total_offers_inserted,
      'offers_changed', l.offers_changed,
      'rejected', r.total_offers_rejected,
      'failed_steps', (
        select count(*)
        from p2p.ops_batch_steps s
        where s.batch_id = l.batch_id
          and s.load_number = l.load_number
          and s.status = 'failed'
      ),
      'failed_checks', (
        select count(*)
        from p2p.ops_data_quality q
        where q.batch_id = r.batch_id
          and not q.passed
      )
    )::text
  )
  from p2p.ops_batch_runs r
  join p2p.ops_batch_loads l on l.batch_id = r.batch_id
  where r.batch_id = p_batch_id
  order by l.load_number desc
  limit 1
$function$;

comment on function p2p.announce_batch(uuid) is 'Tells listeners on channel p2p_batch what became of a batch';

grant execute on function p2p.announce_batch(uuid) to p2p_worker;
