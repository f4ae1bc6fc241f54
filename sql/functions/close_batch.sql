-- What load_batch does when all its steps are done: counts, and the status that follows from the ledger. A second call
-- changes nothing unless the counts changed.
create or replace function p2p.close_batch(p_batch_id uuid)
returns p2p.ops_batch_runs
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_before p2p.ops_batch_runs := (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
begin
  update p2p.ops_extraction_errors e
  set is_resolved = true
  from p2p.ops_batch_markets bm
  join p2p.dim_markets m using (market_id)
  join p2p.dim_fiat_currencies f using (fiat_id)
  join p2p.dim_cryptocurrencies c using (crypto_id)
  where bm.batch_id = p_batch_id
    and bm.status = 'complete'
    and (e.exchange_id, e.fiat_code, e.crypto_symbol, e.trade_type)
      = (m.exchange_id, f.currency_code, c.symbol, m.trade_type)
    and e.error_timestamp < v_before.batch_start_time + interval '1 second' -- the start is cut to the second
    and not e.is_resolved;

  with ledger as (
    select
      count(*) filter (where bm.status <> 'not_due') as expected,
      count(*) filter (where bm.status = 'not_due') as not_due,
      count(*) filter (where bm.status = 'complete') as complete,
      count(*) filter (where bm.status = 'incomplete') as incomplete,
      count(*) filter (where bm.status = 'failed') as failed,
      count(*) filter (where bm.status = 'deferred') as deferred,
      max(bm.reason) filter (where bm.status = 'deferred') as why_deferred,
      count(distinct m.fiat_id) filter (where bm.pages_stored > 0) as fiats
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    where bm.batch_id = p_batch_id
  ),
  lost as (
    select
      coalesce(sum(e.errors), 0) as errors,
      string_agg(e.error_type || ' ' || e.errors, ', ' order by e.errors desc, e.error_type) as kinds
    from (
      select error_type, count(*) as errors
      from p2p.ops_extraction_errors
      where batch_id = p_batch_id
      group by error_type
    ) as e
  ),
  offers as (
    select
      v_before.total_offers_extracted as extracted,
      (select count(*) from p2p.ops_rejected_offers where batch_id = p_batch_id) as rejected,
      (select count(*) from p2p.fact_offers where extraction_timestamp = v_before.batch_start_time) as inserted
  ),
  outcome as (
    select
      case
        when l.complete = l.expected and l.expected + l.not_due > 0 then 'completed'
        when l.complete + l.incomplete > 0 then 'partial'
        else 'failed'
      end as status,
      nullif(
        concat_ws(
          '; ',
          case when l.expected + l.not_due = 0 then 'no market was planned' end,
          case when l.failed > 0 then format('markets failed: %s', l.failed) end,
          case when l.incomplete > 0 then format('markets incomplete: %s', l.incomplete) end,
          case when l.deferred > 0 then format('markets deferred: %s (%s)', l.deferred, l.why_deferred) end,
          'pages lost: ' || lost.kinds
        ),
        ''
      ) as error_summary
    from ledger l
    cross join lost
  )
  update p2p.ops_batch_runs r
  set
    status = outcome.status,
    batch_end_time = coalesce(r.batch_end_time, clock_timestamp()),
    execution_time_seconds = coalesce(
      r.execution_time_seconds,
      extract(epoch from clock_timestamp() - r.batch_start_time)
    ),
    total_fiats_processed = ledger.fiats,
    total_offers_extracted = offers.extracted,
    total_offers_inserted = offers.inserted,
    total_offers_rejected = offers.rejected,
    total_offers_duplicate = offers.extracted - offers.rejected - offers.inserted,
    total_errors = lost.errors,
    error_summary = outcome.error_summary,
    markets_completed = ledger.complete
  from ledger, lost, offers, outcome
  where r.batch_id = p_batch_id
    and (
      r.status, r.total_fiats_processed, r.total_offers_extracted, r.total_offers_inserted, r.total_offers_rejected,
      r.total_errors, r.error_summary, r.markets_completed
    ) is distinct from (
      outcome.status, ledger.fiats, offers.extracted, offers.inserted, offers.rejected,
      lost.errors, outcome.error_summary, ledger.complete
    );

  return (select r from p2p.ops_batch_runs r where r.batch_id = p_batch_id);
end
$function$;

comment on function p2p.close_batch(uuid) is 'Closes a batch that was loaded: counts and status';

grant execute on function p2p.close_batch(uuid) to p2p_worker;
