create or replace view p2p.batch_overview as
select
  r.batch_id,
  r.batch_start_time,
  r.status,
  r.markets_completed,
  r.markets_expected,
  round(100.0 * r.markets_completed / nullif(r.markets_expected, 0), 2) as completeness_percent,
  r.total_offers_inserted as offers,
  r.total_offers_rejected as rejected,
  r.total_errors as errors,
  r.execution_time_seconds as seconds,
  (
    select count(*)
    from p2p.ops_data_quality q
    where q.batch_id = r.batch_id
      and not q.passed
  ) as failed_checks,
  r.error_summary,
  (
    select count(*)
    from p2p.ops_batch_steps s
    where s.batch_id = r.batch_id
      and s.status = 'failed'
      and s.load_number = (
        select max(l.load_number)
        from p2p.ops_batch_loads l
        where l.batch_id = r.batch_id
      )
  ) as failed_steps,
  array_to_string(r.imported_from, ', ') as imported_from,
  r.batch_end_time,
  r.fetch_until,
  r.loader_id
from p2p.ops_batch_runs r;

comment on view p2p.batch_overview is 'Batches with their completeness, failed checks and failed steps; newest: order by batch_start_time desc';
comment on column p2p.batch_overview.imported_from is 'Files that others had recorded it in; NULL: fetched here';
comment on column p2p.batch_overview.fetch_until is 'Its deadline: from then on no market is begun';
comment on column p2p.batch_overview.loader_id is 'Who loads it, or did; NULL while markets are fetched';

grant select on p2p.batch_overview to p2p_reader, p2p_worker;
