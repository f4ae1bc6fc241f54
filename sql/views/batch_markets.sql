create or replace view p2p.batch_markets as
select
  r.batch_start_time,
  bm.market_id,
  bm.status,
  bm.pages_stored,
  bm.offers_reported,
  left(bm.worker_id, 30) as worker,
  bm.finished_at is not null as is_over
from p2p.ops_batch_runs r
join p2p.ops_batch_markets bm using (batch_id);

comment on view p2p.batch_markets is 'What ledger tells, without names: quick, where batch_start_time = …';
comment on column p2p.batch_markets.status is 'As in ops_batch_markets';
comment on column p2p.batch_markets.worker is 'Whose it is, or was last; as in workers';
comment on column p2p.batch_markets.is_over is 'False of a deferred one: there may yet be time for it';

grant select on p2p.batch_markets to p2p_reader;
