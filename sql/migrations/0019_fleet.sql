-- Many workers share one batch: who they are and what they may send, when batches are due, and what a plan goes by.

-- A worker renews its row every few seconds: room for that on the page it stands on.
create table p2p.ops_workers (
  worker_id        text        primary key,
  worker_name      text        not null,
  version          text        not null,
  purpose          text        not null check (purpose in ('run', 'once')),
  started_at       timestamptz not null default clock_timestamp(),
  last_seen_at     timestamptz not null,
  lease_expires_at timestamptz not null,
  doing            text        not null
                   check (doing in ('idle', 'discovering', 'fetching', 'waiting', 'loading', 'stopping', 'gone'))
)
with (fillfactor = 50);

comment on table p2p.ops_workers is 'Every process that fetches, and whether it lives: see live_workers and view workers';
comment on column p2p.ops_workers.worker_id is 'One process: name, process id and a random number';
comment on column p2p.ops_workers.worker_name is 'One address: what a process has learned of the exchanges passes on to the next of the same name';
comment on column p2p.ops_workers.lease_expires_at is 'Renewed by each beat; once it has run out, markets in its hands are for others';
comment on column p2p.ops_workers.doing is 'idle: at no batch; gone: it has left';

create index ops_workers_by_name
on p2p.ops_workers (worker_name, last_seen_at);

comment on index p2p.ops_workers_by_name is 'remembered_access: the worker before, of the same name';

create table p2p.ops_worker_exchanges (
  worker_id          text        not null references p2p.ops_workers on delete cascade,
  exchange_id        smallint    not null references p2p.dim_exchanges,
  market_filter      jsonb       not null check (jsonb_typeof(market_filter) = 'array'),
  rate_per_minute    numeric     not null check (rate_per_minute >= 0),
  ceiling_per_minute numeric,
  paused_until       timestamptz,
  breaker            text        not null default 'closed' check (breaker in ('closed', 'open', 'half_open')),
  breaker_reason     text,
  breaker_since      timestamptz,
  breaker_memory     jsonb,
  requests_total     bigint      not null default 0,
  refused_total      bigint      not null default 0,
  retries_total      bigint      not null default 0,
  updated_at         timestamptz not null,
  primary key (worker_id, exchange_id)
)
with (fillfactor = 50);

comment on table p2p.ops_worker_exchanges is 'What each exchange allows each worker, as the worker has learned it';
comment on column p2p.ops_worker_exchanges.market_filter is 'Markets it fetches: [{"fiat": "VES", "asset": "*"}, …]';
comment on column p2p.ops_worker_exchanges.rate_per_minute is 'Requests a minute it sends now at most';
comment on column p2p.ops_worker_exchanges.ceiling_per_minute is 'Rate at which the exchange refused last; NULL: it never has';
comment on column p2p.ops_worker_exchanges.paused_until is 'The exchange asked it to wait until then';
comment on column p2p.ops_worker_exchanges.breaker is 'open: it sends nothing; half_open: it tries whether the exchange is back';
comment on column p2p.ops_worker_exchanges.breaker_memory is 'What the worker needs to go on with its breaker after a restart';
comment on column p2p.ops_worker_exchanges.requests_total is 'Since the worker started, as are refused_total and retries_total';

create table p2p.ops_skipped_batches (
  due_at      timestamptz primary key,
  reason      text        not null,
  worker_id   text,
  recorded_at timestamptz not null default clock_timestamp()
);

comment on table p2p.ops_skipped_batches is 'Due times of the schedule that got no batch, and why';
comment on column p2p.ops_skipped_batches.worker_id is 'Who wrote it down';

-- plan_batch would otherwise look for the last visit of each market in a day of ledger.
create table p2p.ops_market_visits (
  market_id     integer     primary key references p2p.dim_markets,
  visited_at    timestamptz,
  pages         integer     not null default 1,
  offers        integer,
  empty_since   timestamptz,
  waiting_since timestamptz
)
with (fillfactor = 50);

comment on table p2p.ops_market_visits is 'What the last visit of each market found: plan_batch goes by it';
comment on column p2p.ops_market_visits.visited_at is 'Start of the batch that last had a page of it; NULL: none yet';
comment on column p2p.ops_market_visits.pages is 'Pages that visit took: the estimate for the next';
comment on column p2p.ops_market_visits.offers is 'Total that the exchange gave; NULL where it gave none';
comment on column p2p.ops_market_visits.empty_since is 'Start of the first of the visits in a row that found it empty; NULL: it had offers';
comment on column p2p.ops_market_visits.waiting_since is 'Start of the first of the batches in a row that deferred it; NULL: the last did not';

alter table p2p.dim_markets
add column priority smallint not null default 0;

comment on column p2p.dim_markets.priority is 'Yours to set: higher ones are fetched first, and in every batch; what they leave of the allowance is for the others';

-- The view of release 0.2.0 stands on every column, also on the one that goes; changed live or not, it is the same without.
do $$
begin
  if p2p.live_definition('view p2p.freshness') ~ 'lease_expires_at' then
    execute regexp_replace(p2p.live_definition('view p2p.freshness'), '\w+\.lease_expires_at,\s*', '');

    update p2p.schema_objects o
    set
      definition = regexp_replace(o.definition, '\w+\.lease_expires_at,\s*', ''),
      base_definition = regexp_replace(o.base_definition, '\w+\.lease_expires_at,\s*', ''),
      adopted_definition = regexp_replace(o.adopted_definition, '\w+\.lease_expires_at,\s*', '')
    where o.name = 'views/freshness.sql';
  end if;
end
$$;

alter table p2p.ops_batch_runs
drop column lease_expires_at,
add column due_at timestamptz unique,
add column fetch_until timestamptz,
add column loader_id text;

comment on column p2p.ops_batch_runs.worker_id is 'Who opened it';
comment on column p2p.ops_batch_runs.due_at is 'When the schedule wanted it; NULL: begun by hand, or imported';
comment on column p2p.ops_batch_runs.fetch_until is 'The deadline: from then on no market is begun';
comment on column p2p.ops_batch_runs.loader_id is 'The worker that ended the fetching, to load; NULL while markets are fetched';

alter table p2p.ops_batch_markets
add column estimated_requests integer,
drop constraint ops_batch_markets_status_check,
add constraint ops_batch_markets_status_check
check (status in ('pending', 'fetching', 'complete', 'incomplete', 'failed', 'deferred', 'not_due'));

comment on column p2p.ops_batch_markets.status is 'complete: every page; incomplete: some pages are missing (lost_pages); failed: no page at all; deferred: there was no time for it (while finished_at is NULL there may yet be), first in line next time; not_due: it was empty for long, and not planned';
comment on column p2p.ops_batch_markets.worker_id is 'Whose it is, or was last; NULL: nobody''s';
comment on column p2p.ops_batch_markets.estimated_requests is 'What plan_batch thought it would take';

alter table p2p.settings disable trigger user;

insert into p2p.settings (name, value, kind, minimum, maximum, unit, comment, is_shipped)
values
  ('schedule_grace_seconds', '300', 'number', 0, 86400, 'seconds',
    'A batch so late is begun, a later one skipped', true),
  ('discovery_every_hours', '24', 'number', 0.1, 8760, 'hours',
    'How often the lists of markets are read', true),
  ('empty_market_after_hours', '24', 'number', 1, 8760, 'hours',
    'Empty for so long, a market is visited less often', true),
  ('empty_market_every_hours', '3', 'number', 0, 720, 'hours',
    'How often such a market is visited', true),
  ('plan_share_percent', '90', 'number', 1, 100, 'percent',
    'Share of the allowance that a plan may use', true);

alter table p2p.settings enable trigger user;

-- What the ledger of the last day knows; how long a market was empty before is not looked up.
insert into p2p.ops_market_visits (market_id, visited_at, pages, offers, empty_since, waiting_since)
with newest as (
  select max(r.batch_start_time) as batch_start_time
  from p2p.ops_batch_runs r
  where r.imported_from is null
),
plans as (
  select
    bm.*,
    r.batch_start_time
  from p2p.ops_batch_runs r
  join p2p.ops_batch_markets bm using (batch_id)
  where r.imported_from is null
    and r.batch_start_time > (select n.batch_start_time from newest n) - interval '1 day'
),
last_plans as (
  select distinct on (p.market_id)
    p.market_id,
    case when p.status = 'deferred' then p.batch_start_time end as waiting_since
  from plans p
  order by p.market_id, p.batch_start_time desc
),
last_visits as (
  select distinct on (p.market_id) p.*
  from plans p
  where p.status in ('complete', 'incomplete')
  order by p.market_id, p.batch_start_time desc
)
select
  l.market_id,
  v.batch_start_time,
  greatest(v.pages_stored + cardinality(v.lost_pages), 1),
  v.offers_reported,
  case when v.status = 'complete' and v.offers_reported = 0 then v.batch_start_time end,
  l.waiting_since
from last_plans l
left join last_visits v using (market_id);

grant select, insert, update
on p2p.ops_workers, p2p.ops_worker_exchanges, p2p.ops_market_visits
to p2p_worker;

grant delete
on p2p.ops_workers, p2p.ops_worker_exchanges
to p2p_worker;

grant select, insert
on p2p.ops_skipped_batches
to p2p_worker;
