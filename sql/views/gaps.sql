create or replace view p2p.gaps as
with newest as (
  select max(r.batch_start_time) as batch_start_time
  from p2p.ops_batch_runs r
  where r.status <> 'running'
),
last_plans as (
  select distinct on (bm.market_id)
    bm.market_id,
    bm.status,
    bm.lost_pages,
    bm.reason,
    r.batch_start_time,
    newest.batch_start_time - interval '7 days' as horizon
  from newest
  join p2p.ops_batch_runs r
    on r.batch_start_time > newest.batch_start_time - interval '24 hours'
    and r.status <> 'running'
  join p2p.ops_batch_markets bm using (batch_id)
  order by bm.market_id, r.batch_start_time desc
)
select
  format('%s/%s %s', f.currency_code, c.symbol, m.trade_type) as market,
  l.status,
  date_trunc('second', missed.since) as missing_since,
  missed.batches,
  left(array_to_string(l.lost_pages, ','), 12) as lost_pages,
  left(l.reason, 38) as why
from last_plans l
join p2p.dim_markets m on m.market_id = l.market_id and m.is_active
join p2p.dim_fiat_currencies f using (fiat_id)
join p2p.dim_cryptocurrencies c using (crypto_id)
left join lateral (
  select r.batch_start_time
  from p2p.ops_batch_runs r
  join p2p.ops_batch_markets bm using (batch_id)
  where bm.market_id = l.market_id
    and bm.status = 'complete'
    and r.batch_start_time > l.horizon
  order by r.batch_start_time desc
  limit 1
) as last_whole on true
cross join lateral (
  select min(r.batch_start_time) as since, count(*) as batches
  from p2p.ops_batch_runs r
  join p2p.ops_batch_markets bm using (batch_id)
  where bm.market_id = l.market_id
    and r.status <> 'running'
    and r.batch_start_time > coalesce(last_whole.batch_start_time, l.horizon)
) as missed
where l.status <> 'complete'
order by missed.since, market;

comment on view p2p.gaps is 'Markets whose last plan (of the last 24 hours) was not fetched whole: what is missing now, since when, and why';
comment on column p2p.gaps.missing_since is 'First batch after the last that had it whole; looked for in the last 7 days';
comment on column p2p.gaps.batches is 'Batches in a row without it';
comment on column p2p.gaps.lost_pages is 'Of the last of these batches';

grant select on p2p.gaps to p2p_reader;
