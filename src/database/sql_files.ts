// Every file of sql/, carried inside the program. A test compares this list with the folder.
import bootstrap from "../../sql/bootstrap.sql" with { type: "text" };
import migration0001 from "../../sql/migrations/0001_dimensions.sql" with { type: "text" };
import migration0002 from "../../sql/migrations/0002_operations.sql" with { type: "text" };
import migration0003 from "../../sql/migrations/0003_staging.sql" with { type: "text" };
import migration0004 from "../../sql/migrations/0004_facts.sql" with { type: "text" };
import migration0005 from "../../sql/migrations/0005_parsed_offers.sql" with { type: "text" };
import migration0006 from "../../sql/migrations/0006_roles.sql" with { type: "text" };
import adoptAbandonedBatch from "../../sql/functions/adopt_abandoned_batch.sql" with {
  type: "text",
};
import chooseOffers from "../../sql/functions/choose_offers.sql" with { type: "text" };
import claimMarkets from "../../sql/functions/claim_markets.sql" with { type: "text" };
import closeBatch from "../../sql/functions/close_batch.sql" with { type: "text" };
import comparedTables from "../../sql/functions/compared_tables.sql" with { type: "text" };
import endFetching from "../../sql/functions/end_fetching.sql" with { type: "text" };
import finishMarket from "../../sql/functions/finish_market.sql" with { type: "text" };
import knownFiats from "../../sql/functions/known_fiats.sql" with { type: "text" };
import loadAdvertisers from "../../sql/functions/load_advertisers.sql" with { type: "text" };
import loadBatch from "../../sql/functions/load_batch.sql" with { type: "text" };
import loadDepth from "../../sql/functions/load_depth.sql" with { type: "text" };
import loadDimensions from "../../sql/functions/load_dimensions.sql" with { type: "text" };
import loadOffers from "../../sql/functions/load_offers.sql" with { type: "text" };
import openBatch from "../../sql/functions/open_batch.sql" with { type: "text" };
import parseBinanceSearchV1 from "../../sql/functions/parse_binance_search_v1.sql" with {
  type: "text",
};
import parsePages from "../../sql/functions/parse_pages.sql" with { type: "text" };
import previewLoad from "../../sql/functions/preview_load.sql" with { type: "text" };
import recordDiscoveryProblem from "../../sql/functions/record_discovery_problem.sql" with {
  type: "text",
};
import recordLostPage from "../../sql/functions/record_lost_page.sql" with { type: "text" };
import rejectOffers from "../../sql/functions/reject_offers.sql" with { type: "text" };
import renewLease from "../../sql/functions/renew_lease.sql" with { type: "text" };
import repairJson from "../../sql/functions/repair_json.sql" with { type: "text" };
import replayBatch from "../../sql/functions/replay_batch.sql" with { type: "text" };
import replayableBatches from "../../sql/functions/replayable_batches.sql" with { type: "text" };
import rewriteAdvertiserHistory from "../../sql/functions/rewrite_advertiser_history.sql" with {
  type: "text",
};
import runQualityChecks from "../../sql/functions/run_quality_checks.sql" with { type: "text" };
import statusReport from "../../sql/functions/status_report.sql" with { type: "text" };
import storeMarketList from "../../sql/functions/store_market_list.sql" with { type: "text" };
import storePage from "../../sql/functions/store_page.sql" with { type: "text" };
import storePaymentMethods from "../../sql/functions/store_payment_methods.sql" with {
  type: "text",
};
import batchOverview from "../../sql/views/batch_overview.sql" with { type: "text" };
import factOfferPaymentMethods from "../../sql/views/fact_offer_payment_methods.sql" with {
  type: "text",
};
import marketDaily from "../../sql/views/market_daily.sql" with { type: "text" };
import marketHourly from "../../sql/views/market_hourly.sql" with { type: "text" };
import merchantDaily from "../../sql/views/merchant_daily.sql" with { type: "text" };
import missingMarkets from "../../sql/views/missing_markets.sql" with { type: "text" };
import mvLatestMarketState from "../../sql/views/mv_latest_market_state.sql" with { type: "text" };
import tableSizes from "../../sql/views/table_sizes.sql" with { type: "text" };
import vPriceHistory from "../../sql/views/v_price_history.sql" with { type: "text" };

export interface SqlFile {
  /** Path below sql/, e.g. `functions/load_batch.sql`. */
  readonly name: string;
  readonly body: string;
}

/** Creates what `migrate` stands on; may run any number of times. */
export const BOOTSTRAP = bootstrap;

/** Run once, in this order, then frozen. */
export const MIGRATIONS: readonly SqlFile[] = [
  { name: "migrations/0001_dimensions.sql", body: migration0001 },
  { name: "migrations/0002_operations.sql", body: migration0002 },
  { name: "migrations/0003_staging.sql", body: migration0003 },
  { name: "migrations/0004_facts.sql", body: migration0004 },
  { name: "migrations/0005_parsed_offers.sql", body: migration0005 },
  { name: "migrations/0006_roles.sql", body: migration0006 },
];

/** The current behaviour: re-applied when their text changed, functions before views. */
export const OBJECTS: readonly SqlFile[] = [
  { name: "functions/adopt_abandoned_batch.sql", body: adoptAbandonedBatch },
  { name: "functions/choose_offers.sql", body: chooseOffers },
  { name: "functions/claim_markets.sql", body: claimMarkets },
  { name: "functions/close_batch.sql", body: closeBatch },
  { name: "functions/compared_tables.sql", body: comparedTables },
  { name: "functions/end_fetching.sql", body: endFetching },
  { name: "functions/finish_market.sql", body: finishMarket },
  { name: "functions/known_fiats.sql", body: knownFiats },
  { name: "functions/load_advertisers.sql", body: loadAdvertisers },
  { name: "functions/load_batch.sql", body: loadBatch },
  { name: "functions/load_depth.sql", body: loadDepth },
  { name: "functions/load_dimensions.sql", body: loadDimensions },
  { name: "functions/load_offers.sql", body: loadOffers },
  { name: "functions/open_batch.sql", body: openBatch },
  { name: "functions/parse_binance_search_v1.sql", body: parseBinanceSearchV1 },
  { name: "functions/parse_pages.sql", body: parsePages },
  { name: "functions/preview_load.sql", body: previewLoad },
  { name: "functions/record_discovery_problem.sql", body: recordDiscoveryProblem },
  { name: "functions/record_lost_page.sql", body: recordLostPage },
  { name: "functions/reject_offers.sql", body: rejectOffers },
  { name: "functions/renew_lease.sql", body: renewLease },
  { name: "functions/repair_json.sql", body: repairJson },
  { name: "functions/replay_batch.sql", body: replayBatch },
  { name: "functions/replayable_batches.sql", body: replayableBatches },
  { name: "functions/rewrite_advertiser_history.sql", body: rewriteAdvertiserHistory },
  { name: "functions/run_quality_checks.sql", body: runQualityChecks },
  { name: "functions/status_report.sql", body: statusReport },
  { name: "functions/store_market_list.sql", body: storeMarketList },
  { name: "functions/store_page.sql", body: storePage },
  { name: "functions/store_payment_methods.sql", body: storePaymentMethods },
  { name: "views/batch_overview.sql", body: batchOverview },
  { name: "views/fact_offer_payment_methods.sql", body: factOfferPaymentMethods },
  { name: "views/market_daily.sql", body: marketDaily },
  { name: "views/market_hourly.sql", body: marketHourly },
  { name: "views/merchant_daily.sql", body: merchantDaily },
  { name: "views/missing_markets.sql", body: missingMarkets },
  { name: "views/mv_latest_market_state.sql", body: mvLatestMarketState },
  { name: "views/table_sizes.sql", body: tableSizes },
  { name: "views/v_price_history.sql", body: vPriceHistory },
];
