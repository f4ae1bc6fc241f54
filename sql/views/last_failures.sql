create or replace view p2p.last_failures as
with lost_pages as (
  select
    x.error_timestamp as failed_at,
    coalesce(
      concat_ws(
        ' ',
        x.fiat_code || coalesce('/' || x.crypto_symbol, ''),
        x.trade_type,
        'page ' || x.page_number
      ),
      ''
    ) as what,
    x.error_type as kind,
    x.error_message as message,
    x.is_resolved,
    e.code as exchange
  from p2p.ops_extraction_errors x
  left join p2p.dim_exchanges e using (exchange_id)
  order by x.error_id desc
  limit 200
),
failed_batches as (
  select
    r.batch_end_time,
    'batch of ' || to_char(r.batch_start_time at time zone 'UTC', 'MM-DD HH24:MI') as what,
    'batch',
    r.error_summary,
    exists (
      select
      from p2p.ops_batch_runs later
      where later.batch_start_time > r.batch_start_time
        and later.status in ('completed', 'partial')
    ),
    null
  from p2p.ops_batch_runs r
  where r.status = 'failed'
  order by r.batch_start_time desc
  limit 200
)
select
  date_trunc('second', a.failed_at) as failed_at,
  nullif(a.what, '') as what,
  left(a.kind, 16) as kind,
  left(a.message, 22) as message,
  a.is_resolved as resolved,
  a.exchange
from (
  select * from lost_pages
  union all
  select * from failed_batches
) as a
order by a.failed_at desc
limit 200;

comment on view p2p.last_failures is 'The last 200 pages that were lost, discovery calls and batches that failed; newest first';
comment on column p2p.last_failures.message is 'Its beginning; all of it is in ops_extraction_errors';
comment on column p2p.last_failures.exchange is 'NULL for a batch: it is of all exchanges';
comment on column p2p.last_failures.resolved is 'Whether a later batch had the market whole; of a batch, whether a later one was loaded';

grant select on p2p.last_failures to p2p_reader;
