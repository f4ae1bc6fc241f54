-- What the status page needs: how fast each exchange was asked over time, and a worker that may read as a reader does.

create table p2p.ops_access_history (
  worker_id          text        not null,
  exchange_id        smallint    not null references p2p.dim_exchanges,
  noted_at           timestamptz not null,
  worker_name        text        not null,
  rate_per_minute    numeric     not null,
  ceiling_per_minute numeric,
  breaker            text        not null check (breaker in ('closed', 'open', 'half_open')),
  breaker_reason     text,
  requests           bigint      not null check (requests >= 0),
  refused            bigint      not null check (refused >= 0),
  requests_total     bigint      not null,
  refused_total      bigint      not null,
  primary key (worker_id, exchange_id, noted_at)
);

create index ops_access_history_by_time
on p2p.ops_access_history (noted_at);

comment on table p2p.ops_access_history is 'What each exchange allowed each worker, over time: a row a minute at most, and one at each change of the breaker. Read access_history';
comment on column p2p.ops_access_history.rate_per_minute is 'Requests a minute that it sent at most';
comment on column p2p.ops_access_history.ceiling_per_minute is 'Rate at which the exchange refused last; NULL: it never had';
comment on column p2p.ops_access_history.requests is 'Since the row before; refused likewise';
comment on column p2p.ops_access_history.requests_total is 'Since the worker started, as is refused_total: the next row is counted from here';
comment on index p2p.ops_access_history_by_time is 'All workers of a time range; what is too old';

grant select, insert, update, delete
on p2p.ops_access_history
to p2p_worker;

alter table p2p.settings disable trigger user;

insert into p2p.settings (name, value, kind, minimum, maximum, unit, comment, is_shipped)
values (
  'access_retention_days', '7', 'number', 1, 36500, 'days',
  'How fast exchanges were asked (access_history)', true
);

alter table p2p.settings enable trigger user;

-- The page asks as a reader, in a session of the worker's login, or of the owner where that is the worker too. Where roles
-- were made by somebody else who alone may grant them, the page says so, and nothing else suffers.
do $$
begin
  grant p2p_reader to p2p_worker;
  grant p2p_reader to current_user;
exception when insufficient_privilege then
  raise notice 'the status page stays empty until an administrator runs: grant p2p_reader to p2p_worker';
end
$$;
