-- What ran here, and what the live functions and views are compared with.

create table if not exists p2p.schema_migrations (
  name            text        primary key,
  sha256          text        not null,
  body            text        not null,
  program_version text        not null,
  applied_at      timestamptz not null default clock_timestamp()
);

comment on table p2p.schema_migrations is 'Files of sql/migrations that ran here, with the text that ran: frozen, never run twice';

create table if not exists p2p.schema_objects (
  name            text        primary key,
  sha256          text        not null,
  body            text        not null,
  program_version text        not null,
  applied_at      timestamptz not null default clock_timestamp()
);

alter table p2p.schema_objects
add column if not exists identity           text,
add column if not exists definition         text,
add column if not exists server_major       integer,
add column if not exists base_body          text,
add column if not exists base_definition    text,
add column if not exists base_version       text,
add column if not exists adopted_definition text,
add column if not exists adopted_at         timestamptz,
add column if not exists adopted_by         text,
add column if not exists adopted_note       text;

comment on table p2p.schema_objects is 'Every shipped function and view: the text of the release, the text its live form began from, and what was adopted. Read object_states';
comment on column p2p.schema_objects.name is 'File below sql/';
comment on column p2p.schema_objects.body is 'Text of the file in the release that migrated last';
comment on column p2p.schema_objects.identity is 'The object the file makes, e.g. function p2p.load_offers(uuid); NULL for the files of bootstrap';
comment on column p2p.schema_objects.definition is 'What the server makes of body: live objects are compared with this, not with the file';
comment on column p2p.schema_objects.server_major is 'Version of the server that wrote the definitions: another one may write them differently';
comment on column p2p.schema_objects.base_body is 'The shipped text that the live object was made or changed from; older than body where a changed object was kept';
comment on column p2p.schema_objects.adopted_definition is 'The change that is meant to stay, as the server writes it; NULL where there is none';

create table if not exists p2p.schema_object_history (
  event_id        bigint      generated always as identity primary key,
  name            text        not null,
  identity        text        not null,
  happened_at     timestamptz not null default clock_timestamp(),
  changed_by      text        not null default session_user,
  action          text        not null
                  check (action in ('kept', 'made again', 'adopted', 'restored', 'left behind', 'dropped')),
  program_version text        not null,
  note            text,
  definition      text
);

comment on table p2p.schema_object_history is 'What became of changed functions and views, with the live text at that moment: nothing that somebody wrote is lost';
comment on column p2p.schema_object_history.action is 'kept: a release did not overwrite it; made again: it was missing; adopted: meant to stay; restored: put back to the shipped text; left behind: no longer shipped, or another signature is; dropped: no longer shipped and unchanged';
comment on column p2p.schema_object_history.definition is 'The live text before the action';
