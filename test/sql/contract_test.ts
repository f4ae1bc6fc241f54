import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";

/** Names that users' scripts rely on; more columns are welcome. */
const RELATIONS: Readonly<Record<string, string>> = {
  dim_exchanges: "exchange_id code name",
  dim_cryptocurrencies: "crypto_id symbol name binance_asset_code is_active",
  dim_fiat_currencies: "fiat_id currency_code currency_name country_code is_active",
  dim_payment_methods:
    "payment_method_id method_code method_name category description is_active exchange_id",
  dim_advertisers:
    "advertiser_sk advertiser_id nickname is_merchant registration_days effective_date expiration_date is_current exchange_id",
  dim_markets: "exchange_id fiat_id crypto_id trade_type",
  fact_offers:
    "offer_id offer_external_id batch_id extraction_timestamp crypto_id fiat_id advertiser_sk trade_type price price_float_rate available_amount min_limit max_limit tradable_quantity completion_rate total_orders_count avg_response_time_seconds avg_completion_time_minutes terms_conditions is_available observed_at is_promoted positive_rate payment_time_limit_minutes exchange_id",
  fact_offer_payment_methods: "offer_id extraction_timestamp payment_method_id is_primary",
  fact_market_depth:
    "depth_id extraction_timestamp crypto_id fiat_id trade_type total_offers_count total_available_volume weighted_avg_price min_price max_price price_std_dev top10_total_volume top10_avg_price best_bid best_ask spread_absolute spread_percentage median_price exchange_id",
  ops_batch_runs:
    "batch_id batch_start_time batch_end_time status total_fiats_processed total_offers_extracted total_offers_inserted total_offers_updated total_errors error_summary execution_time_seconds",
  ops_batch_markets: "batch_id market_id status",
  ops_extraction_errors:
    "error_id batch_id error_timestamp fiat_code crypto_symbol trade_type page_number error_type error_message stack_trace retry_count is_resolved",
  ops_data_quality:
    "quality_id batch_id check_timestamp metric_name metric_value threshold_value passed details",
  ops_rejected_offers: "batch_id reason payload",
  stg_responses: "extraction_timestamp batch_id body",
  mv_latest_market_state:
    "offer_external_id crypto_symbol fiat_code trade_type advertiser is_merchant price available_amount min_limit max_limit completion_rate total_orders_count extraction_timestamp payment_methods",
  v_price_history:
    "crypto_symbol fiat_code trade_type time_bucket avg_price min_price max_price price_volatility total_volume offer_count",
  market_hourly:
    "crypto_symbol fiat_code trade_type time_bucket best_open best_high best_low best_close median_open median_high median_low median_close",
  market_daily:
    "crypto_symbol fiat_code trade_type time_bucket best_open best_high best_low best_close median_open median_high median_low median_close",
  merchant_daily: "advertiser_id advertiser time_bucket avg_offers avg_volume",
};

Deno.test("every relation of the contract has its columns", async (t) => {
  await using sql = await SqlFixture.create();
  for (const [relation, columns] of Object.entries(RELATIONS)) {
    await t.step(relation, async () => {
      const found = await sql.values(
        "select column_name::text from information_schema.columns where table_schema = 'p2p' and table_name = $1",
        relation,
      );
      assert.deepEqual(columns.split(" ").filter((column) => !found.includes(column)), []);
    });
  }
});

Deno.test("all times are timestamptz, and no number is floating", async () => {
  await using sql = await SqlFixture.create();
  assert.deepEqual(
    await sql.values(
      `select table_name || '.' || column_name from information_schema.columns
       where table_schema = 'p2p'
         and data_type in ('timestamp without time zone', 'date', 'time without time zone', 'real', 'double precision', 'money')`,
    ),
    [],
  );
});

Deno.test("the functions of the contract exist", async () => {
  await using sql = await SqlFixture.create();
  const found = await sql.row(
    "select to_regprocedure('p2p.load_batch(uuid)') as load, to_regprocedure('p2p.run_quality_checks(uuid)') as checks",
  );
  assert.ok(found["load"] !== null && found["checks"] !== null);
});

Deno.test("the database itself holds what must never break", async (t) => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", {});
  await sql.rows(
    `insert into p2p.dim_advertisers (exchange_id, advertiser_id, effective_date) values (1, 's1', '2026-03-01')`,
  );
  const refused: Record<string, string> = {
    "two current rows of an advertiser":
      "insert into p2p.dim_advertisers (exchange_id, advertiser_id, effective_date) values (1, 's1', '2026-03-02')",
    "a row that ends before it begins":
      "update p2p.dim_advertisers set expiration_date = '2026-02-01'",
    "two batches at one time":
      "insert into p2p.ops_batch_runs (batch_start_time, worker_id) values ('2026-03-01 10:00+00', '')",
    "an end without a status": "update p2p.ops_batch_runs set status = 'running'",
    "an unknown status": "update p2p.ops_batch_runs set status = 'done'",
    "an unknown side":
      "insert into p2p.dim_markets (exchange_id, fiat_id, crypto_id, trade_type, first_listed_at, last_listed_at) values (1, 1, 1, 'buy', now(), now())",
  };
  for (const [name, statement] of Object.entries(refused)) {
    await t.step(name, async () => {
      await assert.rejects(sql.rows(statement), /violates (unique|check) constraint/);
    });
  }
  await t.step("two running batches", async () => {
    const run =
      "insert into p2p.ops_batch_runs (batch_start_time, worker_id) values (clock_timestamp(), '')";
    await sql.rows(run);
    await assert.rejects(sql.rows(run), /ops_batch_runs_one_running/);
  });
});
