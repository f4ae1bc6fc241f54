-- Which text of the SQL made the facts of a batch. A set is all the SQL of one moment; sets share the versions that
-- stayed the same.

create table p2p.sql_versions (
  version_id    integer     generated always as identity primary key,
  identity      text        not null,
  fingerprint   text        not null,
  definition    text        not null,
  first_used_at timestamptz not null default clock_timestamp(),
  unique (identity, fingerprint),
  check (fingerprint = encode(sha256(convert_to(definition, 'UTF8')), 'hex'))
);

comment on table p2p.sql_versions is 'Every text that any function, or table of rules, had when a batch was loaded with it';
comment on column p2p.sql_versions.identity is 'function p2p.load_offers(uuid), or rows of p2p.pipeline_steps';
comment on column p2p.sql_versions.fingerprint is 'SHA-256 of definition';
comment on column p2p.sql_versions.definition is 'A function as the server holds it, with its comment: it can be run to bring that version back. Of a table: its rows in force';

create table p2p.sql_sets (
  sql_set_id    integer     generated always as identity primary key,
  fingerprint   text        not null unique,
  first_used_at timestamptz not null default clock_timestamp()
);

comment on table p2p.sql_sets is 'All the SQL of one moment; every recorded load names one';
comment on column p2p.sql_sets.fingerprint is 'SHA-256 of the identities, fingerprints and states of its versions';

create table p2p.sql_set_versions (
  sql_set_id integer not null references p2p.sql_sets,
  version_id integer not null references p2p.sql_versions,
  state      text    not null check (state in ('shipped', 'tuned', 'drifted', 'own')),
  primary key (sql_set_id, version_id)
);

create index sql_set_versions_by_version
on p2p.sql_set_versions (version_id);

comment on table p2p.sql_set_versions is 'What each set consists of';
comment on column p2p.sql_set_versions.state is 'shipped: as the release has it; tuned: changed here and adopted; drifted: changed here, not adopted; own: of no release';
comment on index p2p.sql_set_versions_by_version is 'Which sets, and so which batches, had a version';

create table p2p.ops_batch_loads (
  batch_id       uuid           not null references p2p.ops_batch_runs on delete cascade,
  load_number    integer        not null check (load_number > 0),
  loaded_at      timestamptz    not null,
  sql_set_id     integer        not null references p2p.sql_sets,
  status         text           not null check (status in ('completed', 'partial', 'failed')),
  seconds        numeric(10, 3) not null,
  offers_changed integer        not null,
  primary key (batch_id, load_number)
);

create index ops_batch_loads_by_set
on p2p.ops_batch_loads (sql_set_id);

comment on table p2p.ops_batch_loads is 'Loads of each batch that did something new; the last one made its facts. A load that changes nothing, by the same SQL, leaves no row. Batches of release 0.1.0 have none';
comment on column p2p.ops_batch_loads.load_number is 'From 1 for each batch';
comment on column p2p.ops_batch_loads.loaded_at is 'When the load began';
comment on column p2p.ops_batch_loads.status is 'Status of the batch after it';
comment on column p2p.ops_batch_loads.offers_changed is 'Rows of fact_offers that it wrote or deleted';
comment on index p2p.ops_batch_loads_by_set is 'sql_history: batches by set';

alter table p2p.ops_batch_steps
add foreign key (batch_id, load_number) references p2p.ops_batch_loads on delete cascade;

-- body_sha256 is of the bytes that came; jsonb keeps neither their spaces nor the order of keys. This one is of what is
-- kept, so that a page can be checked as long as it lives.
alter table p2p.stg_responses
add column stored_sha256 bytea;

comment on column p2p.stg_responses.stored_sha256 is 'SHA-256 of body as text, taken when it was stored: check_pages computes it again. NULL for pages of release 0.1.0';

grant select, insert
on p2p.sql_versions, p2p.sql_sets, p2p.sql_set_versions, p2p.ops_batch_loads
to p2p_worker;
