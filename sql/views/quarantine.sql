create or replace view p2p.quarantine as
select
  q.reason,
  count(*) as offers,
  count(distinct q.batch_id) as batches,
  date_trunc('second', min(q.batch_start_time)) as first_batch,
  date_trunc('second', max(q.batch_start_time)) as last_batch,
  (array_agg(q.place order by q.batch_start_time desc, q.place))[1] as example
from p2p.offers_in_quarantine q
group by q.reason
order by count(*) desc, q.reason;

comment on view p2p.quarantine is 'Rejected offers that nobody discarded, by reason';
comment on column p2p.quarantine.example is 'Place of one of them in last_batch: market, page:item (items from 0)';

grant select on p2p.quarantine to p2p_reader, p2p_worker;
