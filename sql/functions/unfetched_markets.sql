-- What is left of a batch's work queue: markets that nobody has finished, begun or not, and those that the plan had no
-- room for. Changes nothing.
create or replace function p2p.unfetched_markets(p_batch_id uuid)
returns setof p2p.ops_batch_markets
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select bm.*
  from p2p.ops_batch_markets bm
  where bm.batch_id = p_batch_id
    and bm.status in ('pending', 'fetching', 'deferred')
    and bm.finished_at is null
$function$;

comment on function p2p.unfetched_markets(uuid) is 'What is left of the work queue of a batch';

grant execute on function p2p.unfetched_markets(uuid) to p2p_worker;
