create or replace view p2p.access_history as
select
  h.noted_at,
  left(h.worker_name, 20) as worker,
  left(e.code, 10) as exchange,
  round(h.rate_per_minute) as rate,
  round(h.ceiling_per_minute) as ceiling,
  h.breaker,
  h.requests,
  h.refused,
  left(h.breaker_reason, 18) as why
from p2p.ops_access_history h
join p2p.dim_exchanges e using (exchange_id)
order by h.noted_at desc, h.worker_name, e.code;

comment on view p2p.access_history is 'What each exchange allowed each worker, by the minute and at each change of a breaker; newest first';
comment on column p2p.access_history.worker is 'Its name: processes of one name follow each other';
comment on column p2p.access_history.rate is 'Requests a minute that it sent at most';
comment on column p2p.access_history.ceiling is 'Rate at which the exchange had refused last';
comment on column p2p.access_history.requests is 'Since the row before, as is refused';
comment on column p2p.access_history.why is 'Beginning of why the breaker is not closed';

grant select on p2p.access_history to p2p_reader;
