-- What the answers of the exchange look like: every key, by path, with the JSON types it was seen with. Paths are
-- written as in data[].adv.price; [] stands for every element of an array.

create table p2p.response_paths (
  parser         text        not null,
  path           text        not null,
  first_seen_at  timestamptz not null,
  last_seen_at   timestamptz not null,
  pages_possible bigint      not null,
  pages_seen     bigint      not null,
  pages_missed   bigint      not null,
  is_gone        boolean     not null,
  primary key (parser, path)
);

comment on table p2p.response_paths is 'Every key ever seen in the answers, and whether it still comes. Counted in watched pages; see watch_shapes and view response_keys';
comment on column p2p.response_paths.parser is 'Which parser reads the answers, as in stg_responses';
comment on column p2p.response_paths.path is 'The empty path is the answer itself';
comment on column p2p.response_paths.first_seen_at is 'Time of the batch';
comment on column p2p.response_paths.pages_possible is 'Watched pages since the key was first seen that had the object it belongs to';
comment on column p2p.response_paths.pages_seen is 'Those of them that had the key';
comment on column p2p.response_paths.pages_missed is 'Those in a row, up to the newest, that had it not';
comment on column p2p.response_paths.is_gone is 'It is reported as disappeared, and has not come back';

create table p2p.response_shapes (
  parser        text        not null,
  path          text        not null,
  json_type     text        not null check (json_type in ('object', 'array', 'string', 'number', 'boolean', 'null')),
  first_seen_at timestamptz not null,
  last_seen_at  timestamptz not null,
  values_seen   bigint      not null,
  primary key (parser, path, json_type),
  foreign key (parser, path) references p2p.response_paths on delete cascade
);

comment on table p2p.response_shapes is 'The JSON types that each key was ever seen with';
comment on column p2p.response_shapes.values_seen is 'Values of this type on watched pages';

create table p2p.parser_keys (
  parser     text   not null,
  path       text   not null check (path ~ '^[^.]+(\.[^.]+)*$' and path !~ '\[\]$'),
  json_types text[] not null check (
    cardinality(json_types) > 0
    and json_types <@ array['object', 'array', 'string', 'number', 'boolean', 'null']
  ),
  comment    text   not null,
  primary key (parser, path)
);

comment on table p2p.parser_keys is 'Keys that a parser needs, and the JSON types it can read: rule needed_keys alerts on them. Change it with the parser';
comment on column p2p.parser_keys.comment is 'What is lost without the key';

insert into p2p.parser_keys (parser, path, json_types, comment)
values
  ('binance_search_v1', 'data', '{array}', 'Every offer'),
  ('binance_search_v1', 'data[].adv', '{object}', 'Every offer'),
  ('binance_search_v1', 'data[].adv.advNo', '{string,number}', 'The identity of the ad: rejected'),
  ('binance_search_v1', 'data[].adv.asset', '{string}', 'Whether the ad belongs to the market that was asked for'),
  ('binance_search_v1', 'data[].adv.fiatUnit', '{string}', 'Whether the ad belongs to the market that was asked for'),
  ('binance_search_v1', 'data[].adv.tradeType', '{string}', 'Which of two readings of a moving ad counts'),
  ('binance_search_v1', 'data[].adv.price', '{string,number}', 'price: rejected'),
  ('binance_search_v1', 'data[].adv.surplusAmount', '{string,number}', 'available_amount: rejected'),
  ('binance_search_v1', 'data[].adv.tradableQuantity', '{string,number,"null"}', 'tradable_quantity'),
  ('binance_search_v1', 'data[].adv.minSingleTransAmount', '{string,number}', 'min_limit'),
  ('binance_search_v1', 'data[].adv.maxSingleTransAmount', '{string,number}', 'max_limit'),
  ('binance_search_v1', 'data[].adv.payTimeLimit', '{number,string,"null"}', 'payment_time_limit_minutes'),
  ('binance_search_v1', 'data[].adv.isTradable', '{boolean,string,"null"}', 'is_available'),
  ('binance_search_v1', 'data[].adv.tradeMethods', '{array}', 'Payment methods'),
  ('binance_search_v1', 'data[].adv.tradeMethods[].identifier', '{string}', 'Payment methods'),
  ('binance_search_v1', 'data[].privilegeType', '{number,string,"null"}', 'is_promoted'),
  ('binance_search_v1', 'data[].advertiser', '{object}', 'Every offer: rejected without an advertiser'),
  ('binance_search_v1', 'data[].advertiser.userNo', '{string}', 'Who advertises: rejected'),
  ('binance_search_v1', 'data[].advertiser.nickName', '{string,"null"}', 'nickname'),
  ('binance_search_v1', 'data[].advertiser.userType', '{string,"null"}', 'is_merchant'),
  ('binance_search_v1', 'data[].advertiser.userGrade', '{number,string,"null"}', 'user_grade, part of the identity'),
  ('binance_search_v1', 'data[].advertiser.userIdentity', '{string,"null"}', 'user_identity, part of the identity'),
  ('binance_search_v1', 'data[].advertiser.vipLevel', '{number,string,"null"}', 'vip_level, part of the identity'),
  ('binance_search_v1', 'data[].advertiser.monthOrderCount', '{number,string,"null"}', 'total_orders_count'),
  ('binance_search_v1', 'data[].advertiser.monthFinishRate', '{number,string,"null"}', 'completion_rate'),
  ('binance_search_v1', 'data[].advertiser.positiveRate', '{number,string,"null"}', 'positive_rate');

create table p2p.ops_shape_watches (
  batch_id   uuid        not null references p2p.ops_batch_runs on delete cascade,
  parser     text        not null,
  pages      integer     not null,
  is_late    boolean     not null,
  watched_at timestamptz not null default clock_timestamp(),
  primary key (batch_id, parser)
);

comment on table p2p.ops_shape_watches is 'Batches whose answers were watched, so that none counts twice';
comment on column p2p.ops_shape_watches.is_late is 'A later batch had been watched before: this one only widened first and last times';

create table p2p.ops_shape_events (
  event_id  bigint generated always as identity primary key,
  batch_id  uuid        references p2p.ops_batch_runs on delete set null,
  event_at  timestamptz not null,
  parser    text        not null,
  event     text        not null check (event in ('appeared', 'disappeared', 'new type', 'came back', 'too many keys')),
  path      text        not null,
  json_type text,
  is_needed boolean     not null,
  sample    text
);

create index ops_shape_events_by_batch
on p2p.ops_shape_events (batch_id);

comment on table p2p.ops_shape_events is 'Changes in what the exchange answers, one row a change';
comment on column p2p.ops_shape_events.batch_id is 'NULL where the batch itself is kept no longer';
comment on column p2p.ops_shape_events.event_at is 'Time of the batch that showed it';
comment on column p2p.ops_shape_events.json_type is 'The type that is new, or that the key came with; of several the most frequent';
comment on column p2p.ops_shape_events.is_needed is 'The parser needs the key (or one below it) and cannot do with this change: gone, or of a type it cannot read';
comment on column p2p.ops_shape_events.sample is 'One value, cut at 200 characters';
comment on index p2p.ops_shape_events_by_batch is 'The events of a batch; removal with its batch';

-- Functions come after migrations: where the triggers are there already, what they would ask for is not.
alter table p2p.quality_rules disable trigger user;

insert into p2p.quality_rules (name, function, severity, is_bad_when, error_threshold, comment)
values (
  'needed_keys', 'p2p.rule_needed_keys', 'error', 'above', 0,
  'Keys that a parser needs and that are missing, or unreadable, in more than a fifth of the objects they belong to'
);

alter table p2p.quality_rules enable trigger user;

alter table p2p.pipeline_steps disable trigger user;

insert into p2p.pipeline_steps (name, position, function, comment)
values (
  'watch_shapes', 990, 'p2p.watch_shapes',
  'Notices keys of the answers that appear, disappear or change their type'
);

alter table p2p.pipeline_steps enable trigger user;

grant select
on p2p.response_paths, p2p.response_shapes, p2p.parser_keys, p2p.ops_shape_watches, p2p.ops_shape_events
to p2p_worker;

grant insert, update
on p2p.response_paths, p2p.response_shapes
to p2p_worker;

grant insert
on p2p.ops_shape_watches, p2p.ops_shape_events
to p2p_worker;
