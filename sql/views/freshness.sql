create or replace view p2p.freshness as
select
  e.code as exchange,
  date_trunc('second', good.batch_start_time) as last_good_batch,
  date_trunc('second', clock_timestamp() - good.batch_end_time) as loaded_ago,
  good.status,
  good.markets_completed,
  good.markets_expected,
  good.total_offers_inserted as offers,
  paused.value as paused
from p2p.dim_exchanges e
left join lateral (
  select
    r.batch_start_time,
    r.batch_end_time,
    r.status,
    r.markets_completed,
    r.markets_expected,
    r.total_offers_inserted
  from p2p.ops_batch_runs r
  where r.status in ('completed', 'partial')
    and exists (
      select
      from p2p.ops_batch_markets bm
      join p2p.dim_markets m using (market_id)
      where bm.batch_id = r.batch_id
        and m.exchange_id = e.exchange_id
    )
  order by r.batch_start_time desc
  limit 1
) as good on true
left join p2p.settings paused on paused.name = 'paused'
-- One that nobody ever asked for anything is not late.
where exists (
  select
  from p2p.dim_markets m
  where m.exchange_id = e.exchange_id
);

comment on view p2p.freshness is 'How old the newest loaded batch of each exchange is that was ever asked';
comment on column p2p.freshness.last_good_batch is 'Its start: the time of its facts';
comment on column p2p.freshness.paused is 'on: no new batch is begun';

grant select on p2p.freshness to p2p_reader, p2p_worker;
