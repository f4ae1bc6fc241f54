-- Incidents: what people are told of, once when it begins and once when it is over, whoever of the workers notices.
create table p2p.ops_incidents (
  incident_id      bigint      generated always as identity primary key,
  kind             text        not null check (kind ~ '^[a-z][a-z0-9_]{0,49}$'),
  subject          text        not null default '' check (length(subject) <= 100),
  message          text        not null check (length(message) <= 1000),
  raised_at        timestamptz not null default clock_timestamp(),
  raised_by        text        not null,
  teller           text        not null,
  begin_told_at    timestamptz,
  resolved_at      timestamptz,
  resolved_message text        check (length(resolved_message) <= 1000),
  end_told_at      timestamptz,
  check (resolved_at >= raised_at)
);

comment on table p2p.ops_incidents is 'What people were told of: when it began, when it was over. Read incidents';
comment on column p2p.ops_incidents.kind is 'docs/alerts.md says of each what to do';
comment on column p2p.ops_incidents.subject is 'Tells incidents of one kind apart, e.g. the code of an exchange; mostly empty';
comment on column p2p.ops_incidents.raised_by is 'The worker that noticed first';
comment on column p2p.ops_incidents.teller is 'The worker that tells people; another one takes over where it is gone before it has';
comment on column p2p.ops_incidents.begin_told_at is 'Delivered, or given up; NULL: somebody has yet to be told. end_told_at likewise';
comment on column p2p.ops_incidents.resolved_at is 'NULL: it is open';

create unique index ops_incidents_open
on p2p.ops_incidents (kind, subject)
where resolved_at is null;

comment on index p2p.ops_incidents_open is 'An incident is open once, whoever notices it';

create index ops_incidents_untold
on p2p.ops_incidents (incident_id)
where begin_told_at is null or resolved_at is not null and end_told_at is null;

comment on index p2p.ops_incidents_untold is 'watch_incidents: what people have yet to be told';

create index ops_incidents_by_time
on p2p.ops_incidents (raised_at);

comment on index p2p.ops_incidents_by_time is 'incidents: the newest; apply_retention: the oldest';

grant select, insert, update on p2p.ops_incidents to p2p_worker;

alter table p2p.settings disable trigger user;

insert into p2p.settings (name, value, kind, minimum, maximum, unit, comment, is_shipped)
values (
  'no_good_batch_intervals', '3', 'number', 1, 1000, 'intervals',
  'So long without a batch: an incident', true
);

alter table p2p.settings enable trigger user;
