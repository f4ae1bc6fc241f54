-- Schema p2p as `migrate` leaves it in PostgreSQL 15: to read, and to compare. Nothing runs this file.
-- Written by: deno task schema

CREATE SCHEMA p2p;

COMMENT ON SCHEMA p2p IS 'Binance P2P, every ten minutes. Start with: select * from p2p.mv_latest_market_state limit 10';

CREATE TYPE p2p.parsed_offer AS (
	market_id integer,
	page_number smallint,
	item_number integer,
	item_path text[],
	observed_at timestamp with time zone,
	offer_external_id text,
	asset text,
	fiat text,
	is_own_side boolean,
	is_promoted boolean,
	is_available boolean,
	price numeric,
	available_amount numeric,
	tradable_quantity numeric,
	min_limit numeric,
	max_limit numeric,
	unreadable text[],
	price_float_rate numeric,
	completion_rate numeric,
	positive_rate numeric,
	total_orders_count integer,
	payment_time_limit_minutes integer,
	terms_conditions text,
	advertiser_id text,
	nickname text,
	is_merchant boolean,
	user_type text,
	user_grade integer,
	user_identity text,
	vip_level integer,
	registration_days integer,
	payment_methods jsonb
);

COMMENT ON TYPE p2p.parsed_offer IS 'One item of a page as a parser read it; NULL where the page has nothing readable';

COMMENT ON COLUMN p2p.parsed_offer.item_path IS 'Where the item stands in the body of its page';

COMMENT ON COLUMN p2p.parsed_offer.asset IS 'The asset the item names, to be compared with the one that was asked for';

COMMENT ON COLUMN p2p.parsed_offer.is_own_side IS 'Whether the item names the side that belongs to the one asked for; NULL where it names none';

COMMENT ON COLUMN p2p.parsed_offer.unreadable IS 'Numbers that are there, but are no numbers';

COMMENT ON COLUMN p2p.parsed_offer.payment_methods IS '[[code, name], …] in the order of the ad, each code once';

CREATE TYPE p2p.rule_finding AS (
	metric numeric,
	offending_rows jsonb
);

COMMENT ON TYPE p2p.rule_finding IS 'What a quality rule found in a batch';

COMMENT ON COLUMN p2p.rule_finding.metric IS 'One finite number, compared with the thresholds of the rule; NULL = there is nothing to judge (yet), which passes';

COMMENT ON COLUMN p2p.rule_finding.offending_rows IS 'JSON array of the rows at fault, the worst first; NULL is an empty one';

CREATE FUNCTION p2p.adopt_object(p_name text, p_note text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.adopt_object(p_name text, p_note text) IS 'Says that a live change of a shipped function or view is meant to stay';

CREATE FUNCTION p2p.aggregates_to_refresh(p_from timestamp with time zone, p_until timestamp with time zone) RETURNS TABLE(aggregate text, window_start timestamp with time zone, window_end timestamp with time zone, statement text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.aggregates_to_refresh(p_from timestamp with time zone, p_until timestamp with time zone) IS 'Which aggregates to refresh after facts of these times were written, and for what window';

CREATE FUNCTION p2p.announce_batch(p_batch_id uuid) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.announce_batch(p_batch_id uuid) IS 'Tells listeners on channel p2p_batch what became of a batch';

CREATE FUNCTION p2p.apply_migration(p_name text, p_sha256 text, p_body text, p_program_version text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.apply_migration(p_name text, p_sha256 text, p_body text, p_program_version text) IS 'Runs one file of sql/migrations once; used by the migrate command';

CREATE FUNCTION p2p.apply_object(p_name text, p_sha256 text, p_body text, p_program_version text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.apply_object(p_name text, p_sha256 text, p_body text, p_program_version text) IS 'Brings one function or view to the text of a release unless it was changed live; used by the migrate command';

CREATE FUNCTION p2p.apply_objects(p_files jsonb, p_program_version text) RETURNS TABLE(object_name text, outcome text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.apply_objects(p_files jsonb, p_program_version text) IS 'Brings functions and views to a release; used by the migrate command';

CREATE FUNCTION p2p.apply_retention(p_batch_id uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.apply_retention(p_batch_id uuid) IS 'Drops what is older than the settings allow, and makes partitions for days to come';

CREATE FUNCTION p2p.audit_metrics() RETURNS TABLE(metric text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE ROWS 10
    SET search_path TO 'p2p', 'pg_temp'
    SET jit TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.audit_metrics() IS 'How the SQL and the policies stand, as metrics of Prometheus: add rows of your own that take long';

CREATE FUNCTION p2p.batch_alerts(p_batch_id uuid) RETURNS TABLE(kind text, message text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.batch_alerts(p_batch_id uuid) IS 'What a person should be told of after a load of the batch';

CREATE FUNCTION p2p.beat(p_worker_id text, p_worker_name text, p_version text, p_purpose text, p_doing text, p_lease_seconds double precision, p_exchanges jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.beat(p_worker_id text, p_worker_name text, p_version text, p_purpose text, p_doing text, p_lease_seconds double precision, p_exchanges jsonb) IS 'Says that a worker lives, what it does and what its exchanges allow it';

CREATE FUNCTION p2p.begin_discovery(p_worker_id text, p_exchange text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.begin_discovery(p_worker_id text, p_exchange text) IS 'Whether this worker is the one to ask the exchange for its markets';

CREATE FUNCTION p2p.begin_import(p_worker_id text, p_files text[]) RETURNS uuid
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.begin_import(p_worker_id text, p_files text[]) IS 'Begins an import of files with pages that others recorded';

CREATE FUNCTION p2p.check_pages(p_since timestamp with time zone, p_until timestamp with time zone, OUT pages_checked bigint, OUT pages_without_checksum bigint, OUT pages_damaged bigint, OUT damaged_pages jsonb) RETURNS record
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.check_pages(p_since timestamp with time zone, p_until timestamp with time zone, OUT pages_checked bigint, OUT pages_without_checksum bigint, OUT pages_damaged bigint, OUT damaged_pages jsonb) IS 'Computes the checksums of raw pages again and names the pages that changed since they were stored';

CREATE FUNCTION p2p.check_pipeline_step() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.check_pipeline_step() IS 'Trigger: refuses a step whose function does not exist';

CREATE FUNCTION p2p.check_quality_rule() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.check_quality_rule() IS 'Trigger of quality_rules: refuses a function that does not exist';

CREATE FUNCTION p2p.choose_offers(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET default_statistics_target TO '10'
    AS …;

COMMENT ON FUNCTION p2p.choose_offers(p_batch_id uuid) IS 'Step of load_batch: keeps one reading of each ad';

CREATE FUNCTION p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_exchange text, p_count integer) RETURNS TABLE(market_id integer, fiat text, asset text, side text, next_page integer, offers_reported integer)
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_exchange text, p_count integer) IS 'Takes the next markets from the work queue of a batch';

CREATE TABLE p2p.ops_batch_runs (
    batch_id uuid DEFAULT gen_random_uuid() NOT NULL,
    batch_start_time timestamp with time zone NOT NULL,
    batch_end_time timestamp with time zone,
    status text DEFAULT 'running'::text NOT NULL,
    total_fiats_processed integer DEFAULT 0 NOT NULL,
    total_offers_extracted integer DEFAULT 0 NOT NULL,
    total_offers_inserted integer DEFAULT 0 NOT NULL,
    total_offers_updated integer DEFAULT 0 NOT NULL,
    total_offers_rejected integer DEFAULT 0 NOT NULL,
    total_offers_duplicate integer DEFAULT 0 NOT NULL,
    total_errors integer DEFAULT 0 NOT NULL,
    error_summary text,
    execution_time_seconds numeric(14,3),
    markets_expected integer DEFAULT 0 NOT NULL,
    markets_completed integer DEFAULT 0 NOT NULL,
    worker_id text NOT NULL,
    raw_deleted_at timestamp with time zone,
    ledger_deleted_at timestamp with time zone,
    imported_from text[],
    due_at timestamp with time zone,
    fetch_until timestamp with time zone,
    loader_id text,
    is_cut_short boolean DEFAULT false NOT NULL,
    CONSTRAINT ops_batch_runs_check CHECK (((status = 'running'::text) = (batch_end_time IS NULL))),
    CONSTRAINT ops_batch_runs_status_check CHECK ((status = ANY (ARRAY['running'::text, 'completed'::text, 'partial'::text, 'failed'::text])))
);

COMMENT ON TABLE p2p.ops_batch_runs IS 'One row a batch. extracted = inserted + rejected + duplicate';

COMMENT ON COLUMN p2p.ops_batch_runs.batch_start_time IS 'Also the extraction_timestamp of every fact of the batch';

COMMENT ON COLUMN p2p.ops_batch_runs.status IS 'completed: every planned market fetched whole; partial: loaded, but something planned is missing; failed: nothing loaded';

COMMENT ON COLUMN p2p.ops_batch_runs.total_offers_extracted IS 'Items on all stored pages, before any was rejected or recognised as a repetition';

COMMENT ON COLUMN p2p.ops_batch_runs.total_offers_inserted IS 'Rows of the batch in fact_offers';

COMMENT ON COLUMN p2p.ops_batch_runs.total_offers_updated IS 'Rows that a later load of the same batch changed, because the SQL had changed in between';

COMMENT ON COLUMN p2p.ops_batch_runs.total_offers_duplicate IS 'Promoted copies, and rows that came twice because the book moved while it was read';

COMMENT ON COLUMN p2p.ops_batch_runs.worker_id IS 'Who opened it';

COMMENT ON COLUMN p2p.ops_batch_runs.raw_deleted_at IS 'When apply_retention deleted its pages: from then on it cannot be loaded again';

COMMENT ON COLUMN p2p.ops_batch_runs.ledger_deleted_at IS 'When apply_retention deleted its rows of ops_batch_markets, ops_extraction_errors and ops_rejected_offers';

COMMENT ON COLUMN p2p.ops_batch_runs.imported_from IS 'Files that p2p-ingest import took its pages from; NULL: the worker fetched it';

COMMENT ON COLUMN p2p.ops_batch_runs.due_at IS 'When the schedule wanted it; NULL: begun by hand, or imported';

COMMENT ON COLUMN p2p.ops_batch_runs.fetch_until IS 'The deadline: from then on no market is begun';

COMMENT ON COLUMN p2p.ops_batch_runs.loader_id IS 'The worker that ended the fetching, to load; NULL while markets are fetched';

COMMENT ON COLUMN p2p.ops_batch_runs.is_cut_short IS 'Its workers were told to stop before all was fetched: how complete it is says nothing of the exchange, and tells nobody';

CREATE FUNCTION p2p.close_batch(p_batch_id uuid) RETURNS p2p.ops_batch_runs
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.close_batch(p_batch_id uuid) IS 'Closes a batch that was loaded: counts and status';

CREATE FUNCTION p2p.compared_tables() RETURNS TABLE(table_id oid, table_name text, key_columns text[], rows_statement text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.compared_tables() IS 'Which tables preview_load compares, and how';

CREATE FUNCTION p2p.current_sql() RETURNS TABLE(identity text, state text, fingerprint text, definition text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.current_sql() IS 'The SQL that a load would run now, one row an object, with its text';

CREATE FUNCTION p2p.current_sql_set() RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.current_sql_set() IS 'The number of the set of SQL that a load would run now';

CREATE FUNCTION p2p.database_key() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.database_key() IS 'A name of this database, the same by whichever address it is reached';

CREATE FUNCTION p2p.database_metrics() RETURNS TABLE(metric text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE ROWS 50
    SET search_path TO 'p2p', 'pg_temp'
    SET jit TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.database_metrics() IS 'What the database knows, as metrics of Prometheus: add rows of your own';

CREATE FUNCTION p2p.database_tier() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.database_tier() IS 'plain or timescaledb: how facts are kept in this database';

CREATE FUNCTION p2p.definition_of(p_name text, p_body text, p_known text, OUT identity text, OUT definition text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.definition_of(p_name text, p_body text, p_known text, OUT identity text, OUT definition text) IS 'What the server would store for a file of sql/functions or sql/views; changes nothing';

CREATE FUNCTION p2p.dependent_statements(p_kind text, p_object oid, p_identity text) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.dependent_statements(p_kind text, p_object oid, p_identity text) IS 'A view or function with all that was said about it, as statements; used by the migrate command';

CREATE FUNCTION p2p.dependents_of(p_table regclass) RETURNS TABLE(kind text, object_id oid, identity text, place bigint)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.dependents_of(p_table regclass) IS 'What must be made anew when another table takes the name of this one; used by the migrate command';

CREATE FUNCTION p2p.diagnose(p_interval_minutes integer DEFAULT 10) RETURNS TABLE(topic text, state text, finding text, mend text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.diagnose(p_interval_minutes integer) IS 'What is wrong in this database, and what mends it';

CREATE FUNCTION p2p.diagnose_batches(p_interval_minutes integer) RETURNS TABLE(topic text, state text, finding text, mend text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.diagnose_batches(p_interval_minutes integer) IS 'What is wrong with batches and workers, and what mends it';

CREATE FUNCTION p2p.diagnose_rights() RETURNS TABLE(topic text, state text, finding text, mend text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.diagnose_rights() IS 'What a worker may not do here, and what mends it';

CREATE FUNCTION p2p.diagnose_server() RETURNS TABLE(topic text, state text, finding text, mend text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.diagnose_server() IS 'What is wrong with the server, and what mends it';

CREATE FUNCTION p2p.diagnose_sql() RETURNS TABLE(topic text, state text, finding text, mend text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.diagnose_sql() IS 'What is not as the release has it, and what mends it';

CREATE FUNCTION p2p.discard_rejected(p_note text, p_reason text DEFAULT NULL::text, p_batch_id uuid DEFAULT NULL::uuid, p_is_dry_run boolean DEFAULT false) RETURNS TABLE(reason text, offers bigint, batches bigint)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.discard_rejected(p_note text, p_reason text, p_batch_id uuid, p_is_dry_run boolean) IS 'Marks rejected offers as needing no repair; they are kept';

CREATE FUNCTION p2p.drop_older(p_table text, p_before timestamp with time zone, OUT dropped integer, OUT held_up_by text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET lock_timeout TO '500ms'
    AS …;

COMMENT ON FUNCTION p2p.drop_older(p_table text, p_before timestamp with time zone, OUT dropped integer, OUT held_up_by text) IS 'Drops what ends at or before a time, in whole partitions; for the owner';

CREATE FUNCTION p2p.drop_temporary_tables(p_keep oid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.drop_temporary_tables(p_keep oid[]) IS 'Drops the temporary tables that a load made';

CREATE FUNCTION p2p.end_fetching(p_batch_id uuid, p_reason text, p_exchange_id smallint DEFAULT NULL::smallint) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.end_fetching(p_batch_id uuid, p_reason text, p_exchange_id smallint) IS 'Closes the work queue of a batch: what was not fetched is deferred';

CREATE FUNCTION p2p.end_import(p_import_id uuid) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.end_import(p_import_id uuid) IS 'Ends an import; pages that still wait for their batch are forgotten';

CREATE FUNCTION p2p.fail_batch(p_batch_id uuid, p_reason text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.fail_batch(p_batch_id uuid, p_reason text) IS 'Closes a batch that the SQL could not load';

CREATE FUNCTION p2p.failures_in_a_row(p_batch_id uuid) RETURNS integer
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.failures_in_a_row(p_batch_id uuid) IS 'How many batches up to this one were not completed, one after the other';

CREATE FUNCTION p2p.find_object(p_name text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.find_object(p_name text) IS 'The file of a shipped function or view';

CREATE FUNCTION p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS …;

COMMENT ON FUNCTION p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text) IS 'Ends the work on a market: complete, incomplete or failed; or not yet, where a page before its end is missing';

CREATE FUNCTION p2p.function_definition(p_function oid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.function_definition(p_function oid) IS 'A function with its comment, as the server stores it';

CREATE FUNCTION p2p.give_back(p_batch_id uuid, p_worker_id text, p_exchange text) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.give_back(p_batch_id uuid, p_worker_id text, p_exchange text) IS 'Puts the markets that a worker has in hand back into the queue, with their pages';

CREATE FUNCTION p2p.grants_on(p_identity text) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.grants_on(p_identity text) IS 'Grants on a function or view, as statements; used by the migrate command';

CREATE FUNCTION p2p.guard_setting() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.guard_setting() IS 'Trigger: refuses changes of settings that functions could not live with';

CREATE FUNCTION p2p.has_its_pages(p_batch p2p.ops_batch_runs) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.has_its_pages(p_batch p2p.ops_batch_runs) IS 'Whether the raw pages of a batch are still here';

CREATE FUNCTION p2p.import_markets(p_import_id uuid, p_time timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.import_markets(p_import_id uuid, p_time timestamp with time zone) IS 'Makes the markets that an import brings, not active until discovery lists them';

CREATE FUNCTION p2p.import_next_batch(p_import_id uuid, p_dry_run boolean) RETURNS TABLE(batch_start_time timestamp with time zone, batch_id uuid, outcome text, status text, error_summary text, pages_stored integer, pages_there integer, pages_left_out integer, offers integer, problems jsonb)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.import_next_batch(p_import_id uuid, p_dry_run boolean) IS 'Makes a batch of the oldest pages of an import, and loads it';

CREATE FUNCTION p2p.import_obstacle(p_time timestamp with time zone, p_newest timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.import_obstacle(p_time timestamp with time zone, p_newest timestamp with time zone) IS 'Why a batch of that time must not be imported, and the statement that changes it';

CREATE FUNCTION p2p.incident_causes(p_interval_minutes integer, p_alert_on_failures integer) RETURNS TABLE(kind text, subject text, message text, opens boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.incident_causes(p_interval_minutes integer, p_alert_on_failures integer) IS 'What people should know of now, as far as the database can see it';

CREATE FUNCTION p2p.incidents_told(p_begun bigint[], p_ended bigint[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.incidents_told(p_begun bigint[], p_ended bigint[]) IS 'Notes that people were told of the beginning, or the end, of incidents';

CREATE FUNCTION p2p.is_alive(p_lease_expires_at timestamp with time zone, p_doing text, p_server_started timestamp with time zone DEFAULT pg_postmaster_start_time()) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.is_alive(p_lease_expires_at timestamp with time zone, p_doing text, p_server_started timestamp with time zone) IS 'Whether a worker with that lease lives';

CREATE FUNCTION p2p.is_beyond(p_metric numeric, p_is_bad_when text, p_threshold numeric) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.is_beyond(p_metric numeric, p_is_bad_when text, p_threshold numeric) IS 'Whether a metric lies on the bad side of a threshold';

CREATE FUNCTION p2p.join_batch(p_worker_id text, p_due_at timestamp with time zone, p_interval_seconds double precision, p_deadline_seconds double precision) RETURNS TABLE(outcome text, batch_id uuid, batch_start_time timestamp with time zone, markets_expected integer, seconds_left double precision, detail text)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.join_batch(p_worker_id text, p_due_at timestamp with time zone, p_interval_seconds double precision, p_deadline_seconds double precision) IS 'What a worker is to do now: help with the batch that runs, open one, or let it be';

CREATE FUNCTION p2p.judge_import_pages(p_import_id uuid, p_time timestamp with time zone) RETURNS TABLE(file_number integer, line_number bigint, market_id integer, is_there boolean, problem text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.judge_import_pages(p_import_id uuid, p_time timestamp with time zone) IS 'What is to become of each page that an import has for a batch';

CREATE FUNCTION p2p.known_fiats(p_exchange text) RETURNS TABLE(fiat_code text, is_fresh boolean, active_markets bigint)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.known_fiats(p_exchange text) IS 'Fiats seen so far (* = the list of them) and whether their markets were read lately enough (discovery_every_hours)';

CREATE FUNCTION p2p.leave(p_worker_id text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.leave(p_worker_id text) IS 'A worker goes: what it has in hand is for others at once';

CREATE FUNCTION p2p.live_definition(p_identity text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.live_definition(p_identity text) IS 'A function or view with its comments, as the server stores it; NULL where it is missing';

CREATE TABLE p2p.ops_workers (
    worker_id text NOT NULL,
    worker_name text NOT NULL,
    version text NOT NULL,
    purpose text NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    lease_expires_at timestamp with time zone NOT NULL,
    doing text NOT NULL,
    CONSTRAINT ops_workers_doing_check CHECK ((doing = ANY (ARRAY['idle'::text, 'discovering'::text, 'fetching'::text, 'waiting'::text, 'loading'::text, 'stopping'::text, 'gone'::text]))),
    CONSTRAINT ops_workers_purpose_check CHECK ((purpose = ANY (ARRAY['run'::text, 'once'::text])))
)
WITH (fillfactor='50');

COMMENT ON TABLE p2p.ops_workers IS 'Every process that fetches, and whether it lives: see live_workers and view workers';

COMMENT ON COLUMN p2p.ops_workers.worker_id IS 'One process: name, process id and a random number';

COMMENT ON COLUMN p2p.ops_workers.worker_name IS 'One address: what a process has learned of the exchanges passes on to the next of the same name';

COMMENT ON COLUMN p2p.ops_workers.lease_expires_at IS 'Renewed by each beat; once it has run out, markets in its hands are for others';

COMMENT ON COLUMN p2p.ops_workers.doing IS 'idle: at no batch; gone: it has left';

CREATE FUNCTION p2p.live_workers() RETURNS SETOF p2p.ops_workers
    LANGUAGE sql STABLE ROWS 5
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.live_workers() IS 'Workers whose lease holds: markets in the hands of others may be taken';

CREATE FUNCTION p2p.load_advertisers(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET default_statistics_target TO '10'
    AS …;

COMMENT ON FUNCTION p2p.load_advertisers(p_batch_id uuid) IS 'Step of load_batch: advertisers and their former identities (SCD-2)';

CREATE FUNCTION p2p.load_batch(p_batch_id uuid) RETURNS p2p.ops_batch_runs
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET work_mem TO '64MB'
    SET jit TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.load_batch(p_batch_id uuid) IS 'Makes facts of the stored pages of a batch; safe to call again';

CREATE FUNCTION p2p.load_depth(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET enable_nestloop TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.load_depth(p_batch_id uuid) IS 'Step of load_batch: depth, best prices and spread of each book';

CREATE FUNCTION p2p.load_dimensions(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET default_statistics_target TO '10'
    AS …;

COMMENT ON FUNCTION p2p.load_dimensions(p_batch_id uuid) IS 'Step of load_batch: payment methods, their lists, numbers of new ads';

CREATE FUNCTION p2p.load_offers(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.load_offers(p_batch_id uuid) IS 'Step of load_batch: writes the snapshot into fact_offers';

CREATE FUNCTION p2p.lock_queue(p_batch_id uuid, p_alone boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.lock_queue(p_batch_id uuid, p_alone boolean) IS 'Holds the work queue of a batch, shared or alone, until the transaction ends';

CREATE FUNCTION p2p.log_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.log_change() IS 'Trigger: keeps who changed a row, when, and how it was';

CREATE FUNCTION p2p.make_object(p_name text, p_body text, p_known text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET check_function_bodies TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.make_object(p_name text, p_body text, p_known text) IS 'Runs a file of sql/functions or sql/views and names what it made; used by migrate and restore_object';

CREATE FUNCTION p2p.make_room(p_at timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'p2p', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS …;

COMMENT ON FUNCTION p2p.make_room(p_at timestamp with time zone) IS 'Makes the partitions that a batch of this time needs';

CREATE FUNCTION p2p.make_room_for_batch() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.make_room_for_batch() IS 'Trigger: makes the partitions that a batch needs';

CREATE FUNCTION p2p.market_patterns(p_worker_id text DEFAULT NULL::text) RETURNS TABLE(worker_id text, exchange_id smallint, fiat text, asset text)
    LANGUAGE sql STABLE ROWS 10
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.market_patterns(p_worker_id text) IS 'What each live worker fetches: fiats and assets of its exchanges';

CREATE FUNCTION p2p.note_visits(p_batch_id uuid, p_market_ids integer[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS …;

COMMENT ON FUNCTION p2p.note_visits(p_batch_id uuid, p_market_ids integer[]) IS 'Part of finish_market and end_fetching: keeps what plan_batch goes by';

CREATE FUNCTION p2p.object_named(p_name text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.object_named(p_name text) IS 'What stands in the database under the name of a file of sql/; used by the migrate command';

CREATE FUNCTION p2p.page_access(p_hours integer) RETURNS json
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.page_access(p_hours integer) IS 'Rate and breaker over time, of the status page';

CREATE FUNCTION p2p.page_batches(p_hours integer) RETURNS json
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.page_batches(p_hours integer) IS 'Batches of the status page';

CREATE FUNCTION p2p.page_coverage(p_after timestamp with time zone, p_batches integer) RETURNS json
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.page_coverage(p_after timestamp with time zone, p_batches integer) IS 'Markets by batch, of the status page';

CREATE FUNCTION p2p.page_market(p_exchange text, p_fiat text, p_asset text, p_hours integer) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.page_market(p_exchange text, p_fiat text, p_asset text, p_hours integer) IS 'One pair, of the status page';

CREATE FUNCTION p2p.page_markets() RETURNS json
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.page_markets() IS 'Markets of the status page';

CREATE FUNCTION p2p.page_overview(p_interval_minutes integer) RETURNS json
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.page_overview(p_interval_minutes integer) IS 'What the status page shows at its top';

CREATE FUNCTION p2p.parse_binance_search_v1(p_batch_id uuid) RETURNS SETOF p2p.parsed_offer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    SET work_mem TO '64MB'
    SET jit TO 'off'
    SET parallel_setup_cost TO '0'
    SET parallel_tuple_cost TO '0'
    SET min_parallel_table_scan_size TO '0'
    SET min_parallel_index_scan_size TO '0'
    AS …;

COMMENT ON FUNCTION p2p.parse_binance_search_v1(p_batch_id uuid) IS 'Reads the offers of Binance''s adv/search pages of a batch';

CREATE FUNCTION p2p.parse_bybit_online_v1(p_batch_id uuid) RETURNS SETOF p2p.parsed_offer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    SET work_mem TO '64MB'
    SET jit TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.parse_bybit_online_v1(p_batch_id uuid) IS 'Reads the offers of Bybit''s item/online pages of a batch';

CREATE FUNCTION p2p.parse_pages(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET default_statistics_target TO '10'
    AS …;

COMMENT ON FUNCTION p2p.parse_pages(p_batch_id uuid) IS 'Step of load_batch: reads the stored pages';

CREATE FUNCTION p2p.parser_cannot_read(p_parser text, p_path text, p_json_type text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.parser_cannot_read(p_parser text, p_path text, p_json_type text) IS 'Whether a change of a key takes from a parser what it needs';

CREATE FUNCTION p2p.pause_state() RETURNS TABLE(paused_since timestamp with time zone, paused_by text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.pause_state() IS 'Since when and by whom new batches are paused; no row while they are not';

CREATE FUNCTION p2p.plan_batch(p_batch_id uuid, p_deadline_seconds double precision) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.plan_batch(p_batch_id uuid, p_deadline_seconds double precision) IS 'Plans a batch: which markets, in which order, within the allowance. Yours to tune';

CREATE FUNCTION p2p.preview_load(p_batch_ids uuid[], p_with text DEFAULT NULL::text) RETURNS TABLE(table_name text, effect text, column_name text, row_count bigint, examples jsonb)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET work_mem TO '64MB'
    SET jit TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.preview_load(p_batch_ids uuid[], p_with text) IS 'What load_batch, or a candidate that is not installed, would change: a dry run, nothing stays';

CREATE FUNCTION p2p.quarantine_batches(p_reason text DEFAULT NULL::text, p_batch_id uuid DEFAULT NULL::uuid, p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_until timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(batch_id uuid, batch_start_time timestamp with time zone, offers bigint, can_be_loaded boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.quarantine_batches(p_reason text, p_batch_id uuid, p_since timestamp with time zone, p_until timestamp with time zone) IS 'Batches that have offers in quarantine, oldest first';

CREATE FUNCTION p2p.raise_incident(p_kind text, p_subject text, p_message text, p_worker_id text, p_seconds_ago double precision DEFAULT 0, p_is_told boolean DEFAULT false) RETURNS boolean
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.raise_incident(p_kind text, p_subject text, p_message text, p_worker_id text, p_seconds_ago double precision, p_is_told boolean) IS 'Opens an incident; false where it is open already';

CREATE FUNCTION p2p.record_as_shipped(p_name text, p_sha256 text, p_body text, p_program_version text, p_identity text, p_definition text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.record_as_shipped(p_name text, p_sha256 text, p_body text, p_program_version text, p_identity text, p_definition text) IS 'Notes that an object is as it was shipped; used by migrate and restore_object';

CREATE FUNCTION p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text, p_exchange text DEFAULT NULL::text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text, p_exchange text) IS 'Writes down a discovery call that failed';

CREATE TABLE p2p.ops_batch_steps (
    batch_id uuid NOT NULL,
    load_number integer NOT NULL,
    "position" numeric NOT NULL,
    step text NOT NULL,
    is_required boolean NOT NULL,
    status text NOT NULL,
    seconds numeric(10,3) NOT NULL,
    error text,
    error_context text,
    CONSTRAINT ops_batch_steps_check CHECK (((status = 'failed'::text) = (error IS NOT NULL))),
    CONSTRAINT ops_batch_steps_status_check CHECK ((status = ANY (ARRAY['ok'::text, 'failed'::text, 'undone'::text])))
);

COMMENT ON TABLE p2p.ops_batch_steps IS 'What each step of each recorded load did, and how long it took';

COMMENT ON COLUMN p2p.ops_batch_steps.load_number IS 'Which load of the batch, from 1 (ops_batch_loads)';

COMMENT ON COLUMN p2p.ops_batch_steps.step IS 'Its name at that time; the step may be gone since';

COMMENT ON COLUMN p2p.ops_batch_steps.status IS 'failed: it raised error; undone: it ran, but a required step failed after it';

COMMENT ON COLUMN p2p.ops_batch_steps.error_context IS 'Where in the SQL it was raised, as PostgreSQL tells it';

CREATE FUNCTION p2p.record_load(p_before p2p.ops_batch_runs, p_steps p2p.ops_batch_steps[], p_began timestamp with time zone, p_sql_set_id integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.record_load(p_before p2p.ops_batch_runs, p_steps p2p.ops_batch_steps[], p_began timestamp with time zone, p_sql_set_id integer) IS 'Last act of load_batch: writes down the load and its steps';

CREATE FUNCTION p2p.record_lost_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_error_type text, p_error_message text, p_retry_count integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.record_lost_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_error_type text, p_error_message text, p_retry_count integer) IS 'Writes down a page that was lost, and gives its market up if told so';

CREATE FUNCTION p2p.record_missed_batches(p_due_at timestamp with time zone, p_interval_seconds double precision, p_worker_id text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.record_missed_batches(p_due_at timestamp with time zone, p_interval_seconds double precision, p_worker_id text) IS 'Part of join_batch: writes down due times that got no batch';

CREATE FUNCTION p2p.reject_offers(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.reject_offers(p_batch_id uuid) IS 'Step of load_batch: sets aside what cannot be an offer';

CREATE FUNCTION p2p.relation_grants(p_relation regclass, p_to text) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.relation_grants(p_relation regclass, p_to text) IS 'Grants on a table or view, as statements; used by the migrate command';

CREATE FUNCTION p2p.relation_triggers(p_relation regclass) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.relation_triggers(p_relation regclass) IS 'Triggers of a table or view, as statements; used by the migrate command';

CREATE FUNCTION p2p.remembered_access(p_worker_name text, p_exchange text) RETURNS TABLE(rate_per_minute numeric, ceiling_per_minute numeric, breaker text, breaker_reason text, breaker_memory jsonb, seconds_ago double precision)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.remembered_access(p_worker_name text, p_exchange text) IS 'What the worker before, of the same name, had learned of an exchange';

CREATE FUNCTION p2p.repair_json(p_text text, OUT document jsonb, OUT alteration text) RETURNS record
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.repair_json(p_text text, OUT document jsonb, OUT alteration text) IS 'Mends JSON text that jsonb cannot hold, as little as possible';

CREATE FUNCTION p2p.replace_table(p_old regclass, p_new regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET check_function_bodies TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.replace_table(p_old regclass, p_new regclass) IS 'Puts one table in the place of another, with all that stands on it; used by the migrate command';

CREATE FUNCTION p2p.replay_batch(p_batch_id uuid) RETURNS TABLE(status text, offers integer, rows_written bigint, error_summary text)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.replay_batch(p_batch_id uuid) IS 'load_batch again, and how many rows that wrote';

CREATE FUNCTION p2p.replay_quarantine(p_batch_id uuid, p_reason text DEFAULT NULL::text) RETURNS TABLE(repaired bigint, still_rejected bigint, status text)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.replay_quarantine(p_batch_id uuid, p_reason text) IS 'Loads a batch again and counts which of its offers in quarantine were repaired by that';

CREATE FUNCTION p2p.replayable_batches(p_batch_ids uuid[] DEFAULT NULL::uuid[], p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_until timestamp with time zone DEFAULT NULL::timestamp with time zone, p_last integer DEFAULT NULL::integer, p_all boolean DEFAULT false) RETURNS TABLE(batch_id uuid, batch_start_time timestamp with time zone, status text, offers integer, pages bigint, obstacle text, is_current boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.replayable_batches(p_batch_ids uuid[], p_since timestamp with time zone, p_until timestamp with time zone, p_last integer, p_all boolean) IS 'Batches that p2p-ingest replay takes, and what stands against it';

CREATE FUNCTION p2p.require_in_quarantine(p_reason text, p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.require_in_quarantine(p_reason text, p_batch_id uuid) IS 'Refuses reasons and batches that the quarantine does not know';

CREATE FUNCTION p2p.reread_definitions() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.reread_definitions() IS 'Reads definitions anew after an upgrade of PostgreSQL, or of release 0.1.0; used by the migrate command';

CREATE FUNCTION p2p.resolve_incident(p_kind text, p_subject text, p_message text, p_is_told boolean DEFAULT false) RETURNS boolean
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.resolve_incident(p_kind text, p_subject text, p_message text, p_is_told boolean) IS 'Ends an incident; false where none is open';

CREATE FUNCTION p2p.restore_object(p_name text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.restore_object(p_name text) IS 'Puts a function or view back to the shipped text';

CREATE FUNCTION p2p.retire_objects(p_shipped text[], p_program_version text) RETURNS TABLE(object_name text, outcome text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.retire_objects(p_shipped text[], p_program_version text) IS 'Drops what a release no longer has; used by the migrate command';

CREATE FUNCTION p2p.rewrite_advertiser_history(p_time timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.rewrite_advertiser_history(p_time timestamp with time zone) IS 'Part of load_advertisers: history after a batch that was loaded late or again';

CREATE FUNCTION p2p.rows_written() RETURNS bigint
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.rows_written() IS 'Rows that this transaction wrote so far in tables of batches';

CREATE FUNCTION p2p.rule_broken_references(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.rule_broken_references(p_batch_id uuid) IS 'Quality rule: facts that point at a missing dimension row';

CREATE FUNCTION p2p.rule_completeness(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.rule_completeness(p_batch_id uuid) IS 'Quality rule: share of the planned markets that were fetched whole';

CREATE FUNCTION p2p.rule_crossed_median(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    SET enable_nestloop TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.rule_crossed_median(p_batch_id uuid) IS 'Quality rule: pairs of books whose medians are crossed';

CREATE FUNCTION p2p.rule_duplicate_offers(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    SET enable_indexscan TO 'off'
    SET enable_sort TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.rule_duplicate_offers(p_batch_id uuid) IS 'Quality rule: ads that stand in the snapshot more than once';

CREATE FUNCTION p2p.rule_function(p_qualified_name text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.rule_function(p_qualified_name text) IS 'The function of a quality rule, NULL where it is gone';

CREATE FUNCTION p2p.rule_needed_keys(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.rule_needed_keys(p_batch_id uuid) IS 'Quality rule: keys that a parser needs and does not get';

CREATE FUNCTION p2p.rule_price_anomaly(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.rule_price_anomaly(p_batch_id uuid) IS 'Quality rule: median of a book against its own last hours';

CREATE FUNCTION p2p.rule_promoted_share(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    SET enable_indexscan TO 'off'
    SET enable_sort TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.rule_promoted_share(p_batch_id uuid) IS 'Quality rule: share of promoted offers in the larger books';

CREATE FUNCTION p2p.rule_rejected_share(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    SET enable_indexscan TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.rule_rejected_share(p_batch_id uuid) IS 'Quality rule: share of the items that could not be offers';

CREATE FUNCTION p2p.rule_sql_drift(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.rule_sql_drift(p_batch_id uuid) IS 'Quality rule: functions and views changed live and not adopted';

CREATE FUNCTION p2p.rule_stale_timestamps(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.rule_stale_timestamps(p_batch_id uuid) IS 'Quality rule: pages whose time does not fit their batch';

CREATE FUNCTION p2p.rule_temporal_consistency(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.rule_temporal_consistency(p_batch_id uuid) IS 'Quality rule: facts whose times contradict each other';

CREATE FUNCTION p2p.rule_volume_drop(p_batch_id uuid) RETURNS p2p.rule_finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.rule_volume_drop(p_batch_id uuid) IS 'Quality rule: available amount of an asset against the day before';

CREATE TABLE p2p.ops_data_quality (
    quality_id bigint NOT NULL,
    batch_id uuid NOT NULL,
    check_timestamp timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    metric_name text NOT NULL,
    metric_value numeric,
    threshold_value numeric,
    passed boolean NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    result text NOT NULL,
    severity text NOT NULL,
    CONSTRAINT only_ok_passes CHECK ((passed = (result = 'ok'::text))),
    CONSTRAINT ops_data_quality_result_check CHECK ((result = ANY (ARRAY['ok'::text, 'warning'::text, 'error'::text, 'broken'::text]))),
    CONSTRAINT ops_data_quality_severity_check CHECK ((severity = ANY (ARRAY['warning'::text, 'error'::text])))
);

COMMENT ON TABLE p2p.ops_data_quality IS 'What the quality rules found, one row a batch and rule: the rules that were enabled when the batch was last checked';

COMMENT ON COLUMN p2p.ops_data_quality.metric_value IS 'NULL where there was nothing to judge, or the rule is broken: details say which';

COMMENT ON COLUMN p2p.ops_data_quality.threshold_value IS 'The threshold that was crossed; where none was, the first that would be';

COMMENT ON COLUMN p2p.ops_data_quality.details IS 'offenders: number of offending rows; samples: at most 10 of them; note or message in words';

COMMENT ON COLUMN p2p.ops_data_quality.result IS 'broken: the rule itself failed (it raised, or returned nonsense); details.message says how';

COMMENT ON COLUMN p2p.ops_data_quality.severity IS 'The most that the rule could become when it ran';

CREATE FUNCTION p2p.run_quality_checks(p_batch_id uuid) RETURNS SETOF p2p.ops_data_quality
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET jit TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.run_quality_checks(p_batch_id uuid) IS 'Step of load_batch: measures a batch by the rules of quality_rules';

CREATE TABLE p2p.quality_rules (
    name text NOT NULL,
    function text NOT NULL,
    severity text NOT NULL,
    is_bad_when text NOT NULL,
    warning_threshold numeric,
    error_threshold numeric,
    is_enabled boolean DEFAULT true NOT NULL,
    comment text NOT NULL,
    CONSTRAINT a_rule_has_the_threshold_of_its_severity CHECK (((error_threshold IS NOT NULL) OR ((severity = 'warning'::text) AND (warning_threshold IS NOT NULL)))),
    CONSTRAINT a_threshold_is_a_finite_number CHECK (((COALESCE(warning_threshold, (0)::numeric) <> ALL (ARRAY['NaN'::numeric, 'Infinity'::numeric, '-Infinity'::numeric])) AND (COALESCE(error_threshold, (0)::numeric) <> ALL (ARRAY['NaN'::numeric, 'Infinity'::numeric, '-Infinity'::numeric])))),
    CONSTRAINT a_warning_comes_before_an_error CHECK (
CASE is_bad_when
    WHEN 'above'::text THEN (warning_threshold <= error_threshold)
    ELSE (warning_threshold >= error_threshold)
END),
    CONSTRAINT quality_rules_comment_check CHECK ((comment <> ''::text)),
    CONSTRAINT quality_rules_is_bad_when_check CHECK ((is_bad_when = ANY (ARRAY['above'::text, 'below'::text]))),
    CONSTRAINT quality_rules_name_check CHECK ((name ~ '^[a-z][a-z0-9_]{0,62}$'::text)),
    CONSTRAINT quality_rules_severity_check CHECK ((severity = ANY (ARRAY['warning'::text, 'error'::text])))
);

COMMENT ON TABLE p2p.quality_rules IS 'What every loaded batch is measured by: change limits with UPDATE, add a rule with a function and INSERT';

COMMENT ON COLUMN p2p.quality_rules.name IS 'Also metric_name in ops_data_quality';

COMMENT ON COLUMN p2p.quality_rules.function IS 'A function (uuid) returning p2p.rule_finding; only reads. Unqualified names are looked for in p2p';

COMMENT ON COLUMN p2p.quality_rules.severity IS 'The most that the rule can become: warning keeps it from being an error, whatever it measures';

COMMENT ON COLUMN p2p.quality_rules.is_bad_when IS 'On which side of a threshold the metric is bad; the threshold itself is still good';

COMMENT ON COLUMN p2p.quality_rules.warning_threshold IS 'In the unit of the metric; NULL = no warning before the error';

CREATE FUNCTION p2p.run_rule(p_rule p2p.quality_rules, p_batch_id uuid) RETURNS p2p.ops_data_quality
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.run_rule(p_rule p2p.quality_rules, p_batch_id uuid) IS 'Runs one quality rule on one batch and judges what it found';

CREATE TABLE p2p.pipeline_steps (
    name text NOT NULL,
    "position" numeric NOT NULL,
    function text NOT NULL,
    is_required boolean DEFAULT false NOT NULL,
    is_enabled boolean DEFAULT true NOT NULL,
    comment text NOT NULL,
    CONSTRAINT pipeline_steps_name_check CHECK ((name ~ '^\S(.{0,98}\S)?$'::text)),
    CONSTRAINT pipeline_steps_position_check CHECK ((("position" > (0)::numeric) AND ("position" < 'Infinity'::numeric)))
);

COMMENT ON TABLE p2p.pipeline_steps IS 'What load_batch runs, in order of position: change it with INSERT, UPDATE, DELETE; the next load follows';

COMMENT ON COLUMN p2p.pipeline_steps."position" IS 'Lower ones run first; the shipped steps leave gaps for yours';

COMMENT ON COLUMN p2p.pipeline_steps.function IS 'A function that takes the batch id (uuid); stored with its schema. Steps of one load see one another''s temporary tables';

COMMENT ON COLUMN p2p.pipeline_steps.is_required IS 'A required step that fails fails the batch whole; of an optional one only its own work is undone';

COMMENT ON COLUMN p2p.pipeline_steps.is_enabled IS 'false: load_batch passes it over';

CREATE FUNCTION p2p.run_step(p_batch_id uuid, p_step p2p.pipeline_steps) RETURNS p2p.ops_batch_steps
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.run_step(p_batch_id uuid, p_step p2p.pipeline_steps) IS 'Runs one step of a load; what it raises is returned';

CREATE FUNCTION p2p.run_steps(p_batch_id uuid) RETURNS p2p.ops_batch_steps[]
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.run_steps(p_batch_id uuid) IS 'Runs the steps of a load; all of them are undone where a required one fails';

CREATE FUNCTION p2p.samples_of(p_offending_rows jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.samples_of(p_offending_rows jsonb) IS 'The first offending rows of a rule, bounded in number and bytes';

CREATE FUNCTION p2p.server_tier(OUT tier text, OUT reason text, OUT hint text) RETURNS record
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.server_tier(OUT tier text, OUT reason text, OUT hint text) IS 'The tier this database could be on, why, and what would bring it to TimescaleDB';

CREATE FUNCTION p2p.setting_number(p_name text) RETURNS numeric
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.setting_number(p_name text) IS 'The value of a setting that is a number';

CREATE FUNCTION p2p.setting_switch(p_name text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.setting_switch(p_name text) IS 'Whether a setting that is a switch is on';

CREATE FUNCTION p2p.show_quarantine(p_reason text, p_batch_id uuid, p_limit integer) RETURNS TABLE(reason text, batch_id uuid, batch_start_time timestamp with time zone, place text, rejected_at timestamp with time zone, can_be_loaded boolean, payload jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.show_quarantine(p_reason text, p_batch_id uuid, p_limit integer) IS 'Offers in quarantine by reason and batch, newest first';

CREATE FUNCTION p2p.sql_fingerprint() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.sql_fingerprint() IS 'Fingerprint of the SQL that a load would run now';

CREATE FUNCTION p2p.stage_import_page(p_import_id uuid, p_file_number integer, p_line_number bigint, p_batch_start_time timestamp with time zone, p_observed_at timestamp with time zone, p_exchange text, p_fiat text, p_asset text, p_side text, p_page_number integer, p_page_size integer, p_filtered_by text, p_parser text, p_alteration text, p_body text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.stage_import_page(p_import_id uuid, p_file_number integer, p_line_number bigint, p_batch_start_time timestamp with time zone, p_observed_at timestamp with time zone, p_exchange text, p_fiat text, p_asset text, p_side text, p_page_number integer, p_page_size integer, p_filtered_by text, p_parser text, p_alteration text, p_body text) IS 'Takes in one line of an import, to wait for its batch';

CREATE FUNCTION p2p.status_report(p_batches integer) RETURNS json
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.status_report(p_batches integer) IS 'What p2p-ingest status shows';

CREATE FUNCTION p2p.step_call(p_step p2p.pipeline_steps) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.step_call(p_step p2p.pipeline_steps) IS 'The statement that runs a step of load_batch';

CREATE FUNCTION p2p.store_imported_batch(p_import_id uuid, p_time timestamp with time zone) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.store_imported_batch(p_import_id uuid, p_time timestamp with time zone) IS 'Part of import_next_batch: stores pages as a batch of their own time';

CREATE FUNCTION p2p.store_market_list(p_exchange text, p_fiats jsonb, p_markets jsonb, p_covered text[], p_missed text[], p_now timestamp with time zone DEFAULT clock_timestamp()) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.store_market_list(p_exchange text, p_fiats jsonb, p_markets jsonb, p_covered text[], p_missed text[], p_now timestamp with time zone) IS 'Takes in fiats, assets and markets that the exchange lists';

CREATE FUNCTION p2p.store_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_offers_reported integer, p_parser text, p_observed_at timestamp with time zone, p_attempt integer, p_http_status integer, p_duration_ms integer, p_body_bytes integer, p_body_sha256 bytea, p_alteration text, p_body_original bytea, p_body text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.store_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_offers_reported integer, p_parser text, p_observed_at timestamp with time zone, p_attempt integer, p_http_status integer, p_duration_ms integer, p_body_bytes integer, p_body_sha256 bytea, p_alteration text, p_body_original bytea, p_body text) IS 'Stores one page as received and marks it done in the ledger';

CREATE FUNCTION p2p.store_payment_methods(p_exchange text, p_methods jsonb) RETURNS void
    LANGUAGE sql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.store_payment_methods(p_exchange text, p_methods jsonb) IS 'Takes in payment methods and their names';

CREATE FUNCTION p2p.store_period(p_unit text, p_starts_at timestamp with time zone, p_advertisers integer[] DEFAULT NULL::integer[]) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.store_period(p_unit text, p_starts_at timestamp with time zone, p_advertisers integer[]) IS 'Stores an hour or a day of markets and advertisers, made anew of the facts';

CREATE FUNCTION p2p.summarise_hours(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.summarise_hours(p_batch_id uuid) IS 'Step of load_batch: stores markets and advertisers of hours and days that are over';

CREATE FUNCTION p2p.take_indexes(p_old regclass, p_new regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.take_indexes(p_old regclass, p_new regclass) IS 'Gives the keys and indexes of a table to the one that takes its place; used by the migrate command';

CREATE FUNCTION p2p.take_load(p_batch_id uuid, p_worker_id text, p_give_up_reason text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.take_load(p_batch_id uuid, p_worker_id text, p_give_up_reason text) IS 'What a worker is to do that has nothing in hand any more: fetch, wait, load, or leave it to others';

CREATE FUNCTION p2p.temporary_tables() RETURNS oid[]
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.temporary_tables() IS 'Temporary tables of this session';

CREATE FUNCTION p2p.uncomment(p_identity text) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.uncomment(p_identity text) IS 'What removes the comments on a function or view; used by migrate and restore_object';

CREATE TABLE p2p.ops_batch_markets (
    batch_id uuid NOT NULL,
    market_id integer NOT NULL,
    plan_position integer NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    worker_id text,
    pages_stored integer DEFAULT 0 NOT NULL,
    lost_pages integer[] DEFAULT '{}'::integer[] NOT NULL,
    offers_reported integer,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    reason text,
    estimated_requests integer,
    CONSTRAINT ops_batch_markets_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'fetching'::text, 'complete'::text, 'incomplete'::text, 'failed'::text, 'deferred'::text, 'not_due'::text])))
)
WITH (fillfactor='70');

COMMENT ON TABLE p2p.ops_batch_markets IS 'The work queue of a batch, and afterwards its ledger: what became of every planned market';

COMMENT ON COLUMN p2p.ops_batch_markets.status IS 'complete: every page; incomplete: some pages are missing (lost_pages); failed: no page at all; deferred: there was no time for it (while finished_at is NULL there may yet be), first in line next time; not_due: it was empty for long, and not planned';

COMMENT ON COLUMN p2p.ops_batch_markets.worker_id IS 'Whose it is, or was last; NULL: nobody''s';

COMMENT ON COLUMN p2p.ops_batch_markets.offers_reported IS 'The last total the exchange gave for the market; it moves while one pages';

COMMENT ON COLUMN p2p.ops_batch_markets.estimated_requests IS 'What plan_batch thought it would take';

CREATE FUNCTION p2p.unfetched_markets(p_batch_id uuid) RETURNS SETOF p2p.ops_batch_markets
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.unfetched_markets(p_batch_id uuid) IS 'What is left of the work queue of a batch';

CREATE FUNCTION p2p.watch_incidents(p_worker_id text, p_interval_minutes integer, p_alert_on_failures integer) RETURNS TABLE(incident_id bigint, kind text, subject text, message text, is_open boolean, raised_at timestamp with time zone, lasted_seconds double precision)
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.watch_incidents(p_worker_id text, p_interval_minutes integer, p_alert_on_failures integer) IS 'Opens and ends incidents, and returns what this worker is to tell people';

CREATE FUNCTION p2p.watch_shapes(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    SET jit TO 'off'
    AS …;

COMMENT ON FUNCTION p2p.watch_shapes(p_batch_id uuid) IS 'Step of load_batch: notices keys that appear, disappear, come back or change their type';

CREATE FUNCTION p2p.watched_values(p_batch_id uuid, p_only_needed boolean) RETURNS TABLE(parser text, page_id integer, path text, parent_path text, json_type text, values_seen bigint, sample text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    SET work_mem TO '64MB'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS …;

COMMENT ON FUNCTION p2p.watched_values(p_batch_id uuid, p_only_needed boolean) IS 'What stands on the watched pages of a batch, by page, path and JSON type';

CREATE FUNCTION p2p.why_late(p_due_at timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.why_late(p_due_at timestamp with time zone) IS 'Part of join_batch: why no batch was begun at a due time';

CREATE FUNCTION p2p.worker_rights() RETURNS TABLE(table_name text, privilege text)
    LANGUAGE sql STABLE
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.worker_rights() IS 'What p2p_worker must be granted on tables and sequences';

CREATE FUNCTION p2p.workers_at_work() RETURNS SETOF p2p.ops_workers
    LANGUAGE sql STABLE ROWS 5
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.workers_at_work() IS 'Live workers that are at a batch';

CREATE FUNCTION p2p.write_imported_books(p_batch_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'p2p', 'pg_temp'
    AS …;

COMMENT ON FUNCTION p2p.write_imported_books(p_batch_id uuid) IS 'Writes the ledger of the markets that an import stored pages of';

CREATE TABLE p2p.dim_exchanges (
    exchange_id smallint NOT NULL,
    code text NOT NULL,
    name text NOT NULL
);

COMMENT ON TABLE p2p.dim_exchanges IS 'Exchanges: every fact, market and advertiser belongs to one';

CREATE TABLE p2p.ops_access_history (
    worker_id text NOT NULL,
    exchange_id smallint NOT NULL,
    noted_at timestamp with time zone NOT NULL,
    worker_name text NOT NULL,
    rate_per_minute numeric NOT NULL,
    ceiling_per_minute numeric,
    breaker text NOT NULL,
    breaker_reason text,
    requests bigint NOT NULL,
    refused bigint NOT NULL,
    requests_total bigint NOT NULL,
    refused_total bigint NOT NULL,
    CONSTRAINT ops_access_history_breaker_check CHECK ((breaker = ANY (ARRAY['closed'::text, 'open'::text, 'half_open'::text]))),
    CONSTRAINT ops_access_history_refused_check CHECK ((refused >= 0)),
    CONSTRAINT ops_access_history_requests_check CHECK ((requests >= 0))
);

COMMENT ON TABLE p2p.ops_access_history IS 'What each exchange allowed each worker, over time: a row a minute at most, and one at each change of the breaker. Read access_history';

COMMENT ON COLUMN p2p.ops_access_history.rate_per_minute IS 'Requests a minute that it sent at most';

COMMENT ON COLUMN p2p.ops_access_history.ceiling_per_minute IS 'Rate at which the exchange refused last; NULL: it never had';

COMMENT ON COLUMN p2p.ops_access_history.requests IS 'Since the row before; refused likewise';

COMMENT ON COLUMN p2p.ops_access_history.requests_total IS 'Since the worker started, as is refused_total: the next row is counted from here';

CREATE VIEW p2p.access_history AS
 SELECT h.noted_at,
    "left"(h.worker_name, 20) AS worker,
    "left"(e.code, 10) AS exchange,
    round(h.rate_per_minute) AS rate,
    round(h.ceiling_per_minute) AS ceiling,
    h.breaker,
    h.requests,
    h.refused,
    "left"(h.breaker_reason, 18) AS why
   FROM (p2p.ops_access_history h
     JOIN p2p.dim_exchanges e USING (exchange_id))
  ORDER BY h.noted_at DESC, h.worker_name, e.code;

COMMENT ON VIEW p2p.access_history IS 'What each exchange allowed each worker, by the minute and at each change of a breaker; newest first';

COMMENT ON COLUMN p2p.access_history.worker IS 'Its name: processes of one name follow each other';

COMMENT ON COLUMN p2p.access_history.rate IS 'Requests a minute that it sent at most';

COMMENT ON COLUMN p2p.access_history.ceiling IS 'Rate at which the exchange had refused last';

COMMENT ON COLUMN p2p.access_history.requests IS 'Since the row before, as is refused';

COMMENT ON COLUMN p2p.access_history.why IS 'Beginning of why the breaker is not closed';

CREATE VIEW p2p.batch_markets AS
 SELECT r.batch_start_time,
    bm.market_id,
    bm.status,
    bm.pages_stored,
    bm.offers_reported,
    "left"(bm.worker_id, 30) AS worker,
    (bm.finished_at IS NOT NULL) AS is_over
   FROM (p2p.ops_batch_runs r
     JOIN p2p.ops_batch_markets bm USING (batch_id));

COMMENT ON VIEW p2p.batch_markets IS 'What ledger tells, without names: quick, where batch_start_time = …';

COMMENT ON COLUMN p2p.batch_markets.status IS 'As in ops_batch_markets';

COMMENT ON COLUMN p2p.batch_markets.worker IS 'Whose it is, or was last; as in workers';

COMMENT ON COLUMN p2p.batch_markets.is_over IS 'False of a deferred one: there may yet be time for it';

CREATE TABLE p2p.ops_batch_loads (
    batch_id uuid NOT NULL,
    load_number integer NOT NULL,
    loaded_at timestamp with time zone NOT NULL,
    sql_set_id integer NOT NULL,
    status text NOT NULL,
    seconds numeric(10,3) NOT NULL,
    offers_changed integer NOT NULL,
    CONSTRAINT ops_batch_loads_load_number_check CHECK ((load_number > 0)),
    CONSTRAINT ops_batch_loads_status_check CHECK ((status = ANY (ARRAY['completed'::text, 'partial'::text, 'failed'::text])))
);

COMMENT ON TABLE p2p.ops_batch_loads IS 'Loads of each batch that did something new; the last one made its facts. A load that changes nothing, by the same SQL, leaves no row. Batches of release 0.1.0 have none';

COMMENT ON COLUMN p2p.ops_batch_loads.load_number IS 'From 1 for each batch';

COMMENT ON COLUMN p2p.ops_batch_loads.loaded_at IS 'When the load began';

COMMENT ON COLUMN p2p.ops_batch_loads.status IS 'Status of the batch after it';

COMMENT ON COLUMN p2p.ops_batch_loads.offers_changed IS 'Rows of fact_offers that it wrote or deleted';

CREATE VIEW p2p.batch_overview AS
 SELECT r.batch_id,
    r.batch_start_time,
    r.status,
    r.markets_completed,
    r.markets_expected,
    round(((100.0 * (r.markets_completed)::numeric) / (NULLIF(r.markets_expected, 0))::numeric), 2) AS completeness_percent,
    r.total_offers_inserted AS offers,
    r.total_offers_rejected AS rejected,
    r.total_errors AS errors,
    r.execution_time_seconds AS seconds,
    ( SELECT count(*) AS count
           FROM p2p.ops_data_quality q
          WHERE ((q.batch_id = r.batch_id) AND (NOT q.passed))) AS failed_checks,
    r.error_summary,
    ( SELECT count(*) AS count
           FROM p2p.ops_batch_steps s
          WHERE ((s.batch_id = r.batch_id) AND (s.status = 'failed'::text) AND (s.load_number = ( SELECT max(l.load_number) AS max
                   FROM p2p.ops_batch_loads l
                  WHERE (l.batch_id = r.batch_id))))) AS failed_steps,
    array_to_string(r.imported_from, ', '::text) AS imported_from,
    r.batch_end_time,
    r.fetch_until,
    r.loader_id
   FROM p2p.ops_batch_runs r;

COMMENT ON VIEW p2p.batch_overview IS 'Batches with their completeness, failed checks and failed steps; newest: order by batch_start_time desc';

COMMENT ON COLUMN p2p.batch_overview.imported_from IS 'Files that others had recorded it in; NULL: fetched here';

COMMENT ON COLUMN p2p.batch_overview.fetch_until IS 'Its deadline: from then on no market is begun';

COMMENT ON COLUMN p2p.batch_overview.loader_id IS 'Who loads it, or did; NULL while markets are fetched';

CREATE TABLE p2p.sql_set_versions (
    sql_set_id integer NOT NULL,
    version_id integer NOT NULL,
    state text NOT NULL,
    CONSTRAINT sql_set_versions_state_check CHECK ((state = ANY (ARRAY['shipped'::text, 'tuned'::text, 'drifted'::text, 'own'::text])))
);

COMMENT ON TABLE p2p.sql_set_versions IS 'What each set consists of';

COMMENT ON COLUMN p2p.sql_set_versions.state IS 'shipped: as the release has it; tuned: changed here and adopted; drifted: changed here, not adopted; own: of no release';

CREATE TABLE p2p.sql_versions (
    version_id integer NOT NULL,
    identity text NOT NULL,
    fingerprint text NOT NULL,
    definition text NOT NULL,
    first_used_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT sql_versions_check CHECK ((fingerprint = encode(sha256(convert_to(definition, 'UTF8'::name)), 'hex'::text)))
);

COMMENT ON TABLE p2p.sql_versions IS 'Every text that any function, or table of rules, had when a batch was loaded with it';

COMMENT ON COLUMN p2p.sql_versions.identity IS 'function p2p.load_offers(uuid), or rows of p2p.pipeline_steps';

COMMENT ON COLUMN p2p.sql_versions.fingerprint IS 'SHA-256 of definition';

COMMENT ON COLUMN p2p.sql_versions.definition IS 'A function as the server holds it, with its comment: it can be run to bring that version back. Of a table: its rows in force';

CREATE VIEW p2p.batch_sql AS
 SELECT r.batch_id,
    r.batch_start_time,
    l.load_number,
    v.identity,
    sv.state,
    v.fingerprint,
    v.definition
   FROM (((p2p.ops_batch_runs r
     CROSS JOIN LATERAL ( SELECT one.load_number,
            one.sql_set_id
           FROM p2p.ops_batch_loads one
          WHERE (one.batch_id = r.batch_id)
          ORDER BY one.load_number DESC
         LIMIT 1) l)
     JOIN p2p.sql_set_versions sv ON ((sv.sql_set_id = l.sql_set_id)))
     JOIN p2p.sql_versions v ON ((v.version_id = sv.version_id)));

COMMENT ON VIEW p2p.batch_sql IS 'The SQL that made the facts of each batch: where batch_id = …, one row a function, with its text';

COMMENT ON COLUMN p2p.batch_sql.load_number IS 'The newest recorded load of the batch';

CREATE TABLE p2p.dim_cryptocurrencies (
    crypto_id smallint NOT NULL,
    symbol text NOT NULL,
    name text,
    binance_asset_code text,
    is_active boolean DEFAULT true NOT NULL
);

COMMENT ON TABLE p2p.dim_cryptocurrencies IS 'Assets that are traded, e.g. USDT; an asset may bear the symbol of a fiat (RUB)';

COMMENT ON COLUMN p2p.dim_cryptocurrencies.name IS 'As the exchange describes it; NULL until it does';

CREATE TABLE p2p.dim_fiat_currencies (
    fiat_id smallint NOT NULL,
    currency_code text NOT NULL,
    currency_name text,
    country_code text,
    is_active boolean DEFAULT true NOT NULL
);

COMMENT ON TABLE p2p.dim_fiat_currencies IS 'Fiats, e.g. VES';

COMMENT ON COLUMN p2p.dim_fiat_currencies.currency_name IS 'NULL: no exchange we read gives one';

CREATE TABLE p2p.dim_markets (
    market_id integer NOT NULL,
    exchange_id smallint NOT NULL,
    fiat_id smallint NOT NULL,
    crypto_id smallint NOT NULL,
    trade_type text NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    first_listed_at timestamp with time zone NOT NULL,
    last_listed_at timestamp with time zone NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    CONSTRAINT dim_markets_trade_type_check CHECK ((trade_type = ANY (ARRAY['BUY'::text, 'SELL'::text])))
);

COMMENT ON TABLE p2p.dim_markets IS 'One book: fiat, asset and the side the taker asks for (BUY = the taker buys crypto)';

COMMENT ON COLUMN p2p.dim_markets.is_active IS 'Whether the exchange listed it at the last discovery of its fiat';

COMMENT ON COLUMN p2p.dim_markets.first_listed_at IS 'When the exchange first listed it; of a market that is known from imports alone, the time of the batch that brought it';

COMMENT ON COLUMN p2p.dim_markets.priority IS 'Yours to set: higher ones are fetched first, and in every batch; what they leave of the allowance is for the others';

CREATE TABLE p2p.fact_market_depth (
    depth_id bigint NOT NULL,
    extraction_timestamp timestamp with time zone NOT NULL,
    batch_id uuid NOT NULL,
    exchange_id smallint NOT NULL,
    crypto_id smallint NOT NULL,
    fiat_id smallint NOT NULL,
    trade_type text NOT NULL,
    is_complete boolean NOT NULL,
    total_offers_count integer NOT NULL,
    total_available_volume numeric NOT NULL,
    weighted_avg_price numeric,
    median_price numeric,
    min_price numeric,
    max_price numeric,
    price_std_dev numeric,
    top10_total_volume numeric,
    top10_avg_price numeric,
    best_bid numeric,
    best_ask numeric,
    spread_absolute numeric,
    spread_percentage numeric,
    CONSTRAINT fact_market_depth_trade_type_check CHECK ((trade_type = ANY (ARRAY['BUY'::text, 'SELL'::text])))
)
PARTITION BY RANGE (extraction_timestamp);

COMMENT ON TABLE p2p.fact_market_depth IS 'Each book of each batch in one row; promoted copies count once. A book that was fetched and found empty has a row with 0 offers';

COMMENT ON COLUMN p2p.fact_market_depth.depth_id IS 'A number of the row, from a sequence';

COMMENT ON COLUMN p2p.fact_market_depth.is_complete IS 'False where pages of the book were lost: its numbers speak of what came';

COMMENT ON COLUMN p2p.fact_market_depth.weighted_avg_price IS 'By available amount; NULL where none is available';

COMMENT ON COLUMN p2p.fact_market_depth.price_std_dev IS 'Of the population: 0 for one offer';

COMMENT ON COLUMN p2p.fact_market_depth.top10_total_volume IS 'Available in the ten offers with the best price for the taker';

COMMENT ON COLUMN p2p.fact_market_depth.top10_avg_price IS 'Plain average of the ten best prices for the taker';

COMMENT ON COLUMN p2p.fact_market_depth.best_bid IS 'Highest SELL price of the asset and fiat';

COMMENT ON COLUMN p2p.fact_market_depth.best_ask IS 'Lowest BUY price of the asset and fiat';

COMMENT ON COLUMN p2p.fact_market_depth.spread_absolute IS 'best_ask - best_bid; negative spreads are real on this market';

COMMENT ON COLUMN p2p.fact_market_depth.spread_percentage IS 'spread_absolute as a percentage of the middle between best_ask and best_bid';

CREATE VIEW p2p.best_prices AS
 WITH newest_books AS (
         SELECT m.exchange_id,
            m.fiat_id,
            m.crypto_id,
            newest.trade_type,
            newest.extraction_timestamp,
            newest.min_price,
            newest.max_price,
            newest.median_price
           FROM (p2p.dim_markets m
             CROSS JOIN LATERAL ( SELECT d.trade_type,
                    d.extraction_timestamp,
                    d.min_price,
                    d.max_price,
                    d.median_price
                   FROM p2p.fact_market_depth d
                  WHERE ((d.exchange_id = m.exchange_id) AND (d.fiat_id = m.fiat_id) AND (d.crypto_id = m.crypto_id) AND (d.trade_type = m.trade_type))
                  ORDER BY d.extraction_timestamp DESC
                 LIMIT 1) newest)
        ), pairs AS (
         SELECT b.exchange_id,
            b.fiat_id,
            b.crypto_id,
            min(b.min_price) FILTER (WHERE (b.trade_type = 'BUY'::text)) AS best_ask,
            max(b.max_price) FILTER (WHERE (b.trade_type = 'SELL'::text)) AS best_bid,
            min(b.median_price) FILTER (WHERE (b.trade_type = 'BUY'::text)) AS median_ask,
            max(b.median_price) FILTER (WHERE (b.trade_type = 'SELL'::text)) AS median_bid,
            min(b.extraction_timestamp) AS as_of
           FROM newest_books b
          GROUP BY b.exchange_id, b.fiat_id, b.crypto_id
        )
 SELECT ((f.currency_code || '/'::text) || c.symbol) AS pair,
    p.best_ask,
    p.best_bid,
    round((((200)::numeric * (p.best_ask - p.best_bid)) / (p.best_ask + p.best_bid)), 2) AS spread_percent,
    round(p.median_ask, GREATEST(scale(p.best_ask), 2)) AS median_ask,
    round(p.median_bid, GREATEST(scale(p.best_bid), 2)) AS median_bid,
    date_trunc('second'::text, (clock_timestamp() - p.as_of)) AS age,
    e.code AS exchange
   FROM (((pairs p
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
  WHERE (COALESCE(p.best_ask, p.best_bid) IS NOT NULL)
  ORDER BY f.currency_code, c.symbol;

COMMENT ON VIEW p2p.best_prices IS 'The best prices of each pair (fiat/asset) in its newest snapshot, with spread and medians';

COMMENT ON COLUMN p2p.best_prices.best_ask IS 'Lowest price to buy the asset at; NULL where nobody sells it';

COMMENT ON COLUMN p2p.best_prices.best_bid IS 'Highest price to sell the asset at; NULL where nobody buys it';

COMMENT ON COLUMN p2p.best_prices.spread_percent IS 'best_ask - best_bid, of their middle; negative ones are real on this market';

COMMENT ON COLUMN p2p.best_prices.age IS 'Since the snapshot; since the older one where the two sides are of different ones. A market that is no longer listed keeps its last';

CREATE TABLE p2p.change_log (
    change_id bigint NOT NULL,
    table_name text NOT NULL,
    row_key text NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    changed_by text DEFAULT SESSION_USER NOT NULL,
    old_row jsonb,
    new_row jsonb
);

COMMENT ON TABLE p2p.change_log IS 'Every change of a row that steers the SQL, whoever made it; see setting_changes';

COMMENT ON COLUMN p2p.change_log.changed_by IS 'The login of the session, also where it had taken another role';

COMMENT ON COLUMN p2p.change_log.old_row IS 'NULL for a new row';

COMMENT ON COLUMN p2p.change_log.new_row IS 'NULL for a deleted row';

ALTER TABLE p2p.change_log ALTER COLUMN change_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.change_log_change_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW p2p.coverage AS
 WITH newest AS (
         SELECT max(r.batch_start_time) AS batch_start_time
           FROM p2p.ops_batch_runs r
          WHERE (r.status <> 'running'::text)
        ), last_day AS (
         SELECT r.batch_id
           FROM p2p.ops_batch_runs r
          WHERE ((r.status <> 'running'::text) AND (r.batch_start_time > (( SELECT n.batch_start_time
                   FROM newest n) - '24:00:00'::interval)) AND (r.batch_start_time <= ( SELECT n.batch_start_time
                   FROM newest n)))
        )
 SELECT f.currency_code AS fiat_code,
    count(DISTINCT bm.market_id) AS markets,
    count(*) AS planned,
    count(*) FILTER (WHERE (bm.status = 'complete'::text)) AS complete,
    round(((100.0 * (count(*) FILTER (WHERE (bm.status = 'complete'::text)))::numeric) / (count(*))::numeric), 2) AS complete_percent,
    count(*) FILTER (WHERE (bm.status = 'incomplete'::text)) AS incomplete,
    count(*) FILTER (WHERE (bm.status = 'failed'::text)) AS failed,
    count(*) FILTER (WHERE (bm.status = 'deferred'::text)) AS deferred,
    count(DISTINCT bm.batch_id) AS batches,
    e.code AS exchange
   FROM ((((last_day
     JOIN p2p.ops_batch_markets bm USING (batch_id))
     JOIN p2p.dim_markets m USING (market_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
  WHERE (bm.status <> 'not_due'::text)
  GROUP BY e.code, f.currency_code
  ORDER BY (round(((100.0 * (count(*) FILTER (WHERE (bm.status = 'complete'::text)))::numeric) / (count(*))::numeric), 2)), f.currency_code;

COMMENT ON VIEW p2p.coverage IS 'What was planned and what came whole, by fiat, over the 24 hours up to the newest batch; the worst first';

COMMENT ON COLUMN p2p.coverage.planned IS 'Markets of all batches together: a market counts once a batch';

COMMENT ON COLUMN p2p.coverage.deferred IS 'The deadline came first; first in line in the batch after';

CREATE TABLE p2p.settings (
    name text NOT NULL,
    value text NOT NULL,
    kind text NOT NULL,
    minimum numeric,
    maximum numeric,
    unit text,
    comment text NOT NULL,
    is_shipped boolean DEFAULT false NOT NULL,
    CONSTRAINT settings_comment_check CHECK ((comment <> ''::text)),
    CONSTRAINT settings_kind_check CHECK ((kind = ANY (ARRAY['switch'::text, 'number'::text]))),
    CONSTRAINT settings_number_has_limits CHECK (((kind = 'number'::text) = ((minimum IS NOT NULL) AND (maximum IS NOT NULL) AND (unit IS NOT NULL)))),
    CONSTRAINT settings_value_fits CHECK (
CASE kind
    WHEN 'switch'::text THEN (value = ANY (ARRAY['on'::text, 'off'::text]))
    WHEN 'number'::text THEN
    CASE
        WHEN ((value ~ '^-?\d+(\.\d+)?$'::text) AND (length(value) <= 30)) THEN (((value)::numeric >= minimum) AND ((value)::numeric <= maximum))
        ELSE false
    END
    ELSE NULL::boolean
END)
);

COMMENT ON TABLE p2p.settings IS 'What may be tuned, read at each batch: update p2p.settings set value = … where name = …';

COMMENT ON COLUMN p2p.settings.value IS 'on or off for a switch; a number between minimum and maximum';

COMMENT ON COLUMN p2p.settings.is_shipped IS 'Read by functions of the release, so that it cannot be deleted; false for those of your own functions';

CREATE VIEW p2p.current_settings AS
 SELECT s.name,
    s.value,
        CASE s.kind
            WHEN 'number'::text THEN format('%s to %s %s'::text, s.minimum, s.maximum, s.unit)
            ELSE 'on, off'::text
        END AS allowed,
    "left"(s.comment, 56) AS comment
   FROM p2p.settings s
  ORDER BY s.name;

COMMENT ON VIEW p2p.current_settings IS 'What may be tuned, with its value and what it may be; change it in table settings';

CREATE TABLE p2p.sql_sets (
    sql_set_id integer NOT NULL,
    fingerprint text NOT NULL,
    first_used_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE p2p.sql_sets IS 'All the SQL of one moment; every recorded load names one';

COMMENT ON COLUMN p2p.sql_sets.fingerprint IS 'SHA-256 of the identities, fingerprints and states of its versions';

CREATE TABLE p2p.stg_responses (
    extraction_timestamp timestamp with time zone NOT NULL,
    market_id integer NOT NULL,
    page_number integer NOT NULL,
    batch_id uuid NOT NULL,
    observed_at timestamp with time zone NOT NULL,
    attempt smallint,
    http_status smallint,
    duration_ms integer,
    body_bytes integer NOT NULL,
    body_sha256 bytea NOT NULL,
    parser text NOT NULL,
    alteration text,
    body_original bytea,
    body jsonb NOT NULL,
    stored_sha256 bytea
)
PARTITION BY RANGE (extraction_timestamp);
ALTER TABLE ONLY p2p.stg_responses ALTER COLUMN body SET COMPRESSION lz4;

COMMENT ON TABLE p2p.stg_responses IS 'Search pages as received, one row a page';

COMMENT ON COLUMN p2p.stg_responses.extraction_timestamp IS 'batch_start_time of the batch';

COMMENT ON COLUMN p2p.stg_responses.observed_at IS 'When the page came';

COMMENT ON COLUMN p2p.stg_responses.attempt IS 'Which try it was, from 1; NULL for an imported page, as are http_status and duration_ms';

COMMENT ON COLUMN p2p.stg_responses.body_bytes IS 'Size of the body after decompression';

COMMENT ON COLUMN p2p.stg_responses.body_sha256 IS 'SHA-256 of the body exactly as received';

COMMENT ON COLUMN p2p.stg_responses.parser IS 'Which reading of the body applies: p2p.parse_<parser>(batch_id)';

COMMENT ON COLUMN p2p.stg_responses.alteration IS 'Why body is not what was received, where jsonb cannot hold that; NULL otherwise';

COMMENT ON COLUMN p2p.stg_responses.body_original IS 'The bytes as received, where body had to be altered';

COMMENT ON COLUMN p2p.stg_responses.stored_sha256 IS 'SHA-256 of body as text, taken when it was stored: check_pages computes it again. NULL for pages of release 0.1.0';

CREATE VIEW p2p.depth_origin AS
 SELECT fiat.currency_code AS fiat_code,
    crypto.symbol AS crypto_symbol,
    d.trade_type,
    d.extraction_timestamp,
    d.batch_id,
    m.market_id,
    page.pages,
    page.body_sha256,
    l.load_number,
    l.loaded_at,
    "left"(v.fingerprint, 12) AS depth_fingerprint,
    sv.state AS depth_state,
    "left"(t.fingerprint, 12) AS set_fingerprint,
    l.sql_set_id,
    e.code AS exchange
   FROM ((((((((p2p.fact_market_depth d
     JOIN p2p.dim_markets m USING (exchange_id, fiat_id, crypto_id, trade_type))
     JOIN p2p.dim_fiat_currencies fiat USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies crypto USING (crypto_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
     CROSS JOIN LATERAL ( SELECT count(*) AS pages,
            array_agg(encode(s.body_sha256, 'hex'::text) ORDER BY s.page_number) AS body_sha256
           FROM p2p.stg_responses s
          WHERE ((s.extraction_timestamp = d.extraction_timestamp) AND (s.market_id = m.market_id))) page)
     LEFT JOIN p2p.ops_batch_loads l ON (((l.batch_id = d.batch_id) AND (NOT (EXISTS ( SELECT
           FROM p2p.ops_batch_loads newer
          WHERE ((newer.batch_id = l.batch_id) AND (newer.load_number > l.load_number))))))))
     LEFT JOIN p2p.sql_sets t ON ((t.sql_set_id = l.sql_set_id)))
     LEFT JOIN (p2p.sql_set_versions sv
     JOIN p2p.sql_versions v ON ((v.version_id = sv.version_id))) ON (((sv.sql_set_id = l.sql_set_id) AND (v.identity = 'function p2p.load_depth(uuid)'::text))));

COMMENT ON VIEW p2p.depth_origin IS 'Where each row of fact_market_depth comes from: the pages of its book, their checksums, and the SQL that counted them. Give it an extraction_timestamp';

COMMENT ON COLUMN p2p.depth_origin.body_sha256 IS 'Of the pages as received, in their order; NULL where they are no longer kept';

COMMENT ON COLUMN p2p.depth_origin.depth_fingerprint IS 'Of load_depth: see sql_history, batch_sql';

CREATE TABLE p2p.dim_advertisers (
    advertiser_sk integer NOT NULL,
    exchange_id smallint NOT NULL,
    advertiser_id text NOT NULL,
    nickname text,
    is_merchant boolean,
    user_type text,
    user_grade integer,
    user_identity text,
    vip_level integer,
    registration_days integer,
    effective_date timestamp with time zone NOT NULL,
    expiration_date timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    is_current boolean GENERATED ALWAYS AS ((expiration_date = 'infinity'::timestamp with time zone)) STORED NOT NULL,
    CONSTRAINT dim_advertisers_check CHECK ((effective_date < expiration_date))
);

COMMENT ON TABLE p2p.dim_advertisers IS 'Who advertises, one row for each identity they have had (SCD-2). An advertiser who stays away keeps their row: absence from a batch is not deletion';

COMMENT ON COLUMN p2p.dim_advertisers.advertiser_id IS 'The exchange''s number for the person; stays the same through renames';

COMMENT ON COLUMN p2p.dim_advertisers.registration_days IS 'Days since registration when the row was made; the exchange stopped giving it before 2026';

COMMENT ON COLUMN p2p.dim_advertisers.effective_date IS 'Time of the first batch that saw this identity';

COMMENT ON COLUMN p2p.dim_advertisers.expiration_date IS 'Time of the first batch that saw another one; infinity for the current row';

ALTER TABLE p2p.dim_advertisers ALTER COLUMN advertiser_sk ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_advertisers_advertiser_sk_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE p2p.dim_cryptocurrencies ALTER COLUMN crypto_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_cryptocurrencies_crypto_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE p2p.dim_exchanges ALTER COLUMN exchange_id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME p2p.dim_exchanges_exchange_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE p2p.dim_fiat_currencies ALTER COLUMN fiat_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_fiat_currencies_fiat_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE p2p.dim_markets ALTER COLUMN market_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_markets_market_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.dim_offers (
    offer_id bigint NOT NULL,
    exchange_id smallint NOT NULL,
    offer_external_id text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE p2p.dim_offers IS 'Our number for each ad. Exchanges number ads beyond 2^63, so that theirs is text';

ALTER TABLE p2p.dim_offers ALTER COLUMN offer_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_offers_offer_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.dim_payment_methods (
    payment_method_id integer NOT NULL,
    exchange_id smallint NOT NULL,
    method_code text NOT NULL,
    method_name text,
    category text,
    description text,
    is_active boolean DEFAULT true NOT NULL
);

COMMENT ON TABLE p2p.dim_payment_methods IS 'Ways to pay, by the exchange''s own identifier';

COMMENT ON COLUMN p2p.dim_payment_methods.category IS 'NULL: the exchange does not group them; yours to fill';

ALTER TABLE p2p.dim_payment_methods ALTER COLUMN payment_method_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_payment_methods_payment_method_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.dim_payment_sets (
    payment_set_id integer NOT NULL,
    payment_method_ids integer[] NOT NULL
);

COMMENT ON TABLE p2p.dim_payment_sets IS 'Distinct lists of payment methods, in the order of the ad (the first is the primary one). An offer stores the number of its list: 4 bytes instead of one row a method';

ALTER TABLE p2p.dim_payment_sets ALTER COLUMN payment_set_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.dim_payment_sets_payment_set_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.dropped_facts (
    table_name text NOT NULL,
    dropped_before timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    dropped_at timestamp with time zone,
    held_up_since timestamp with time zone,
    held_up_by text
);

COMMENT ON TABLE p2p.dropped_facts IS 'Up to when rows were dropped because they were old enough, and what kept some from being dropped; see drop_older';

COMMENT ON COLUMN p2p.dropped_facts.dropped_before IS 'Rows before this time are gone, but for those of batches that were loaded later';

COMMENT ON COLUMN p2p.dropped_facts.held_up_since IS 'Since when something that is old enough could not be dropped; NULL where nothing waits';

COMMENT ON COLUMN p2p.dropped_facts.held_up_by IS 'Why';

CREATE SEQUENCE p2p.fact_market_depth_depth_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE p2p.fact_market_depth_depth_id_seq OWNED BY p2p.fact_market_depth.depth_id;

CREATE TABLE p2p.fact_offers (
    extraction_timestamp timestamp with time zone NOT NULL,
    offer_id bigint NOT NULL,
    observed_at timestamp with time zone NOT NULL,
    batch_id uuid NOT NULL,
    advertiser_sk integer NOT NULL,
    payment_set_id integer NOT NULL,
    total_orders_count integer,
    avg_response_time_seconds integer,
    payment_time_limit_minutes integer,
    exchange_id smallint NOT NULL,
    crypto_id smallint NOT NULL,
    fiat_id smallint NOT NULL,
    page_number smallint NOT NULL,
    is_promoted boolean NOT NULL,
    is_available boolean,
    trade_type text NOT NULL,
    offer_external_id text NOT NULL,
    price numeric NOT NULL,
    available_amount numeric NOT NULL,
    tradable_quantity numeric,
    min_limit numeric,
    max_limit numeric,
    completion_rate numeric,
    positive_rate numeric,
    price_float_rate numeric,
    avg_completion_time_minutes numeric,
    terms_conditions text,
    CONSTRAINT fact_offers_available_amount_check CHECK ((available_amount >= (0)::numeric)),
    CONSTRAINT fact_offers_price_check CHECK ((price > (0)::numeric)),
    CONSTRAINT fact_offers_trade_type_check CHECK ((trade_type = ANY (ARRAY['BUY'::text, 'SELL'::text])))
)
PARTITION BY RANGE (extraction_timestamp);

COMMENT ON TABLE p2p.fact_offers IS 'Every offer of every batch: a snapshot of the whole market each time';

COMMENT ON COLUMN p2p.fact_offers.extraction_timestamp IS 'batch_start_time of the batch';

COMMENT ON COLUMN p2p.fact_offers.offer_id IS 'Our number for the ad, the same in every batch (dim_offers)';

COMMENT ON COLUMN p2p.fact_offers.observed_at IS 'When the page with the offer came, to the minute; to the microsecond in stg_responses, as long as the page is kept (offer_origin)';

COMMENT ON COLUMN p2p.fact_offers.payment_set_id IS 'List of payment methods; see fact_offer_payment_methods';

COMMENT ON COLUMN p2p.fact_offers.total_orders_count IS 'Orders of the advertiser in the last 30 days';

COMMENT ON COLUMN p2p.fact_offers.avg_response_time_seconds IS 'NULL: the exchange does not send it';

COMMENT ON COLUMN p2p.fact_offers.page_number IS 'Page of stg_responses that the row was made from';

COMMENT ON COLUMN p2p.fact_offers.is_promoted IS 'Paid to be shown first';

COMMENT ON COLUMN p2p.fact_offers.is_available IS 'Whether the exchange calls the ad tradable; NULL where it does not say';

COMMENT ON COLUMN p2p.fact_offers.trade_type IS 'The side that was asked for, the taker''s: BUY = the taker buys crypto. The ad itself names the opposite';

COMMENT ON COLUMN p2p.fact_offers.price IS 'Fiat for one unit of the asset, with the digits as sent';

COMMENT ON COLUMN p2p.fact_offers.available_amount IS 'Asset that is left (surplusAmount)';

COMMENT ON COLUMN p2p.fact_offers.tradable_quantity IS 'Asset that can be traded now; below available_amount where the maker''s fee is held back';

COMMENT ON COLUMN p2p.fact_offers.min_limit IS 'Least fiat an order';

COMMENT ON COLUMN p2p.fact_offers.max_limit IS 'Most fiat an order';

COMMENT ON COLUMN p2p.fact_offers.completion_rate IS 'Percentage of orders completed in 30 days, 0 to 100';

COMMENT ON COLUMN p2p.fact_offers.positive_rate IS 'Percentage of positive feedback, 0 to 100';

COMMENT ON COLUMN p2p.fact_offers.price_float_rate IS 'NULL since the exchange stopped sending it (before 2026)';

COMMENT ON COLUMN p2p.fact_offers.avg_completion_time_minutes IS 'NULL: the exchange does not send it';

COMMENT ON COLUMN p2p.fact_offers.terms_conditions IS 'NULL since the exchange stopped sending it (before 2026)';

CREATE VIEW p2p.fact_offer_payment_methods AS
 SELECT f.offer_id,
    f.extraction_timestamp,
    method.payment_method_id,
    (method."position" = 1) AS is_primary
   FROM ((p2p.fact_offers f
     JOIN p2p.dim_payment_sets s USING (payment_set_id))
     CROSS JOIN LATERAL unnest(s.payment_method_ids) WITH ORDINALITY method(payment_method_id, "position"));

COMMENT ON VIEW p2p.fact_offer_payment_methods IS 'Payment methods of every offer of every batch, one row each; the first that the ad names is the primary one';

CREATE VIEW p2p.failed_steps AS
 SELECT r.batch_start_time,
    s.load_number,
    l.loaded_at,
    s.step,
    s.is_required,
    s.seconds,
    s.error,
    s.error_context,
    s.batch_id,
    (s.load_number = ( SELECT max(newest.load_number) AS max
           FROM p2p.ops_batch_loads newest
          WHERE (newest.batch_id = s.batch_id))) AS is_still_so
   FROM ((p2p.ops_batch_steps s
     JOIN p2p.ops_batch_loads l USING (batch_id, load_number))
     JOIN p2p.ops_batch_runs r USING (batch_id))
  WHERE (s.status = 'failed'::text)
  ORDER BY l.loaded_at DESC, s."position";

COMMENT ON VIEW p2p.failed_steps IS 'Steps of loads that failed, and why; newest first';

COMMENT ON COLUMN p2p.failed_steps.is_still_so IS 'Whether no later load of the batch was recorded';

CREATE VIEW p2p.failing_rules AS
 WITH newest AS (
         SELECT r.batch_id,
            r.batch_start_time
           FROM p2p.ops_batch_runs r
          WHERE (r.status <> 'running'::text)
          ORDER BY r.batch_start_time DESC
         LIMIT 1
        )
 SELECT q.metric_name AS rule,
    q.result,
    round(q.metric_value, 6) AS value,
    q.threshold_value AS threshold,
    date_trunc('second'::text, failing.since) AS failing_since,
    failing.batches,
    "left"((q.details)::text, 30) AS details
   FROM (((newest
     JOIN p2p.ops_data_quality q USING (batch_id))
     LEFT JOIN LATERAL ( SELECT r.batch_start_time
           FROM (p2p.ops_batch_runs r
             JOIN p2p.ops_data_quality earlier USING (batch_id))
          WHERE ((earlier.metric_name = q.metric_name) AND earlier.passed AND (r.batch_start_time > (newest.batch_start_time - '7 days'::interval)))
          ORDER BY r.batch_start_time DESC
         LIMIT 1) last_good ON (true))
     CROSS JOIN LATERAL ( SELECT min(r.batch_start_time) AS since,
            count(*) AS batches
           FROM (p2p.ops_batch_runs r
             JOIN p2p.ops_data_quality later USING (batch_id))
          WHERE ((later.metric_name = q.metric_name) AND (r.batch_start_time > COALESCE(last_good.batch_start_time, (newest.batch_start_time - '7 days'::interval))))) failing)
  WHERE (NOT q.passed)
  ORDER BY q.metric_name;

COMMENT ON VIEW p2p.failing_rules IS 'Rules that the newest batch breaks, and since when they are broken';

COMMENT ON COLUMN p2p.failing_rules.result IS 'warning, error, or broken: the rule itself failed';

COMMENT ON COLUMN p2p.failing_rules.failing_since IS 'First batch after the last that kept it; looked for in the last 7 days';

COMMENT ON COLUMN p2p.failing_rules.details IS 'Their beginning; all of them are in ops_data_quality';

CREATE VIEW p2p.freshness AS
 SELECT e.code AS exchange,
    date_trunc('second'::text, good.batch_start_time) AS last_good_batch,
    date_trunc('second'::text, (clock_timestamp() - good.batch_end_time)) AS loaded_ago,
    good.status,
    good.markets_completed,
    good.markets_expected,
    good.total_offers_inserted AS offers,
    paused.value AS paused
   FROM (((p2p.dim_exchanges e
     LEFT JOIN LATERAL ( SELECT max(newest.extraction_timestamp) AS batch_start_time
           FROM (p2p.dim_markets m
             CROSS JOIN LATERAL ( SELECT d.extraction_timestamp
                   FROM p2p.fact_market_depth d
                  WHERE ((d.exchange_id = m.exchange_id) AND (d.fiat_id = m.fiat_id) AND (d.crypto_id = m.crypto_id) AND (d.trade_type = m.trade_type))
                  ORDER BY d.extraction_timestamp DESC
                 LIMIT 1) newest)
          WHERE (m.exchange_id = e.exchange_id)) loaded ON (true))
     LEFT JOIN p2p.ops_batch_runs good ON (((good.batch_start_time = loaded.batch_start_time) AND (good.status = ANY (ARRAY['completed'::text, 'partial'::text])))))
     LEFT JOIN p2p.settings paused ON ((paused.name = 'paused'::text)))
  WHERE (EXISTS ( SELECT
           FROM p2p.dim_markets m
          WHERE (m.exchange_id = e.exchange_id)));

COMMENT ON VIEW p2p.freshness IS 'How old the newest loaded batch of each exchange is that was ever asked';

COMMENT ON COLUMN p2p.freshness.last_good_batch IS 'Its start: the time of its facts';

COMMENT ON COLUMN p2p.freshness.markets_completed IS 'Of all exchanges of the batch, as are markets_expected and offers';

COMMENT ON COLUMN p2p.freshness.paused IS 'on: no new batch is begun';

CREATE TABLE p2p.open_hours (
    hour timestamp with time zone NOT NULL,
    CONSTRAINT open_hours_hour_check CHECK ((date_trunc('hour'::text, hour, 'UTC'::text) = hour))
);

COMMENT ON TABLE p2p.open_hours IS 'Hours that are not stored: the views make them of the facts at each reading. One row, the hour of the newest batch';

CREATE VIEW p2p.from_facts_market_hours AS
 SELECT made.exchange_id,
    made.fiat_id,
    made.crypto_id,
    made.trade_type,
    o.hour,
    made.snapshots,
    made.snapshots_with_offers,
    made.best_open,
    made.best_high,
    made.best_low,
    made.best_close,
    made.median_open,
    made.median_high,
    made.median_low,
    made.median_close,
    made.min_price,
    made.max_price,
    made.price_volume_sum,
    made.volume_sum,
    made.volume_high,
    made.volume_low,
    made.spread_count,
    made.spread_sum,
    made.spread_open,
    made.spread_high,
    made.spread_low,
    made.spread_close,
    made.offers_sum,
    made.offers_max,
    made.median_count,
    made.median_sum,
    made.median_square_sum
   FROM (p2p.open_hours o
     CROSS JOIN LATERAL ( SELECT d.exchange_id,
            d.fiat_id,
            d.crypto_id,
            d.trade_type,
            count(*) AS snapshots,
            count(d.min_price) AS snapshots_with_offers,
            (array_agg(best.price ORDER BY d.extraction_timestamp) FILTER (WHERE (best.price IS NOT NULL)))[1] AS best_open,
            max(best.price) AS best_high,
            min(best.price) AS best_low,
            (array_agg(best.price ORDER BY d.extraction_timestamp DESC) FILTER (WHERE (best.price IS NOT NULL)))[1] AS best_close,
            (array_agg(d.median_price ORDER BY d.extraction_timestamp) FILTER (WHERE (d.median_price IS NOT NULL)))[1] AS median_open,
            max(d.median_price) AS median_high,
            min(d.median_price) AS median_low,
            (array_agg(d.median_price ORDER BY d.extraction_timestamp DESC) FILTER (WHERE (d.median_price IS NOT NULL)))[1] AS median_close,
            min(d.min_price) AS min_price,
            max(d.max_price) AS max_price,
            sum((d.weighted_avg_price * d.total_available_volume)) AS price_volume_sum,
            sum(d.total_available_volume) AS volume_sum,
            max(d.total_available_volume) AS volume_high,
            min(d.total_available_volume) AS volume_low,
            count(d.spread_percentage) AS spread_count,
            sum(d.spread_percentage) AS spread_sum,
            (array_agg(d.spread_percentage ORDER BY d.extraction_timestamp) FILTER (WHERE (d.spread_percentage IS NOT NULL)))[1] AS spread_open,
            max(d.spread_percentage) AS spread_high,
            min(d.spread_percentage) AS spread_low,
            (array_agg(d.spread_percentage ORDER BY d.extraction_timestamp DESC) FILTER (WHERE (d.spread_percentage IS NOT NULL)))[1] AS spread_close,
            sum(d.total_offers_count) AS offers_sum,
            max(d.total_offers_count) AS offers_max,
            count(d.median_price) AS median_count,
            sum(d.median_price) AS median_sum,
            sum((d.median_price * d.median_price)) AS median_square_sum
           FROM (p2p.fact_market_depth d
             CROSS JOIN LATERAL ( SELECT
                        CASE d.trade_type
                            WHEN 'BUY'::text THEN d.min_price
                            ELSE d.max_price
                        END AS price) best)
          WHERE ((d.extraction_timestamp >= o.hour) AND (d.extraction_timestamp < (o.hour + '01:00:00'::interval)))
          GROUP BY d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type) made);

COMMENT ON VIEW p2p.from_facts_market_hours IS 'Part of market_hours: the hours that are not stored yet, made of the books';

CREATE VIEW p2p.from_facts_merchant_hours AS
 SELECT made.exchange_id,
    made.fiat_id,
    made.crypto_id,
    made.trade_type,
    made.advertiser_sk,
    o.hour,
    made.snapshots,
    made.offers_sum,
    made.volume_sum,
    made.orders_30_days_max
   FROM (p2p.open_hours o
     CROSS JOIN LATERAL ( SELECT f.exchange_id,
            f.fiat_id,
            f.crypto_id,
            f.trade_type,
            f.advertiser_sk,
            count(DISTINCT f.extraction_timestamp) AS snapshots,
            count(*) AS offers_sum,
            sum(f.available_amount) AS volume_sum,
            max(f.total_orders_count) AS orders_30_days_max
           FROM p2p.fact_offers f
          WHERE ((f.extraction_timestamp >= o.hour) AND (f.extraction_timestamp < (o.hour + '01:00:00'::interval)))
          GROUP BY f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type, f.advertiser_sk) made);

COMMENT ON VIEW p2p.from_facts_merchant_hours IS 'Part of merchant_hours: the hours that are not stored yet, made of the offers';

CREATE TABLE p2p.open_days (
    day timestamp with time zone NOT NULL,
    CONSTRAINT open_days_day_check CHECK ((date_trunc('day'::text, day, 'UTC'::text) = day))
);

COMMENT ON TABLE p2p.open_days IS 'Days that are not stored: the views make them of the hours at each reading. One row, the day of the newest batch';

CREATE TABLE p2p.stored_market_hours (
    exchange_id smallint NOT NULL,
    fiat_id smallint NOT NULL,
    crypto_id smallint NOT NULL,
    trade_type text NOT NULL,
    hour timestamp with time zone NOT NULL,
    snapshots bigint NOT NULL,
    snapshots_with_offers bigint NOT NULL,
    best_open numeric,
    best_high numeric,
    best_low numeric,
    best_close numeric,
    median_open numeric,
    median_high numeric,
    median_low numeric,
    median_close numeric,
    min_price numeric,
    max_price numeric,
    price_volume_sum numeric,
    volume_sum numeric NOT NULL,
    volume_high numeric NOT NULL,
    volume_low numeric NOT NULL,
    spread_count bigint NOT NULL,
    spread_sum numeric,
    spread_open numeric,
    spread_high numeric,
    spread_low numeric,
    spread_close numeric,
    offers_sum bigint NOT NULL,
    offers_max integer NOT NULL,
    median_count bigint NOT NULL,
    median_sum numeric,
    median_square_sum numeric
)
PARTITION BY RANGE (hour);

COMMENT ON TABLE p2p.stored_market_hours IS 'Markets, by hour: those that are over. Read market_hours, which has the one under way too; kept true by step summarise_hours, empty on TimescaleDB but for what it cannot make any more';

CREATE VIEW p2p.from_hours_market_days AS
 SELECT made.exchange_id,
    made.fiat_id,
    made.crypto_id,
    made.trade_type,
    o.day,
    made.snapshots,
    made.snapshots_with_offers,
    made.best_open,
    made.best_high,
    made.best_low,
    made.best_close,
    made.median_open,
    made.median_high,
    made.median_low,
    made.median_close,
    made.min_price,
    made.max_price,
    made.price_volume_sum,
    made.volume_sum,
    made.volume_high,
    made.volume_low,
    made.spread_count,
    made.spread_sum,
    made.spread_open,
    made.spread_high,
    made.spread_low,
    made.spread_close,
    made.offers_sum,
    made.offers_max,
    made.median_count,
    made.median_sum,
    made.median_square_sum
   FROM (p2p.open_days o
     CROSS JOIN LATERAL ( SELECT h.exchange_id,
            h.fiat_id,
            h.crypto_id,
            h.trade_type,
            (sum(h.snapshots))::bigint AS snapshots,
            (sum(h.snapshots_with_offers))::bigint AS snapshots_with_offers,
            (array_agg(h.best_open ORDER BY h.hour) FILTER (WHERE (h.best_open IS NOT NULL)))[1] AS best_open,
            max(h.best_high) AS best_high,
            min(h.best_low) AS best_low,
            (array_agg(h.best_close ORDER BY h.hour DESC) FILTER (WHERE (h.best_close IS NOT NULL)))[1] AS best_close,
            (array_agg(h.median_open ORDER BY h.hour) FILTER (WHERE (h.median_open IS NOT NULL)))[1] AS median_open,
            max(h.median_high) AS median_high,
            min(h.median_low) AS median_low,
            (array_agg(h.median_close ORDER BY h.hour DESC) FILTER (WHERE (h.median_close IS NOT NULL)))[1] AS median_close,
            min(h.min_price) AS min_price,
            max(h.max_price) AS max_price,
            sum(h.price_volume_sum) AS price_volume_sum,
            sum(h.volume_sum) AS volume_sum,
            max(h.volume_high) AS volume_high,
            min(h.volume_low) AS volume_low,
            (sum(h.spread_count))::bigint AS spread_count,
            sum(h.spread_sum) AS spread_sum,
            (array_agg(h.spread_open ORDER BY h.hour) FILTER (WHERE (h.spread_open IS NOT NULL)))[1] AS spread_open,
            max(h.spread_high) AS spread_high,
            min(h.spread_low) AS spread_low,
            (array_agg(h.spread_close ORDER BY h.hour DESC) FILTER (WHERE (h.spread_close IS NOT NULL)))[1] AS spread_close,
            (sum(h.offers_sum))::bigint AS offers_sum,
            max(h.offers_max) AS offers_max,
            (sum(h.median_count))::bigint AS median_count,
            sum(h.median_sum) AS median_sum,
            sum(h.median_square_sum) AS median_square_sum
           FROM ( SELECT stored_market_hours.exchange_id,
                    stored_market_hours.fiat_id,
                    stored_market_hours.crypto_id,
                    stored_market_hours.trade_type,
                    stored_market_hours.hour,
                    stored_market_hours.snapshots,
                    stored_market_hours.snapshots_with_offers,
                    stored_market_hours.best_open,
                    stored_market_hours.best_high,
                    stored_market_hours.best_low,
                    stored_market_hours.best_close,
                    stored_market_hours.median_open,
                    stored_market_hours.median_high,
                    stored_market_hours.median_low,
                    stored_market_hours.median_close,
                    stored_market_hours.min_price,
                    stored_market_hours.max_price,
                    stored_market_hours.price_volume_sum,
                    stored_market_hours.volume_sum,
                    stored_market_hours.volume_high,
                    stored_market_hours.volume_low,
                    stored_market_hours.spread_count,
                    stored_market_hours.spread_sum,
                    stored_market_hours.spread_open,
                    stored_market_hours.spread_high,
                    stored_market_hours.spread_low,
                    stored_market_hours.spread_close,
                    stored_market_hours.offers_sum,
                    stored_market_hours.offers_max,
                    stored_market_hours.median_count,
                    stored_market_hours.median_sum,
                    stored_market_hours.median_square_sum
                   FROM p2p.stored_market_hours
                UNION ALL
                 SELECT from_facts_market_hours.exchange_id,
                    from_facts_market_hours.fiat_id,
                    from_facts_market_hours.crypto_id,
                    from_facts_market_hours.trade_type,
                    from_facts_market_hours.hour,
                    from_facts_market_hours.snapshots,
                    from_facts_market_hours.snapshots_with_offers,
                    from_facts_market_hours.best_open,
                    from_facts_market_hours.best_high,
                    from_facts_market_hours.best_low,
                    from_facts_market_hours.best_close,
                    from_facts_market_hours.median_open,
                    from_facts_market_hours.median_high,
                    from_facts_market_hours.median_low,
                    from_facts_market_hours.median_close,
                    from_facts_market_hours.min_price,
                    from_facts_market_hours.max_price,
                    from_facts_market_hours.price_volume_sum,
                    from_facts_market_hours.volume_sum,
                    from_facts_market_hours.volume_high,
                    from_facts_market_hours.volume_low,
                    from_facts_market_hours.spread_count,
                    from_facts_market_hours.spread_sum,
                    from_facts_market_hours.spread_open,
                    from_facts_market_hours.spread_high,
                    from_facts_market_hours.spread_low,
                    from_facts_market_hours.spread_close,
                    from_facts_market_hours.offers_sum,
                    from_facts_market_hours.offers_max,
                    from_facts_market_hours.median_count,
                    from_facts_market_hours.median_sum,
                    from_facts_market_hours.median_square_sum
                   FROM p2p.from_facts_market_hours) h
          WHERE ((h.hour >= o.day) AND (h.hour < (o.day + '24:00:00'::interval)))
          GROUP BY h.exchange_id, h.fiat_id, h.crypto_id, h.trade_type) made);

COMMENT ON VIEW p2p.from_hours_market_days IS 'Part of market_days: the days that are not stored yet, made of the hours';

CREATE TABLE p2p.stored_merchant_hours (
    exchange_id smallint NOT NULL,
    fiat_id smallint NOT NULL,
    crypto_id smallint NOT NULL,
    trade_type text NOT NULL,
    advertiser_sk integer NOT NULL,
    hour timestamp with time zone NOT NULL,
    snapshots bigint NOT NULL,
    offers_sum bigint NOT NULL,
    volume_sum numeric NOT NULL,
    orders_30_days_max integer
)
PARTITION BY RANGE (hour);

COMMENT ON TABLE p2p.stored_merchant_hours IS 'Advertisers by market, by hour: those that are over. Read merchant_hours, which has the one under way too; kept true by step summarise_hours, empty on TimescaleDB but for what it cannot make any more';

CREATE VIEW p2p.from_hours_merchant_days AS
 SELECT made.exchange_id,
    made.fiat_id,
    made.crypto_id,
    made.trade_type,
    made.advertiser_sk,
    o.day,
    made.snapshots,
    made.offers_sum,
    made.volume_sum,
    made.orders_30_days_max
   FROM (p2p.open_days o
     CROSS JOIN LATERAL ( SELECT h.exchange_id,
            h.fiat_id,
            h.crypto_id,
            h.trade_type,
            h.advertiser_sk,
            (sum(h.snapshots))::bigint AS snapshots,
            (sum(h.offers_sum))::bigint AS offers_sum,
            sum(h.volume_sum) AS volume_sum,
            max(h.orders_30_days_max) AS orders_30_days_max
           FROM ( SELECT stored_merchant_hours.exchange_id,
                    stored_merchant_hours.fiat_id,
                    stored_merchant_hours.crypto_id,
                    stored_merchant_hours.trade_type,
                    stored_merchant_hours.advertiser_sk,
                    stored_merchant_hours.hour,
                    stored_merchant_hours.snapshots,
                    stored_merchant_hours.offers_sum,
                    stored_merchant_hours.volume_sum,
                    stored_merchant_hours.orders_30_days_max
                   FROM p2p.stored_merchant_hours
                UNION ALL
                 SELECT from_facts_merchant_hours.exchange_id,
                    from_facts_merchant_hours.fiat_id,
                    from_facts_merchant_hours.crypto_id,
                    from_facts_merchant_hours.trade_type,
                    from_facts_merchant_hours.advertiser_sk,
                    from_facts_merchant_hours.hour,
                    from_facts_merchant_hours.snapshots,
                    from_facts_merchant_hours.offers_sum,
                    from_facts_merchant_hours.volume_sum,
                    from_facts_merchant_hours.orders_30_days_max
                   FROM p2p.from_facts_merchant_hours) h
          WHERE ((h.hour >= o.day) AND (h.hour < (o.day + '24:00:00'::interval)))
          GROUP BY h.exchange_id, h.fiat_id, h.crypto_id, h.trade_type, h.advertiser_sk) made);

COMMENT ON VIEW p2p.from_hours_merchant_days IS 'Part of merchant_days: the days that are not stored yet, made of the hours';

CREATE VIEW p2p.gaps AS
 WITH newest AS (
         SELECT max(r_1.batch_start_time) AS batch_start_time
           FROM p2p.ops_batch_runs r_1
          WHERE ((r_1.status <> 'running'::text) AND (r_1.imported_from IS NULL))
        ), last_day AS (
         SELECT bm_1.market_id,
            max(r_1.batch_start_time) AS last_planned,
            count(*) FILTER (WHERE (bm_1.status <> 'complete'::text)) AS batches
           FROM (p2p.ops_batch_runs r_1
             JOIN p2p.ops_batch_markets bm_1 USING (batch_id))
          WHERE ((r_1.status <> 'running'::text) AND (r_1.imported_from IS NULL) AND (bm_1.status <> 'not_due'::text) AND (r_1.batch_start_time > (( SELECT n.batch_start_time
                   FROM newest n) - '24:00:00'::interval)) AND (r_1.batch_start_time <= ( SELECT n.batch_start_time
                   FROM newest n)))
          GROUP BY bm_1.market_id
        )
 SELECT format('%s/%s %s'::text, f.currency_code, c.symbol, m.trade_type) AS market,
    bm.status,
    date_trunc('second'::text, missed.since) AS missing_since,
    l.batches,
    "left"(array_to_string(bm.lost_pages, ','::text), 12) AS lost_pages,
    "left"(bm.reason, 23) AS why,
    e.code AS exchange
   FROM ((((((((last_day l
     JOIN p2p.ops_batch_runs r ON ((r.batch_start_time = l.last_planned)))
     JOIN p2p.ops_batch_markets bm ON (((bm.batch_id = r.batch_id) AND (bm.market_id = l.market_id))))
     JOIN p2p.dim_markets m ON (((m.market_id = l.market_id) AND m.is_active)))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_exchanges e ON ((e.exchange_id = m.exchange_id)))
     LEFT JOIN LATERAL ( SELECT d.extraction_timestamp
           FROM p2p.fact_market_depth d
          WHERE ((d.exchange_id = m.exchange_id) AND (d.fiat_id = m.fiat_id) AND (d.crypto_id = m.crypto_id) AND (d.trade_type = m.trade_type) AND d.is_complete)
          ORDER BY d.extraction_timestamp DESC
         LIMIT 1) last_whole ON (true))
     LEFT JOIN LATERAL ( SELECT min(later.batch_start_time) AS since
           FROM p2p.ops_batch_runs later
          WHERE ((later.batch_start_time > last_whole.extraction_timestamp) AND (later.imported_from IS NULL))) missed ON (true))
  WHERE ((bm.status <> 'complete'::text) AND (l.batches > 0))
  ORDER BY missed.since NULLS FIRST, (format('%s/%s %s'::text, f.currency_code, c.symbol, m.trade_type)), e.code;

COMMENT ON VIEW p2p.gaps IS 'Markets whose last plan (of the last 24 hours) was not fetched whole: what is missing now, since when, and why';

COMMENT ON COLUMN p2p.gaps.missing_since IS 'First batch after the last that had it whole; NULL where none had';

COMMENT ON COLUMN p2p.gaps.batches IS 'Batches of the last 24 hours that did not have it whole';

COMMENT ON COLUMN p2p.gaps.lost_pages IS 'Of the last of these batches';

COMMENT ON COLUMN p2p.gaps.why IS 'Its beginning; all of it is in missing_markets';

CREATE VIEW p2p.help AS
 SELECT h.to_know,
    h.look_in,
    h.query
   FROM ( VALUES ('What does it cost now?'::text,'best_prices'::text,'select * from p2p.best_prices'::text), ('… by way to pay?'::text,'prices_by_payment_method'::text,'table p2p.prices_by_payment_method limit 20'::text), ('Which offers are there now?'::text,'mv_latest_market_state'::text,'table p2p.mv_latest_market_state limit 20'::text), ('How did prices go, by hour?'::text,'market_hourly'::text,'table p2p.market_hourly limit 20'::text), ('… by day?'::text,'market_daily'::text,'table p2p.market_daily limit 20'::text), ('Average price and volume, by hour?'::text,'v_price_history'::text,'table p2p.v_price_history limit 20'::text), ('… their sums, to build views on?'::text,'market_hours'::text,'table p2p.market_hours limit 20'::text), ('… by day?'::text,'market_days'::text,'table p2p.market_days limit 20'::text), ('Who offers how much, by day?'::text,'merchant_daily'::text,'table p2p.merchant_daily limit 20'::text), ('… their sums, to build views on?'::text,'merchant_days'::text,'table p2p.merchant_days limit 20'::text), ('… by hour?'::text,'merchant_hours'::text,'table p2p.merchant_hours limit 20'::text), ('How could old offers be paid?'::text,'fact_offer_payment_methods'::text,'table p2p.fact_offer_payment_methods limit 5'::text), ('How old is the newest batch?'::text,'freshness'::text,'select * from p2p.freshness'::text), ('How did the last batches go?'::text,'batch_overview'::text,'table p2p.batch_overview limit 10'::text), ('How much came whole, by fiat?'::text,'coverage'::text,'select * from p2p.coverage'::text), ('What is missing now, why, since when?'::text,'gaps'::text,'select * from p2p.gaps'::text), ('Who fetches, and how fast?'::text,'workers'::text,'select * from p2p.workers'::text), ('… and how fast before?'::text,'access_history'::text,'table p2p.access_history limit 20'::text), ('Which due times had a batch?'::text,'schedule'::text,'table p2p.schedule limit 20'::text), ('What became of each market?'::text,'ledger'::text,'table p2p.ledger limit 20'::text), ('… in numbers, for programs?'::text,'batch_markets'::text,'table p2p.batch_markets limit 20'::text), ('What was missing in older batches?'::text,'missing_markets'::text,'table p2p.missing_markets limit 20'::text), ('What is wrong now, and was lately?'::text,'incidents'::text,'table p2p.incidents limit 20'::text), ('What went wrong last?'::text,'last_failures'::text,'table p2p.last_failures limit 20'::text), ('Which quality rules fail now?'::text,'failing_rules'::text,'select * from p2p.failing_rules'::text), ('… and what did all of them find?'::text,'rule_results'::text,'table p2p.rule_results'::text), ('Which steps of a load failed?'::text,'failed_steps'::text,'table p2p.failed_steps limit 20'::text), ('What was rejected, and why?'::text,'quarantine'::text,'select * from p2p.quarantine'::text), ('… with its original JSON?'::text,'offers_in_quarantine'::text,'table p2p.offers_in_quarantine limit 3'::text), ('What can be tuned?'::text,'current_settings'::text,'select * from p2p.current_settings'::text), ('Who changed what, and when?'::text,'setting_changes'::text,'select * from p2p.setting_changes'::text), ('Which SQL was changed here?'::text,'object_states'::text,'table p2p.object_states limit 3'::text), ('Which SQL loaded which batches?'::text,'sql_history'::text,'table p2p.sql_history limit 20'::text), ('… which text loaded a batch?'::text,'batch_sql'::text,'table p2p.batch_sql limit 20'::text), ('Where does a fact come from?'::text,'offer_origin'::text,'table p2p.offer_origin limit 5'::text), ('… a row of a book?'::text,'depth_origin'::text,'table p2p.depth_origin limit 5'::text), ('What keys do the answers have?'::text,'response_keys'::text,'table p2p.response_keys limit 20'::text), ('What changed in the answers?'::text,'shape_events'::text,'table p2p.shape_events limit 20'::text), ('How large are the tables?'::text,'table_sizes'::text,'select * from p2p.table_sizes'::text), ('… and which days are kept?'::text,'partitions'::text,'table p2p.partitions limit 20'::text), ('Can history get lost?'::text,'policy_audit'::text,'table p2p.policy_audit limit 20'::text), ('What do I want to know?'::text,'help'::text,'select * from p2p.help'::text)) h(to_know, look_in, query);

COMMENT ON VIEW p2p.help IS 'What you may want to know, and where it is: start here';

CREATE TABLE p2p.ops_incidents (
    incident_id bigint NOT NULL,
    kind text NOT NULL,
    subject text DEFAULT ''::text NOT NULL,
    message text NOT NULL,
    raised_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    raised_by text NOT NULL,
    teller text NOT NULL,
    begin_told_at timestamp with time zone,
    resolved_at timestamp with time zone,
    resolved_message text,
    end_told_at timestamp with time zone,
    CONSTRAINT ops_incidents_check CHECK ((resolved_at >= raised_at)),
    CONSTRAINT ops_incidents_kind_check CHECK ((kind ~ '^[a-z][a-z0-9_]{0,49}$'::text)),
    CONSTRAINT ops_incidents_message_check CHECK ((length(message) <= 1000)),
    CONSTRAINT ops_incidents_resolved_message_check CHECK ((length(resolved_message) <= 1000)),
    CONSTRAINT ops_incidents_subject_check CHECK ((length(subject) <= 100))
);

COMMENT ON TABLE p2p.ops_incidents IS 'What people were told of: when it began, when it was over. Read incidents';

COMMENT ON COLUMN p2p.ops_incidents.kind IS 'docs/alerts.md says of each what to do';

COMMENT ON COLUMN p2p.ops_incidents.subject IS 'Tells incidents of one kind apart, e.g. the code of an exchange; mostly empty';

COMMENT ON COLUMN p2p.ops_incidents.raised_by IS 'The worker that noticed first';

COMMENT ON COLUMN p2p.ops_incidents.teller IS 'The worker that tells people; another one takes over where it is gone before it has';

COMMENT ON COLUMN p2p.ops_incidents.begin_told_at IS 'Delivered, or given up; NULL: somebody has yet to be told. end_told_at likewise';

COMMENT ON COLUMN p2p.ops_incidents.resolved_at IS 'NULL: it is open';

CREATE VIEW p2p.incidents AS
 SELECT
        CASE
            WHEN (i.resolved_at IS NULL) THEN 'open'::text
            ELSE 'over'::text
        END AS state,
    "left"(i.kind, 17) AS kind,
    "left"(i.subject, 10) AS subject,
    date_trunc('second'::text, i.raised_at) AS since,
    date_trunc('second'::text, (COALESCE(i.resolved_at, clock_timestamp()) - i.raised_at)) AS lasted,
    "left"(i.message, 38) AS message
   FROM p2p.ops_incidents i
  ORDER BY (i.resolved_at IS NOT NULL), i.raised_at DESC, i.incident_id DESC;

COMMENT ON VIEW p2p.incidents IS 'What people were told of; open ones first. docs/alerts.md says of each kind what to do';

COMMENT ON COLUMN p2p.incidents.lasted IS 'Of an open one: until now';

COMMENT ON COLUMN p2p.incidents.message IS 'The beginning; whole, with who raised it and how it ended: ops_incidents';

CREATE TABLE p2p.ops_extraction_errors (
    error_id bigint NOT NULL,
    batch_id uuid,
    error_timestamp timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    fiat_code text,
    crypto_symbol text,
    trade_type text,
    page_number integer,
    error_type text NOT NULL,
    error_message text NOT NULL,
    stack_trace text,
    retry_count integer DEFAULT 0 NOT NULL,
    is_resolved boolean DEFAULT false NOT NULL,
    exchange_id smallint
);

COMMENT ON TABLE p2p.ops_extraction_errors IS 'Pages that were lost after all retries, and discovery calls that failed (those have no batch)';

COMMENT ON COLUMN p2p.ops_extraction_errors.retry_count IS 'Attempts after the first';

COMMENT ON COLUMN p2p.ops_extraction_errors.is_resolved IS 'Set when a later batch fetched the same market whole';

COMMENT ON COLUMN p2p.ops_extraction_errors.exchange_id IS 'Exchange that was asked';

CREATE VIEW p2p.last_failures AS
 WITH lost_pages AS (
         SELECT x.error_timestamp AS failed_at,
            COALESCE(concat_ws(' '::text, (x.fiat_code || COALESCE(('/'::text || x.crypto_symbol), ''::text)), x.trade_type, ('page '::text || x.page_number)), ''::text) AS what,
            x.error_type AS kind,
            x.error_message AS message,
            x.is_resolved,
            e.code AS exchange
           FROM (p2p.ops_extraction_errors x
             LEFT JOIN p2p.dim_exchanges e USING (exchange_id))
          ORDER BY x.error_id DESC
         LIMIT 200
        ), failed_batches AS (
         SELECT r.batch_end_time,
            ('batch of '::text || to_char((r.batch_start_time AT TIME ZONE 'UTC'::text), 'MM-DD HH24:MI'::text)) AS what,
            'batch'::text AS "?column?",
            r.error_summary,
            (EXISTS ( SELECT
                   FROM p2p.ops_batch_runs later
                  WHERE ((later.batch_start_time > r.batch_start_time) AND (later.status = ANY (ARRAY['completed'::text, 'partial'::text]))))) AS "exists",
            NULL::text AS "?column?"
           FROM p2p.ops_batch_runs r
          WHERE (r.status = 'failed'::text)
          ORDER BY r.batch_start_time DESC
         LIMIT 200
        )
 SELECT date_trunc('second'::text, a.failed_at) AS failed_at,
    NULLIF(a.what, ''::text) AS what,
    "left"(a.kind, 16) AS kind,
    "left"(a.message, 22) AS message,
    a.is_resolved AS resolved,
    a.exchange
   FROM ( SELECT lost_pages.failed_at,
            lost_pages.what,
            lost_pages.kind,
            lost_pages.message,
            lost_pages.is_resolved,
            lost_pages.exchange
           FROM lost_pages
        UNION ALL
         SELECT failed_batches.batch_end_time,
            failed_batches.what,
            failed_batches."?column?",
            failed_batches.error_summary,
            failed_batches."exists",
            failed_batches."?column?_1" AS "?column?"
           FROM failed_batches failed_batches(batch_end_time, what, "?column?", error_summary, "exists", "?column?_1")) a
  ORDER BY a.failed_at DESC
 LIMIT 200;

COMMENT ON VIEW p2p.last_failures IS 'The last 200 pages that were lost, discovery calls and batches that failed; newest first';

COMMENT ON COLUMN p2p.last_failures.message IS 'Its beginning; all of it is in ops_extraction_errors';

COMMENT ON COLUMN p2p.last_failures.resolved IS 'Whether a later batch had the market whole; of a batch, whether a later one was loaded';

COMMENT ON COLUMN p2p.last_failures.exchange IS 'NULL for a batch: it is of all exchanges';

CREATE VIEW p2p.ledger AS
 SELECT r.batch_start_time,
    "left"(e.code, 10) AS exchange,
    format('%s/%s %s'::text, f.currency_code, c.symbol, m.trade_type) AS market,
        CASE bm.status
            WHEN 'complete'::text THEN 'whole'::text
            WHEN 'incomplete'::text THEN 'partly'::text
            WHEN 'not_due'::text THEN 'not due'::text
            WHEN 'pending'::text THEN 'under way'::text
            WHEN 'fetching'::text THEN 'under way'::text
            ELSE bm.status
        END AS outcome,
    bm.pages_stored AS pages,
    "left"(array_to_string(bm.lost_pages, ','::text), 12) AS lost_pages,
    "left"(bm.reason, 25) AS why
   FROM (((((p2p.ops_batch_runs r
     JOIN p2p.ops_batch_markets bm USING (batch_id))
     JOIN p2p.dim_markets m USING (market_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
  ORDER BY r.batch_start_time DESC, bm.plan_position;

COMMENT ON VIEW p2p.ledger IS 'What became of each market in each batch: where batch_start_time = …; newest first';

COMMENT ON COLUMN p2p.ledger.outcome IS 'whole, partly (some pages are missing), failed (no page), deferred (no time for it), not due (it was empty for long), under way';

COMMENT ON COLUMN p2p.ledger.pages IS 'Stored ones';

COMMENT ON COLUMN p2p.ledger.why IS 'Its beginning; all of it is in ops_batch_markets';

CREATE TABLE p2p.stored_market_days (
    exchange_id smallint NOT NULL,
    fiat_id smallint NOT NULL,
    crypto_id smallint NOT NULL,
    trade_type text NOT NULL,
    day timestamp with time zone NOT NULL,
    snapshots bigint NOT NULL,
    snapshots_with_offers bigint NOT NULL,
    best_open numeric,
    best_high numeric,
    best_low numeric,
    best_close numeric,
    median_open numeric,
    median_high numeric,
    median_low numeric,
    median_close numeric,
    min_price numeric,
    max_price numeric,
    price_volume_sum numeric,
    volume_sum numeric NOT NULL,
    volume_high numeric NOT NULL,
    volume_low numeric NOT NULL,
    spread_count bigint NOT NULL,
    spread_sum numeric,
    spread_open numeric,
    spread_high numeric,
    spread_low numeric,
    spread_close numeric,
    offers_sum bigint NOT NULL,
    offers_max integer NOT NULL,
    median_count bigint NOT NULL,
    median_sum numeric,
    median_square_sum numeric
)
PARTITION BY RANGE (day);

COMMENT ON TABLE p2p.stored_market_days IS 'Markets, by day: those that are over. Read market_days, which has the one under way too; kept true by step summarise_hours, empty on TimescaleDB but for what it cannot make any more';

CREATE VIEW p2p.market_days AS
 SELECT stored_market_days.exchange_id,
    stored_market_days.fiat_id,
    stored_market_days.crypto_id,
    stored_market_days.trade_type,
    stored_market_days.day,
    stored_market_days.snapshots,
    stored_market_days.snapshots_with_offers,
    stored_market_days.best_open,
    stored_market_days.best_high,
    stored_market_days.best_low,
    stored_market_days.best_close,
    stored_market_days.median_open,
    stored_market_days.median_high,
    stored_market_days.median_low,
    stored_market_days.median_close,
    stored_market_days.min_price,
    stored_market_days.max_price,
    stored_market_days.price_volume_sum,
    stored_market_days.volume_sum,
    stored_market_days.volume_high,
    stored_market_days.volume_low,
    stored_market_days.spread_count,
    stored_market_days.spread_sum,
    stored_market_days.spread_open,
    stored_market_days.spread_high,
    stored_market_days.spread_low,
    stored_market_days.spread_close,
    stored_market_days.offers_sum,
    stored_market_days.offers_max,
    stored_market_days.median_count,
    stored_market_days.median_sum,
    stored_market_days.median_square_sum
   FROM p2p.stored_market_days
UNION ALL
 SELECT from_hours_market_days.exchange_id,
    from_hours_market_days.fiat_id,
    from_hours_market_days.crypto_id,
    from_hours_market_days.trade_type,
    from_hours_market_days.day,
    from_hours_market_days.snapshots,
    from_hours_market_days.snapshots_with_offers,
    from_hours_market_days.best_open,
    from_hours_market_days.best_high,
    from_hours_market_days.best_low,
    from_hours_market_days.best_close,
    from_hours_market_days.median_open,
    from_hours_market_days.median_high,
    from_hours_market_days.median_low,
    from_hours_market_days.median_close,
    from_hours_market_days.min_price,
    from_hours_market_days.max_price,
    from_hours_market_days.price_volume_sum,
    from_hours_market_days.volume_sum,
    from_hours_market_days.volume_high,
    from_hours_market_days.volume_low,
    from_hours_market_days.spread_count,
    from_hours_market_days.spread_sum,
    from_hours_market_days.spread_open,
    from_hours_market_days.spread_high,
    from_hours_market_days.spread_low,
    from_hours_market_days.spread_close,
    from_hours_market_days.offers_sum,
    from_hours_market_days.offers_max,
    from_hours_market_days.median_count,
    from_hours_market_days.median_sum,
    from_hours_market_days.median_square_sum
   FROM p2p.from_hours_market_days;

COMMENT ON VIEW p2p.market_days IS 'Each market by day (UTC) as sums and extremes, by ids: what market_daily is made of';

COMMENT ON COLUMN p2p.market_days.snapshots_with_offers IS 'Those in which the book was not empty: the others have no prices';

COMMENT ON COLUMN p2p.market_days.best_open IS 'Best price for the taker (lowest BUY, highest SELL) in the first snapshot that had offers';

COMMENT ON COLUMN p2p.market_days.price_volume_sum IS 'Sum of weighted_avg_price × total_available_volume: divided by volume_sum it is the average price';

COMMENT ON COLUMN p2p.market_days.volume_sum IS 'Available amount of all snapshots together: divide it by snapshots';

COMMENT ON COLUMN p2p.market_days.spread_count IS 'Snapshots that had a spread; spread_sum and what follows are of spread_percentage';

COMMENT ON COLUMN p2p.market_days.median_square_sum IS 'Sum of the squares of the median price: the deviation follows from it, median_sum and median_count';

CREATE TABLE p2p.stored_merchant_days (
    exchange_id smallint NOT NULL,
    fiat_id smallint NOT NULL,
    crypto_id smallint NOT NULL,
    trade_type text NOT NULL,
    advertiser_sk integer NOT NULL,
    day timestamp with time zone NOT NULL,
    snapshots bigint NOT NULL,
    offers_sum bigint NOT NULL,
    volume_sum numeric NOT NULL,
    orders_30_days_max integer
)
PARTITION BY RANGE (day);

COMMENT ON TABLE p2p.stored_merchant_days IS 'Advertisers by market, by day: those that are over. Read merchant_days, which has the one under way too; kept true by step summarise_hours, empty on TimescaleDB but for what it cannot make any more';

CREATE VIEW p2p.merchant_days AS
 SELECT stored_merchant_days.exchange_id,
    stored_merchant_days.fiat_id,
    stored_merchant_days.crypto_id,
    stored_merchant_days.trade_type,
    stored_merchant_days.advertiser_sk,
    stored_merchant_days.day,
    stored_merchant_days.snapshots,
    stored_merchant_days.offers_sum,
    stored_merchant_days.volume_sum,
    stored_merchant_days.orders_30_days_max
   FROM p2p.stored_merchant_days
UNION ALL
 SELECT from_hours_merchant_days.exchange_id,
    from_hours_merchant_days.fiat_id,
    from_hours_merchant_days.crypto_id,
    from_hours_merchant_days.trade_type,
    from_hours_merchant_days.advertiser_sk,
    from_hours_merchant_days.day,
    from_hours_merchant_days.snapshots,
    from_hours_merchant_days.offers_sum,
    from_hours_merchant_days.volume_sum,
    from_hours_merchant_days.orders_30_days_max
   FROM p2p.from_hours_merchant_days;

COMMENT ON VIEW p2p.merchant_days IS 'Each advertiser by market and day (UTC) as sums, by ids: what merchant_daily is made of';

COMMENT ON COLUMN p2p.merchant_days.snapshots IS 'Snapshots in which they had an offer there';

COMMENT ON COLUMN p2p.merchant_days.offers_sum IS 'Offers of all snapshots together: divide it by snapshots';

COMMENT ON COLUMN p2p.merchant_days.volume_sum IS 'Available amount of all snapshots together: divide it by snapshots';

CREATE VIEW p2p.market_daily AS
 SELECT e.code AS exchange,
    c.symbol AS crypto_symbol,
    f.currency_code AS fiat_code,
    m.trade_type,
    s.day AS time_bucket,
    s.snapshots,
    s.best_open,
    s.best_high,
    s.best_low,
    s.best_close,
    s.median_open,
    s.median_high,
    s.median_low,
    s.median_close,
    (s.price_volume_sum / NULLIF(s.volume_sum, (0)::numeric)) AS weighted_avg_price,
    (s.spread_sum / (NULLIF(s.spread_count, 0))::numeric) AS avg_spread_percentage,
    (s.volume_sum / (s.snapshots)::numeric) AS avg_volume,
    ((s.offers_sum)::numeric / (s.snapshots)::numeric) AS avg_offers,
    s.offers_max AS max_offers,
    s.snapshots_with_offers,
    s.min_price,
    s.max_price,
    s.volume_high,
    s.volume_low,
    s.spread_open,
    s.spread_high,
    s.spread_low,
    s.spread_close,
    people.merchants,
    people.advertisers
   FROM (((((p2p.dim_markets m
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
     CROSS JOIN LATERAL ( SELECT DISTINCT ON (h.day) h.exchange_id,
            h.fiat_id,
            h.crypto_id,
            h.trade_type,
            h.day,
            h.snapshots,
            h.snapshots_with_offers,
            h.best_open,
            h.best_high,
            h.best_low,
            h.best_close,
            h.median_open,
            h.median_high,
            h.median_low,
            h.median_close,
            h.min_price,
            h.max_price,
            h.price_volume_sum,
            h.volume_sum,
            h.volume_high,
            h.volume_low,
            h.spread_count,
            h.spread_sum,
            h.spread_open,
            h.spread_high,
            h.spread_low,
            h.spread_close,
            h.offers_sum,
            h.offers_max,
            h.median_count,
            h.median_sum,
            h.median_square_sum
           FROM p2p.market_days h
          WHERE ((h.exchange_id = m.exchange_id) AND (h.fiat_id = m.fiat_id) AND (h.crypto_id = m.crypto_id) AND (h.trade_type = m.trade_type))) s)
     LEFT JOIN LATERAL ( SELECT
                CASE
                    WHEN counted.is_known THEN counted.merchants
                    ELSE NULL::bigint
                END AS merchants,
                CASE
                    WHEN counted.is_known THEN counted.advertisers
                    ELSE NULL::bigint
                END AS advertisers
           FROM ( SELECT ((count(*) > 0) OR (s.snapshots_with_offers = 0)) AS is_known,
                    count(DISTINCT a.advertiser_id) FILTER (WHERE a.is_merchant) AS merchants,
                    count(DISTINCT a.advertiser_id) AS advertisers
                   FROM (p2p.merchant_days o
                     JOIN p2p.dim_advertisers a USING (advertiser_sk))
                  WHERE ((o.exchange_id = s.exchange_id) AND (o.fiat_id = s.fiat_id) AND (o.crypto_id = s.crypto_id) AND (o.trade_type = s.trade_type) AND (o.day = s.day))) counted) people ON (true));

COMMENT ON VIEW p2p.market_daily IS 'Each market by day (UTC): open, high, low, close of the best and the median price, spread, volume and offers';

COMMENT ON COLUMN p2p.market_daily.best_open IS 'Best price for the taker in the first snapshot of the day that had offers';

COMMENT ON COLUMN p2p.market_daily.weighted_avg_price IS 'Weighted by available amount over all snapshots of the day';

COMMENT ON COLUMN p2p.market_daily.avg_volume IS 'Available amount in a snapshot, on average';

COMMENT ON COLUMN p2p.market_daily.snapshots_with_offers IS 'Snapshots in which the book was not empty';

COMMENT ON COLUMN p2p.market_daily.min_price IS 'Lowest price of any offer; best_low is the lowest of the best prices';

COMMENT ON COLUMN p2p.market_daily.spread_open IS 'spread_percentage in the first snapshot of the day that had one; high, low and close likewise';

COMMENT ON COLUMN p2p.market_daily.merchants IS 'Distinct ones with an offer in the day, who were merchants then; NULL where that is no longer kept. Counted when it is asked for: leave it out where many days are read';

COMMENT ON COLUMN p2p.market_daily.advertisers IS 'Distinct ones with an offer in the day, merchants or not';

CREATE VIEW p2p.market_hours AS
 SELECT stored_market_hours.exchange_id,
    stored_market_hours.fiat_id,
    stored_market_hours.crypto_id,
    stored_market_hours.trade_type,
    stored_market_hours.hour,
    stored_market_hours.snapshots,
    stored_market_hours.snapshots_with_offers,
    stored_market_hours.best_open,
    stored_market_hours.best_high,
    stored_market_hours.best_low,
    stored_market_hours.best_close,
    stored_market_hours.median_open,
    stored_market_hours.median_high,
    stored_market_hours.median_low,
    stored_market_hours.median_close,
    stored_market_hours.min_price,
    stored_market_hours.max_price,
    stored_market_hours.price_volume_sum,
    stored_market_hours.volume_sum,
    stored_market_hours.volume_high,
    stored_market_hours.volume_low,
    stored_market_hours.spread_count,
    stored_market_hours.spread_sum,
    stored_market_hours.spread_open,
    stored_market_hours.spread_high,
    stored_market_hours.spread_low,
    stored_market_hours.spread_close,
    stored_market_hours.offers_sum,
    stored_market_hours.offers_max,
    stored_market_hours.median_count,
    stored_market_hours.median_sum,
    stored_market_hours.median_square_sum
   FROM p2p.stored_market_hours
UNION ALL
 SELECT from_facts_market_hours.exchange_id,
    from_facts_market_hours.fiat_id,
    from_facts_market_hours.crypto_id,
    from_facts_market_hours.trade_type,
    from_facts_market_hours.hour,
    from_facts_market_hours.snapshots,
    from_facts_market_hours.snapshots_with_offers,
    from_facts_market_hours.best_open,
    from_facts_market_hours.best_high,
    from_facts_market_hours.best_low,
    from_facts_market_hours.best_close,
    from_facts_market_hours.median_open,
    from_facts_market_hours.median_high,
    from_facts_market_hours.median_low,
    from_facts_market_hours.median_close,
    from_facts_market_hours.min_price,
    from_facts_market_hours.max_price,
    from_facts_market_hours.price_volume_sum,
    from_facts_market_hours.volume_sum,
    from_facts_market_hours.volume_high,
    from_facts_market_hours.volume_low,
    from_facts_market_hours.spread_count,
    from_facts_market_hours.spread_sum,
    from_facts_market_hours.spread_open,
    from_facts_market_hours.spread_high,
    from_facts_market_hours.spread_low,
    from_facts_market_hours.spread_close,
    from_facts_market_hours.offers_sum,
    from_facts_market_hours.offers_max,
    from_facts_market_hours.median_count,
    from_facts_market_hours.median_sum,
    from_facts_market_hours.median_square_sum
   FROM p2p.from_facts_market_hours;

COMMENT ON VIEW p2p.market_hours IS 'Each market by hour (UTC) as sums and extremes, by ids: what market_hourly and v_price_history are made of';

COMMENT ON COLUMN p2p.market_hours.snapshots_with_offers IS 'Those in which the book was not empty: the others have no prices';

COMMENT ON COLUMN p2p.market_hours.best_open IS 'Best price for the taker (lowest BUY, highest SELL) in the first snapshot that had offers';

COMMENT ON COLUMN p2p.market_hours.price_volume_sum IS 'Sum of weighted_avg_price × total_available_volume: divided by volume_sum it is the average price';

COMMENT ON COLUMN p2p.market_hours.volume_sum IS 'Available amount of all snapshots together: divide it by snapshots';

COMMENT ON COLUMN p2p.market_hours.spread_count IS 'Snapshots that had a spread; spread_sum and what follows are of spread_percentage';

COMMENT ON COLUMN p2p.market_hours.median_square_sum IS 'Sum of the squares of the median price: the deviation follows from it, median_sum and median_count';

CREATE VIEW p2p.merchant_hours AS
 SELECT stored_merchant_hours.exchange_id,
    stored_merchant_hours.fiat_id,
    stored_merchant_hours.crypto_id,
    stored_merchant_hours.trade_type,
    stored_merchant_hours.advertiser_sk,
    stored_merchant_hours.hour,
    stored_merchant_hours.snapshots,
    stored_merchant_hours.offers_sum,
    stored_merchant_hours.volume_sum,
    stored_merchant_hours.orders_30_days_max
   FROM p2p.stored_merchant_hours
UNION ALL
 SELECT from_facts_merchant_hours.exchange_id,
    from_facts_merchant_hours.fiat_id,
    from_facts_merchant_hours.crypto_id,
    from_facts_merchant_hours.trade_type,
    from_facts_merchant_hours.advertiser_sk,
    from_facts_merchant_hours.hour,
    from_facts_merchant_hours.snapshots,
    from_facts_merchant_hours.offers_sum,
    from_facts_merchant_hours.volume_sum,
    from_facts_merchant_hours.orders_30_days_max
   FROM p2p.from_facts_merchant_hours;

COMMENT ON VIEW p2p.merchant_hours IS 'Each advertiser by market and hour (UTC) as sums, by ids: distinct merchants are counted here';

COMMENT ON COLUMN p2p.merchant_hours.snapshots IS 'Snapshots in which they had an offer there';

COMMENT ON COLUMN p2p.merchant_hours.offers_sum IS 'Offers of all snapshots together: divide it by snapshots';

COMMENT ON COLUMN p2p.merchant_hours.volume_sum IS 'Available amount of all snapshots together: divide it by snapshots';

CREATE VIEW p2p.market_hourly AS
 SELECT e.code AS exchange,
    c.symbol AS crypto_symbol,
    f.currency_code AS fiat_code,
    m.trade_type,
    s.hour AS time_bucket,
    s.snapshots,
    s.best_open,
    s.best_high,
    s.best_low,
    s.best_close,
    s.median_open,
    s.median_high,
    s.median_low,
    s.median_close,
    (s.price_volume_sum / NULLIF(s.volume_sum, (0)::numeric)) AS weighted_avg_price,
    (s.spread_sum / (NULLIF(s.spread_count, 0))::numeric) AS avg_spread_percentage,
    (s.volume_sum / (s.snapshots)::numeric) AS avg_volume,
    ((s.offers_sum)::numeric / (s.snapshots)::numeric) AS avg_offers,
    s.offers_max AS max_offers,
    s.snapshots_with_offers,
    s.min_price,
    s.max_price,
    s.volume_high,
    s.volume_low,
    s.spread_open,
    s.spread_high,
    s.spread_low,
    s.spread_close,
    people.merchants,
    people.advertisers
   FROM (((((p2p.dim_markets m
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
     CROSS JOIN LATERAL ( SELECT DISTINCT ON (h.hour) h.exchange_id,
            h.fiat_id,
            h.crypto_id,
            h.trade_type,
            h.hour,
            h.snapshots,
            h.snapshots_with_offers,
            h.best_open,
            h.best_high,
            h.best_low,
            h.best_close,
            h.median_open,
            h.median_high,
            h.median_low,
            h.median_close,
            h.min_price,
            h.max_price,
            h.price_volume_sum,
            h.volume_sum,
            h.volume_high,
            h.volume_low,
            h.spread_count,
            h.spread_sum,
            h.spread_open,
            h.spread_high,
            h.spread_low,
            h.spread_close,
            h.offers_sum,
            h.offers_max,
            h.median_count,
            h.median_sum,
            h.median_square_sum
           FROM p2p.market_hours h
          WHERE ((h.exchange_id = m.exchange_id) AND (h.fiat_id = m.fiat_id) AND (h.crypto_id = m.crypto_id) AND (h.trade_type = m.trade_type))) s)
     LEFT JOIN LATERAL ( SELECT
                CASE
                    WHEN counted.is_known THEN counted.merchants
                    ELSE NULL::bigint
                END AS merchants,
                CASE
                    WHEN counted.is_known THEN counted.advertisers
                    ELSE NULL::bigint
                END AS advertisers
           FROM ( SELECT ((count(*) > 0) OR (s.snapshots_with_offers = 0)) AS is_known,
                    count(DISTINCT a.advertiser_id) FILTER (WHERE a.is_merchant) AS merchants,
                    count(DISTINCT a.advertiser_id) AS advertisers
                   FROM (p2p.merchant_hours o
                     JOIN p2p.dim_advertisers a USING (advertiser_sk))
                  WHERE ((o.exchange_id = s.exchange_id) AND (o.fiat_id = s.fiat_id) AND (o.crypto_id = s.crypto_id) AND (o.trade_type = s.trade_type) AND (o.hour = s.hour))) counted) people ON (true));

COMMENT ON VIEW p2p.market_hourly IS 'Each market by hour (UTC): open, high, low, close of the best and the median price, spread, volume and offers';

COMMENT ON COLUMN p2p.market_hourly.best_open IS 'Best price for the taker in the first snapshot of the hour that had offers';

COMMENT ON COLUMN p2p.market_hourly.weighted_avg_price IS 'Weighted by available amount over all snapshots of the hour';

COMMENT ON COLUMN p2p.market_hourly.avg_volume IS 'Available amount in a snapshot, on average';

COMMENT ON COLUMN p2p.market_hourly.snapshots_with_offers IS 'Snapshots in which the book was not empty';

COMMENT ON COLUMN p2p.market_hourly.min_price IS 'Lowest price of any offer; best_low is the lowest of the best prices';

COMMENT ON COLUMN p2p.market_hourly.spread_open IS 'spread_percentage in the first snapshot of the hour that had one; high, low and close likewise';

COMMENT ON COLUMN p2p.market_hourly.merchants IS 'Distinct ones with an offer in the hour, who were merchants then; NULL where that is no longer kept. Counted when it is asked for: leave it out where many hours are read';

COMMENT ON COLUMN p2p.market_hourly.advertisers IS 'Distinct ones with an offer in the hour, merchants or not';

CREATE VIEW p2p.merchant_daily AS
SELECT
    NULL::text AS exchange,
    NULL::text AS advertiser_id,
    NULL::text AS advertiser,
    NULL::boolean AS is_merchant,
    NULL::text AS crypto_symbol,
    NULL::text AS fiat_code,
    NULL::text AS trade_type,
    NULL::timestamp with time zone AS time_bucket,
    NULL::bigint AS snapshots,
    NULL::numeric AS avg_offers,
    NULL::numeric AS avg_volume,
    NULL::integer AS orders_30_days;

COMMENT ON VIEW p2p.merchant_daily IS 'Offers and available amount of every advertiser by market and day (UTC), under their present name';

COMMENT ON COLUMN p2p.merchant_daily.snapshots IS 'Snapshots of the day in which they had an offer';

COMMENT ON COLUMN p2p.merchant_daily.avg_volume IS 'Available amount in those snapshots, on average';

COMMENT ON COLUMN p2p.merchant_daily.orders_30_days IS 'Orders in the last 30 days, of all their markets: the highest number of the day';

CREATE VIEW p2p.missing_markets AS
 SELECT r.batch_start_time,
    f.currency_code AS fiat_code,
    c.symbol AS crypto_symbol,
    m.trade_type,
    bm.status,
    bm.reason,
    bm.lost_pages,
    bm.pages_stored,
    r.batch_id,
    e.code AS exchange
   FROM (((((p2p.ops_batch_markets bm
     JOIN p2p.ops_batch_runs r USING (batch_id))
     JOIN p2p.dim_markets m USING (market_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
  WHERE ((bm.status = ANY (ARRAY['incomplete'::text, 'failed'::text, 'deferred'::text])) AND (r.status <> 'running'::text));

COMMENT ON VIEW p2p.missing_markets IS 'Markets that a batch did not fetch whole, and why';

CREATE VIEW p2p.mv_latest_market_state AS
 WITH newest_books AS (
         SELECT m.exchange_id,
            m.fiat_id,
            m.crypto_id,
            m.trade_type,
            newest.extraction_timestamp
           FROM (p2p.dim_markets m
             CROSS JOIN LATERAL ( SELECT d.extraction_timestamp
                   FROM p2p.fact_market_depth d
                  WHERE ((d.exchange_id = m.exchange_id) AND (d.fiat_id = m.fiat_id) AND (d.crypto_id = m.crypto_id) AND (d.trade_type = m.trade_type))
                  ORDER BY d.extraction_timestamp DESC
                 LIMIT 1) newest)
        ), payment_names AS (
         SELECT s.payment_set_id,
            ARRAY( SELECT COALESCE(pm.method_name, pm.method_code) AS "coalesce"
                   FROM (unnest(s.payment_method_ids) WITH ORDINALITY method(payment_method_id, "position")
                     JOIN p2p.dim_payment_methods pm USING (payment_method_id))
                  ORDER BY method."position") AS payment_methods
           FROM p2p.dim_payment_sets s
        )
 SELECT f.offer_external_id,
    c.symbol AS crypto_symbol,
    fc.currency_code AS fiat_code,
    f.trade_type,
    a.nickname AS advertiser,
    a.is_merchant,
    f.price,
    f.available_amount,
    f.min_limit,
    f.max_limit,
    f.completion_rate,
    f.total_orders_count,
    f.extraction_timestamp,
    p.payment_methods,
    f.is_promoted,
    e.code AS exchange
   FROM ((((((newest_books b
     JOIN p2p.dim_cryptocurrencies c ON ((c.crypto_id = b.crypto_id)))
     JOIN p2p.dim_fiat_currencies fc ON ((fc.fiat_id = b.fiat_id)))
     JOIN p2p.dim_exchanges e ON ((e.exchange_id = b.exchange_id)))
     CROSS JOIN LATERAL ( SELECT o.extraction_timestamp,
            o.offer_id,
            o.observed_at,
            o.batch_id,
            o.advertiser_sk,
            o.payment_set_id,
            o.total_orders_count,
            o.avg_response_time_seconds,
            o.payment_time_limit_minutes,
            o.exchange_id,
            o.crypto_id,
            o.fiat_id,
            o.page_number,
            o.is_promoted,
            o.is_available,
            o.trade_type,
            o.offer_external_id,
            o.price,
            o.available_amount,
            o.tradable_quantity,
            o.min_limit,
            o.max_limit,
            o.completion_rate,
            o.positive_rate,
            o.price_float_rate,
            o.avg_completion_time_minutes,
            o.terms_conditions
           FROM p2p.fact_offers o
          WHERE ((o.exchange_id = b.exchange_id) AND (o.fiat_id = b.fiat_id) AND (o.crypto_id = b.crypto_id) AND (o.trade_type = b.trade_type) AND (o.extraction_timestamp = b.extraction_timestamp))
         OFFSET 0) f)
     LEFT JOIN p2p.dim_advertisers a ON ((a.advertiser_sk = f.advertiser_sk)))
     LEFT JOIN payment_names p ON ((p.payment_set_id = f.payment_set_id)));

COMMENT ON VIEW p2p.mv_latest_market_state IS 'Every offer of the newest loaded snapshot of each market. One that is no longer listed, or not fetched since, keeps its last: extraction_timestamp tells';

CREATE TABLE p2p.schema_objects (
    name text NOT NULL,
    sha256 text NOT NULL,
    body text NOT NULL,
    program_version text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    identity text,
    definition text,
    server_major integer,
    base_body text,
    base_definition text,
    base_version text,
    adopted_definition text,
    adopted_at timestamp with time zone,
    adopted_by text,
    adopted_note text
);

COMMENT ON TABLE p2p.schema_objects IS 'Every shipped function and view: the text of the release, the text its live form began from, and what was adopted. Read object_states';

COMMENT ON COLUMN p2p.schema_objects.name IS 'File below sql/';

COMMENT ON COLUMN p2p.schema_objects.body IS 'Text of the file in the release that migrated last';

COMMENT ON COLUMN p2p.schema_objects.identity IS 'The object the file makes, e.g. function p2p.load_offers(uuid); NULL for the files of bootstrap';

COMMENT ON COLUMN p2p.schema_objects.definition IS 'What the server makes of body: live objects are compared with this, not with the file';

COMMENT ON COLUMN p2p.schema_objects.server_major IS 'Version of the server that wrote the definitions: another one may write them differently';

COMMENT ON COLUMN p2p.schema_objects.base_body IS 'The shipped text that the live object was made or changed from; older than body where a changed object was kept';

COMMENT ON COLUMN p2p.schema_objects.adopted_definition IS 'The change that is meant to stay, as the server writes it; NULL where there is none';

CREATE VIEW p2p.object_states AS
 SELECT o.name,
    o.identity,
        CASE live.definition
            WHEN o.definition THEN 'shipped'::text
            WHEN o.adopted_definition THEN 'tuned'::text
            ELSE 'drifted'::text
        END AS state,
    (live.definition IS NULL) AS is_missing,
    ((live.definition IS DISTINCT FROM o.definition) AND (o.base_definition IS DISTINCT FROM o.definition)) AS has_moved_on,
    o.adopted_at,
    o.adopted_by,
    o.adopted_note,
    o.base_version,
    o.program_version AS shipped_version,
    o.server_major AS written_by,
    o.base_definition,
    o.definition AS shipped_definition,
    live.definition AS live_definition
   FROM (p2p.schema_objects o
     CROSS JOIN LATERAL ( SELECT p2p.live_definition(o.identity) AS definition
         OFFSET 0) live)
  WHERE (o.identity IS NOT NULL);

COMMENT ON VIEW p2p.object_states IS 'Every shipped function and view: as shipped, tuned (changed live and adopted) or drifted (changed live, not adopted)';

COMMENT ON COLUMN p2p.object_states.is_missing IS 'Somebody dropped it; migrate makes it again';

COMMENT ON COLUMN p2p.object_states.has_moved_on IS 'The release has another text than the one the live object was changed from: see all three with p2p-ingest sql diff';

COMMENT ON COLUMN p2p.object_states.written_by IS 'Version of PostgreSQL that wrote the definitions; after an upgrade of it, migrate reads them again';

COMMENT ON COLUMN p2p.object_states.base_definition IS 'The shipped text that the live object was changed from';

COMMENT ON COLUMN p2p.object_states.shipped_definition IS 'What the release ships now';

CREATE VIEW p2p.offer_origin AS
 SELECT f.offer_external_id,
    f.extraction_timestamp,
    f.batch_id,
    f.offer_id,
    fiat.currency_code AS fiat_code,
    crypto.symbol AS crypto_symbol,
    f.trade_type,
    m.market_id,
    f.page_number,
    COALESCE(s.observed_at, f.observed_at) AS observed_at,
    encode(s.body_sha256, 'hex'::text) AS body_sha256,
    s.parser,
    l.load_number,
    l.loaded_at,
    "left"(v.fingerprint, 12) AS parser_fingerprint,
    sv.state AS parser_state,
    "left"(t.fingerprint, 12) AS set_fingerprint,
    l.sql_set_id,
    array_to_string(r.imported_from, ', '::text) AS imported_from,
    e.code AS exchange
   FROM (((((((((p2p.fact_offers f
     JOIN p2p.dim_markets m USING (exchange_id, fiat_id, crypto_id, trade_type))
     JOIN p2p.dim_fiat_currencies fiat USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies crypto USING (crypto_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
     LEFT JOIN p2p.ops_batch_runs r ON ((r.batch_id = f.batch_id)))
     LEFT JOIN p2p.stg_responses s ON (((s.extraction_timestamp = f.extraction_timestamp) AND (s.market_id = m.market_id) AND (s.page_number = f.page_number))))
     LEFT JOIN p2p.ops_batch_loads l ON (((l.batch_id = f.batch_id) AND (NOT (EXISTS ( SELECT
           FROM p2p.ops_batch_loads newer
          WHERE ((newer.batch_id = l.batch_id) AND (newer.load_number > l.load_number))))))))
     LEFT JOIN p2p.sql_sets t ON ((t.sql_set_id = l.sql_set_id)))
     LEFT JOIN (p2p.sql_set_versions sv
     JOIN p2p.sql_versions v ON ((v.version_id = sv.version_id))) ON (((sv.sql_set_id = l.sql_set_id) AND (v.identity = (('function p2p.'::text || quote_ident(('parse_'::text || s.parser))) || '(uuid)'::text)))));

COMMENT ON VIEW p2p.offer_origin IS 'Where each row of fact_offers comes from: the page, its checksum, and the SQL that read it. Give it an extraction_timestamp, or an offer_id with one';

COMMENT ON COLUMN p2p.offer_origin.observed_at IS 'When the page came; to the minute where it is no longer kept';

COMMENT ON COLUMN p2p.offer_origin.body_sha256 IS 'Of the page as received; NULL where the page is no longer kept';

COMMENT ON COLUMN p2p.offer_origin.parser_fingerprint IS 'Of the function that read the page: see sql_history, batch_sql';

COMMENT ON COLUMN p2p.offer_origin.set_fingerprint IS 'Of all the SQL of that load';

COMMENT ON COLUMN p2p.offer_origin.imported_from IS 'Files that others had recorded its batch in; NULL: fetched here';

CREATE TABLE p2p.ops_rejected_offers (
    batch_id uuid NOT NULL,
    market_id integer NOT NULL,
    page_number integer NOT NULL,
    item_number integer NOT NULL,
    reason text NOT NULL,
    payload jsonb,
    rejected_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    discarded_at timestamp with time zone,
    discarded_by text,
    discard_note text,
    CONSTRAINT ops_rejected_offers_discarded_with_note CHECK ((((discarded_at IS NULL) = (discarded_by IS NULL)) AND ((discarded_at IS NULL) = (discard_note IS NULL))))
);

COMMENT ON TABLE p2p.ops_rejected_offers IS 'Items of stored pages that cannot be offers, with the reason and the original JSON';

COMMENT ON COLUMN p2p.ops_rejected_offers.item_number IS 'Place on the page, from 0';

COMMENT ON COLUMN p2p.ops_rejected_offers.discarded_at IS 'When somebody decided that it needs no repair: it is kept, but no longer in quarantine; NULL while it is';

COMMENT ON COLUMN p2p.ops_rejected_offers.discarded_by IS 'Login of who discarded it';

COMMENT ON COLUMN p2p.ops_rejected_offers.discard_note IS 'Why it was discarded';

CREATE VIEW p2p.offers_in_quarantine AS
 SELECT o.reason,
    r.batch_start_time,
    o.batch_id,
    format('%s/%s %s %s:%s'::text, f.currency_code, c.symbol, m.trade_type, o.page_number, o.item_number) AS place,
    f.currency_code AS fiat_code,
    c.symbol AS crypto_symbol,
    m.trade_type,
    o.market_id,
    o.page_number,
    o.item_number,
    o.rejected_at,
    (r.raw_deleted_at IS NULL) AS can_be_loaded,
    o.payload,
    e.code AS exchange
   FROM (((((p2p.ops_rejected_offers o
     JOIN p2p.ops_batch_runs r USING (batch_id))
     JOIN p2p.dim_markets m USING (market_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
  WHERE (o.discarded_at IS NULL);

COMMENT ON VIEW p2p.offers_in_quarantine IS 'Rejected offers that nobody discarded, each with its place and its original JSON';

COMMENT ON COLUMN p2p.offers_in_quarantine.place IS 'Market, page:item';

COMMENT ON COLUMN p2p.offers_in_quarantine.item_number IS 'Place on the page, from 0';

COMMENT ON COLUMN p2p.offers_in_quarantine.can_be_loaded IS 'Whether the page is still there';

ALTER TABLE p2p.ops_data_quality ALTER COLUMN quality_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.ops_data_quality_quality_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.ops_discoveries (
    exchange_id smallint NOT NULL,
    fiat_code text NOT NULL,
    discovered_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE p2p.ops_discoveries IS 'When the markets of a fiat were last read from the exchange, -infinity where that failed; fiat_code * stands for the list of all fiats';

ALTER TABLE p2p.ops_extraction_errors ALTER COLUMN error_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.ops_extraction_errors_error_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE p2p.ops_incidents ALTER COLUMN incident_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.ops_incidents_incident_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.ops_market_visits (
    market_id integer NOT NULL,
    visited_at timestamp with time zone,
    pages integer DEFAULT 1 NOT NULL,
    offers integer,
    empty_since timestamp with time zone,
    waiting_since timestamp with time zone
)
WITH (fillfactor='50');

COMMENT ON TABLE p2p.ops_market_visits IS 'What the last visit of each market found: plan_batch goes by it';

COMMENT ON COLUMN p2p.ops_market_visits.visited_at IS 'Start of the batch that last had a page of it; NULL: none yet';

COMMENT ON COLUMN p2p.ops_market_visits.pages IS 'Pages that visit took: the estimate for the next';

COMMENT ON COLUMN p2p.ops_market_visits.offers IS 'Total that the exchange gave; NULL where it gave none';

COMMENT ON COLUMN p2p.ops_market_visits.empty_since IS 'Start of the first of the visits in a row that found it empty; NULL: it had offers';

COMMENT ON COLUMN p2p.ops_market_visits.waiting_since IS 'Start of the first of the batches in a row that deferred it; NULL: the last did not';

CREATE TABLE p2p.ops_shape_events (
    event_id bigint NOT NULL,
    batch_id uuid,
    event_at timestamp with time zone NOT NULL,
    parser text NOT NULL,
    event text NOT NULL,
    path text NOT NULL,
    json_type text,
    is_needed boolean NOT NULL,
    sample text,
    CONSTRAINT ops_shape_events_event_check CHECK ((event = ANY (ARRAY['appeared'::text, 'disappeared'::text, 'new type'::text, 'came back'::text, 'too many keys'::text])))
);

COMMENT ON TABLE p2p.ops_shape_events IS 'Changes in what the exchange answers, one row a change';

COMMENT ON COLUMN p2p.ops_shape_events.batch_id IS 'NULL where the batch itself is kept no longer';

COMMENT ON COLUMN p2p.ops_shape_events.event_at IS 'Time of the batch that showed it';

COMMENT ON COLUMN p2p.ops_shape_events.json_type IS 'The type that is new, or that the key came with; of several the most frequent';

COMMENT ON COLUMN p2p.ops_shape_events.is_needed IS 'The parser needs the key (or one below it) and cannot do with this change: gone, or of a type it cannot read';

COMMENT ON COLUMN p2p.ops_shape_events.sample IS 'One value, cut at 200 characters';

ALTER TABLE p2p.ops_shape_events ALTER COLUMN event_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.ops_shape_events_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE p2p.ops_shape_watches (
    batch_id uuid NOT NULL,
    parser text NOT NULL,
    pages integer NOT NULL,
    is_late boolean NOT NULL,
    watched_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE p2p.ops_shape_watches IS 'Batches whose answers were watched, so that none counts twice';

COMMENT ON COLUMN p2p.ops_shape_watches.is_late IS 'A later batch had been watched before: this one only widened first and last times';

CREATE TABLE p2p.ops_skipped_batches (
    due_at timestamp with time zone NOT NULL,
    reason text NOT NULL,
    worker_id text,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE p2p.ops_skipped_batches IS 'Due times of the schedule that got no batch, and why';

COMMENT ON COLUMN p2p.ops_skipped_batches.worker_id IS 'Who wrote it down';

CREATE TABLE p2p.ops_worker_exchanges (
    worker_id text NOT NULL,
    exchange_id smallint NOT NULL,
    market_filter jsonb NOT NULL,
    rate_per_minute numeric NOT NULL,
    ceiling_per_minute numeric,
    paused_until timestamp with time zone,
    breaker text DEFAULT 'closed'::text NOT NULL,
    breaker_reason text,
    breaker_since timestamp with time zone,
    breaker_memory jsonb,
    requests_total bigint DEFAULT 0 NOT NULL,
    refused_total bigint DEFAULT 0 NOT NULL,
    retries_total bigint DEFAULT 0 NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT ops_worker_exchanges_breaker_check CHECK ((breaker = ANY (ARRAY['closed'::text, 'open'::text, 'half_open'::text]))),
    CONSTRAINT ops_worker_exchanges_market_filter_check CHECK ((jsonb_typeof(market_filter) = 'array'::text)),
    CONSTRAINT ops_worker_exchanges_rate_per_minute_check CHECK ((rate_per_minute >= (0)::numeric))
)
WITH (fillfactor='50');

COMMENT ON TABLE p2p.ops_worker_exchanges IS 'What each exchange allows each worker, as the worker has learned it';

COMMENT ON COLUMN p2p.ops_worker_exchanges.market_filter IS 'Markets it fetches: [{"fiat": "VES", "asset": "*"}, …]';

COMMENT ON COLUMN p2p.ops_worker_exchanges.rate_per_minute IS 'Requests a minute it sends now at most';

COMMENT ON COLUMN p2p.ops_worker_exchanges.ceiling_per_minute IS 'Rate at which the exchange refused last; NULL: it never has';

COMMENT ON COLUMN p2p.ops_worker_exchanges.paused_until IS 'The exchange asked it to wait until then';

COMMENT ON COLUMN p2p.ops_worker_exchanges.breaker IS 'open: it sends nothing; half_open: it tries whether the exchange is back';

COMMENT ON COLUMN p2p.ops_worker_exchanges.breaker_memory IS 'What the worker needs to go on with its breaker after a restart';

COMMENT ON COLUMN p2p.ops_worker_exchanges.requests_total IS 'Since the worker started, as are refused_total and retries_total';

CREATE TABLE p2p.parser_keys (
    parser text NOT NULL,
    path text NOT NULL,
    json_types text[] NOT NULL,
    comment text NOT NULL,
    CONSTRAINT parser_keys_json_types_check CHECK (((cardinality(json_types) > 0) AND (json_types <@ ARRAY['object'::text, 'array'::text, 'string'::text, 'number'::text, 'boolean'::text, 'null'::text]))),
    CONSTRAINT parser_keys_path_check CHECK (((path ~ '^[^.]+(\.[^.]+)*$'::text) AND (path !~ '\[\]$'::text)))
);

COMMENT ON TABLE p2p.parser_keys IS 'Keys that a parser needs, and the JSON types it can read: rule needed_keys alerts on them. Change it with the parser';

COMMENT ON COLUMN p2p.parser_keys.comment IS 'What is lost without the key';

CREATE TABLE p2p.partitioned_tables (
    table_name text NOT NULL,
    step text NOT NULL,
    retention_setting text,
    CONSTRAINT partitioned_tables_step_check CHECK ((step = ANY (ARRAY['day'::text, 'month'::text])))
);

COMMENT ON TABLE p2p.partitioned_tables IS 'Tables of schema p2p that are kept by day or month (UTC): make_room and apply_retention go by it';

COMMENT ON COLUMN p2p.partitioned_tables.step IS 'What one partition holds';

COMMENT ON COLUMN p2p.partitioned_tables.retention_setting IS 'Row of settings that says how many days are kept; NULL: for ever';

CREATE VIEW p2p.partitions AS
 SELECT (parent.relname)::text AS table_name,
    format('%I.%I'::text, n.nspname, c.relname) AS partition_name,
        CASE
            WHEN (bound.texts[1] = 'MINVALUE'::text) THEN '-infinity'::timestamp with time zone
            ELSE (bound.texts[1])::timestamp with time zone
        END AS starts_at,
        CASE
            WHEN (bound.texts[2] = 'MAXVALUE'::text) THEN 'infinity'::timestamp with time zone
            ELSE (bound.texts[2])::timestamp with time zone
        END AS ends_at,
    GREATEST(s.n_live_tup, (0)::bigint) AS rows_about,
    pg_size_pretty(pg_total_relation_size((c.oid)::regclass)) AS size
   FROM (((((pg_class parent
     JOIN pg_inherits i ON ((i.inhparent = parent.oid)))
     JOIN pg_class c ON ((c.oid = i.inhrelid)))
     JOIN pg_namespace n ON ((n.oid = c.relnamespace)))
     CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''?([^'')]*)''?\) TO \(''?([^'')]*)''?\)$'::text) bound(texts))
     LEFT JOIN pg_stat_user_tables s ON ((s.relid = c.oid)))
  WHERE ((parent.relnamespace = ('p2p'::regnamespace)::oid) AND (parent.relkind = 'p'::"char"))
  ORDER BY parent.relname,
        CASE
            WHEN (bound.texts[1] = 'MINVALUE'::text) THEN '-infinity'::timestamp with time zone
            ELSE (bound.texts[1])::timestamp with time zone
        END;

COMMENT ON VIEW p2p.partitions IS 'Partitions of each table that is kept by day or month, with the times they hold';

COMMENT ON COLUMN p2p.partitions.ends_at IS 'The first moment that is not in it';

COMMENT ON COLUMN p2p.partitions.rows_about IS 'As counted by the statistics of the server';

CREATE VIEW p2p.policy_audit AS
 WITH days AS (
         SELECT max((s.value)::numeric) FILTER (WHERE (s.name = 'raw_retention_days'::text)) AS raw,
            max((s.value)::numeric) FILTER (WHERE (s.name = 'offers_retention_days'::text)) AS offers,
            max((s.value)::numeric) FILTER (WHERE (s.name = 'depth_retention_days'::text)) AS depth,
            max((s.value)::numeric) FILTER (WHERE (s.name = 'partitions_ahead_days'::text)) AS ahead
           FROM p2p.settings s
          WHERE (s.kind = 'number'::text)
        ), ahead AS (
         SELECT t.table_name,
            d.ahead,
            day.at,
            (EXISTS ( SELECT
                   FROM p2p.partitions p
                  WHERE ((p.table_name = t.table_name) AND (p.starts_at <= day.at) AND (p.ends_at > day.at)))) AS is_there
           FROM ((p2p.partitioned_tables t
             CROSS JOIN days d)
             CROSS JOIN LATERAL generate_series(now(), (now() + (((d.ahead - (1)::numeric))::double precision * '1 day'::interval)), '1 day'::interval) day(at))
          WHERE (EXISTS ( SELECT
                   FROM p2p.ops_batch_runs))
        ), rules AS (
         SELECT 'offers_retention_days'::text AS subject,
            'offers are kept for 30 days or more'::text AS rule,
            (d.offers >= (30)::numeric) AS is_ok,
            format('%s days'::text, d.offers) AS finding,
            'update p2p.settings set minimum = 30, value = ''35'' where name = ''offers_retention_days'''::text AS mends
           FROM days d
        UNION ALL
         SELECT 'raw_retention_days'::text AS subject,
            'pages are not kept longer than the facts made of them'::text AS rule,
            (d.raw <= LEAST(d.offers, d.depth)),
            format('pages %s days, offers %s, books %s'::text, d.raw, d.offers, d.depth) AS format,
            format('update p2p.settings set value = ''%s'' where name = ''raw_retention_days'''::text, LEAST(d.offers, d.depth)) AS format
           FROM days d
        UNION ALL
         SELECT a.table_name,
            'partitions stand ready for days to come'::text AS rule,
            bool_and(a.is_there) AS bool_and,
                CASE
                    WHEN bool_and(a.is_there) THEN format('as far as %s'::text, to_char((max(a.at) AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD'::text))
                    ELSE format('none for %s'::text, to_char((min(a.at) FILTER (WHERE (NOT a.is_there)) AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD'::text))
                END AS format,
            format('select p2p.make_room(at) from generate_series(now(), now() + interval ''%s days'', interval ''1 day'') as at'::text, max(a.ahead)) AS format
           FROM ahead a
          GROUP BY a.table_name
        UNION ALL
         SELECT t.table_name,
            'what is old enough is dropped'::text AS rule,
            COALESCE((d.held_up_since > (now() - '1 day'::interval)), true) AS "coalesce",
                CASE
                    WHEN (d.held_up_by IS NULL) THEN 'nothing waits'::text
                    ELSE format('waits since %s: %s'::text, to_char((d.held_up_since AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD HH24:MI'::text), d.held_up_by)
                END AS format,
            'select p2p.apply_retention(null) -- when that is out of the way'::text AS mends
           FROM (p2p.partitioned_tables t
             LEFT JOIN p2p.dropped_facts d ON ((d.table_name = t.table_name)))
          WHERE (t.retention_setting IS NOT NULL)
        )
 SELECT r.subject,
    r.rule,
        CASE
            WHEN r.is_ok THEN 'ok'::text
            ELSE 'violated'::text
        END AS status,
    r.finding,
        CASE
            WHEN (NOT r.is_ok) THEN r.mends
            ELSE NULL::text
        END AS mends
   FROM rules r
  ORDER BY r.is_ok, r.subject, r.rule;

COMMENT ON VIEW p2p.policy_audit IS 'What must hold so that no history is lost: each rule, whether it does, and what mends it';

CREATE VIEW p2p.prices_by_payment_method AS
 WITH newest_books AS (
         SELECT ((((f.currency_code || '/'::text) || c.symbol) || ' '::text) || m.trade_type) AS market,
            m.exchange_id,
            m.fiat_id,
            m.crypto_id,
            m.trade_type,
            newest.extraction_timestamp
           FROM (((p2p.dim_markets m
             JOIN p2p.dim_fiat_currencies f USING (fiat_id))
             JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
             CROSS JOIN LATERAL ( SELECT d.extraction_timestamp
                   FROM p2p.fact_market_depth d
                  WHERE ((d.exchange_id = m.exchange_id) AND (d.fiat_id = m.fiat_id) AND (d.crypto_id = m.crypto_id) AND (d.trade_type = m.trade_type))
                  ORDER BY d.extraction_timestamp DESC
                 LIMIT 1) newest)
        ), prices AS (
         SELECT b.market,
            b.exchange_id,
            b.trade_type,
            method.payment_method_id,
            count(*) AS offers,
            min(o.price) AS lowest,
            max(o.price) AS highest,
            percentile_disc((0.5)::double precision) WITHIN GROUP (ORDER BY o.price) AS median_price,
            sum(o.available_amount) AS available_amount
           FROM (((newest_books b
             CROSS JOIN LATERAL ( SELECT f.price,
                    f.available_amount,
                    f.payment_set_id
                   FROM p2p.fact_offers f
                  WHERE ((f.exchange_id = b.exchange_id) AND (f.fiat_id = b.fiat_id) AND (f.crypto_id = b.crypto_id) AND (f.trade_type = b.trade_type) AND (f.extraction_timestamp = b.extraction_timestamp))
                 OFFSET 0) o)
             JOIN p2p.dim_payment_sets s USING (payment_set_id))
             CROSS JOIN LATERAL unnest(s.payment_method_ids) method(payment_method_id))
          GROUP BY b.market, b.exchange_id, b.trade_type, method.payment_method_id
        )
 SELECT p.market,
    "left"(COALESCE(pm.method_name, pm.method_code), 30) AS payment_method,
    p.offers,
        CASE p.trade_type
            WHEN 'BUY'::text THEN p.lowest
            ELSE p.highest
        END AS best_price,
    p.median_price,
    p.available_amount,
    e.code AS exchange
   FROM ((prices p
     JOIN p2p.dim_payment_methods pm USING (payment_method_id))
     JOIN p2p.dim_exchanges e ON ((e.exchange_id = p.exchange_id)));

COMMENT ON VIEW p2p.prices_by_payment_method IS 'What each way to pay costs in the newest snapshot of each market (one that is no longer listed keeps its last); an offer counts for every method it takes';

COMMENT ON COLUMN p2p.prices_by_payment_method.market IS 'e.g. VES/USDT BUY';

COMMENT ON COLUMN p2p.prices_by_payment_method.best_price IS 'Best for the taker: the lowest to BUY, the highest to SELL';

COMMENT ON COLUMN p2p.prices_by_payment_method.median_price IS 'A price that was asked: the lower one of the two in the middle';

CREATE VIEW p2p.quarantine AS
 SELECT q.reason,
    count(*) AS offers,
    count(DISTINCT q.batch_id) AS batches,
    date_trunc('second'::text, min(q.batch_start_time)) AS first_batch,
    date_trunc('second'::text, max(q.batch_start_time)) AS last_batch,
    (array_agg(q.place ORDER BY q.batch_start_time DESC, q.place))[1] AS example
   FROM p2p.offers_in_quarantine q
  GROUP BY q.reason
  ORDER BY (count(*)) DESC, q.reason;

COMMENT ON VIEW p2p.quarantine IS 'Rejected offers that nobody discarded, by reason';

COMMENT ON COLUMN p2p.quarantine.example IS 'Place of one of them in last_batch: market, page:item (items from 0)';

CREATE TABLE p2p.response_paths (
    parser text NOT NULL,
    path text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    pages_possible bigint NOT NULL,
    pages_seen bigint NOT NULL,
    pages_missed bigint NOT NULL,
    is_gone boolean NOT NULL
);

COMMENT ON TABLE p2p.response_paths IS 'Every key ever seen in the answers, and whether it still comes. Counted in watched pages; see watch_shapes and view response_keys';

COMMENT ON COLUMN p2p.response_paths.parser IS 'Which parser reads the answers, as in stg_responses';

COMMENT ON COLUMN p2p.response_paths.path IS 'The empty path is the answer itself';

COMMENT ON COLUMN p2p.response_paths.first_seen_at IS 'Time of the batch';

COMMENT ON COLUMN p2p.response_paths.pages_possible IS 'Watched pages since the key was first seen that had the object it belongs to';

COMMENT ON COLUMN p2p.response_paths.pages_seen IS 'Those of them that had the key';

COMMENT ON COLUMN p2p.response_paths.pages_missed IS 'Those in a row, up to the newest, that had it not';

COMMENT ON COLUMN p2p.response_paths.is_gone IS 'It is reported as disappeared, and has not come back';

CREATE TABLE p2p.response_shapes (
    parser text NOT NULL,
    path text NOT NULL,
    json_type text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    values_seen bigint NOT NULL,
    CONSTRAINT response_shapes_json_type_check CHECK ((json_type = ANY (ARRAY['object'::text, 'array'::text, 'string'::text, 'number'::text, 'boolean'::text, 'null'::text])))
);

COMMENT ON TABLE p2p.response_shapes IS 'The JSON types that each key was ever seen with';

COMMENT ON COLUMN p2p.response_shapes.values_seen IS 'Values of this type on watched pages';

CREATE VIEW p2p.response_keys AS
 SELECT p.parser,
    p.path,
    s.json_types,
    round(((100.0 * s.null_values) / NULLIF(s.all_values, (0)::numeric)), 2) AS null_percent,
    round(((100.0 * (p.pages_seen)::numeric) / (NULLIF(p.pages_possible, 0))::numeric), 2) AS present_percent,
    s.all_values AS values_seen,
    p.pages_seen,
    p.first_seen_at,
    p.last_seen_at,
    p.is_gone,
    (k.path IS NOT NULL) AS is_needed
   FROM ((p2p.response_paths p
     CROSS JOIN LATERAL ( SELECT array_agg(t.json_type ORDER BY t.values_seen DESC, t.json_type) AS json_types,
            sum(t.values_seen) AS all_values,
            COALESCE(sum(t.values_seen) FILTER (WHERE (t.json_type = 'null'::text)), (0)::numeric) AS null_values
           FROM p2p.response_shapes t
          WHERE ((t.parser = p.parser) AND (t.path = p.path))) s)
     LEFT JOIN p2p.parser_keys k USING (parser, path))
  WHERE (p.path <> ''::text);

COMMENT ON VIEW p2p.response_keys IS 'Every key of the answers: its JSON types, how often it is NULL and how often it is there at all; is_needed = the parser needs it';

COMMENT ON COLUMN p2p.response_keys.null_percent IS 'Of its values on watched pages';

COMMENT ON COLUMN p2p.response_keys.present_percent IS 'Of the watched pages that have the object it belongs to, since it was first seen';

CREATE VIEW p2p.rule_results AS
 WITH newest AS (
         SELECT r.batch_id,
            r.batch_start_time
           FROM p2p.ops_batch_runs r
          WHERE (r.status = ANY (ARRAY['completed'::text, 'partial'::text]))
          ORDER BY r.batch_start_time DESC
         LIMIT 1
        )
 SELECT q.name AS rule,
    d.result,
    d.metric_value AS value,
    q.is_bad_when,
    q.warning_threshold,
    q.error_threshold,
    q.severity,
    q.is_enabled,
    date_trunc('second'::text, d.check_timestamp) AS checked_at,
    q.comment,
    "left"(COALESCE((d.details ->> 'message'::text), (d.details ->> 'note'::text), (d.details ->> 'samples'::text)), 500) AS details
   FROM ((p2p.quality_rules q
     LEFT JOIN newest ON (true))
     LEFT JOIN p2p.ops_data_quality d ON (((d.batch_id = newest.batch_id) AND (d.metric_name = q.name))))
  ORDER BY q.name;

COMMENT ON VIEW p2p.rule_results IS 'Every quality rule, with what it found in the newest loaded batch';

COMMENT ON COLUMN p2p.rule_results.result IS 'ok, warning, error, or broken: the rule itself failed; NULL: it was not run';

COMMENT ON COLUMN p2p.rule_results.value IS 'NULL: there was nothing to judge';

COMMENT ON COLUMN p2p.rule_results.details IS 'Their beginning: the rows at fault, or why there are none';

CREATE VIEW p2p.schedule AS
 SELECT r.due_at,
    r.status AS outcome,
    "left"(r.error_summary, 34) AS why,
    r.batch_id AS batch
   FROM p2p.ops_batch_runs r
  WHERE (r.due_at IS NOT NULL)
UNION ALL
 SELECT s.due_at,
    'skipped'::text AS outcome,
    "left"(s.reason, 34) AS why,
    NULL::uuid AS batch
   FROM p2p.ops_skipped_batches s
  ORDER BY 1 DESC;

COMMENT ON VIEW p2p.schedule IS 'Every time a batch was due, and what became of it; newest first';

COMMENT ON COLUMN p2p.schedule.outcome IS 'Status of its batch, or skipped';

COMMENT ON COLUMN p2p.schedule.why IS 'Its beginning; all of it is in ops_batch_runs, ops_skipped_batches';

CREATE TABLE p2p.schema_migrations (
    name text NOT NULL,
    sha256 text NOT NULL,
    body text NOT NULL,
    program_version text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE p2p.schema_migrations IS 'Files of sql/migrations that ran here, with the text that ran: frozen, never run twice';

CREATE TABLE p2p.schema_object_history (
    event_id bigint NOT NULL,
    name text NOT NULL,
    identity text NOT NULL,
    happened_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    changed_by text DEFAULT SESSION_USER NOT NULL,
    action text NOT NULL,
    program_version text NOT NULL,
    note text,
    definition text,
    CONSTRAINT schema_object_history_action_check CHECK ((action = ANY (ARRAY['kept'::text, 'made again'::text, 'adopted'::text, 'restored'::text, 'left behind'::text, 'dropped'::text])))
);

COMMENT ON TABLE p2p.schema_object_history IS 'What became of changed functions and views, with the live text at that moment: nothing that somebody wrote is lost';

COMMENT ON COLUMN p2p.schema_object_history.action IS 'kept: a release did not overwrite it; made again: it was missing; adopted: meant to stay; restored: put back to the shipped text; left behind: no longer shipped, or another signature is; dropped: no longer shipped and unchanged';

COMMENT ON COLUMN p2p.schema_object_history.definition IS 'The live text before the action';

ALTER TABLE p2p.schema_object_history ALTER COLUMN event_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.schema_object_history_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW p2p.setting_changes AS
 SELECT date_trunc('second'::text, c.changed_at) AS changed_at,
    c.changed_by,
    c.table_name,
    c.row_key,
    COALESCE(
        CASE
            WHEN (c.old_row IS NULL) THEN 'added'::text
            WHEN (c.new_row IS NULL) THEN 'deleted'::text
            ELSE NULL::text
        END, "left"(( SELECT string_agg(format('%s: %s → %s'::text, n.key, o.value, n.value), ', '::text ORDER BY (n.key <> 'value'::text), n.key) AS string_agg
           FROM (jsonb_each_text(c.new_row) n(key, value)
             JOIN jsonb_each_text(c.old_row) o(key, value) ON ((o.key = n.key)))
          WHERE (o.value IS DISTINCT FROM n.value)), 42)) AS change
   FROM p2p.change_log c
  ORDER BY c.change_id DESC;

COMMENT ON VIEW p2p.setting_changes IS 'Who changed which setting, when, and from what to what; newest first';

COMMENT ON COLUMN p2p.setting_changes.table_name IS 'Where the row stands: settings, and other tables that steer the SQL';

COMMENT ON COLUMN p2p.setting_changes.change IS 'Its beginning; the rows before and after are in change_log';

CREATE VIEW p2p.shape_events AS
 SELECT date_trunc('second'::text, e.event_at) AS event_at,
    e.parser,
    e.event,
    e.path,
    e.json_type,
    e.is_needed,
    "left"(e.sample, 30) AS sample
   FROM p2p.ops_shape_events e
  ORDER BY e.event_at DESC, e.event_id DESC;

COMMENT ON VIEW p2p.shape_events IS 'Changes in what the exchange answers, newest first';

COMMENT ON COLUMN p2p.shape_events.is_needed IS 'A parser needs the key and cannot do with the change';

CREATE VIEW p2p.sql_history AS
SELECT
    NULL::text AS identity,
    NULL::text AS fingerprint,
    NULL::text AS state,
    NULL::timestamp with time zone AS first_batch,
    NULL::timestamp with time zone AS last_batch,
    NULL::bigint AS loads,
    NULL::bigint AS batches,
    NULL::integer AS version_id;

COMMENT ON VIEW p2p.sql_history IS 'Every version of every function that loaded a batch, and which batches';

COMMENT ON COLUMN p2p.sql_history.first_batch IS 'Start of the earliest batch that it loaded';

COMMENT ON COLUMN p2p.sql_history.loads IS 'Recorded loads with it';

COMMENT ON COLUMN p2p.sql_history.batches IS 'Batches whose facts are of it now: a batch that was loaded again counts for the newest version only';

ALTER TABLE p2p.sql_sets ALTER COLUMN sql_set_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.sql_sets_sql_set_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE p2p.sql_versions ALTER COLUMN version_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME p2p.sql_versions_version_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE UNLOGGED TABLE p2p.stg_import_pages (
    import_id uuid NOT NULL,
    file_number integer NOT NULL,
    line_number bigint NOT NULL,
    batch_start_time timestamp with time zone NOT NULL,
    observed_at timestamp with time zone NOT NULL,
    exchange_id smallint NOT NULL,
    fiat text NOT NULL,
    asset text NOT NULL,
    trade_type text NOT NULL,
    page_number integer NOT NULL,
    page_size integer,
    filtered_by text,
    parser text NOT NULL,
    body_bytes integer NOT NULL,
    body_sha256 bytea NOT NULL,
    alteration text,
    body_original bytea,
    stored_sha256 bytea NOT NULL,
    body jsonb NOT NULL,
    CONSTRAINT stg_import_pages_page_number_check CHECK ((page_number > 0)),
    CONSTRAINT stg_import_pages_trade_type_check CHECK ((trade_type = ANY (ARRAY['BUY'::text, 'SELL'::text])))
);
ALTER TABLE ONLY p2p.stg_import_pages ALTER COLUMN body SET COMPRESSION lz4;

COMMENT ON TABLE p2p.stg_import_pages IS 'Pages of an import that wait for their batch: import_next_batch takes the oldest batch out, whatever order the lines came in';

COMMENT ON COLUMN p2p.stg_import_pages.page_size IS 'Offers that were asked for on a page, where the line says it';

COMMENT ON COLUMN p2p.stg_import_pages.filtered_by IS 'What the recorder had asked for less than the whole book by; NULL: nothing';

COMMENT ON COLUMN p2p.stg_import_pages.stored_sha256 IS 'As in stg_responses: two pages are the same where this is';

CREATE UNLOGGED TABLE p2p.stg_imports (
    import_id uuid DEFAULT gen_random_uuid() NOT NULL,
    worker_id text NOT NULL,
    files text[] NOT NULL,
    seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE p2p.stg_imports IS 'Imports that are under way';

COMMENT ON COLUMN p2p.stg_imports.files IS 'As named on the command line; pages name them by their number, from 1';

COMMENT ON COLUMN p2p.stg_imports.seen_at IS 'Last sign of life; after ten silent minutes the next import clears it away';

CREATE VIEW p2p.table_sizes AS
 WITH kept_in AS (
         SELECT c_1.oid AS table_id,
            c_1.oid AS kept_in,
            false AS is_partition
           FROM pg_class c_1
          WHERE ((c_1.relnamespace = ('p2p'::regnamespace)::oid) AND (c_1.relkind = ANY (ARRAY['r'::"char", 'p'::"char"])))
        UNION ALL
         SELECT i.inhparent,
            i.inhrelid,
            true
           FROM (pg_inherits i
             JOIN pg_class c_1 ON ((c_1.oid = i.inhparent)))
          WHERE ((c_1.relnamespace = ('p2p'::regnamespace)::oid) AND (c_1.relkind = ANY (ARRAY['r'::"char", 'p'::"char"])))
        ), measured AS (
         SELECT k.table_id,
            sum(GREATEST(s.n_live_tup, (0)::bigint)) AS rows_about,
            sum(pg_total_relation_size((k.kept_in)::regclass)) AS bytes,
            NULLIF(count(*) FILTER (WHERE k.is_partition), 0) AS partitions
           FROM (kept_in k
             LEFT JOIN pg_stat_user_tables s ON ((s.relid = k.kept_in)))
          GROUP BY k.table_id
        )
 SELECT (c.relname)::text AS table_name,
    to_char(COALESCE(m.rows_about, (0)::numeric), 'FM999,999,999,999'::text) AS rows_about,
    pg_size_pretty(m.bytes) AS size,
    "left"(regexp_replace(obj_description(c.oid, 'pg_class'::name), '(;|, and |(?<!e\.g)\. ).*$'::text, ''::text), 55) AS holds,
    m.partitions
   FROM (measured m
     JOIN pg_class c ON ((c.oid = m.table_id)))
  ORDER BY m.bytes DESC;

COMMENT ON VIEW p2p.table_sizes IS 'Size of each table with its indexes, and about how many rows it has';

COMMENT ON COLUMN p2p.table_sizes.partitions IS 'In how many parts it is kept; NULL for a table that is one piece';

CREATE VIEW p2p.v_price_history AS
 SELECT c.symbol AS crypto_symbol,
    f.currency_code AS fiat_code,
    m.trade_type,
    s.hour AS time_bucket,
    (s.price_volume_sum / NULLIF(s.volume_sum, (0)::numeric)) AS avg_price,
    s.min_price,
    s.max_price,
        CASE
            WHEN (s.median_count > 1) THEN sqrt(((((s.median_count)::numeric * s.median_square_sum) - (s.median_sum * s.median_sum)) / ((s.median_count * (s.median_count - 1)))::numeric))
            ELSE NULL::numeric
        END AS price_volatility,
    (s.volume_sum / (s.snapshots)::numeric) AS total_volume,
    (round(((s.offers_sum)::numeric / (s.snapshots)::numeric)))::integer AS offer_count,
    e.code AS exchange
   FROM ((((p2p.dim_markets m
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
     CROSS JOIN LATERAL ( SELECT DISTINCT ON (h.hour) h.exchange_id,
            h.fiat_id,
            h.crypto_id,
            h.trade_type,
            h.hour,
            h.snapshots,
            h.snapshots_with_offers,
            h.best_open,
            h.best_high,
            h.best_low,
            h.best_close,
            h.median_open,
            h.median_high,
            h.median_low,
            h.median_close,
            h.min_price,
            h.max_price,
            h.price_volume_sum,
            h.volume_sum,
            h.volume_high,
            h.volume_low,
            h.spread_count,
            h.spread_sum,
            h.spread_open,
            h.spread_high,
            h.spread_low,
            h.spread_close,
            h.offers_sum,
            h.offers_max,
            h.median_count,
            h.median_sum,
            h.median_square_sum
           FROM p2p.market_hours h
          WHERE ((h.exchange_id = m.exchange_id) AND (h.fiat_id = m.fiat_id) AND (h.crypto_id = m.crypto_id) AND (h.trade_type = m.trade_type))) s);

COMMENT ON VIEW p2p.v_price_history IS 'Prices of each market by hour';

COMMENT ON COLUMN p2p.v_price_history.avg_price IS 'Weighted by available amount over all snapshots of the hour';

COMMENT ON COLUMN p2p.v_price_history.price_volatility IS 'Standard deviation of the median price between the snapshots of the hour; NULL for one snapshot';

COMMENT ON COLUMN p2p.v_price_history.total_volume IS 'Available amount, the average of the snapshots: an offer stands in many snapshots and must not be added up';

COMMENT ON COLUMN p2p.v_price_history.offer_count IS 'Offers in a snapshot, on average';

CREATE VIEW p2p.workers AS
 WITH held AS (
         SELECT bm.worker_id,
            m.exchange_id,
            count(*) AS markets
           FROM ((p2p.ops_batch_runs r
             JOIN p2p.ops_batch_markets bm USING (batch_id))
             JOIN p2p.dim_markets m USING (market_id))
          WHERE ((r.status = 'running'::text) AND (bm.status = 'fetching'::text))
          GROUP BY bm.worker_id, m.exchange_id
        )
 SELECT "left"(w.worker_id, 30) AS worker,
    p2p.is_alive(w.lease_expires_at, w.doing) AS alive,
    w.doing,
    "left"(e.code, 10) AS exchange,
    round(we.rate_per_minute) AS rate,
    round(we.ceiling_per_minute) AS ceiling,
    we.breaker,
    date_trunc('second'::text, NULLIF(GREATEST((we.paused_until - clock_timestamp()), '00:00:00'::interval), '00:00:00'::interval)) AS pause,
    COALESCE(h.markets, (0)::bigint) AS held,
    date_trunc('second'::text, (clock_timestamp() - w.last_seen_at)) AS seen
   FROM (((p2p.ops_workers w
     LEFT JOIN p2p.ops_worker_exchanges we USING (worker_id))
     LEFT JOIN p2p.dim_exchanges e USING (exchange_id))
     LEFT JOIN held h USING (worker_id, exchange_id))
  ORDER BY w.last_seen_at DESC, w.worker_id, e.code;

COMMENT ON VIEW p2p.workers IS 'Who fetches: what each worker does, how fast it may, and how many markets it has in hand; newest sign of life first';

COMMENT ON COLUMN p2p.workers.worker IS 'Name, process id and a random number; cut at 30 characters';

COMMENT ON COLUMN p2p.workers.rate IS 'Requests a minute that it sends now at most';

COMMENT ON COLUMN p2p.workers.ceiling IS 'Rate at which the exchange refused last';

COMMENT ON COLUMN p2p.workers.breaker IS 'open: it sends nothing; why: ops_worker_exchanges';

COMMENT ON COLUMN p2p.workers.pause IS 'How long it sends nothing yet: the exchange asked for it, or has just refused';

COMMENT ON COLUMN p2p.workers.held IS 'Markets of the batch that runs; those of a worker that is not alive are for others';

COMMENT ON COLUMN p2p.workers.seen IS 'Time since its last beat';

ALTER TABLE ONLY p2p.fact_market_depth ALTER COLUMN depth_id SET DEFAULT nextval('p2p.fact_market_depth_depth_id_seq'::regclass);

ALTER TABLE ONLY p2p.change_log
    ADD CONSTRAINT change_log_pkey PRIMARY KEY (change_id);

ALTER TABLE ONLY p2p.dim_advertisers
    ADD CONSTRAINT dim_advertisers_exchange_id_advertiser_id_effective_date_key UNIQUE (exchange_id, advertiser_id, effective_date);

ALTER TABLE ONLY p2p.dim_advertisers
    ADD CONSTRAINT dim_advertisers_pkey PRIMARY KEY (advertiser_sk);

ALTER TABLE ONLY p2p.dim_cryptocurrencies
    ADD CONSTRAINT dim_cryptocurrencies_pkey PRIMARY KEY (crypto_id);

ALTER TABLE ONLY p2p.dim_cryptocurrencies
    ADD CONSTRAINT dim_cryptocurrencies_symbol_key UNIQUE (symbol);

ALTER TABLE ONLY p2p.dim_exchanges
    ADD CONSTRAINT dim_exchanges_code_key UNIQUE (code);

ALTER TABLE ONLY p2p.dim_exchanges
    ADD CONSTRAINT dim_exchanges_pkey PRIMARY KEY (exchange_id);

ALTER TABLE ONLY p2p.dim_fiat_currencies
    ADD CONSTRAINT dim_fiat_currencies_currency_code_key UNIQUE (currency_code);

ALTER TABLE ONLY p2p.dim_fiat_currencies
    ADD CONSTRAINT dim_fiat_currencies_pkey PRIMARY KEY (fiat_id);

ALTER TABLE ONLY p2p.dim_markets
    ADD CONSTRAINT dim_markets_exchange_id_fiat_id_crypto_id_trade_type_key UNIQUE (exchange_id, fiat_id, crypto_id, trade_type);

ALTER TABLE ONLY p2p.dim_markets
    ADD CONSTRAINT dim_markets_pkey PRIMARY KEY (market_id);

ALTER TABLE ONLY p2p.dim_offers
    ADD CONSTRAINT dim_offers_exchange_id_offer_external_id_key UNIQUE (exchange_id, offer_external_id);

ALTER TABLE ONLY p2p.dim_offers
    ADD CONSTRAINT dim_offers_pkey PRIMARY KEY (offer_id);

ALTER TABLE ONLY p2p.dim_payment_methods
    ADD CONSTRAINT dim_payment_methods_exchange_id_method_code_key UNIQUE (exchange_id, method_code);

ALTER TABLE ONLY p2p.dim_payment_methods
    ADD CONSTRAINT dim_payment_methods_pkey PRIMARY KEY (payment_method_id);

ALTER TABLE ONLY p2p.dim_payment_sets
    ADD CONSTRAINT dim_payment_sets_payment_method_ids_key UNIQUE (payment_method_ids);

ALTER TABLE ONLY p2p.dim_payment_sets
    ADD CONSTRAINT dim_payment_sets_pkey PRIMARY KEY (payment_set_id);

ALTER TABLE ONLY p2p.dropped_facts
    ADD CONSTRAINT dropped_facts_pkey PRIMARY KEY (table_name);

ALTER TABLE ONLY p2p.fact_market_depth
    ADD CONSTRAINT fact_market_depth_pkey PRIMARY KEY (exchange_id, fiat_id, crypto_id, trade_type, extraction_timestamp);

ALTER TABLE ONLY p2p.fact_offers
    ADD CONSTRAINT fact_offers_pkey PRIMARY KEY (extraction_timestamp, offer_id);

ALTER TABLE ONLY p2p.open_days
    ADD CONSTRAINT open_days_pkey PRIMARY KEY (day);

ALTER TABLE ONLY p2p.open_hours
    ADD CONSTRAINT open_hours_pkey PRIMARY KEY (hour);

ALTER TABLE ONLY p2p.ops_access_history
    ADD CONSTRAINT ops_access_history_pkey PRIMARY KEY (worker_id, exchange_id, noted_at);

ALTER TABLE ONLY p2p.ops_batch_loads
    ADD CONSTRAINT ops_batch_loads_pkey PRIMARY KEY (batch_id, load_number);

ALTER TABLE ONLY p2p.ops_batch_markets
    ADD CONSTRAINT ops_batch_markets_pkey PRIMARY KEY (batch_id, market_id);

ALTER TABLE ONLY p2p.ops_batch_runs
    ADD CONSTRAINT ops_batch_runs_batch_start_time_key UNIQUE (batch_start_time);

ALTER TABLE ONLY p2p.ops_batch_runs
    ADD CONSTRAINT ops_batch_runs_due_at_key UNIQUE (due_at);

ALTER TABLE ONLY p2p.ops_batch_runs
    ADD CONSTRAINT ops_batch_runs_pkey PRIMARY KEY (batch_id);

ALTER TABLE ONLY p2p.ops_batch_steps
    ADD CONSTRAINT ops_batch_steps_pkey PRIMARY KEY (batch_id, load_number, step);

ALTER TABLE ONLY p2p.ops_data_quality
    ADD CONSTRAINT ops_data_quality_batch_id_metric_name_key UNIQUE (batch_id, metric_name);

ALTER TABLE ONLY p2p.ops_data_quality
    ADD CONSTRAINT ops_data_quality_pkey PRIMARY KEY (quality_id);

ALTER TABLE ONLY p2p.ops_discoveries
    ADD CONSTRAINT ops_discoveries_pkey PRIMARY KEY (exchange_id, fiat_code);

ALTER TABLE ONLY p2p.ops_extraction_errors
    ADD CONSTRAINT ops_extraction_errors_pkey PRIMARY KEY (error_id);

ALTER TABLE ONLY p2p.ops_incidents
    ADD CONSTRAINT ops_incidents_pkey PRIMARY KEY (incident_id);

ALTER TABLE ONLY p2p.ops_market_visits
    ADD CONSTRAINT ops_market_visits_pkey PRIMARY KEY (market_id);

ALTER TABLE ONLY p2p.ops_rejected_offers
    ADD CONSTRAINT ops_rejected_offers_pkey PRIMARY KEY (batch_id, market_id, page_number, item_number);

ALTER TABLE ONLY p2p.ops_shape_events
    ADD CONSTRAINT ops_shape_events_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY p2p.ops_shape_watches
    ADD CONSTRAINT ops_shape_watches_pkey PRIMARY KEY (batch_id, parser);

ALTER TABLE ONLY p2p.ops_skipped_batches
    ADD CONSTRAINT ops_skipped_batches_pkey PRIMARY KEY (due_at);

ALTER TABLE ONLY p2p.ops_worker_exchanges
    ADD CONSTRAINT ops_worker_exchanges_pkey PRIMARY KEY (worker_id, exchange_id);

ALTER TABLE ONLY p2p.ops_workers
    ADD CONSTRAINT ops_workers_pkey PRIMARY KEY (worker_id);

ALTER TABLE ONLY p2p.parser_keys
    ADD CONSTRAINT parser_keys_pkey PRIMARY KEY (parser, path);

ALTER TABLE ONLY p2p.partitioned_tables
    ADD CONSTRAINT partitioned_tables_pkey PRIMARY KEY (table_name);

ALTER TABLE ONLY p2p.pipeline_steps
    ADD CONSTRAINT pipeline_steps_one_a_position UNIQUE ("position") DEFERRABLE;

COMMENT ON CONSTRAINT pipeline_steps_one_a_position ON p2p.pipeline_steps IS 'Holds: the order is never open';

ALTER TABLE ONLY p2p.pipeline_steps
    ADD CONSTRAINT pipeline_steps_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.quality_rules
    ADD CONSTRAINT quality_rules_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.response_paths
    ADD CONSTRAINT response_paths_pkey PRIMARY KEY (parser, path);

ALTER TABLE ONLY p2p.response_shapes
    ADD CONSTRAINT response_shapes_pkey PRIMARY KEY (parser, path, json_type);

ALTER TABLE ONLY p2p.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.schema_object_history
    ADD CONSTRAINT schema_object_history_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY p2p.schema_objects
    ADD CONSTRAINT schema_objects_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (name);

ALTER TABLE ONLY p2p.sql_set_versions
    ADD CONSTRAINT sql_set_versions_pkey PRIMARY KEY (sql_set_id, version_id);

ALTER TABLE ONLY p2p.sql_sets
    ADD CONSTRAINT sql_sets_fingerprint_key UNIQUE (fingerprint);

ALTER TABLE ONLY p2p.sql_sets
    ADD CONSTRAINT sql_sets_pkey PRIMARY KEY (sql_set_id);

ALTER TABLE ONLY p2p.sql_versions
    ADD CONSTRAINT sql_versions_identity_fingerprint_key UNIQUE (identity, fingerprint);

ALTER TABLE ONLY p2p.sql_versions
    ADD CONSTRAINT sql_versions_pkey PRIMARY KEY (version_id);

ALTER TABLE ONLY p2p.stg_import_pages
    ADD CONSTRAINT stg_import_pages_pkey PRIMARY KEY (import_id, file_number, line_number);

ALTER TABLE ONLY p2p.stg_imports
    ADD CONSTRAINT stg_imports_pkey PRIMARY KEY (import_id);

ALTER TABLE ONLY p2p.stg_responses
    ADD CONSTRAINT stg_responses_pkey PRIMARY KEY (extraction_timestamp, market_id, page_number);

ALTER TABLE ONLY p2p.stored_market_days
    ADD CONSTRAINT stored_market_days_pkey PRIMARY KEY (exchange_id, fiat_id, crypto_id, trade_type, day);

ALTER TABLE ONLY p2p.stored_market_hours
    ADD CONSTRAINT stored_market_hours_pkey PRIMARY KEY (exchange_id, fiat_id, crypto_id, trade_type, hour);

ALTER TABLE ONLY p2p.stored_merchant_days
    ADD CONSTRAINT stored_merchant_days_pkey PRIMARY KEY (exchange_id, fiat_id, crypto_id, trade_type, day, advertiser_sk);

ALTER TABLE ONLY p2p.stored_merchant_hours
    ADD CONSTRAINT stored_merchant_hours_pkey PRIMARY KEY (exchange_id, fiat_id, crypto_id, trade_type, hour, advertiser_sk);

CREATE INDEX change_log_by_row ON p2p.change_log USING btree (table_name, row_key, change_id);

COMMENT ON INDEX p2p.change_log_by_row IS 'The history of one setting; pause_state';

CREATE INDEX dim_advertisers_by_nickname ON p2p.dim_advertisers USING btree (nickname) WHERE is_current;

COMMENT ON INDEX p2p.dim_advertisers_by_nickname IS 'merchant_daily and mv_latest_market_state: what one advertiser did, by name';

CREATE UNIQUE INDEX dim_advertisers_one_current_row ON p2p.dim_advertisers USING btree (exchange_id, advertiser_id) WHERE is_current;

COMMENT ON INDEX p2p.dim_advertisers_one_current_row IS 'Holds: one current row an advertiser';

CREATE INDEX fact_market_depth_by_time ON ONLY p2p.fact_market_depth USING btree (extraction_timestamp);

COMMENT ON INDEX p2p.fact_market_depth_by_time IS 'load_batch and the views: all books of a batch';

CREATE INDEX fact_offers_by_advertiser ON ONLY p2p.fact_offers USING btree (advertiser_sk, extraction_timestamp);

COMMENT ON INDEX p2p.fact_offers_by_advertiser IS 'One advertiser''s history; load_advertisers after a late batch';

CREATE INDEX fact_offers_by_market ON ONLY p2p.fact_offers USING btree (fiat_id, crypto_id, trade_type, extraction_timestamp);

COMMENT ON INDEX p2p.fact_offers_by_market IS 'mv_latest_market_state: one book at one time';

CREATE INDEX ops_access_history_by_time ON p2p.ops_access_history USING btree (noted_at);

COMMENT ON INDEX p2p.ops_access_history_by_time IS 'All workers of a time range; what is too old';

CREATE INDEX ops_batch_loads_by_set ON p2p.ops_batch_loads USING btree (sql_set_id);

COMMENT ON INDEX p2p.ops_batch_loads_by_set IS 'sql_history: batches by set';

CREATE INDEX ops_batch_markets_not_whole ON p2p.ops_batch_markets USING btree (batch_id) WHERE (status = ANY (ARRAY['incomplete'::text, 'failed'::text, 'deferred'::text]));

COMMENT ON INDEX p2p.ops_batch_markets_not_whole IS 'missing_markets: what batches did not fetch whole';

CREATE INDEX ops_batch_markets_queue ON p2p.ops_batch_markets USING btree (batch_id, plan_position) WHERE (status = 'pending'::text);

COMMENT ON INDEX p2p.ops_batch_markets_queue IS 'claim_markets: the next markets to fetch';

CREATE UNIQUE INDEX ops_batch_runs_one_running ON p2p.ops_batch_runs USING btree ((true)) WHERE (status = 'running'::text);

COMMENT ON INDEX p2p.ops_batch_runs_one_running IS 'Holds: one batch at a time';

CREATE INDEX ops_batch_steps_failed ON p2p.ops_batch_steps USING btree (batch_id, load_number) WHERE (status = 'failed'::text);

COMMENT ON INDEX p2p.ops_batch_steps_failed IS 'failed_steps, batch_overview';

CREATE INDEX ops_extraction_errors_batch ON p2p.ops_extraction_errors USING btree (batch_id);

COMMENT ON INDEX p2p.ops_extraction_errors_batch IS 'load_batch and status: the errors of a batch';

CREATE INDEX ops_incidents_by_time ON p2p.ops_incidents USING btree (raised_at);

COMMENT ON INDEX p2p.ops_incidents_by_time IS 'incidents: the newest; apply_retention: the oldest';

CREATE UNIQUE INDEX ops_incidents_open ON p2p.ops_incidents USING btree (kind, subject) WHERE (resolved_at IS NULL);

COMMENT ON INDEX p2p.ops_incidents_open IS 'An incident is open once, whoever notices it';

CREATE INDEX ops_incidents_untold ON p2p.ops_incidents USING btree (incident_id) WHERE ((begin_told_at IS NULL) OR ((resolved_at IS NOT NULL) AND (end_told_at IS NULL)));

COMMENT ON INDEX p2p.ops_incidents_untold IS 'watch_incidents: what people have yet to be told';

CREATE INDEX ops_shape_events_by_batch ON p2p.ops_shape_events USING btree (batch_id);

COMMENT ON INDEX p2p.ops_shape_events_by_batch IS 'The events of a batch; removal with its batch';

CREATE INDEX ops_workers_by_name ON p2p.ops_workers USING btree (worker_name, last_seen_at);

COMMENT ON INDEX p2p.ops_workers_by_name IS 'remembered_access: the worker before, of the same name';

CREATE INDEX sql_set_versions_by_version ON p2p.sql_set_versions USING btree (version_id);

COMMENT ON INDEX p2p.sql_set_versions_by_version IS 'Which sets, and so which batches, had a version';

CREATE INDEX stg_import_pages_by_batch ON p2p.stg_import_pages USING btree (import_id, batch_start_time);

COMMENT ON INDEX p2p.stg_import_pages_by_batch IS 'import_next_batch: the oldest batch, and its pages';

CREATE INDEX stored_market_days_by_time ON ONLY p2p.stored_market_days USING brin (day) WITH (pages_per_range='32', autosummarize='on');

COMMENT ON INDEX p2p.stored_market_days_by_time IS 'All of a time range: rows lie in the order of time';

CREATE INDEX stored_market_hours_by_time ON ONLY p2p.stored_market_hours USING brin (hour) WITH (pages_per_range='32', autosummarize='on');

COMMENT ON INDEX p2p.stored_market_hours_by_time IS 'All of a time range: rows lie in the order of time';

CREATE INDEX stored_merchant_days_by_advertiser ON ONLY p2p.stored_merchant_days USING btree (advertiser_sk, day);

COMMENT ON INDEX p2p.stored_merchant_days_by_advertiser IS 'One advertiser over time; store_period after their history was rewritten';

CREATE INDEX stored_merchant_days_by_time ON ONLY p2p.stored_merchant_days USING brin (day) WITH (pages_per_range='32', autosummarize='on');

COMMENT ON INDEX p2p.stored_merchant_days_by_time IS 'All of a time range: rows lie in the order of time';

CREATE INDEX stored_merchant_hours_by_advertiser ON ONLY p2p.stored_merchant_hours USING btree (advertiser_sk, hour);

COMMENT ON INDEX p2p.stored_merchant_hours_by_advertiser IS 'One advertiser over time; store_period after their history was rewritten';

CREATE INDEX stored_merchant_hours_by_time ON ONLY p2p.stored_merchant_hours USING brin (hour) WITH (pages_per_range='32', autosummarize='on');

COMMENT ON INDEX p2p.stored_merchant_hours_by_time IS 'All of a time range: rows lie in the order of time';

CREATE OR REPLACE VIEW p2p.merchant_daily AS
 SELECT e.code AS exchange,
    d.advertiser_id,
    d.advertiser,
    d.is_merchant,
    c.symbol AS crypto_symbol,
    f.currency_code AS fiat_code,
    m.trade_type,
    d.day AS time_bucket,
    (d.snapshots)::bigint AS snapshots,
    (d.offers_sum / d.snapshots) AS avg_offers,
    (d.volume_sum / d.snapshots) AS avg_volume,
    d.orders_30_days
   FROM ((((p2p.dim_markets m
     JOIN p2p.dim_cryptocurrencies c USING (crypto_id))
     JOIN p2p.dim_fiat_currencies f USING (fiat_id))
     JOIN p2p.dim_exchanges e USING (exchange_id))
     CROSS JOIN LATERAL ( SELECT made.advertiser_id,
            made.nickname AS advertiser,
            made.is_merchant,
            made.day,
            sum(made.snapshots) AS snapshots,
            sum(made.offers_sum) AS offers_sum,
            sum(made.volume_sum) AS volume_sum,
            max(made.orders_30_days_max) AS orders_30_days
           FROM ( SELECT now_called.advertiser_sk,
                    now_called.advertiser_id,
                    now_called.nickname,
                    now_called.is_merchant,
                    s.day,
                    s.snapshots,
                    s.offers_sum,
                    s.volume_sum,
                    s.orders_30_days_max
                   FROM ((p2p.stored_merchant_days s
                     JOIN p2p.dim_advertisers a USING (advertiser_sk))
                     JOIN p2p.dim_advertisers now_called ON (((now_called.exchange_id = a.exchange_id) AND (now_called.advertiser_id = a.advertiser_id) AND now_called.is_current)))
                  WHERE ((s.exchange_id = m.exchange_id) AND (s.fiat_id = m.fiat_id) AND (s.crypto_id = m.crypto_id) AND (s.trade_type = m.trade_type))
                UNION ALL
                 SELECT h.advertiser_sk,
                    h.advertiser_id,
                    h.nickname,
                    h.is_merchant,
                    o.day,
                    h.snapshots,
                    h.offers_sum,
                    h.volume_sum,
                    h.orders_30_days_max
                   FROM (p2p.open_days o
                     CROSS JOIN LATERAL ( SELECT now_called.advertiser_sk,
                            now_called.advertiser_id,
                            now_called.nickname,
                            now_called.is_merchant,
                            s.snapshots,
                            s.offers_sum,
                            s.volume_sum,
                            s.orders_30_days_max
                           FROM ((p2p.stored_merchant_hours s
                             JOIN p2p.dim_advertisers a USING (advertiser_sk))
                             JOIN p2p.dim_advertisers now_called ON (((now_called.exchange_id = a.exchange_id) AND (now_called.advertiser_id = a.advertiser_id) AND now_called.is_current)))
                          WHERE ((s.exchange_id = m.exchange_id) AND (s.fiat_id = m.fiat_id) AND (s.crypto_id = m.crypto_id) AND (s.trade_type = m.trade_type) AND (s.hour >= o.day) AND (s.hour < (o.day + '24:00:00'::interval)))) h)
                UNION ALL
                 SELECT h.advertiser_sk,
                    h.advertiser_id,
                    h.nickname,
                    h.is_merchant,
                    o.day,
                    h.snapshots,
                    h.offers_sum,
                    h.volume_sum,
                    h.orders_30_days_max
                   FROM ((p2p.open_days o
                     JOIN p2p.open_hours under_way ON (((under_way.hour >= o.day) AND (under_way.hour < (o.day + '24:00:00'::interval)))))
                     CROSS JOIN LATERAL ( SELECT now_called.advertiser_sk,
                            now_called.advertiser_id,
                            now_called.nickname,
                            now_called.is_merchant,
                            count(DISTINCT s.extraction_timestamp) AS snapshots,
                            count(*) AS offers_sum,
                            sum(s.available_amount) AS volume_sum,
                            max(s.total_orders_count) AS orders_30_days_max
                           FROM ((p2p.fact_offers s
                             JOIN p2p.dim_advertisers a USING (advertiser_sk))
                             JOIN p2p.dim_advertisers now_called ON (((now_called.exchange_id = a.exchange_id) AND (now_called.advertiser_id = a.advertiser_id) AND now_called.is_current)))
                          WHERE ((s.exchange_id = m.exchange_id) AND (s.fiat_id = m.fiat_id) AND (s.crypto_id = m.crypto_id) AND (s.trade_type = m.trade_type) AND (s.extraction_timestamp >= under_way.hour) AND ((s.extraction_timestamp - under_way.hour) < '01:00:00'::interval))
                          GROUP BY now_called.advertiser_sk) h)) made
          GROUP BY made.advertiser_sk, made.day, made.advertiser_id, made.nickname, made.is_merchant) d);

CREATE OR REPLACE VIEW p2p.sql_history AS
 WITH loads AS (
         SELECT l.sql_set_id,
            l.batch_id,
            (l.load_number = max(l.load_number) OVER (PARTITION BY l.batch_id)) AS is_newest
           FROM p2p.ops_batch_loads l
        ), use_of_sets AS (
         SELECT l.sql_set_id,
            min(r.batch_start_time) AS first_batch,
            max(r.batch_start_time) AS last_batch,
            count(*) AS loads,
            count(*) FILTER (WHERE l.is_newest) AS batches
           FROM (loads l
             JOIN p2p.ops_batch_runs r USING (batch_id))
          GROUP BY l.sql_set_id
        )
 SELECT v.identity,
    "left"(v.fingerprint, 12) AS fingerprint,
    sv.state,
    min(u.first_batch) AS first_batch,
    max(u.last_batch) AS last_batch,
    (sum(u.loads))::bigint AS loads,
    (sum(u.batches))::bigint AS batches,
    v.version_id
   FROM ((use_of_sets u
     JOIN p2p.sql_set_versions sv USING (sql_set_id))
     JOIN p2p.sql_versions v USING (version_id))
  GROUP BY v.version_id, sv.state
  ORDER BY v.identity, (min(v.first_used_at)), sv.state;

CREATE TRIGGER check_function BEFORE INSERT OR UPDATE OF function ON p2p.pipeline_steps FOR EACH ROW EXECUTE FUNCTION p2p.check_pipeline_step();

CREATE TRIGGER check_quality_rule BEFORE INSERT OR UPDATE ON p2p.quality_rules FOR EACH ROW EXECUTE FUNCTION p2p.check_quality_rule();

CREATE TRIGGER guard_setting BEFORE INSERT OR DELETE OR UPDATE ON p2p.settings FOR EACH ROW EXECUTE FUNCTION p2p.guard_setting();

CREATE TRIGGER guard_settings BEFORE TRUNCATE ON p2p.settings FOR EACH STATEMENT EXECUTE FUNCTION p2p.guard_setting();

CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON p2p.pipeline_steps FOR EACH ROW EXECUTE FUNCTION p2p.log_change();

CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON p2p.quality_rules FOR EACH ROW EXECUTE FUNCTION p2p.log_change();

CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON p2p.settings FOR EACH ROW EXECUTE FUNCTION p2p.log_change();

CREATE TRIGGER make_room_for_batch AFTER INSERT OR UPDATE OF batch_start_time ON p2p.ops_batch_runs FOR EACH ROW EXECUTE FUNCTION p2p.make_room_for_batch();

ALTER TABLE ONLY p2p.dim_advertisers
    ADD CONSTRAINT dim_advertisers_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.dim_markets
    ADD CONSTRAINT dim_markets_crypto_id_fkey FOREIGN KEY (crypto_id) REFERENCES p2p.dim_cryptocurrencies(crypto_id);

ALTER TABLE ONLY p2p.dim_markets
    ADD CONSTRAINT dim_markets_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.dim_markets
    ADD CONSTRAINT dim_markets_fiat_id_fkey FOREIGN KEY (fiat_id) REFERENCES p2p.dim_fiat_currencies(fiat_id);

ALTER TABLE ONLY p2p.dim_offers
    ADD CONSTRAINT dim_offers_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.dim_payment_methods
    ADD CONSTRAINT dim_payment_methods_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.ops_access_history
    ADD CONSTRAINT ops_access_history_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.ops_batch_loads
    ADD CONSTRAINT ops_batch_loads_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_batch_loads
    ADD CONSTRAINT ops_batch_loads_sql_set_id_fkey FOREIGN KEY (sql_set_id) REFERENCES p2p.sql_sets(sql_set_id);

ALTER TABLE ONLY p2p.ops_batch_markets
    ADD CONSTRAINT ops_batch_markets_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_batch_markets
    ADD CONSTRAINT ops_batch_markets_market_id_fkey FOREIGN KEY (market_id) REFERENCES p2p.dim_markets(market_id);

ALTER TABLE ONLY p2p.ops_batch_steps
    ADD CONSTRAINT ops_batch_steps_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_batch_steps
    ADD CONSTRAINT ops_batch_steps_batch_id_load_number_fkey FOREIGN KEY (batch_id, load_number) REFERENCES p2p.ops_batch_loads(batch_id, load_number) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_data_quality
    ADD CONSTRAINT ops_data_quality_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_discoveries
    ADD CONSTRAINT ops_discoveries_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.ops_extraction_errors
    ADD CONSTRAINT ops_extraction_errors_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_extraction_errors
    ADD CONSTRAINT ops_extraction_errors_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.ops_market_visits
    ADD CONSTRAINT ops_market_visits_market_id_fkey FOREIGN KEY (market_id) REFERENCES p2p.dim_markets(market_id);

ALTER TABLE ONLY p2p.ops_rejected_offers
    ADD CONSTRAINT ops_rejected_offers_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_rejected_offers
    ADD CONSTRAINT ops_rejected_offers_market_id_fkey FOREIGN KEY (market_id) REFERENCES p2p.dim_markets(market_id);

ALTER TABLE ONLY p2p.ops_shape_events
    ADD CONSTRAINT ops_shape_events_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE SET NULL;

ALTER TABLE ONLY p2p.ops_shape_watches
    ADD CONSTRAINT ops_shape_watches_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES p2p.ops_batch_runs(batch_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.ops_worker_exchanges
    ADD CONSTRAINT ops_worker_exchanges_exchange_id_fkey FOREIGN KEY (exchange_id) REFERENCES p2p.dim_exchanges(exchange_id);

ALTER TABLE ONLY p2p.ops_worker_exchanges
    ADD CONSTRAINT ops_worker_exchanges_worker_id_fkey FOREIGN KEY (worker_id) REFERENCES p2p.ops_workers(worker_id) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.response_shapes
    ADD CONSTRAINT response_shapes_parser_path_fkey FOREIGN KEY (parser, path) REFERENCES p2p.response_paths(parser, path) ON DELETE CASCADE;

ALTER TABLE ONLY p2p.sql_set_versions
    ADD CONSTRAINT sql_set_versions_sql_set_id_fkey FOREIGN KEY (sql_set_id) REFERENCES p2p.sql_sets(sql_set_id);

ALTER TABLE ONLY p2p.sql_set_versions
    ADD CONSTRAINT sql_set_versions_version_id_fkey FOREIGN KEY (version_id) REFERENCES p2p.sql_versions(version_id);

ALTER TABLE ONLY p2p.stg_import_pages
    ADD CONSTRAINT stg_import_pages_import_id_fkey FOREIGN KEY (import_id) REFERENCES p2p.stg_imports(import_id) ON DELETE CASCADE;

GRANT USAGE ON SCHEMA p2p TO p2p_reader;
GRANT USAGE ON SCHEMA p2p TO p2p_worker;

REVOKE ALL ON TYPE p2p.parsed_offer FROM PUBLIC;
GRANT ALL ON TYPE p2p.parsed_offer TO p2p_worker;

REVOKE ALL ON TYPE p2p.rule_finding FROM PUBLIC;
GRANT ALL ON TYPE p2p.rule_finding TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.adopt_object(p_name text, p_note text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.aggregates_to_refresh(p_from timestamp with time zone, p_until timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.aggregates_to_refresh(p_from timestamp with time zone, p_until timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.announce_batch(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.announce_batch(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.apply_migration(p_name text, p_sha256 text, p_body text, p_program_version text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.apply_object(p_name text, p_sha256 text, p_body text, p_program_version text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.apply_objects(p_files jsonb, p_program_version text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.apply_retention(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.apply_retention(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.audit_metrics() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.audit_metrics() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.batch_alerts(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.batch_alerts(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.beat(p_worker_id text, p_worker_name text, p_version text, p_purpose text, p_doing text, p_lease_seconds double precision, p_exchanges jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.beat(p_worker_id text, p_worker_name text, p_version text, p_purpose text, p_doing text, p_lease_seconds double precision, p_exchanges jsonb) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.begin_discovery(p_worker_id text, p_exchange text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.begin_discovery(p_worker_id text, p_exchange text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.begin_import(p_worker_id text, p_files text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.begin_import(p_worker_id text, p_files text[]) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.check_pages(p_since timestamp with time zone, p_until timestamp with time zone, OUT pages_checked bigint, OUT pages_without_checksum bigint, OUT pages_damaged bigint, OUT damaged_pages jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.check_pages(p_since timestamp with time zone, p_until timestamp with time zone, OUT pages_checked bigint, OUT pages_without_checksum bigint, OUT pages_damaged bigint, OUT damaged_pages jsonb) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.check_pipeline_step() FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.check_quality_rule() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.check_quality_rule() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.choose_offers(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.choose_offers(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_exchange text, p_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.claim_markets(p_batch_id uuid, p_worker_id text, p_exchange text, p_count integer) TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_batch_runs TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.close_batch(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.close_batch(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.compared_tables() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.compared_tables() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.current_sql() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.current_sql() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.current_sql_set() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.current_sql_set() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.database_key() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.database_key() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.database_metrics() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.database_metrics() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.database_tier() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.database_tier() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.definition_of(p_name text, p_body text, p_known text, OUT identity text, OUT definition text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.dependent_statements(p_kind text, p_object oid, p_identity text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.dependents_of(p_table regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.diagnose(p_interval_minutes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.diagnose(p_interval_minutes integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.diagnose_batches(p_interval_minutes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.diagnose_batches(p_interval_minutes integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.diagnose_rights() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.diagnose_rights() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.diagnose_server() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.diagnose_server() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.diagnose_sql() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.diagnose_sql() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.discard_rejected(p_note text, p_reason text, p_batch_id uuid, p_is_dry_run boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.discard_rejected(p_note text, p_reason text, p_batch_id uuid, p_is_dry_run boolean) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.drop_older(p_table text, p_before timestamp with time zone, OUT dropped integer, OUT held_up_by text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.drop_temporary_tables(p_keep oid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.drop_temporary_tables(p_keep oid[]) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.end_fetching(p_batch_id uuid, p_reason text, p_exchange_id smallint) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.end_fetching(p_batch_id uuid, p_reason text, p_exchange_id smallint) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.end_import(p_import_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.end_import(p_import_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.fail_batch(p_batch_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.fail_batch(p_batch_id uuid, p_reason text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.failures_in_a_row(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.failures_in_a_row(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.find_object(p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.find_object(p_name text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.finish_market(p_batch_id uuid, p_market_id integer, p_reason text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.function_definition(p_function oid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.function_definition(p_function oid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.give_back(p_batch_id uuid, p_worker_id text, p_exchange text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.give_back(p_batch_id uuid, p_worker_id text, p_exchange text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.grants_on(p_identity text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.guard_setting() FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.has_its_pages(p_batch p2p.ops_batch_runs) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.has_its_pages(p_batch p2p.ops_batch_runs) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.import_markets(p_import_id uuid, p_time timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.import_markets(p_import_id uuid, p_time timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.import_next_batch(p_import_id uuid, p_dry_run boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.import_next_batch(p_import_id uuid, p_dry_run boolean) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.import_obstacle(p_time timestamp with time zone, p_newest timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.import_obstacle(p_time timestamp with time zone, p_newest timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.incident_causes(p_interval_minutes integer, p_alert_on_failures integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.incident_causes(p_interval_minutes integer, p_alert_on_failures integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.incidents_told(p_begun bigint[], p_ended bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.incidents_told(p_begun bigint[], p_ended bigint[]) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.is_alive(p_lease_expires_at timestamp with time zone, p_doing text, p_server_started timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.is_alive(p_lease_expires_at timestamp with time zone, p_doing text, p_server_started timestamp with time zone) TO p2p_reader;
GRANT ALL ON FUNCTION p2p.is_alive(p_lease_expires_at timestamp with time zone, p_doing text, p_server_started timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.is_beyond(p_metric numeric, p_is_bad_when text, p_threshold numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.is_beyond(p_metric numeric, p_is_bad_when text, p_threshold numeric) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.join_batch(p_worker_id text, p_due_at timestamp with time zone, p_interval_seconds double precision, p_deadline_seconds double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.join_batch(p_worker_id text, p_due_at timestamp with time zone, p_interval_seconds double precision, p_deadline_seconds double precision) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.judge_import_pages(p_import_id uuid, p_time timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.judge_import_pages(p_import_id uuid, p_time timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.known_fiats(p_exchange text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.known_fiats(p_exchange text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.leave(p_worker_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.leave(p_worker_id text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.live_definition(p_identity text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.live_definition(p_identity text) TO p2p_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.ops_workers TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.live_workers() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.live_workers() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.load_advertisers(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.load_advertisers(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.load_batch(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.load_batch(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.load_depth(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.load_depth(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.load_dimensions(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.load_dimensions(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.load_offers(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.load_offers(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.lock_queue(p_batch_id uuid, p_alone boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.lock_queue(p_batch_id uuid, p_alone boolean) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.log_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.make_object(p_name text, p_body text, p_known text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.make_room(p_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.make_room(p_at timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.make_room_for_batch() FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.market_patterns(p_worker_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.market_patterns(p_worker_id text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.note_visits(p_batch_id uuid, p_market_ids integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.note_visits(p_batch_id uuid, p_market_ids integer[]) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.object_named(p_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.page_access(p_hours integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.page_access(p_hours integer) TO p2p_reader;
GRANT ALL ON FUNCTION p2p.page_access(p_hours integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.page_batches(p_hours integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.page_batches(p_hours integer) TO p2p_reader;
GRANT ALL ON FUNCTION p2p.page_batches(p_hours integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.page_coverage(p_after timestamp with time zone, p_batches integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.page_coverage(p_after timestamp with time zone, p_batches integer) TO p2p_reader;
GRANT ALL ON FUNCTION p2p.page_coverage(p_after timestamp with time zone, p_batches integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.page_market(p_exchange text, p_fiat text, p_asset text, p_hours integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.page_market(p_exchange text, p_fiat text, p_asset text, p_hours integer) TO p2p_reader;
GRANT ALL ON FUNCTION p2p.page_market(p_exchange text, p_fiat text, p_asset text, p_hours integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.page_markets() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.page_markets() TO p2p_reader;
GRANT ALL ON FUNCTION p2p.page_markets() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.page_overview(p_interval_minutes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.page_overview(p_interval_minutes integer) TO p2p_reader;
GRANT ALL ON FUNCTION p2p.page_overview(p_interval_minutes integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.parse_binance_search_v1(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.parse_binance_search_v1(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.parse_bybit_online_v1(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.parse_bybit_online_v1(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.parse_pages(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.parse_pages(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.parser_cannot_read(p_parser text, p_path text, p_json_type text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.parser_cannot_read(p_parser text, p_path text, p_json_type text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.pause_state() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.pause_state() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.plan_batch(p_batch_id uuid, p_deadline_seconds double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.plan_batch(p_batch_id uuid, p_deadline_seconds double precision) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.preview_load(p_batch_ids uuid[], p_with text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.preview_load(p_batch_ids uuid[], p_with text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.quarantine_batches(p_reason text, p_batch_id uuid, p_since timestamp with time zone, p_until timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.quarantine_batches(p_reason text, p_batch_id uuid, p_since timestamp with time zone, p_until timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.raise_incident(p_kind text, p_subject text, p_message text, p_worker_id text, p_seconds_ago double precision, p_is_told boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.raise_incident(p_kind text, p_subject text, p_message text, p_worker_id text, p_seconds_ago double precision, p_is_told boolean) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.record_as_shipped(p_name text, p_sha256 text, p_body text, p_program_version text, p_identity text, p_definition text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text, p_exchange text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.record_discovery_problem(p_fiat text, p_error_type text, p_error_message text, p_exchange text) TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.ops_batch_steps TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.record_load(p_before p2p.ops_batch_runs, p_steps p2p.ops_batch_steps[], p_began timestamp with time zone, p_sql_set_id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.record_load(p_before p2p.ops_batch_runs, p_steps p2p.ops_batch_steps[], p_began timestamp with time zone, p_sql_set_id integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.record_lost_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_error_type text, p_error_message text, p_retry_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.record_lost_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_error_type text, p_error_message text, p_retry_count integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.record_missed_batches(p_due_at timestamp with time zone, p_interval_seconds double precision, p_worker_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.record_missed_batches(p_due_at timestamp with time zone, p_interval_seconds double precision, p_worker_id text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.reject_offers(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.reject_offers(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.relation_grants(p_relation regclass, p_to text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.relation_triggers(p_relation regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.remembered_access(p_worker_name text, p_exchange text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.remembered_access(p_worker_name text, p_exchange text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.repair_json(p_text text, OUT document jsonb, OUT alteration text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.repair_json(p_text text, OUT document jsonb, OUT alteration text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.replace_table(p_old regclass, p_new regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.replay_batch(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.replay_batch(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.replay_quarantine(p_batch_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.replay_quarantine(p_batch_id uuid, p_reason text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.replayable_batches(p_batch_ids uuid[], p_since timestamp with time zone, p_until timestamp with time zone, p_last integer, p_all boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.replayable_batches(p_batch_ids uuid[], p_since timestamp with time zone, p_until timestamp with time zone, p_last integer, p_all boolean) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.require_in_quarantine(p_reason text, p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.require_in_quarantine(p_reason text, p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.reread_definitions() FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.resolve_incident(p_kind text, p_subject text, p_message text, p_is_told boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.resolve_incident(p_kind text, p_subject text, p_message text, p_is_told boolean) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.restore_object(p_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.retire_objects(p_shipped text[], p_program_version text) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.rewrite_advertiser_history(p_time timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rewrite_advertiser_history(p_time timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rows_written() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rows_written() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_broken_references(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_broken_references(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_completeness(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_completeness(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_crossed_median(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_crossed_median(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_duplicate_offers(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_duplicate_offers(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_function(p_qualified_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_function(p_qualified_name text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_needed_keys(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_needed_keys(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_price_anomaly(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_price_anomaly(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_promoted_share(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_promoted_share(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_rejected_share(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_rejected_share(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_sql_drift(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_sql_drift(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_stale_timestamps(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_stale_timestamps(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_temporal_consistency(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_temporal_consistency(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.rule_volume_drop(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.rule_volume_drop(p_batch_id uuid) TO p2p_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.ops_data_quality TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.run_quality_checks(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.run_quality_checks(p_batch_id uuid) TO p2p_worker;

GRANT SELECT ON TABLE p2p.quality_rules TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.run_rule(p_rule p2p.quality_rules, p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.run_rule(p_rule p2p.quality_rules, p_batch_id uuid) TO p2p_worker;

GRANT SELECT ON TABLE p2p.pipeline_steps TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.run_step(p_batch_id uuid, p_step p2p.pipeline_steps) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.run_step(p_batch_id uuid, p_step p2p.pipeline_steps) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.run_steps(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.run_steps(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.samples_of(p_offending_rows jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.samples_of(p_offending_rows jsonb) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.server_tier(OUT tier text, OUT reason text, OUT hint text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.server_tier(OUT tier text, OUT reason text, OUT hint text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.setting_number(p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.setting_number(p_name text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.setting_switch(p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.setting_switch(p_name text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.show_quarantine(p_reason text, p_batch_id uuid, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.show_quarantine(p_reason text, p_batch_id uuid, p_limit integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.sql_fingerprint() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.sql_fingerprint() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.stage_import_page(p_import_id uuid, p_file_number integer, p_line_number bigint, p_batch_start_time timestamp with time zone, p_observed_at timestamp with time zone, p_exchange text, p_fiat text, p_asset text, p_side text, p_page_number integer, p_page_size integer, p_filtered_by text, p_parser text, p_alteration text, p_body text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.stage_import_page(p_import_id uuid, p_file_number integer, p_line_number bigint, p_batch_start_time timestamp with time zone, p_observed_at timestamp with time zone, p_exchange text, p_fiat text, p_asset text, p_side text, p_page_number integer, p_page_size integer, p_filtered_by text, p_parser text, p_alteration text, p_body text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.status_report(p_batches integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.status_report(p_batches integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.step_call(p_step p2p.pipeline_steps) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.step_call(p_step p2p.pipeline_steps) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.store_imported_batch(p_import_id uuid, p_time timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.store_imported_batch(p_import_id uuid, p_time timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.store_market_list(p_exchange text, p_fiats jsonb, p_markets jsonb, p_covered text[], p_missed text[], p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.store_market_list(p_exchange text, p_fiats jsonb, p_markets jsonb, p_covered text[], p_missed text[], p_now timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.store_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_offers_reported integer, p_parser text, p_observed_at timestamp with time zone, p_attempt integer, p_http_status integer, p_duration_ms integer, p_body_bytes integer, p_body_sha256 bytea, p_alteration text, p_body_original bytea, p_body text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.store_page(p_batch_id uuid, p_worker_id text, p_market_id integer, p_page_number integer, p_ends_market boolean, p_offers_reported integer, p_parser text, p_observed_at timestamp with time zone, p_attempt integer, p_http_status integer, p_duration_ms integer, p_body_bytes integer, p_body_sha256 bytea, p_alteration text, p_body_original bytea, p_body text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.store_payment_methods(p_exchange text, p_methods jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.store_payment_methods(p_exchange text, p_methods jsonb) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.store_period(p_unit text, p_starts_at timestamp with time zone, p_advertisers integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.store_period(p_unit text, p_starts_at timestamp with time zone, p_advertisers integer[]) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.summarise_hours(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.summarise_hours(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.take_indexes(p_old regclass, p_new regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION p2p.take_load(p_batch_id uuid, p_worker_id text, p_give_up_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.take_load(p_batch_id uuid, p_worker_id text, p_give_up_reason text) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.temporary_tables() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.temporary_tables() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.uncomment(p_identity text) FROM PUBLIC;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_batch_markets TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.unfetched_markets(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.unfetched_markets(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.watch_incidents(p_worker_id text, p_interval_minutes integer, p_alert_on_failures integer) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.watch_incidents(p_worker_id text, p_interval_minutes integer, p_alert_on_failures integer) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.watch_shapes(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.watch_shapes(p_batch_id uuid) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.watched_values(p_batch_id uuid, p_only_needed boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.watched_values(p_batch_id uuid, p_only_needed boolean) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.why_late(p_due_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.why_late(p_due_at timestamp with time zone) TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.worker_rights() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.worker_rights() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.workers_at_work() FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.workers_at_work() TO p2p_worker;

REVOKE ALL ON FUNCTION p2p.write_imported_books(p_batch_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION p2p.write_imported_books(p_batch_id uuid) TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_exchanges TO p2p_reader;
GRANT SELECT ON TABLE p2p.dim_exchanges TO p2p_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.ops_access_history TO p2p_worker;

GRANT SELECT ON TABLE p2p.access_history TO p2p_reader;

GRANT SELECT ON TABLE p2p.batch_markets TO p2p_reader;

GRANT SELECT,INSERT ON TABLE p2p.ops_batch_loads TO p2p_worker;

GRANT SELECT ON TABLE p2p.batch_overview TO p2p_reader;
GRANT SELECT ON TABLE p2p.batch_overview TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.sql_set_versions TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.sql_versions TO p2p_worker;

GRANT SELECT ON TABLE p2p.batch_sql TO p2p_reader;
GRANT SELECT ON TABLE p2p.batch_sql TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_cryptocurrencies TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_cryptocurrencies TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_fiat_currencies TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_fiat_currencies TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_markets TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_markets TO p2p_worker;

GRANT SELECT ON TABLE p2p.fact_market_depth TO p2p_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.fact_market_depth TO p2p_worker;

GRANT SELECT ON TABLE p2p.best_prices TO p2p_reader;

GRANT SELECT ON TABLE p2p.change_log TO p2p_worker;

GRANT SELECT ON TABLE p2p.coverage TO p2p_reader;

GRANT SELECT ON TABLE p2p.settings TO p2p_worker;

GRANT SELECT ON TABLE p2p.current_settings TO p2p_reader;
GRANT SELECT ON TABLE p2p.current_settings TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.sql_sets TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.stg_responses TO p2p_worker;

GRANT SELECT ON TABLE p2p.depth_origin TO p2p_reader;
GRANT SELECT ON TABLE p2p.depth_origin TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_advertisers TO p2p_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.dim_advertisers TO p2p_worker;

GRANT USAGE ON SEQUENCE p2p.dim_advertisers_advertiser_sk_seq TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_offers TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_offers TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_payment_methods TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_payment_methods TO p2p_worker;

GRANT SELECT ON TABLE p2p.dim_payment_sets TO p2p_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE p2p.dim_payment_sets TO p2p_worker;

GRANT SELECT ON TABLE p2p.dropped_facts TO p2p_worker;

GRANT USAGE ON SEQUENCE p2p.fact_market_depth_depth_id_seq TO p2p_worker;

GRANT SELECT ON TABLE p2p.fact_offers TO p2p_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.fact_offers TO p2p_worker;

GRANT SELECT ON TABLE p2p.fact_offer_payment_methods TO p2p_reader;

GRANT SELECT ON TABLE p2p.failed_steps TO p2p_reader;
GRANT SELECT ON TABLE p2p.failed_steps TO p2p_worker;

GRANT SELECT ON TABLE p2p.failing_rules TO p2p_reader;

GRANT SELECT ON TABLE p2p.freshness TO p2p_reader;
GRANT SELECT ON TABLE p2p.freshness TO p2p_worker;

GRANT SELECT,INSERT,DELETE ON TABLE p2p.open_hours TO p2p_worker;

GRANT SELECT ON TABLE p2p.from_facts_market_hours TO p2p_reader;
GRANT SELECT ON TABLE p2p.from_facts_market_hours TO p2p_worker;

GRANT SELECT ON TABLE p2p.from_facts_merchant_hours TO p2p_reader;
GRANT SELECT ON TABLE p2p.from_facts_merchant_hours TO p2p_worker;

GRANT SELECT,INSERT,DELETE ON TABLE p2p.open_days TO p2p_worker;

GRANT SELECT,INSERT,DELETE ON TABLE p2p.stored_market_hours TO p2p_worker;

GRANT SELECT ON TABLE p2p.from_hours_market_days TO p2p_reader;
GRANT SELECT ON TABLE p2p.from_hours_market_days TO p2p_worker;

GRANT SELECT,INSERT,DELETE ON TABLE p2p.stored_merchant_hours TO p2p_worker;

GRANT SELECT ON TABLE p2p.from_hours_merchant_days TO p2p_reader;
GRANT SELECT ON TABLE p2p.from_hours_merchant_days TO p2p_worker;

GRANT SELECT ON TABLE p2p.gaps TO p2p_reader;

GRANT SELECT ON TABLE p2p.help TO p2p_reader;
GRANT SELECT ON TABLE p2p.help TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_incidents TO p2p_worker;

GRANT SELECT ON TABLE p2p.incidents TO p2p_reader;
GRANT SELECT ON TABLE p2p.incidents TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_extraction_errors TO p2p_worker;

GRANT SELECT ON TABLE p2p.last_failures TO p2p_reader;

GRANT SELECT ON TABLE p2p.ledger TO p2p_reader;
GRANT SELECT ON TABLE p2p.ledger TO p2p_worker;

GRANT SELECT,INSERT,DELETE ON TABLE p2p.stored_market_days TO p2p_worker;

GRANT SELECT ON TABLE p2p.market_days TO p2p_reader;
GRANT SELECT ON TABLE p2p.market_days TO p2p_worker;

GRANT SELECT,INSERT,DELETE ON TABLE p2p.stored_merchant_days TO p2p_worker;

GRANT SELECT ON TABLE p2p.merchant_days TO p2p_reader;
GRANT SELECT ON TABLE p2p.merchant_days TO p2p_worker;

GRANT SELECT ON TABLE p2p.market_daily TO p2p_reader;

GRANT SELECT ON TABLE p2p.market_hours TO p2p_reader;
GRANT SELECT ON TABLE p2p.market_hours TO p2p_worker;

GRANT SELECT ON TABLE p2p.merchant_hours TO p2p_reader;
GRANT SELECT ON TABLE p2p.merchant_hours TO p2p_worker;

GRANT SELECT ON TABLE p2p.market_hourly TO p2p_reader;

GRANT SELECT ON TABLE p2p.merchant_daily TO p2p_reader;

GRANT SELECT ON TABLE p2p.missing_markets TO p2p_reader;
GRANT SELECT ON TABLE p2p.missing_markets TO p2p_worker;

GRANT SELECT ON TABLE p2p.mv_latest_market_state TO p2p_reader;

GRANT SELECT ON TABLE p2p.schema_objects TO p2p_worker;

GRANT SELECT ON TABLE p2p.object_states TO p2p_worker;

GRANT SELECT ON TABLE p2p.offer_origin TO p2p_reader;
GRANT SELECT ON TABLE p2p.offer_origin TO p2p_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.ops_rejected_offers TO p2p_worker;

GRANT SELECT ON TABLE p2p.offers_in_quarantine TO p2p_reader;
GRANT SELECT ON TABLE p2p.offers_in_quarantine TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_discoveries TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.ops_market_visits TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.ops_shape_events TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.ops_shape_watches TO p2p_worker;

GRANT SELECT,INSERT ON TABLE p2p.ops_skipped_batches TO p2p_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.ops_worker_exchanges TO p2p_worker;

GRANT SELECT ON TABLE p2p.parser_keys TO p2p_worker;

GRANT SELECT ON TABLE p2p.partitioned_tables TO p2p_worker;

GRANT SELECT ON TABLE p2p.partitions TO p2p_reader;
GRANT SELECT ON TABLE p2p.partitions TO p2p_worker;

GRANT SELECT ON TABLE p2p.policy_audit TO p2p_reader;
GRANT SELECT ON TABLE p2p.policy_audit TO p2p_worker;

GRANT SELECT ON TABLE p2p.prices_by_payment_method TO p2p_reader;

GRANT SELECT ON TABLE p2p.quarantine TO p2p_reader;
GRANT SELECT ON TABLE p2p.quarantine TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.response_paths TO p2p_worker;

GRANT SELECT,INSERT,UPDATE ON TABLE p2p.response_shapes TO p2p_worker;

GRANT SELECT ON TABLE p2p.response_keys TO p2p_reader;

GRANT SELECT ON TABLE p2p.rule_results TO p2p_reader;

GRANT SELECT ON TABLE p2p.schedule TO p2p_reader;
GRANT SELECT ON TABLE p2p.schedule TO p2p_worker;

GRANT SELECT ON TABLE p2p.schema_migrations TO p2p_worker;

GRANT SELECT ON TABLE p2p.setting_changes TO p2p_reader;
GRANT SELECT ON TABLE p2p.setting_changes TO p2p_worker;

GRANT SELECT ON TABLE p2p.shape_events TO p2p_reader;

GRANT SELECT ON TABLE p2p.sql_history TO p2p_reader;
GRANT SELECT ON TABLE p2p.sql_history TO p2p_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.stg_import_pages TO p2p_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE p2p.stg_imports TO p2p_worker;

GRANT SELECT ON TABLE p2p.table_sizes TO p2p_reader;

GRANT SELECT ON TABLE p2p.v_price_history TO p2p_reader;

GRANT SELECT ON TABLE p2p.workers TO p2p_reader;
GRANT SELECT ON TABLE p2p.workers TO p2p_worker;
