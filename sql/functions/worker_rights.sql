-- What p2p_worker must be granted on tables and sequences, beside functions and views, whose files say it themselves. Only
-- what is here: the tiers have different tables. The same as the migrations grant; a test compares. Changes nothing.
create or replace function p2p.worker_rights()
returns table (table_name text, privilege text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select t.name, p.name
  from (
    values
      ('DELETE, INSERT, SELECT',
        'open_days open_hours stored_market_days stored_market_hours stored_merchant_days
        stored_merchant_hours'),
      ('DELETE, INSERT, SELECT, UPDATE',
        'dim_advertisers fact_market_depth fact_offers ops_access_history ops_data_quality ops_rejected_offers
        ops_worker_exchanges ops_workers stg_import_pages stg_imports'),
      ('INSERT, SELECT',
        'ops_batch_loads ops_batch_steps ops_shape_events ops_shape_watches ops_skipped_batches
        sql_set_versions sql_sets sql_versions stg_responses'),
      ('INSERT, SELECT, UPDATE',
        'dim_cryptocurrencies dim_fiat_currencies dim_markets dim_offers dim_payment_methods
        dim_payment_sets ops_batch_markets ops_batch_runs ops_discoveries ops_extraction_errors
        ops_incidents ops_market_visits response_paths response_shapes'),
      ('SELECT',
        'change_log dim_exchanges dropped_facts parser_keys partitioned_tables pipeline_steps
        quality_rules schema_migrations schema_objects settings'),
      ('USAGE',
        'dim_advertisers_advertiser_sk_seq fact_market_depth_depth_id_seq')
  ) as granted (privileges, tables)
  cross join lateral regexp_split_to_table(granted.tables, '\s+') as t (name)
  cross join lateral regexp_split_to_table(granted.privileges, ', ') as p (name)
  where to_regclass('p2p.' || t.name) is not null
$function$;

comment on function p2p.worker_rights() is 'What p2p_worker must be granted on tables and sequences';

grant execute on function p2p.worker_rights() to p2p_worker;
