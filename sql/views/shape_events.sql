create or replace view p2p.shape_events as
select
  date_trunc('second', e.event_at) as event_at,
  e.parser,
  e.event,
  e.path,
  e.json_type,
  e.is_needed,
  left(e.sample, 30) as sample
from p2p.ops_shape_events e
order by e.event_at desc, e.event_id desc;

comment on view p2p.shape_events is 'Changes in what the exchange answers, newest first';
comment on column p2p.shape_events.is_needed is 'A parser needs the key and cannot do with the change';

grant select on p2p.shape_events to p2p_reader;
