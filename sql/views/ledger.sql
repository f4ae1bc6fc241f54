create or replace view p2p.ledger as
select
  r.batch_start_time,
  left(e.code, 10) as exchange,
  format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as market,
  case bm.status
    when 'complete' then 'whole'
    when 'incomplete' then 'partly'
    when 'not_due' then 'not due'
    when 'pending' then 'under way'
    when 'fetching' then 'under way'
    else bm.status
  end as outcome,
  bm.pages_stored as pages,
  left(array_to_string(bm.lost_pages, ','), 12) as lost_pages,
  left(bm.reason, 25) as why
from p2p.ops_batch_runs r
join p2p.ops_batch_markets bm using (batch_id)
join p2p.dim_markets m using (market_id)
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_exchanges e using (exchange_id)
order by r.batch_start_time desc, bm.plan_position;

comment on view p2p.ledger is 'What became of each market in each batch: where batch_start_time = …; newest first';
comment on column p2p.ledger.outcome is 'whole, partly (some pages are missing), failed (no page), deferred (no time for it), not due (it was empty for long), under way';
comment on column p2p.ledger.pages is 'Stored ones';
comment on column p2p.ledger.why is 'Its beginning; all of it is in ops_batch_markets';

grant select on p2p.ledger to p2p_reader, p2p_worker;
