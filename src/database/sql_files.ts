// Every file of sql/, carried inside the program. A test compares this list with the folder.
import bootstrap01 from "../../sql/bootstrap/01_schema.sql" with { type: "text" };
import bootstrap02 from "../../sql/bootstrap/02_tables.sql" with { type: "text" };
import bootstrap03 from "../../sql/bootstrap/03_apply_migration.sql" with { type: "text" };
import bootstrap04 from "../../sql/bootstrap/04_live_definition.sql" with { type: "text" };
import bootstrap05 from "../../sql/bootstrap/05_make_object.sql" with { type: "text" };
import bootstrap06 from "../../sql/bootstrap/06_definition_of.sql" with { type: "text" };
import bootstrap07 from "../../sql/bootstrap/07_apply_object.sql" with { type: "text" };
import bootstrap08 from "../../sql/bootstrap/08_apply_objects.sql" with { type: "text" };
import bootstrap09 from "../../sql/bootstrap/09_dependents.sql" with { type: "text" };
import bootstrap10 from "../../sql/bootstrap/10_replace_table.sql" with { type: "text" };
import bootstrap11 from "../../sql/bootstrap/11_tier.sql" with { type: "text" };
import migration0001 from "../../sql/migrations/0001_dimensions.sql" with { type: "text" };
import migration0002 from "../../sql/migrations/0002_operations.sql" with { type: "text" };
import migration0003 from "../../sql/migrations/0003_staging.sql" with { type: "text" };
import migration0004 from "../../sql/migrations/0004_facts.sql" with { type: "text" };
import migration0005 from "../../sql/migrations/0005_parsed_offers.sql" with { type: "text" };
import migration0006 from "../../sql/migrations/0006_roles.sql" with { type: "text" };
import migration0007 from "../../sql/migrations/0007_settings.sql" with { type: "text" };
import migration0008 from "../../sql/migrations/0008_pipeline.sql" with { type: "text" };
import migration0009 from "../../sql/migrations/0009_provenance.sql" with { type: "text" };
import migration0010 from "../../sql/migrations/0010_quality_rules.sql" with { type: "text" };
import migration0011 from "../../sql/migrations/0011_response_shapes.sql" with { type: "text" };
import migration0012 from "../../sql/migrations/0012_quarantine.sql" with { type: "text" };
import migration0013 from "../../sql/migrations/0013_steps_rules_settings.sql" with {
  type: "text",
};
import migration0014 from "../../sql/migrations/0014_partitions.sql" with { type: "text" };
import migration0015 from "../../sql/migrations/0015_summaries.sql" with { type: "text" };
import migration0016 from "../../sql/migrations/0016_columnstore_setting.sql" with { type: "text" };
import migration0017 from "../../sql/migrations/0017_imports.sql" with { type: "text" };
import migration0018 from "../../sql/migrations/0018_indexes.sql" with { type: "text" };
import migration0019 from "../../sql/migrations/0019_fleet.sql" with { type: "text" };
import migration0020 from "../../sql/migrations/0020_bybit.sql" with { type: "text" };
import migration0021 from "../../sql/migrations/0021_incidents.sql" with { type: "text" };
import migration0022 from "../../sql/migrations/0022_page.sql" with { type: "text" };
import migration0023 from "../../sql/migrations/0023_cut_short.sql" with { type: "text" };
import timescaledb0001 from "../../sql/timescaledb/migrations/0001_hypertables.sql" with {
  type: "text",
};
import timescaledb0002 from "../../sql/timescaledb/migrations/0002_columnstore.sql" with {
  type: "text",
};
import timescaledb0003 from "../../sql/timescaledb/migrations/0003_market_aggregates.sql" with {
  type: "text",
};
import timescaledb0004 from "../../sql/timescaledb/migrations/0004_merchant_aggregates.sql" with {
  type: "text",
};
import plainAggregatesToRefresh from "../../sql/plain/functions/aggregates_to_refresh.sql" with {
  type: "text",
};
import plainDropOlder from "../../sql/plain/functions/drop_older.sql" with { type: "text" };
import plainStorePeriod from "../../sql/plain/functions/store_period.sql" with { type: "text" };
import plainSummariseHours from "../../sql/plain/functions/summarise_hours.sql" with {
  type: "text",
};
import timescaledbAggregatesToRefresh from "../../sql/timescaledb/functions/aggregates_to_refresh.sql" with {
  type: "text",
};
import timescaledbApplyPolicies from "../../sql/timescaledb/functions/apply_policies.sql" with {
  type: "text",
};
import timescaledbDropOlder from "../../sql/timescaledb/functions/drop_older.sql" with {
  type: "text",
};
import timescaledbFollowSettings from "../../sql/timescaledb/functions/follow_settings.sql" with {
  type: "text",
};
import timescaledbHoldsHistory from "../../sql/timescaledb/functions/holds_history.sql" with {
  type: "text",
};
import timescaledbTimescaledbSchema from "../../sql/timescaledb/functions/timescaledb_schema.sql" with {
  type: "text",
};
import timescaledbWantedPolicies from "../../sql/timescaledb/functions/wanted_policies.sql" with {
  type: "text",
};
import adoptObject from "../../sql/functions/adopt_object.sql" with { type: "text" };
import announceBatch from "../../sql/functions/announce_batch.sql" with { type: "text" };
import applyRetention from "../../sql/functions/apply_retention.sql" with { type: "text" };
import auditMetrics from "../../sql/functions/audit_metrics.sql" with { type: "text" };
import batchAlerts from "../../sql/functions/batch_alerts.sql" with { type: "text" };
import beat from "../../sql/functions/beat.sql" with { type: "text" };
import beginDiscovery from "../../sql/functions/begin_discovery.sql" with { type: "text" };
import beginImport from "../../sql/functions/begin_import.sql" with { type: "text" };
import checkPages from "../../sql/functions/check_pages.sql" with { type: "text" };
import checkPipelineStep from "../../sql/functions/check_pipeline_step.sql" with { type: "text" };
import checkQualityRule from "../../sql/functions/check_quality_rule.sql" with { type: "text" };
import chooseOffers from "../../sql/functions/choose_offers.sql" with { type: "text" };
import claimMarkets from "../../sql/functions/claim_markets.sql" with { type: "text" };
import closeBatch from "../../sql/functions/close_batch.sql" with { type: "text" };
import comparedTables from "../../sql/functions/compared_tables.sql" with { type: "text" };
import currentSql from "../../sql/functions/current_sql.sql" with { type: "text" };
import currentSqlSet from "../../sql/functions/current_sql_set.sql" with { type: "text" };
import databaseKey from "../../sql/functions/database_key.sql" with { type: "text" };
import databaseMetrics from "../../sql/functions/database_metrics.sql" with { type: "text" };
import diagnose from "../../sql/functions/diagnose.sql" with { type: "text" };
import diagnoseBatches from "../../sql/functions/diagnose_batches.sql" with { type: "text" };
import diagnoseRights from "../../sql/functions/diagnose_rights.sql" with { type: "text" };
import diagnoseServer from "../../sql/functions/diagnose_server.sql" with { type: "text" };
import diagnoseSql from "../../sql/functions/diagnose_sql.sql" with { type: "text" };
import discardRejected from "../../sql/functions/discard_rejected.sql" with { type: "text" };
import dropTemporaryTables from "../../sql/functions/drop_temporary_tables.sql" with {
  type: "text",
};
import endFetching from "../../sql/functions/end_fetching.sql" with { type: "text" };
import endImport from "../../sql/functions/end_import.sql" with { type: "text" };
import failBatch from "../../sql/functions/fail_batch.sql" with { type: "text" };
import failuresInARow from "../../sql/functions/failures_in_a_row.sql" with { type: "text" };
import findObject from "../../sql/functions/find_object.sql" with { type: "text" };
import finishMarket from "../../sql/functions/finish_market.sql" with { type: "text" };
import giveBack from "../../sql/functions/give_back.sql" with { type: "text" };
import guardSetting from "../../sql/functions/guard_setting.sql" with { type: "text" };
import hasItsPages from "../../sql/functions/has_its_pages.sql" with { type: "text" };
import importMarkets from "../../sql/functions/import_markets.sql" with { type: "text" };
import importNextBatch from "../../sql/functions/import_next_batch.sql" with { type: "text" };
import importObstacle from "../../sql/functions/import_obstacle.sql" with { type: "text" };
import incidentCauses from "../../sql/functions/incident_causes.sql" with { type: "text" };
import incidentsTold from "../../sql/functions/incidents_told.sql" with { type: "text" };
import isAlive from "../../sql/functions/is_alive.sql" with { type: "text" };
import isBeyond from "../../sql/functions/is_beyond.sql" with { type: "text" };
import joinBatch from "../../sql/functions/join_batch.sql" with { type: "text" };
import judgeImportPages from "../../sql/functions/judge_import_pages.sql" with { type: "text" };
import knownFiats from "../../sql/functions/known_fiats.sql" with { type: "text" };
import leave from "../../sql/functions/leave.sql" with { type: "text" };
import liveWorkers from "../../sql/functions/live_workers.sql" with { type: "text" };
import loadAdvertisers from "../../sql/functions/load_advertisers.sql" with { type: "text" };
import loadBatch from "../../sql/functions/load_batch.sql" with { type: "text" };
import loadDepth from "../../sql/functions/load_depth.sql" with { type: "text" };
import loadDimensions from "../../sql/functions/load_dimensions.sql" with { type: "text" };
import loadOffers from "../../sql/functions/load_offers.sql" with { type: "text" };
import lockQueue from "../../sql/functions/lock_queue.sql" with { type: "text" };
import logChange from "../../sql/functions/log_change.sql" with { type: "text" };
import makeRoom from "../../sql/functions/make_room.sql" with { type: "text" };
import makeRoomForBatch from "../../sql/functions/make_room_for_batch.sql" with { type: "text" };
import marketPatterns from "../../sql/functions/market_patterns.sql" with { type: "text" };
import noteVisits from "../../sql/functions/note_visits.sql" with { type: "text" };
import pageAccess from "../../sql/functions/page_access.sql" with { type: "text" };
import pageBatches from "../../sql/functions/page_batches.sql" with { type: "text" };
import pageCoverage from "../../sql/functions/page_coverage.sql" with { type: "text" };
import pageMarket from "../../sql/functions/page_market.sql" with { type: "text" };
import pageMarkets from "../../sql/functions/page_markets.sql" with { type: "text" };
import pageOverview from "../../sql/functions/page_overview.sql" with { type: "text" };
import parseBinanceSearchV1 from "../../sql/functions/parse_binance_search_v1.sql" with {
  type: "text",
};
import parseBybitOnlineV1 from "../../sql/functions/parse_bybit_online_v1.sql" with {
  type: "text",
};
import parsePages from "../../sql/functions/parse_pages.sql" with { type: "text" };
import parserCannotRead from "../../sql/functions/parser_cannot_read.sql" with { type: "text" };
import pauseState from "../../sql/functions/pause_state.sql" with { type: "text" };
import planBatch from "../../sql/functions/plan_batch.sql" with { type: "text" };
import previewLoad from "../../sql/functions/preview_load.sql" with { type: "text" };
import quarantineBatches from "../../sql/functions/quarantine_batches.sql" with { type: "text" };
import raiseIncident from "../../sql/functions/raise_incident.sql" with { type: "text" };
import recordDiscoveryProblem from "../../sql/functions/record_discovery_problem.sql" with {
  type: "text",
};
import recordLoad from "../../sql/functions/record_load.sql" with { type: "text" };
import recordLostPage from "../../sql/functions/record_lost_page.sql" with { type: "text" };
import recordMissedBatches from "../../sql/functions/record_missed_batches.sql" with {
  type: "text",
};
import rejectOffers from "../../sql/functions/reject_offers.sql" with { type: "text" };
import rememberedAccess from "../../sql/functions/remembered_access.sql" with { type: "text" };
import repairJson from "../../sql/functions/repair_json.sql" with { type: "text" };
import replayBatch from "../../sql/functions/replay_batch.sql" with { type: "text" };
import replayQuarantine from "../../sql/functions/replay_quarantine.sql" with { type: "text" };
import replayableBatches from "../../sql/functions/replayable_batches.sql" with { type: "text" };
import requireInQuarantine from "../../sql/functions/require_in_quarantine.sql" with {
  type: "text",
};
import resolveIncident from "../../sql/functions/resolve_incident.sql" with { type: "text" };
import restoreObject from "../../sql/functions/restore_object.sql" with { type: "text" };
import rewriteAdvertiserHistory from "../../sql/functions/rewrite_advertiser_history.sql" with {
  type: "text",
};
import rowsWritten from "../../sql/functions/rows_written.sql" with { type: "text" };
import ruleBrokenReferences from "../../sql/functions/rule_broken_references.sql" with {
  type: "text",
};
import ruleCompleteness from "../../sql/functions/rule_completeness.sql" with { type: "text" };
import ruleCrossedMedian from "../../sql/functions/rule_crossed_median.sql" with { type: "text" };
import ruleDuplicateOffers from "../../sql/functions/rule_duplicate_offers.sql" with {
  type: "text",
};
import ruleFunction from "../../sql/functions/rule_function.sql" with { type: "text" };
import ruleNeededKeys from "../../sql/functions/rule_needed_keys.sql" with { type: "text" };
import rulePriceAnomaly from "../../sql/functions/rule_price_anomaly.sql" with { type: "text" };
import rulePromotedShare from "../../sql/functions/rule_promoted_share.sql" with { type: "text" };
import ruleRejectedShare from "../../sql/functions/rule_rejected_share.sql" with { type: "text" };
import ruleSqlDrift from "../../sql/functions/rule_sql_drift.sql" with { type: "text" };
import ruleStaleTimestamps from "../../sql/functions/rule_stale_timestamps.sql" with {
  type: "text",
};
import ruleTemporalConsistency from "../../sql/functions/rule_temporal_consistency.sql" with {
  type: "text",
};
import ruleVolumeDrop from "../../sql/functions/rule_volume_drop.sql" with { type: "text" };
import runQualityChecks from "../../sql/functions/run_quality_checks.sql" with { type: "text" };
import runRule from "../../sql/functions/run_rule.sql" with { type: "text" };
import runStep from "../../sql/functions/run_step.sql" with { type: "text" };
import runSteps from "../../sql/functions/run_steps.sql" with { type: "text" };
import samplesOf from "../../sql/functions/samples_of.sql" with { type: "text" };
import settingNumber from "../../sql/functions/setting_number.sql" with { type: "text" };
import settingSwitch from "../../sql/functions/setting_switch.sql" with { type: "text" };
import showQuarantine from "../../sql/functions/show_quarantine.sql" with { type: "text" };
import sqlFingerprint from "../../sql/functions/sql_fingerprint.sql" with { type: "text" };
import stageImportPage from "../../sql/functions/stage_import_page.sql" with { type: "text" };
import statusReport from "../../sql/functions/status_report.sql" with { type: "text" };
import stepCall from "../../sql/functions/step_call.sql" with { type: "text" };
import storeImportedBatch from "../../sql/functions/store_imported_batch.sql" with { type: "text" };
import storeMarketList from "../../sql/functions/store_market_list.sql" with { type: "text" };
import storePage from "../../sql/functions/store_page.sql" with { type: "text" };
import storePaymentMethods from "../../sql/functions/store_payment_methods.sql" with {
  type: "text",
};
import takeLoad from "../../sql/functions/take_load.sql" with { type: "text" };
import temporaryTables from "../../sql/functions/temporary_tables.sql" with { type: "text" };
import unfetchedMarkets from "../../sql/functions/unfetched_markets.sql" with { type: "text" };
import watchIncidents from "../../sql/functions/watch_incidents.sql" with { type: "text" };
import watchShapes from "../../sql/functions/watch_shapes.sql" with { type: "text" };
import watchedValues from "../../sql/functions/watched_values.sql" with { type: "text" };
import whyLate from "../../sql/functions/why_late.sql" with { type: "text" };
import workerRights from "../../sql/functions/worker_rights.sql" with { type: "text" };
import workersAtWork from "../../sql/functions/workers_at_work.sql" with { type: "text" };
import writeImportedBooks from "../../sql/functions/write_imported_books.sql" with { type: "text" };
import plainFromFactsMarketHours from "../../sql/plain/views/from_facts_market_hours.sql" with {
  type: "text",
};
import plainFromFactsMerchantHours from "../../sql/plain/views/from_facts_merchant_hours.sql" with {
  type: "text",
};
import plainFromHoursMarketDays from "../../sql/plain/views/from_hours_market_days.sql" with {
  type: "text",
};
import plainFromHoursMerchantDays from "../../sql/plain/views/from_hours_merchant_days.sql" with {
  type: "text",
};
import plainMarketDays from "../../sql/plain/views/market_days.sql" with { type: "text" };
import plainMarketHours from "../../sql/plain/views/market_hours.sql" with { type: "text" };
import plainMerchantDaily from "../../sql/plain/views/merchant_daily.sql" with { type: "text" };
import plainMerchantDays from "../../sql/plain/views/merchant_days.sql" with { type: "text" };
import plainMerchantHours from "../../sql/plain/views/merchant_hours.sql" with { type: "text" };
import plainPartitions from "../../sql/plain/views/partitions.sql" with { type: "text" };
import plainPolicyAudit from "../../sql/plain/views/policy_audit.sql" with { type: "text" };
import timescaledbAggregateSources from "../../sql/timescaledb/views/aggregate_sources.sql" with {
  type: "text",
};
import timescaledbMarketDays from "../../sql/timescaledb/views/market_days.sql" with {
  type: "text",
};
import timescaledbMarketHours from "../../sql/timescaledb/views/market_hours.sql" with {
  type: "text",
};
import timescaledbMerchantDaily from "../../sql/timescaledb/views/merchant_daily.sql" with {
  type: "text",
};
import timescaledbMerchantDays from "../../sql/timescaledb/views/merchant_days.sql" with {
  type: "text",
};
import timescaledbMerchantHours from "../../sql/timescaledb/views/merchant_hours.sql" with {
  type: "text",
};
import timescaledbOutdatedRanges from "../../sql/timescaledb/views/outdated_ranges.sql" with {
  type: "text",
};
import timescaledbPartitions from "../../sql/timescaledb/views/partitions.sql" with {
  type: "text",
};
import timescaledbPolicyAudit from "../../sql/timescaledb/views/policy_audit.sql" with {
  type: "text",
};
import accessHistory from "../../sql/views/access_history.sql" with { type: "text" };
import batchMarkets from "../../sql/views/batch_markets.sql" with { type: "text" };
import batchOverview from "../../sql/views/batch_overview.sql" with { type: "text" };
import batchSql from "../../sql/views/batch_sql.sql" with { type: "text" };
import bestPrices from "../../sql/views/best_prices.sql" with { type: "text" };
import coverage from "../../sql/views/coverage.sql" with { type: "text" };
import currentSettings from "../../sql/views/current_settings.sql" with { type: "text" };
import depthOrigin from "../../sql/views/depth_origin.sql" with { type: "text" };
import factOfferPaymentMethods from "../../sql/views/fact_offer_payment_methods.sql" with {
  type: "text",
};
import failedSteps from "../../sql/views/failed_steps.sql" with { type: "text" };
import failingRules from "../../sql/views/failing_rules.sql" with { type: "text" };
import freshness from "../../sql/views/freshness.sql" with { type: "text" };
import gaps from "../../sql/views/gaps.sql" with { type: "text" };
import help from "../../sql/views/help.sql" with { type: "text" };
import incidents from "../../sql/views/incidents.sql" with { type: "text" };
import lastFailures from "../../sql/views/last_failures.sql" with { type: "text" };
import ledger from "../../sql/views/ledger.sql" with { type: "text" };
import marketDaily from "../../sql/views/market_daily.sql" with { type: "text" };
import marketHourly from "../../sql/views/market_hourly.sql" with { type: "text" };
import missingMarkets from "../../sql/views/missing_markets.sql" with { type: "text" };
import mvLatestMarketState from "../../sql/views/mv_latest_market_state.sql" with { type: "text" };
import objectStates from "../../sql/views/object_states.sql" with { type: "text" };
import offerOrigin from "../../sql/views/offer_origin.sql" with { type: "text" };
import offersInQuarantine from "../../sql/views/offers_in_quarantine.sql" with { type: "text" };
import pricesByPaymentMethod from "../../sql/views/prices_by_payment_method.sql" with {
  type: "text",
};
import quarantine from "../../sql/views/quarantine.sql" with { type: "text" };
import responseKeys from "../../sql/views/response_keys.sql" with { type: "text" };
import ruleResults from "../../sql/views/rule_results.sql" with { type: "text" };
import schedule from "../../sql/views/schedule.sql" with { type: "text" };
import settingChanges from "../../sql/views/setting_changes.sql" with { type: "text" };
import shapeEvents from "../../sql/views/shape_events.sql" with { type: "text" };
import sqlHistory from "../../sql/views/sql_history.sql" with { type: "text" };
import tableSizes from "../../sql/views/table_sizes.sql" with { type: "text" };
import vPriceHistory from "../../sql/views/v_price_history.sql" with { type: "text" };
import workers from "../../sql/views/workers.sql" with { type: "text" };

/** A file of sql/. */
export interface SqlFile {
  /** Path below sql/; for a function or view of one tier, below the folder of that tier. */
  readonly name: string;
  readonly body: string;
  /** Only for databases of this tier: it stands in sql/plain or sql/timescaledb. */
  readonly tier?: "plain" | "timescaledb";
}

/** What `migrate` itself stands on: any number of times, in this order. */
export const BOOTSTRAP: readonly SqlFile[] = [
  { name: "bootstrap/01_schema.sql", body: bootstrap01 },
  { name: "bootstrap/02_tables.sql", body: bootstrap02 },
  { name: "bootstrap/03_apply_migration.sql", body: bootstrap03 },
  { name: "bootstrap/04_live_definition.sql", body: bootstrap04 },
  { name: "bootstrap/05_make_object.sql", body: bootstrap05 },
  { name: "bootstrap/06_definition_of.sql", body: bootstrap06 },
  { name: "bootstrap/07_apply_object.sql", body: bootstrap07 },
  { name: "bootstrap/08_apply_objects.sql", body: bootstrap08 },
  { name: "bootstrap/09_dependents.sql", body: bootstrap09 },
  { name: "bootstrap/10_replace_table.sql", body: bootstrap10 },
  { name: "bootstrap/11_tier.sql", body: bootstrap11 },
];

/** Run once, in this order; frozen. Those of TimescaleDB come after all others. */
export const MIGRATIONS: readonly SqlFile[] = [
  { name: "migrations/0001_dimensions.sql", body: migration0001 },
  { name: "migrations/0002_operations.sql", body: migration0002 },
  { name: "migrations/0003_staging.sql", body: migration0003 },
  { name: "migrations/0004_facts.sql", body: migration0004 },
  { name: "migrations/0005_parsed_offers.sql", body: migration0005 },
  { name: "migrations/0006_roles.sql", body: migration0006 },
  { name: "migrations/0007_settings.sql", body: migration0007 },
  { name: "migrations/0008_pipeline.sql", body: migration0008 },
  { name: "migrations/0009_provenance.sql", body: migration0009 },
  { name: "migrations/0010_quality_rules.sql", body: migration0010 },
  { name: "migrations/0011_response_shapes.sql", body: migration0011 },
  { name: "migrations/0012_quarantine.sql", body: migration0012 },
  { name: "migrations/0013_steps_rules_settings.sql", body: migration0013 },
  { name: "migrations/0014_partitions.sql", body: migration0014 },
  { name: "migrations/0015_summaries.sql", body: migration0015 },
  { name: "migrations/0016_columnstore_setting.sql", body: migration0016 },
  { name: "migrations/0017_imports.sql", body: migration0017 },
  { name: "migrations/0018_indexes.sql", body: migration0018 },
  { name: "migrations/0019_fleet.sql", body: migration0019 },
  { name: "migrations/0020_bybit.sql", body: migration0020 },
  { name: "migrations/0021_incidents.sql", body: migration0021 },
  { name: "migrations/0022_page.sql", body: migration0022 },
  { name: "migrations/0023_cut_short.sql", body: migration0023 },
  {
    name: "timescaledb/migrations/0001_hypertables.sql",
    body: timescaledb0001,
    tier: "timescaledb",
  },
  {
    name: "timescaledb/migrations/0002_columnstore.sql",
    body: timescaledb0002,
    tier: "timescaledb",
  },
  {
    name: "timescaledb/migrations/0003_market_aggregates.sql",
    body: timescaledb0003,
    tier: "timescaledb",
  },
  {
    name: "timescaledb/migrations/0004_merchant_aggregates.sql",
    body: timescaledb0004,
    tier: "timescaledb",
  },
];

/** Re-applied when they change. Functions before views, and what differs by tier before what stands on it. */
export const OBJECTS: readonly SqlFile[] = [
  { name: "functions/aggregates_to_refresh.sql", body: plainAggregatesToRefresh, tier: "plain" },
  { name: "functions/drop_older.sql", body: plainDropOlder, tier: "plain" },
  { name: "functions/store_period.sql", body: plainStorePeriod, tier: "plain" },
  { name: "functions/summarise_hours.sql", body: plainSummariseHours, tier: "plain" },
  {
    name: "functions/aggregates_to_refresh.sql",
    body: timescaledbAggregatesToRefresh,
    tier: "timescaledb",
  },
  { name: "functions/apply_policies.sql", body: timescaledbApplyPolicies, tier: "timescaledb" },
  { name: "functions/drop_older.sql", body: timescaledbDropOlder, tier: "timescaledb" },
  { name: "functions/follow_settings.sql", body: timescaledbFollowSettings, tier: "timescaledb" },
  { name: "functions/holds_history.sql", body: timescaledbHoldsHistory, tier: "timescaledb" },
  {
    name: "functions/timescaledb_schema.sql",
    body: timescaledbTimescaledbSchema,
    tier: "timescaledb",
  },
  { name: "functions/wanted_policies.sql", body: timescaledbWantedPolicies, tier: "timescaledb" },
  { name: "functions/adopt_object.sql", body: adoptObject },
  { name: "functions/announce_batch.sql", body: announceBatch },
  { name: "functions/apply_retention.sql", body: applyRetention },
  { name: "functions/audit_metrics.sql", body: auditMetrics },
  { name: "functions/batch_alerts.sql", body: batchAlerts },
  { name: "functions/beat.sql", body: beat },
  { name: "functions/begin_discovery.sql", body: beginDiscovery },
  { name: "functions/begin_import.sql", body: beginImport },
  { name: "functions/check_pages.sql", body: checkPages },
  { name: "functions/check_pipeline_step.sql", body: checkPipelineStep },
  { name: "functions/check_quality_rule.sql", body: checkQualityRule },
  { name: "functions/choose_offers.sql", body: chooseOffers },
  { name: "functions/claim_markets.sql", body: claimMarkets },
  { name: "functions/close_batch.sql", body: closeBatch },
  { name: "functions/compared_tables.sql", body: comparedTables },
  { name: "functions/current_sql.sql", body: currentSql },
  { name: "functions/current_sql_set.sql", body: currentSqlSet },
  { name: "functions/database_key.sql", body: databaseKey },
  { name: "functions/database_metrics.sql", body: databaseMetrics },
  { name: "functions/diagnose.sql", body: diagnose },
  { name: "functions/diagnose_batches.sql", body: diagnoseBatches },
  { name: "functions/diagnose_rights.sql", body: diagnoseRights },
  { name: "functions/diagnose_server.sql", body: diagnoseServer },
  { name: "functions/diagnose_sql.sql", body: diagnoseSql },
  { name: "functions/discard_rejected.sql", body: discardRejected },
  { name: "functions/drop_temporary_tables.sql", body: dropTemporaryTables },
  { name: "functions/end_fetching.sql", body: endFetching },
  { name: "functions/end_import.sql", body: endImport },
  { name: "functions/fail_batch.sql", body: failBatch },
  { name: "functions/failures_in_a_row.sql", body: failuresInARow },
  { name: "functions/find_object.sql", body: findObject },
  { name: "functions/finish_market.sql", body: finishMarket },
  { name: "functions/give_back.sql", body: giveBack },
  { name: "functions/guard_setting.sql", body: guardSetting },
  { name: "functions/has_its_pages.sql", body: hasItsPages },
  { name: "functions/import_markets.sql", body: importMarkets },
  { name: "functions/import_next_batch.sql", body: importNextBatch },
  { name: "functions/import_obstacle.sql", body: importObstacle },
  { name: "functions/incident_causes.sql", body: incidentCauses },
  { name: "functions/incidents_told.sql", body: incidentsTold },
  { name: "functions/is_alive.sql", body: isAlive },
  { name: "functions/is_beyond.sql", body: isBeyond },
  { name: "functions/join_batch.sql", body: joinBatch },
  { name: "functions/judge_import_pages.sql", body: judgeImportPages },
  { name: "functions/known_fiats.sql", body: knownFiats },
  { name: "functions/leave.sql", body: leave },
  { name: "functions/live_workers.sql", body: liveWorkers },
  { name: "functions/load_advertisers.sql", body: loadAdvertisers },
  { name: "functions/load_batch.sql", body: loadBatch },
  { name: "functions/load_depth.sql", body: loadDepth },
  { name: "functions/load_dimensions.sql", body: loadDimensions },
  { name: "functions/load_offers.sql", body: loadOffers },
  { name: "functions/lock_queue.sql", body: lockQueue },
  { name: "functions/log_change.sql", body: logChange },
  { name: "functions/make_room.sql", body: makeRoom },
  { name: "functions/make_room_for_batch.sql", body: makeRoomForBatch },
  { name: "functions/market_patterns.sql", body: marketPatterns },
  { name: "functions/note_visits.sql", body: noteVisits },
  { name: "functions/page_access.sql", body: pageAccess },
  { name: "functions/page_batches.sql", body: pageBatches },
  { name: "functions/page_coverage.sql", body: pageCoverage },
  { name: "functions/page_market.sql", body: pageMarket },
  { name: "functions/page_markets.sql", body: pageMarkets },
  { name: "functions/page_overview.sql", body: pageOverview },
  { name: "functions/parse_binance_search_v1.sql", body: parseBinanceSearchV1 },
  { name: "functions/parse_bybit_online_v1.sql", body: parseBybitOnlineV1 },
  { name: "functions/parse_pages.sql", body: parsePages },
  { name: "functions/parser_cannot_read.sql", body: parserCannotRead },
  { name: "functions/pause_state.sql", body: pauseState },
  { name: "functions/plan_batch.sql", body: planBatch },
  { name: "functions/preview_load.sql", body: previewLoad },
  { name: "functions/quarantine_batches.sql", body: quarantineBatches },
  { name: "functions/raise_incident.sql", body: raiseIncident },
  { name: "functions/record_discovery_problem.sql", body: recordDiscoveryProblem },
  { name: "functions/record_load.sql", body: recordLoad },
  { name: "functions/record_lost_page.sql", body: recordLostPage },
  { name: "functions/record_missed_batches.sql", body: recordMissedBatches },
  { name: "functions/reject_offers.sql", body: rejectOffers },
  { name: "functions/remembered_access.sql", body: rememberedAccess },
  { name: "functions/repair_json.sql", body: repairJson },
  { name: "functions/replay_batch.sql", body: replayBatch },
  { name: "functions/replay_quarantine.sql", body: replayQuarantine },
  { name: "functions/replayable_batches.sql", body: replayableBatches },
  { name: "functions/require_in_quarantine.sql", body: requireInQuarantine },
  { name: "functions/resolve_incident.sql", body: resolveIncident },
  { name: "functions/restore_object.sql", body: restoreObject },
  { name: "functions/rewrite_advertiser_history.sql", body: rewriteAdvertiserHistory },
  { name: "functions/rows_written.sql", body: rowsWritten },
  { name: "functions/rule_broken_references.sql", body: ruleBrokenReferences },
  { name: "functions/rule_completeness.sql", body: ruleCompleteness },
  { name: "functions/rule_crossed_median.sql", body: ruleCrossedMedian },
  { name: "functions/rule_duplicate_offers.sql", body: ruleDuplicateOffers },
  { name: "functions/rule_function.sql", body: ruleFunction },
  { name: "functions/rule_needed_keys.sql", body: ruleNeededKeys },
  { name: "functions/rule_price_anomaly.sql", body: rulePriceAnomaly },
  { name: "functions/rule_promoted_share.sql", body: rulePromotedShare },
  { name: "functions/rule_rejected_share.sql", body: ruleRejectedShare },
  { name: "functions/rule_sql_drift.sql", body: ruleSqlDrift },
  { name: "functions/rule_stale_timestamps.sql", body: ruleStaleTimestamps },
  { name: "functions/rule_temporal_consistency.sql", body: ruleTemporalConsistency },
  { name: "functions/rule_volume_drop.sql", body: ruleVolumeDrop },
  { name: "functions/run_quality_checks.sql", body: runQualityChecks },
  { name: "functions/run_rule.sql", body: runRule },
  { name: "functions/run_step.sql", body: runStep },
  { name: "functions/run_steps.sql", body: runSteps },
  { name: "functions/samples_of.sql", body: samplesOf },
  { name: "functions/setting_number.sql", body: settingNumber },
  { name: "functions/setting_switch.sql", body: settingSwitch },
  { name: "functions/show_quarantine.sql", body: showQuarantine },
  { name: "functions/sql_fingerprint.sql", body: sqlFingerprint },
  { name: "functions/stage_import_page.sql", body: stageImportPage },
  { name: "functions/status_report.sql", body: statusReport },
  { name: "functions/step_call.sql", body: stepCall },
  { name: "functions/store_imported_batch.sql", body: storeImportedBatch },
  { name: "functions/store_market_list.sql", body: storeMarketList },
  { name: "functions/store_page.sql", body: storePage },
  { name: "functions/store_payment_methods.sql", body: storePaymentMethods },
  { name: "functions/take_load.sql", body: takeLoad },
  { name: "functions/temporary_tables.sql", body: temporaryTables },
  { name: "functions/unfetched_markets.sql", body: unfetchedMarkets },
  { name: "functions/watch_incidents.sql", body: watchIncidents },
  { name: "functions/watch_shapes.sql", body: watchShapes },
  { name: "functions/watched_values.sql", body: watchedValues },
  { name: "functions/why_late.sql", body: whyLate },
  { name: "functions/worker_rights.sql", body: workerRights },
  { name: "functions/workers_at_work.sql", body: workersAtWork },
  { name: "functions/write_imported_books.sql", body: writeImportedBooks },
  { name: "views/from_facts_market_hours.sql", body: plainFromFactsMarketHours, tier: "plain" },
  { name: "views/from_facts_merchant_hours.sql", body: plainFromFactsMerchantHours, tier: "plain" },
  { name: "views/from_hours_market_days.sql", body: plainFromHoursMarketDays, tier: "plain" },
  { name: "views/from_hours_merchant_days.sql", body: plainFromHoursMerchantDays, tier: "plain" },
  { name: "views/market_days.sql", body: plainMarketDays, tier: "plain" },
  { name: "views/market_hours.sql", body: plainMarketHours, tier: "plain" },
  { name: "views/merchant_daily.sql", body: plainMerchantDaily, tier: "plain" },
  { name: "views/merchant_days.sql", body: plainMerchantDays, tier: "plain" },
  { name: "views/merchant_hours.sql", body: plainMerchantHours, tier: "plain" },
  { name: "views/partitions.sql", body: plainPartitions, tier: "plain" },
  { name: "views/policy_audit.sql", body: plainPolicyAudit, tier: "plain" },
  { name: "views/aggregate_sources.sql", body: timescaledbAggregateSources, tier: "timescaledb" },
  { name: "views/market_days.sql", body: timescaledbMarketDays, tier: "timescaledb" },
  { name: "views/market_hours.sql", body: timescaledbMarketHours, tier: "timescaledb" },
  { name: "views/merchant_daily.sql", body: timescaledbMerchantDaily, tier: "timescaledb" },
  { name: "views/merchant_days.sql", body: timescaledbMerchantDays, tier: "timescaledb" },
  { name: "views/merchant_hours.sql", body: timescaledbMerchantHours, tier: "timescaledb" },
  { name: "views/outdated_ranges.sql", body: timescaledbOutdatedRanges, tier: "timescaledb" },
  { name: "views/partitions.sql", body: timescaledbPartitions, tier: "timescaledb" },
  { name: "views/policy_audit.sql", body: timescaledbPolicyAudit, tier: "timescaledb" },
  { name: "views/access_history.sql", body: accessHistory },
  { name: "views/batch_markets.sql", body: batchMarkets },
  { name: "views/batch_overview.sql", body: batchOverview },
  { name: "views/batch_sql.sql", body: batchSql },
  { name: "views/best_prices.sql", body: bestPrices },
  { name: "views/coverage.sql", body: coverage },
  { name: "views/current_settings.sql", body: currentSettings },
  { name: "views/depth_origin.sql", body: depthOrigin },
  { name: "views/fact_offer_payment_methods.sql", body: factOfferPaymentMethods },
  { name: "views/failed_steps.sql", body: failedSteps },
  { name: "views/failing_rules.sql", body: failingRules },
  { name: "views/freshness.sql", body: freshness },
  { name: "views/gaps.sql", body: gaps },
  { name: "views/help.sql", body: help },
  { name: "views/incidents.sql", body: incidents },
  { name: "views/last_failures.sql", body: lastFailures },
  { name: "views/ledger.sql", body: ledger },
  { name: "views/market_daily.sql", body: marketDaily },
  { name: "views/market_hourly.sql", body: marketHourly },
  { name: "views/missing_markets.sql", body: missingMarkets },
  { name: "views/mv_latest_market_state.sql", body: mvLatestMarketState },
  { name: "views/object_states.sql", body: objectStates },
  { name: "views/offer_origin.sql", body: offerOrigin },
  { name: "views/offers_in_quarantine.sql", body: offersInQuarantine },
  { name: "views/prices_by_payment_method.sql", body: pricesByPaymentMethod },
  { name: "views/quarantine.sql", body: quarantine },
  { name: "views/response_keys.sql", body: responseKeys },
  { name: "views/rule_results.sql", body: ruleResults },
  { name: "views/schedule.sql", body: schedule },
  { name: "views/setting_changes.sql", body: settingChanges },
  { name: "views/shape_events.sql", body: shapeEvents },
  { name: "views/sql_history.sql", body: sqlHistory },
  { name: "views/table_sizes.sql", body: tableSizes },
  { name: "views/v_price_history.sql", body: vPriceHistory },
  { name: "views/workers.sql", body: workers },
];
