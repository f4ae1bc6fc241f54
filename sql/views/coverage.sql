create or replace view p2p.coverage as
with newest as (
  select max(r.batch_start_time) as batch_start_time
  from p2p.ops_batch_runs r
  where r.status <> 'running'
),
last_day as (
  select r.batch_id
  from p2p.ops_batch_runs r
  where r.status <> 'running'
    -- Between two values, so that the planner expects a day and not a third of the ledger.
    and r.batch_start_time > (select n.batch_start_time from newest n) - interval '24 hours'
    and r.batch_start_time <= (select n.batch_start_time from newest n)
)
select
  f.currency_code as fiat_code,
  count(distinct bm.market_id) as markets,
  count(*) as planned,
  count(*) filter (where bm.status = 'complete') as complete,
  round(100.0 * count(*) filter (where bm.status = 'complete') / count(*), 2) as complete_percent,
  count(*) filter (where bm.status = 'incomplete') as incomplete,
  count(*) filter (where bm.status = 'failed') as failed,
  count(*) filter (where bm.status = 'deferred') as deferred,
  count(distinct bm.batch_id) as batches,
  e.code as exchange
from last_day
join p2p.ops_batch_markets bm using (batch_id)
join p2p.dim_markets m using (market_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_exchanges e using (exchange_id)
where bm.status <> 'not_due'
group by e.code, f.currency_code
order by complete_percent, f.currency_code;

comment on view p2p.coverage is 'What was planned and what came whole, by fiat, over the 24 hours up to the newest batch; the worst first';
comment on column p2p.coverage.planned is 'Markets of all batches together: a market counts once a batch';
comment on column p2p.coverage.deferred is 'The deadline came first; first in line in the batch after';

grant select on p2p.coverage to p2p_reader;
