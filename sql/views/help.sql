-- One row a question. Every view of the schema is named here (a test checks it), and every query runs as it stands.
create or replace view p2p.help as
select h.to_know, h.look_in, h.query
from (
  values
    ('What does it cost now?', 'best_prices', 'select * from p2p.best_prices'),
    ('… by way to pay?', 'prices_by_payment_method', 'table p2p.prices_by_payment_method limit 20'),
    ('Which offers are there now?', 'mv_latest_market_state', 'table p2p.mv_latest_market_state limit 20'),
    ('How did prices go, by hour?', 'market_hourly', 'table p2p.market_hourly limit 20'),
    ('… by day?', 'market_daily', 'table p2p.market_daily limit 20'),
    ('Average price and volume, by hour?', 'v_price_history', 'table p2p.v_price_history limit 20'),
    ('… their sums, to build views on?', 'market_hours', 'table p2p.market_hours limit 20'),
    ('… by day?', 'market_days', 'table p2p.market_days limit 20'),
    ('Who offers how much, by day?', 'merchant_daily', 'table p2p.merchant_daily limit 20'),
    ('… their sums, to build views on?', 'merchant_days', 'table p2p.merchant_days limit 20'),
    ('… by hour?', 'merchant_hours', 'table p2p.merchant_hours limit 20'),
    ('How could old offers be paid?', 'fact_offer_payment_methods', 'table p2p.fact_offer_payment_methods limit 5'),
    ('How old is the newest batch?', 'freshness', 'select * from p2p.freshness'),
    ('How did the last batches go?', 'batch_overview', 'table p2p.batch_overview limit 10'),
    ('How much came whole, by fiat?', 'coverage', 'select * from p2p.coverage'),
    ('What is missing now, why, since when?', 'gaps', 'select * from p2p.gaps'),
    ('Who fetches, and how fast?', 'workers', 'select * from p2p.workers'),
    ('… and how fast before?', 'access_history', 'table p2p.access_history limit 20'),
    ('Which due times had a batch?', 'schedule', 'table p2p.schedule limit 20'),
    ('What became of each market?', 'ledger', 'table p2p.ledger limit 20'),
    ('… in numbers, for programs?', 'batch_markets', 'table p2p.batch_markets limit 20'),
    ('What was missing in older batches?', 'missing_markets', 'table p2p.missing_markets limit 20'),
    ('What is wrong now, and was lately?', 'incidents', 'table p2p.incidents limit 20'),
    ('What went wrong last?', 'last_failures', 'table p2p.last_failures limit 20'),
    ('Which quality rules fail now?', 'failing_rules', 'select * from p2p.failing_rules'),
    ('… and what did all of them find?', 'rule_results', 'table p2p.rule_results'),
    ('Which steps of a load failed?', 'failed_steps', 'table p2p.failed_steps limit 20'),
    ('What was rejected, and why?', 'quarantine', 'select * from p2p.quarantine'),
    ('… with its original JSON?', 'offers_in_quarantine', 'table p2p.offers_in_quarantine limit 3'),
    ('What can be tuned?', 'current_settings', 'select * from p2p.current_settings'),
    ('Who changed what, and when?', 'setting_changes', 'select * from p2p.setting_changes'),
    ('Which SQL was changed here?', 'object_states', 'table p2p.object_states limit 3'),
    ('Which SQL loaded which batches?', 'sql_history', 'table p2p.sql_history limit 20'),
    ('… which text loaded a batch?', 'batch_sql', 'table p2p.batch_sql limit 20'),
    ('Where does a fact come from?', 'offer_origin', 'table p2p.offer_origin limit 5'),
    ('… a row of a book?', 'depth_origin', 'table p2p.depth_origin limit 5'),
    ('What keys do the answers have?', 'response_keys', 'table p2p.response_keys limit 20'),
    ('What changed in the answers?', 'shape_events', 'table p2p.shape_events limit 20'),
    ('How large are the tables?', 'table_sizes', 'select * from p2p.table_sizes'),
    ('… and which days are kept?', 'partitions', 'table p2p.partitions limit 20'),
    ('Can history get lost?', 'policy_audit', 'table p2p.policy_audit limit 20'),
    ('What do I want to know?', 'help', 'select * from p2p.help')
) as h (to_know, look_in, query);

comment on view p2p.help is 'What you may want to know, and where it is: start here';

grant select on p2p.help to p2p_reader, p2p_worker;
