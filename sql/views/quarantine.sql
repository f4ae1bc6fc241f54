create or replace view p2p.quarantine as
select
  q.reason,
  count(*) as offers,
  count(distinct q.batch_id) as batches,
  min(q.batch_start_time) as first_batch,
  max(q.batch_start_time) as last_batch,
  count(*) filter (where not q.can_be_loaded) as without_page,
  (array_agg(q.place order by q.batch_start_time desc, q.place))[1] as example,
  (array_agg(q.batch_id order by q.batch_start_time desc, q.place))[1] as example_batch_id
from p2p.offers_in_quarantine q
group by q.reason
order by count(*) desc, q.reason;

comment on view p2p.quarantine is 'Rejected offers that nobody discarded, by reason';
comment on column p2p.quarantine.without_page is 'Of these the page was deleted since (raw_retention_days): they can be looked at, but not loaded again';
comment on column p2p.quarantine.example is 'Place of one of them in example_batch_id: market, page, item';

grant select on p2p.quarantine to p2p_reader, p2p_worker;
