/** What databases that hold the same history have in common: everything but the numbers that rows happened to get. */
import type { SqlFixture } from "./sql_fixture.ts";

const MARKET = "concat(f.currency_code, '/', c.symbol, ' ', %.trade_type)";
const NAMES =
  "join p2p.dim_fiat_currencies f using (fiat_id) join p2p.dim_cryptocurrencies c using (crypto_id)";

const marketOf = (table: string) => MARKET.replace("%", table);

const STATEMENTS: Readonly<Record<string, string>> = {
  fact_offers: `
    select o.extraction_timestamp, ${
    marketOf("o")
  } as market, o.offer_external_id, o.observed_at, o.page_number,
      a.advertiser_id, a.nickname, a.effective_date, p.methods,
      to_jsonb(o) - array['extraction_timestamp', 'offer_id', 'batch_id', 'advertiser_sk', 'payment_set_id', 'crypto_id', 'fiat_id'] as columns
    from p2p.fact_offers o ${NAMES}
    join p2p.dim_advertisers a using (advertiser_sk)
    join (
      select s.payment_set_id,
        array(
          select concat(m.method_code, '=', m.method_name)
          from unnest(s.payment_method_ids) with ordinality as l (payment_method_id, place)
          join p2p.dim_payment_methods m using (payment_method_id) order by l.place
        ) as methods
      from p2p.dim_payment_sets s
    ) as p using (payment_set_id)`,
  fact_market_depth: `
    select ${
    marketOf("d")
  } as market, to_jsonb(d) - array['depth_id', 'batch_id', 'crypto_id', 'fiat_id'] as columns
    from p2p.fact_market_depth d ${NAMES}`,
  dim_advertisers: "select to_jsonb(a) - 'advertiser_sk' from p2p.dim_advertisers a",
  ops_rejected_offers: `
    select r.batch_start_time, ${
    marketOf("m")
  } as market, o.page_number, o.item_number, o.reason, o.payload
    from p2p.ops_rejected_offers o
    join p2p.ops_batch_runs r using (batch_id) join p2p.dim_markets m using (market_id) ${NAMES}`,
  stg_responses: `
    select s.extraction_timestamp, ${
    marketOf("m")
  } as market, s.page_number, s.observed_at, s.stored_sha256
    from p2p.stg_responses s join p2p.dim_markets m using (market_id) ${NAMES}`,
};

/** What is said of batches; a batch that was fetched also knows what it wanted and did not get. */
const LEDGER: Readonly<Record<string, string>> = {
  ops_batch_runs: `
    select r.batch_start_time, r.status, r.total_fiats_processed, r.total_offers_extracted, r.total_offers_inserted,
      r.total_offers_rejected, r.total_offers_duplicate, r.error_summary, r.markets_expected, r.markets_completed
    from p2p.ops_batch_runs r`,
  ops_batch_markets: `
    select r.batch_start_time, ${
    marketOf("m")
  } as market, bm.status, bm.pages_stored, bm.lost_pages, bm.offers_reported, bm.reason
    from p2p.ops_batch_markets bm
    join p2p.ops_batch_runs r using (batch_id) join p2p.dim_markets m using (market_id) ${NAMES}`,
};

/** Checks whose finding follows from facts alone, whatever was loaded before or after. */
const QUALITY = `
  select r.batch_start_time, q.metric_name, q.metric_value, q.result
  from p2p.ops_data_quality q join p2p.ops_batch_runs r using (batch_id)
  where q.metric_name in ('duplicate_offers', 'broken_references', 'rejected_share', 'promoted_share', 'crossed_median', 'temporal_consistency', 'stale_timestamps')`;

async function read(
  sql: SqlFixture,
  statements: Readonly<Record<string, string>>,
): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const [name, statement] of Object.entries(statements)) {
    found[name] =
      (await sql.values(`select row_to_json(t)::text from (${statement}) as t order by 1`))
        .map(String);
  }
  return found;
}

/** Facts, as text: every digit counts. */
export function factsOf(sql: SqlFixture): Promise<Record<string, string[]>> {
  return read(sql, { ...STATEMENTS, quality: QUALITY });
}

/** Facts, and what is said of the batches they are of. */
export function historyOf(sql: SqlFixture): Promise<Record<string, string[]>> {
  return read(sql, { ...STATEMENTS, quality: QUALITY, ...LEDGER });
}
