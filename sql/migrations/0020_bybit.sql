-- A second exchange, Bybit P2P: its row, the keys its parser needs, and of which exchange a lost page was.

-- The number of a row that a DBA added by hand may be one that the sequence has yet to give.
select setval(
  pg_get_serial_sequence('p2p.dim_exchanges', 'exchange_id'),
  (
    select max(e.exchange_id)
    from p2p.dim_exchanges e
  )
);

insert into p2p.dim_exchanges (code, name)
select 'bybit', 'Bybit P2P'
where not exists (
  select
  from p2p.dim_exchanges e
  where e.code = 'bybit'
);

-- Neither userMaskId nor userId is here: the parser does with either. Without both every offer is rejected.
insert into p2p.parser_keys (parser, path, json_types, comment)
values
  ('bybit_online_v1', 'result', '{object}', 'Every offer'),
  ('bybit_online_v1', 'result.items', '{array,"null"}', 'Every offer'),
  ('bybit_online_v1', 'result.items[].id', '{string,number}', 'The identity of the ad: rejected'),
  ('bybit_online_v1', 'result.items[].tokenId', '{string}', 'Whether the ad belongs to the market that was asked for'),
  ('bybit_online_v1', 'result.items[].currencyId', '{string}', 'Whether the ad belongs to the market that was asked for'),
  ('bybit_online_v1', 'result.items[].side', '{number,string}', 'Which of two readings of a moving ad counts'),
  ('bybit_online_v1', 'result.items[].price', '{string,number}', 'price: rejected'),
  ('bybit_online_v1', 'result.items[].lastQuantity', '{string,number}', 'available_amount: rejected; tradable_quantity'),
  ('bybit_online_v1', 'result.items[].minAmount', '{string,number,"null"}', 'min_limit'),
  ('bybit_online_v1', 'result.items[].maxAmount', '{string,number,"null"}', 'max_limit'),
  ('bybit_online_v1', 'result.items[].payments', '{array,"null"}', 'Ways to pay'),
  ('bybit_online_v1', 'result.items[].paymentPeriod', '{number,string,"null"}', 'payment_time_limit_minutes'),
  ('bybit_online_v1', 'result.items[].nickName', '{string,"null"}', 'nickname'),
  ('bybit_online_v1', 'result.items[].authTag', '{array,"null"}', 'is_merchant; user_identity, part of the identity'),
  ('bybit_online_v1', 'result.items[].userType', '{string,"null"}', 'user_type, part of the identity'),
  ('bybit_online_v1', 'result.items[].recentOrderNum', '{number,string,"null"}', 'total_orders_count'),
  ('bybit_online_v1', 'result.items[].recentExecuteRate', '{number,string,"null"}', 'completion_rate')
on conflict (parser, path) do nothing;

alter table p2p.ops_extraction_errors
add column exchange_id smallint references p2p.dim_exchanges;

comment on column p2p.ops_extraction_errors.exchange_id is 'Exchange that was asked';

-- Until now there was one.
update p2p.ops_extraction_errors
set exchange_id = (
  select e.exchange_id
  from p2p.dim_exchanges e
  where e.code = 'binance'
);
