-- A setting that TimescaleDB's columnstore needs. It stands on every database, so that one that gains TimescaleDB later
-- has it already.

alter table p2p.settings disable trigger user;

insert into p2p.settings (name, value, kind, minimum, maximum, unit, comment, is_shipped)
values (
  'columnstore_after_days', '8', 'number', 1, 36500, 'days',
  'TimescaleDB: when offers and books are packed; more than raw_retention_days', true
);

-- Where pages are kept longer already, so that batches can be loaded again cheaply as long as there are any.
update p2p.settings s
set value = least(raw.value::numeric + 1, s.maximum)::text
from p2p.settings raw
where s.name = 'columnstore_after_days'
  and raw.name = 'raw_retention_days'
  and raw.value::numeric < 365
  and raw.value::numeric + 1 > s.value::numeric;

alter table p2p.settings enable trigger user;
