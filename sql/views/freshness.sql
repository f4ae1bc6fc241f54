-- Books tell it, not the ledger: they are found by market, and an exchange that nobody fetches costs nothing.
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
  select max(newest.extraction_timestamp) as batch_start_time
  from p2p.dim_markets m
  cross join lateral (
    select d.extraction_timestamp
    from p2p.fact_market_depth d
    where d.exchange_id = m.exchange_id
      and d.fiat_id = m.fiat_id
      and d.crypto_id = m.crypto_id
      and d.trade_type = m.trade_type
    order by d.extraction_timestamp desc
    limit 1
  ) as newest
  where m.exchange_id = e.exchange_id
) as loaded on true
left join p2p.ops_batch_runs good
  on good.batch_start_time = loaded.batch_start_time
  and good.status in ('completed', 'partial')
left join p2p.settings paused on paused.name = 'paused'
-- One that nobody ever asked for anything is not late.
where exists (
  select
  from p2p.dim_markets m
  where m.exchange_id = e.exchange_id
);

comment on view p2p.freshness is 'How old the newest loaded batch of each exchange is that was ever asked';
comment on column p2p.freshness.last_good_batch is 'Its start: the time of its facts';
comment on column p2p.freshness.markets_completed is 'Of all exchanges of the batch, as are markets_expected and offers';
comment on column p2p.freshness.paused is 'on: no new batch is begun';

grant select on p2p.freshness to p2p_reader, p2p_worker;
