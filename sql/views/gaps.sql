create or replace view p2p.gaps as
with newest as (
  select max(r.batch_start_time) as batch_start_time
  from p2p.ops_batch_runs r
  where r.status <> 'running'
    and r.imported_from is null -- what others recorded was no plan
),
last_day as (
  select
    bm.market_id,
    max(r.batch_start_time) as last_planned,
    count(*) filter (where bm.status <> 'complete') as batches
  from p2p.ops_batch_runs r
  join p2p.ops_batch_markets bm using (batch_id)
  where r.status <> 'running'
    and r.imported_from is null
    and bm.status <> 'not_due'
    -- Between two values, so that the planner expects a day and not a third of the ledger.
    and r.batch_start_time > (select n.batch_start_time from newest n) - interval '24 hours'
    and r.batch_start_time <= (select n.batch_start_time from newest n)
  group by bm.market_id
)
select
  format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as market,
  bm.status,
  date_trunc('second', missed.since) as missing_since,
  l.batches,
  left(array_to_string(bm.lost_pages, ','), 12) as lost_pages,
  left(bm.reason, 23) as why,
  e.code as exchange
from last_day l
join p2p.ops_batch_runs r on r.batch_start_time = l.last_planned
join p2p.ops_batch_markets bm on bm.batch_id = r.batch_id and bm.market_id = l.market_id
join p2p.dim_markets m on m.market_id = l.market_id and m.is_active
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
join p2p.dim_exchanges e on e.exchange_id = m.exchange_id
-- Books tell it, not the ledger: they are found by market, however long ago it was.
left join lateral (
  select d.extraction_timestamp
  from p2p.fact_market_depth d
  where d.exchange_id = m.exchange_id
    and d.fiat_id = m.fiat_id
    and d.crypto_id = m.crypto_id
    and d.trade_type = m.trade_type
    and d.is_complete
  order by d.extraction_timestamp desc
  limit 1
) as last_whole on true
left join lateral (
  select min(later.batch_start_time) as since
  from p2p.ops_batch_runs later
  where later.batch_start_time > last_whole.extraction_timestamp
    and later.imported_from is null
) as missed on true
where bm.status <> 'complete'
  and l.batches > 0
order by missed.since nulls first, market, exchange;

comment on view p2p.gaps is 'Markets whose last plan (of the last 24 hours) was not fetched whole: what is missing now, since when, and why';
comment on column p2p.gaps.missing_since is 'First batch after the last that had it whole; NULL where none had';
comment on column p2p.gaps.batches is 'Batches of the last 24 hours that did not have it whole';
comment on column p2p.gaps.why is 'Its beginning; all of it is in missing_markets';
comment on column p2p.gaps.lost_pages is 'Of the last of these batches';

grant select on p2p.gaps to p2p_reader;
