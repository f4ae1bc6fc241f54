-- Rate, ceiling, breaker and refusals of each worker at each exchange over so many hours up to now: for the status page,
-- in 145 parts at most. A part has the average rate, the worst breaker and all refusals. Changes nothing; reads what a reader
-- may.
create or replace function p2p.page_access(p_hours integer)
returns json
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with parts as (
    select
      h.worker,
      h.exchange,
      date_bin(make_interval(secs => p_hours * 25), h.noted_at, 'epoch') as at,
      round(avg(h.rate)) as rate,
      max(h.ceiling) as ceiling,
      -- open, half_open, closed: the last letter of the alphabet is the worst.
      max(h.breaker) filter (where h.breaker <> 'closed') as shut,
      sum(h.requests) as requests,
      sum(h.refused) as refused
    from p2p.access_history h
    where h.noted_at > now() - make_interval(hours => p_hours)
    group by h.worker, h.exchange, at
  ),
  series as (
    select
      p.worker,
      p.exchange,
      json_agg(extract(epoch from p.at) order by p.at) as at,
      json_agg(p.rate order by p.at) as rate,
      json_agg(p.ceiling order by p.at) as ceiling,
      json_agg(coalesce(p.shut, 'closed') order by p.at) as breaker,
      json_agg(p.requests order by p.at) as requests,
      json_agg(p.refused order by p.at) as refused
    from parts p
    group by p.worker, p.exchange
    order by p.worker, p.exchange
    limit 40
  )
  select coalesce(json_agg(to_json(s) order by s.worker, s.exchange), '[]')
  from series s
$function$;

comment on function p2p.page_access(integer) is 'Rate and breaker over time, of the status page';

grant execute on function p2p.page_access(integer) to p2p_reader, p2p_worker;
