-- What became of each market in the batches after p_after, oldest first, at most p_batches: for the status page, which
-- keeps what it has got, since a batch that has ended stays as it is. For each batch the numbers of its markets in order,
-- and a letter for each: c whole, p partly, f failed, d deferred, n not due, u under way.
-- Changes nothing; reads what a reader may.
create or replace function p2p.page_coverage(p_after timestamptz, p_batches integer)
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with batches as (
    select o.batch_start_time
    from p2p.batch_overview o
    where o.status <> 'running'
      and o.batch_start_time > p_after
    order by o.batch_start_time
    limit p_batches
  )
  select coalesce(
    json_agg(
      json_build_object(
        'start', extract(epoch from b.batch_start_time),
        'markets', coalesce(markets.ids, '[]'),
        'states', coalesce(markets.states, '')
      )
      order by b.batch_start_time
    ),
    '[]'
  )
  from batches b
  cross join lateral (
    select
      json_agg(bm.market_id order by bm.market_id) as ids,
      string_agg(
        case bm.status
          when 'complete' then 'c'
          when 'incomplete' then 'p'
          when 'failed' then 'f'
          when 'deferred' then 'd'
          when 'not_due' then 'n'
          else 'u'
        end,
        '' order by bm.market_id
      ) as states
    from p2p.batch_markets bm
    where bm.batch_start_time = b.batch_start_time
  ) as markets
$function$;

comment on function p2p.page_coverage(timestamptz, integer) is 'Markets by batch, of the status page';

grant execute on function p2p.page_coverage(timestamptz, integer) to p2p_reader, p2p_worker;
