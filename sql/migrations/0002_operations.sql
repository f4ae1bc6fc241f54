-- Batches, their markets, and what went wrong with them.

create table p2p.ops_batch_runs (
  batch_id                 uuid        primary key default gen_random_uuid(),
  batch_start_time         timestamptz not null unique,
  batch_end_time           timestamptz,
  status                   text        not null default 'running'
                           check (status in ('running', 'completed', 'partial', 'failed')),
  total_fiats_processed    integer     not null default 0,
  total_offers_extracted   integer     not null default 0,
  total_offers_inserted    integer     not null default 0,
  total_offers_updated     integer     not null default 0,
  total_offers_rejected    integer     not null default 0,
  total_offers_duplicate   integer     not null default 0,
  total_errors             integer     not null default 0,
  error_summary            text,
  execution_time_seconds   numeric(14, 3),
  markets_expected         integer     not null default 0,
  markets_completed        integer     not null default 0,
  worker_id                text        not null,
  lease_expires_at         timestamptz not null,
  check ((status = 'running') = (batch_end_time is null))
);

create unique index ops_batch_runs_one_running
on p2p.ops_batch_runs ((true))
where status = 'running';

comment on table p2p.ops_batch_runs is 'One row a batch. extracted = inserted + rejected + duplicate';
comment on column p2p.ops_batch_runs.batch_start_time is 'Also the extraction_timestamp of every fact of the batch';
comment on column p2p.ops_batch_runs.status is 'completed: every planned market fetched whole; partial: loaded, but something planned is missing; failed: nothing loaded';
comment on column p2p.ops_batch_runs.total_offers_extracted is 'Items on all stored pages, before any was rejected or recognised as a repetition';
comment on column p2p.ops_batch_runs.total_offers_inserted is 'Rows of the batch in fact_offers';
comment on column p2p.ops_batch_runs.total_offers_updated is 'Rows that a later load of the same batch changed, because the SQL had changed in between';
comment on column p2p.ops_batch_runs.total_offers_duplicate is 'Promoted copies, and rows that came twice because the book moved while it was read';
comment on column p2p.ops_batch_runs.lease_expires_at is 'The worker that fetches renews this; a batch whose lease has run out belongs to a dead worker';
comment on index p2p.ops_batch_runs_one_running is 'Holds: one batch at a time';

create table p2p.ops_batch_markets (
  batch_id       uuid      not null references p2p.ops_batch_runs on delete cascade,
  market_id      integer   not null references p2p.dim_markets,
  plan_position  integer   not null,
  status         text      not null default 'pending'
                 check (status in ('pending', 'fetching', 'complete', 'incomplete', 'failed', 'deferred')),
  worker_id      text,
  pages_stored   integer   not null default 0,
  lost_pages     integer[] not null default '{}',
  offers_reported integer,
  started_at     timestamptz,
  finished_at    timestamptz,
  reason         text,
  primary key (batch_id, market_id)
)
with (fillfactor = 70);

create index ops_batch_markets_queue
on p2p.ops_batch_markets (batch_id, plan_position)
where status = 'pending';

comment on table p2p.ops_batch_markets is 'The work queue of a batch, and afterwards its ledger: what became of every planned market';
comment on column p2p.ops_batch_markets.status is 'complete: every page; incomplete: some pages are missing (lost_pages); failed: no page at all; deferred: the deadline came first, it is first in line next time';
comment on column p2p.ops_batch_markets.offers_reported is 'The last total the exchange gave for the market; it moves while one pages';
comment on index p2p.ops_batch_markets_queue is 'claim_markets: the next markets to fetch';

create table p2p.ops_extraction_errors (
  error_id        bigint generated always as identity primary key,
  batch_id        uuid        references p2p.ops_batch_runs on delete cascade,
  error_timestamp timestamptz not null default clock_timestamp(),
  fiat_code       text,
  crypto_symbol   text,
  trade_type      text,
  page_number     integer,
  error_type      text        not null,
  error_message   text        not null,
  stack_trace     text,
  retry_count     integer     not null default 0,
  is_resolved     boolean     not null default false
);

create index ops_extraction_errors_batch
on p2p.ops_extraction_errors (batch_id);

comment on table p2p.ops_extraction_errors is 'Pages that were lost after all retries, and discovery calls that failed (those have no batch)';
comment on column p2p.ops_extraction_errors.retry_count is 'Attempts after the first';
comment on column p2p.ops_extraction_errors.is_resolved is 'Set when a later batch fetched the same market whole';
comment on index p2p.ops_extraction_errors_batch is 'load_batch and status: the errors of a batch';

create table p2p.ops_rejected_offers (
  batch_id     uuid        not null references p2p.ops_batch_runs on delete cascade,
  market_id    integer     not null references p2p.dim_markets,
  page_number  integer     not null,
  item_number  integer     not null,
  reason       text        not null,
  payload      jsonb,
  rejected_at  timestamptz not null default clock_timestamp(),
  primary key (batch_id, market_id, page_number, item_number)
);

comment on table p2p.ops_rejected_offers is 'Items of stored pages that cannot be offers, with the reason and the original JSON';
comment on column p2p.ops_rejected_offers.item_number is 'Place on the page, from 0';

create table p2p.ops_data_quality (
  quality_id      bigint generated always as identity primary key,
  batch_id        uuid        not null references p2p.ops_batch_runs on delete cascade,
  check_timestamp timestamptz not null default clock_timestamp(),
  metric_name     text        not null,
  metric_value    numeric,
  threshold_value numeric,
  passed          boolean     not null,
  details         jsonb       not null default '{}',
  unique (batch_id, metric_name)
);

comment on table p2p.ops_data_quality is 'Results of the quality checks, one row a batch and check';

create table p2p.quality_thresholds (
  metric_name     text    primary key,
  threshold_value numeric not null,
  comment         text    not null
);

comment on table p2p.quality_thresholds is 'Limits of the quality checks: change them with UPDATE';

insert into p2p.quality_thresholds (metric_name, threshold_value, comment)
values
  ('completeness', 0.99, 'Least share of planned markets fetched whole'),
  ('duplicate_offers', 0, 'Most offers that appear more than once in the snapshot'),
  ('broken_references', 0, 'Most facts that point at a missing dimension row'),
  ('rejected_share', 0.05, 'Greatest share of items that could not be offers');

create table p2p.ops_discoveries (
  exchange_id   smallint    not null references p2p.dim_exchanges,
  fiat_code     text        not null,
  discovered_at timestamptz not null,
  primary key (exchange_id, fiat_code)
);

comment on table p2p.ops_discoveries is 'When the markets of a fiat were last read from the exchange, -infinity where that failed; fiat_code * stands for the list of all fiats';
