-- What may be tuned without touching a function: a row each, read at each batch, changed with UPDATE. Who changed
-- what and when is kept. The triggers stand with their functions: guard_setting.sql, log_change.sql.

create table p2p.settings (
  name       text    primary key,
  value      text    not null,
  kind       text    not null check (kind in ('switch', 'number')),
  minimum    numeric,
  maximum    numeric,
  unit       text,
  comment    text    not null check (comment <> ''),
  is_shipped boolean not null default false,
  constraint settings_number_has_limits
  check ((kind = 'number') = (minimum is not null and maximum is not null and unit is not null)),
  constraint settings_value_fits
  check (
    case kind
      when 'switch' then value in ('on', 'off')
      when 'number' then
        case
          when value ~ '^-?\d+(\.\d+)?$' and length(value) <= 30 then value::numeric between minimum and maximum
          else false
        end
    end
  )
);

comment on table p2p.settings is 'What may be tuned, read at each batch: update p2p.settings set value = … where name = …';
comment on column p2p.settings.value is 'on or off for a switch; a number between minimum and maximum';
comment on column p2p.settings.is_shipped is 'Read by functions of the release, so that it cannot be deleted; false for those of your own functions';

create table p2p.change_log (
  change_id  bigint generated always as identity primary key,
  table_name text        not null,
  row_key    text        not null,
  changed_at timestamptz not null default clock_timestamp(),
  changed_by text        not null default session_user,
  old_row    jsonb,
  new_row    jsonb
);

create index change_log_by_row
on p2p.change_log (table_name, row_key, change_id);

comment on table p2p.change_log is 'Every change of a row that steers the SQL, whoever made it; see setting_changes';
comment on column p2p.change_log.changed_by is 'The login of the session, also where it had taken another role';
comment on column p2p.change_log.old_row is 'NULL for a new row';
comment on column p2p.change_log.new_row is 'NULL for a deleted row';
comment on index p2p.change_log_by_row is 'The history of one setting; pause_state';

-- Times to keep are for a new database. One that has run longer already keeps all it has until its DBA says otherwise.
insert into p2p.settings (name, value, kind, minimum, maximum, unit, comment, is_shipped)
with age as (
  select coalesce(extract(epoch from max(r.batch_start_time) - min(r.batch_start_time)) / 86400, 0) as days
  from p2p.ops_batch_runs r
)
select
  s.name,
  case
    when s.name like '%\_retention\_days' and (select age.days from age) >= s.value::numeric then s.maximum::text
    else s.value
  end,
  s.kind,
  s.minimum,
  s.maximum,
  s.unit,
  s.comment,
  true
from (
  values
    ('paused', 'off', 'switch', null, null, null,
      'No new batch is begun; one under way is finished'),
    ('raw_retention_days', '30', 'number', 1, 36500, 'days',
      'Pages as received; without them no loading again'),
    ('offers_retention_days', '400', 'number', 30, 36500, 'days',
      'Offers (fact_offers)'),
    ('depth_retention_days', '3650', 'number', 30, 36500, 'days',
      'Books (fact_market_depth), and the views made of them'),
    ('ledger_retention_days', '400', 'number', 30, 36500, 'days',
      'What became of markets, errors, rejected offers'),
    ('retention_batches_per_load', '2', 'number', 1, 1000, 'batches',
      'Old batches that one load clears away at most')
) as s (name, value, kind, minimum, maximum, unit, comment);

alter table p2p.ops_batch_runs
add column raw_deleted_at timestamptz,
add column ledger_deleted_at timestamptz;

comment on column p2p.ops_batch_runs.raw_deleted_at is 'When apply_retention deleted its pages: from then on it cannot be loaded again';
comment on column p2p.ops_batch_runs.ledger_deleted_at is 'When apply_retention deleted its rows of ops_batch_markets, ops_extraction_errors and ops_rejected_offers';

-- Settings are for their DBA to change; the worker reads them.
grant select
on p2p.settings, p2p.change_log
to p2p_worker;
