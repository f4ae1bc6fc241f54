-- History that others recorded: where a batch came from, and the room in which the pages of an import are sorted into
-- batches before anything is loaded.

alter table p2p.ops_batch_runs
add column imported_from text[];

comment on column p2p.ops_batch_runs.imported_from is 'Files that p2p-ingest import took its pages from; NULL: the worker fetched it';

-- A recording seldom says these.
alter table p2p.stg_responses
alter column attempt drop not null,
alter column http_status drop not null,
alter column duration_ms drop not null;

comment on column p2p.stg_responses.attempt is 'Which try it was, from 1; NULL for an imported page, as are http_status and duration_ms';

comment on column p2p.dim_markets.first_listed_at is 'When the exchange first listed it; of a market that is known from imports alone, the time of the batch that brought it';

-- Unlogged: after a crash of the server the import is called again anyway.
create unlogged table p2p.stg_imports (
  import_id uuid        primary key default gen_random_uuid(),
  worker_id text        not null,
  files     text[]      not null,
  seen_at   timestamptz not null default clock_timestamp()
);

comment on table p2p.stg_imports is 'Imports that are under way';
comment on column p2p.stg_imports.files is 'As named on the command line; pages name them by their number, from 1';
comment on column p2p.stg_imports.seen_at is 'Last sign of life; after ten silent minutes the next import clears it away';

create unlogged table p2p.stg_import_pages (
  import_id        uuid        not null references p2p.stg_imports on delete cascade,
  file_number      integer     not null,
  line_number      bigint      not null,
  batch_start_time timestamptz not null,
  observed_at      timestamptz not null,
  exchange_id      smallint    not null,
  fiat             text        not null,
  asset            text        not null,
  trade_type       text        not null check (trade_type in ('BUY', 'SELL')),
  page_number      integer     not null check (page_number > 0),
  page_size        integer,
  filtered_by      text,
  parser           text        not null,
  body_bytes       integer     not null,
  body_sha256      bytea       not null,
  alteration       text,
  body_original    bytea,
  stored_sha256    bytea       not null,
  body             jsonb       not null,
  primary key (import_id, file_number, line_number)
);

do $$
begin
  alter table p2p.stg_import_pages alter column body set compression lz4;
exception when feature_not_supported then
  null; -- a server built without lz4 (the embedded one) keeps its default, pglz
end
$$;

create index stg_import_pages_by_batch
on p2p.stg_import_pages (import_id, batch_start_time);

comment on table p2p.stg_import_pages is 'Pages of an import that wait for their batch: import_next_batch takes the oldest batch out, whatever order the lines came in';
comment on column p2p.stg_import_pages.page_size is 'Offers that were asked for on a page, where the line says it';
comment on column p2p.stg_import_pages.filtered_by is 'What the recorder had asked for less than the whole book by; NULL: nothing';
comment on column p2p.stg_import_pages.stored_sha256 is 'As in stg_responses: two pages are the same where this is';
comment on index p2p.stg_import_pages_by_batch is 'import_next_batch: the oldest batch, and its pages';

grant select, insert, update, delete
on p2p.stg_imports, p2p.stg_import_pages
to p2p_worker;
