/** What must hold after any chaos. Each is a query for the rows that break it. */
import { deepStrictEqual } from "node:assert/strict";
import type { Database, Row } from "../../src/database/connection.ts";
import { rowsOf } from "../support/batches.ts";
import { type KnownOffer, storedOffers } from "../support/truth.ts";

export interface Broken {
  readonly invariant: string;
  readonly rows: readonly Row[];
}

/** True at every moment. */
const ALWAYS: Readonly<Record<string, string>> = {
  "one batch runs at a time": `
    select count(*) from p2p.ops_batch_runs where status = 'running' having count(*) > 1`,

  "each offer is once in a batch": `
    select batch_id, exchange_id, offer_external_id, count(*)
    from p2p.fact_offers
    group by 1, 2, 3
    having count(*) > 1`,

  "facts belong to a batch that was loaded": `
    select distinct o.batch_id, r.status
    from p2p.fact_offers o
    left join p2p.ops_batch_runs r on (r.batch_id, r.batch_start_time) = (o.batch_id, o.extraction_timestamp)
    where r.status is null
      or r.status not in ('completed', 'partial')`,

  "an advertiser's identities follow one another without gap or overlap, the last one is current": `
    select *
    from (
      select
        exchange_id,
        advertiser_id,
        effective_date,
        expiration_date,
        coalesce(
          lead(effective_date) over (partition by exchange_id, advertiser_id order by effective_date),
          'infinity'
        ) as next_date
      from p2p.dim_advertisers
    ) as versions
    where expiration_date is distinct from next_date`,

  "an offer points at the identity of its time": `
    select o.batch_id, o.offer_external_id
    from p2p.fact_offers o
    left join p2p.dim_advertisers a
      on a.advertiser_sk = o.advertiser_sk
      and o.extraction_timestamp >= a.effective_date
      and o.extraction_timestamp < a.expiration_date
    where a.advertiser_sk is null`,

  "a market said complete has pages 1 to n without a hole": `
    select bm.batch_id, bm.market_id, bm.pages_stored, array_agg(s.page_number order by s.page_number) as pages
    from p2p.ops_batch_markets bm
    join p2p.ops_batch_runs r using (batch_id)
    left join p2p.stg_responses s on (s.extraction_timestamp, s.market_id) = (r.batch_start_time, bm.market_id)
    where bm.status = 'complete'
    group by bm.batch_id, bm.market_id
    having array_agg(s.page_number order by s.page_number) <> array(select generate_series(1, bm.pages_stored))
      or count(s.page_number) = 0
      or bm.lost_pages <> '{}'`,
};

/** True of every batch that is over. */
const OF_CLOSED_BATCHES: Readonly<Record<string, string>> = {
  "every market has an outcome": `
    select r.batch_id, bm.market_id, bm.status, bm.reason
    from p2p.ops_batch_runs r
    join p2p.ops_batch_markets bm using (batch_id)
    where r.status <> 'running'
      and (
        bm.status not in ('complete', 'incomplete', 'failed', 'deferred', 'not_due')
        or bm.status <> 'complete' and bm.reason is null
        or bm.status <> 'not_due' and bm.finished_at is null
      )`,

  "every market that was known is in the ledger": `
    select r.batch_id, m.market_id
    from p2p.ops_batch_runs r
    join p2p.dim_markets m on m.is_active and m.first_listed_at < r.batch_start_time
    where r.status <> 'running'
      and not exists (
        select
        from p2p.ops_batch_markets bm
        where (bm.batch_id, bm.market_id) = (r.batch_id, m.market_id)
      )`,

  "the ledger counts the pages that are there": `
    select bm.batch_id, bm.market_id, bm.status, bm.pages_stored, s.pages
    from p2p.ops_batch_runs r
    join p2p.ops_batch_markets bm using (batch_id)
    cross join lateral (
      select count(*) as pages
      from p2p.stg_responses s
      where (s.extraction_timestamp, s.market_id) = (r.batch_start_time, bm.market_id)
    ) as s
    where r.status <> 'running'
      and (bm.pages_stored <> s.pages or s.pages > 0 and bm.status in ('failed', 'deferred', 'not_due'))`,

  "counts add up": `
    select r.batch_id, r.status, to_jsonb(r) - 'batch_id' as run, to_jsonb(found) as found
    from p2p.ops_batch_runs r
    cross join lateral (
      select
        (select count(*) from p2p.fact_offers o where o.extraction_timestamp = r.batch_start_time) as offers,
        (select coalesce(sum(d.total_offers_count), 0) from p2p.fact_market_depth d
         where d.extraction_timestamp = r.batch_start_time) as depth,
        (select count(*) from p2p.ops_rejected_offers o where o.batch_id = r.batch_id) as rejected,
        (select count(*) from p2p.ops_extraction_errors e where e.batch_id = r.batch_id) as errors,
        (select count(*) filter (where bm.status <> 'not_due') from p2p.ops_batch_markets bm
         where bm.batch_id = r.batch_id) as planned,
        (select count(*) filter (where bm.status = 'complete') from p2p.ops_batch_markets bm
         where bm.batch_id = r.batch_id) as complete,
        (select count(*) filter (where bm.pages_stored > 0) from p2p.ops_batch_markets bm
         where bm.batch_id = r.batch_id) as seen
    ) as found
    where r.status <> 'running'
      and (
        r.total_offers_extracted <> r.total_offers_inserted + r.total_offers_rejected + r.total_offers_duplicate
        or r.total_offers_inserted <> found.offers
        or found.offers <> found.depth
        or r.total_offers_rejected <> found.rejected
        or r.total_errors <> found.errors
        or r.markets_expected <> found.planned
        or r.markets_completed <> found.complete
        or (r.status = 'completed') <> (found.complete = found.planned and found.planned > 0)
        or (r.status = 'failed') <> (found.seen = 0)
        or (r.status <> 'completed') <> (r.error_summary is not null)
      )`,

  "depth is what its offers say": `
    with offers as (
      select o.*, case o.trade_type when 'BUY' then o.price else -o.price end as worse
      from p2p.fact_offers o
    ),
    books as (
      select
        extraction_timestamp,
        exchange_id,
        fiat_id,
        crypto_id,
        trade_type,
        count(*) as offers,
        sum(available_amount) as volume,
        sum(price * available_amount) / nullif(sum(available_amount), 0) as weighted,
        array_agg(price order by price) as prices,
        (array_agg(price order by worse))[1:10] as best_prices,
        (array_agg(available_amount order by worse, available_amount desc))[1:10] as best_amounts,
        sqrt(greatest(avg(price * price) - avg(price) * avg(price), 0)) as deviation
      from offers
      group by 1, 2, 3, 4, 5
    ),
    meant as (
      select
        b.*,
        (prices[(offers + 1) / 2] + prices[offers / 2 + 1]) / 2 as median,
        (select avg(price) from unnest(best_prices) as price) as top10_price,
        (select sum(amount) from unnest(best_amounts) as amount) as top10_volume
      from books b
    )
    select d.batch_id, to_jsonb(d) as depth, to_jsonb(m) - '{prices,best_prices,best_amounts}'::text[] as meant
    from p2p.fact_market_depth d
    left join meant m using (extraction_timestamp, exchange_id, fiat_id, crypto_id, trade_type)
    left join meant buy
      on (buy.extraction_timestamp, buy.exchange_id, buy.fiat_id, buy.crypto_id, buy.trade_type)
        = (d.extraction_timestamp, d.exchange_id, d.fiat_id, d.crypto_id, 'BUY')
    left join meant sell
      on (sell.extraction_timestamp, sell.exchange_id, sell.fiat_id, sell.crypto_id, sell.trade_type)
        = (d.extraction_timestamp, d.exchange_id, d.fiat_id, d.crypto_id, 'SELL')
    where (
        d.total_offers_count, d.total_available_volume, d.min_price, d.max_price, d.top10_total_volume,
        round(d.weighted_avg_price, 6), round(d.median_price, 6), round(d.top10_avg_price, 6), d.best_ask, d.best_bid,
        d.spread_absolute, round(d.spread_percentage, 6)
      ) is distinct from (
        coalesce(m.offers, 0)::integer, coalesce(m.volume, 0), m.prices[1], m.prices[m.offers], m.top10_volume,
        round(m.weighted, 6), round(m.median, 6), round(m.top10_price, 6), buy.prices[1],
        sell.prices[sell.offers], buy.prices[1] - sell.prices[sell.offers],
        round(
          (buy.prices[1] - sell.prices[sell.offers]) * 200 / (buy.prices[1] + sell.prices[sell.offers]),
          6
        )
      )
      -- Of a large number it has few places.
      or abs(coalesce(d.price_std_dev, 0) - coalesce(m.deviation, 0)) > coalesce(m.deviation, 0) / 1000000 + 0.000001`,

  "depth says whether its book is whole": `
    select bm.batch_id, bm.market_id, bm.status, d.is_complete
    from p2p.fact_market_depth d
    join p2p.dim_markets m using (exchange_id, fiat_id, crypto_id, trade_type)
    left join p2p.ops_batch_markets bm on (bm.batch_id, bm.market_id) = (d.batch_id, m.market_id)
    where d.is_complete is distinct from (bm.status = 'complete')`,

  "every lost page is written down once": `
    select bm.batch_id, bm.market_id, lost.page, count(e.error_id)
    from p2p.ops_batch_markets bm
    join p2p.dim_markets m using (market_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    join p2p.dim_cryptocurrencies c using (crypto_id)
    cross join unnest(bm.lost_pages) as lost (page)
    left join p2p.ops_extraction_errors e
      on (e.batch_id, e.exchange_id, e.fiat_code, e.crypto_symbol, e.trade_type, e.page_number)
        = (bm.batch_id, m.exchange_id, f.currency_code, c.symbol, m.trade_type, lost.page)
    group by 1, 2, 3
    having count(e.error_id) <> 1`,

  "a complete book has its row of depth": `
    select bm.batch_id, bm.market_id
    from p2p.ops_batch_runs r
    join p2p.ops_batch_markets bm using (batch_id)
    join p2p.dim_markets m using (market_id)
    where r.status <> 'running'
      and bm.status = 'complete'
      and not exists (
        select
        from p2p.fact_market_depth d
        where d.extraction_timestamp = r.batch_start_time
          and (d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type)
            = (m.exchange_id, m.fiat_id, m.crypto_id, m.trade_type)
          and d.is_complete
      )`,
};

/** True of a fleet that works in the calm: what its end would clean up. */
const AT_WORK: Readonly<Record<string, string>> = {
  "a session that waits for its client holds no lock": `
    select a.pid, a.state, l.locktype, l.mode, a.query
    from pg_stat_activity a
    join pg_locks l using (pid)
    where a.datname = current_database()
      and a.application_name like 'p2p-ingest%'
      and a.state like 'idle%'
      and a.state_change < clock_timestamp() - interval '0.1 seconds'`,
};

/** True when all workers have stopped by themselves. */
const AT_THE_END: Readonly<Record<string, string>> = {
  "no batch is left running": `
    select batch_id, batch_start_time from p2p.ops_batch_runs where status = 'running'`,

  "no connection of a worker is left": `
    select pid, application_name, state, query
    from pg_stat_activity
    where application_name like 'p2p-ingest%'`,

  "no advisory lock is left": `
    select * from pg_locks where locktype = 'advisory'`,

  "no transaction is left open or prepared": `
    select pid::text, state, query
    from pg_stat_activity
    where datname = current_database()
      and xact_start is not null
      and pid <> pg_backend_pid()
      and backend_type = 'client backend'
    union all
    select gid, 'prepared', owner
    from pg_prepared_xacts`,

  "no worker counts as alive": `
    select worker_id, doing, lease_expires_at
    from p2p.ops_workers
    where doing <> 'gone'
      and lease_expires_at > clock_timestamp()`,
};

/**
 * Every time that was due, from the first to the last, has its batch or a word why not. Of a long silence the newest
 * thousand have it: a first batch of a worker whose clock is 900 s behind is followed by 1,800 due times.
 */
const DUE_TIMES = `
  with due as (
    select due_at, 'batch' as outcome from p2p.ops_batch_runs where due_at is not null
    union all
    select due_at, 'skipped' from p2p.ops_skipped_batches
  ),
  expected as (
    select generate_series(min(due_at), max(due_at), make_interval(secs => $1::float8)) as due_at
    from due
  ),
  wrong as (
    select due_at, count(due.outcome) as outcomes
    from expected
    full join due using (due_at)
    group by due_at
    having count(due.outcome) <> 1 or bool_or(expected.due_at is null)
  )
  select w.due_at, w.outcomes
  from wrong w
  cross join lateral (select min(d.due_at) as due_at from due d where d.due_at > w.due_at) as next
  cross join lateral (
    select count(*) as skipped
    from due d
    where d.outcome = 'skipped'
      and d.due_at >= next.due_at
      and d.due_at < next.due_at + 1000 * make_interval(secs => $1::float8)
  ) as silence
  where w.outcomes > 0 or silence.skipped < 1000`;

export interface InvariantOptions {
  readonly tickSeconds: number;
  /** Whether all workers have stopped. */
  readonly isOver: boolean;
}

/** Rows of the invariants of a fleet at work that do not hold. */
export async function brokenAtWork(database: Database): Promise<Broken[]> {
  return await broken(database, AT_WORK);
}

async function broken(
  database: Database,
  queries: Readonly<Record<string, string>>,
): Promise<Broken[]> {
  const all: Broken[] = [];
  for (const [invariant, query] of Object.entries(queries)) {
    all.push({ invariant, rows: await rowsOf(database, query) });
  }
  return all.filter(({ rows }) => rows.length > 0);
}

/** Rows of all invariants that do not hold. */
export async function brokenInvariants(
  database: Database,
  { tickSeconds, isOver }: InvariantOptions,
): Promise<Broken[]> {
  const all = await broken(database, {
    ...ALWAYS,
    ...OF_CLOSED_BATCHES,
    ...(isOver ? AT_THE_END : {}),
  });
  const rows = await rowsOf(database, DUE_TIMES, tickSeconds);
  if (rows.length > 0) {
    all.push({ invariant: "every due time has its batch or says why not", rows });
  }
  return all;
}

/**
 * Compares a batch with what the exchange served: a market said complete has exactly its offers; any other has none
 * that was not served.
 * @param truth of the time of the batch
 */
export async function brokenTruth(
  database: Database,
  batchId: string,
  truth: ReadonlyMap<string, readonly KnownOffer[]>,
): Promise<Broken[]> {
  const stored = Map.groupBy(await storedOffers(database, batchId), ({ market }) => market);
  const ledger = await rowsOf(
    database,
    `select
       f.currency_code || '/' || c.symbol || ' ' || m.trade_type as market,
       bm.status = 'complete' and not exists (
         select
         from p2p.ops_rejected_offers o
         where (o.batch_id, o.market_id) = (bm.batch_id, bm.market_id)
       ) as is_whole
     from p2p.ops_batch_markets bm
     join p2p.dim_markets m using (market_id)
     join p2p.dim_fiat_currencies f using (fiat_id)
     join p2p.dim_cryptocurrencies c using (crypto_id)
     where bm.batch_id = $1`,
    batchId,
  );
  const rows = ledger.flatMap((row): Row[] => {
    const market = String(row["market"]);
    const found = stored.get(market) ?? [];
    const served = truth.get(market) ?? [];
    const known = new Map(served.map((offer) => [offer.id, offer]));
    const isWhole = row["is_whole"] === true;
    const wrong = found.filter((offer) => !isSame(offer, known.get(offer.id), isWhole));
    const isShort = isWhole && found.length !== served.length;
    if (wrong.length === 0 && !isShort) return [];
    return [{ market, found: found.length, served: served.length, wrong: wrong[0] }];
  });
  return rows.length === 0
    ? []
    : [{ invariant: `what is stored is what was served (${batchId})`, rows }];
}

/** A first page that was lost takes the promoted copy with it: of such a market that mark says nothing. */
function isSame(offer: KnownOffer, served: KnownOffer | undefined, isWhole: boolean): boolean {
  const isPromoted = isWhole ? served?.isPromoted : offer.isPromoted;
  try {
    deepStrictEqual(offer, { ...served, isPromoted });
    return true;
  } catch {
    return false;
  }
}
