create or replace view p2p.workers as
with held as (
  select bm.worker_id, m.exchange_id, count(*) as markets
  from p2p.ops_batch_runs r
  join p2p.ops_batch_markets bm using (batch_id)
  join p2p.dim_markets m using (market_id)
  where r.status = 'running'
    and bm.status = 'fetching'
  group by bm.worker_id, m.exchange_id
)
select
  left(w.worker_id, 30) as worker,
  p2p.is_alive(w.lease_expires_at, w.doing) as alive,
  w.doing,
  left(e.code, 10) as exchange,
  round(we.rate_per_minute) as rate,
  round(we.ceiling_per_minute) as ceiling,
  we.breaker,
  date_trunc('second', nullif(greatest(we.paused_until - clock_timestamp(), interval '0'), interval '0')) as pause,
  coalesce(h.markets, 0) as held,
  date_trunc('second', clock_timestamp() - w.last_seen_at) as seen
from p2p.ops_workers w
left join p2p.ops_worker_exchanges we using (worker_id)
left join p2p.dim_exchanges e using (exchange_id)
left join held h using (worker_id, exchange_id)
order by w.last_seen_at desc, w.worker_id, e.code;

comment on view p2p.workers is 'Who fetches: what each worker does, how fast it may, and how many markets it has in hand; newest sign of life first';
comment on column p2p.workers.worker is 'Name, process id and a random number; cut at 30 characters';
comment on column p2p.workers.rate is 'Requests a minute that it sends now at most';
comment on column p2p.workers.ceiling is 'Rate at which the exchange refused last';
comment on column p2p.workers.breaker is 'open: it sends nothing; why: ops_worker_exchanges';
comment on column p2p.workers.pause is 'How long it sends nothing yet: the exchange asked for it, or has just refused';
comment on column p2p.workers.held is 'Markets of the batch that runs; those of a worker that is not alive are for others';
comment on column p2p.workers.seen is 'Time since its last beat';

grant select on p2p.workers to p2p_reader, p2p_worker;
