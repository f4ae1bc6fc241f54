create or replace view p2p.incidents as
select
  case when i.resolved_at is null then 'open' else 'over' end as state,
  left(i.kind, 17) as kind,
  left(i.subject, 10) as subject,
  date_trunc('second', i.raised_at) as since,
  date_trunc('second', coalesce(i.resolved_at, clock_timestamp()) - i.raised_at) as lasted,
  left(i.message, 38) as message
from p2p.ops_incidents i
order by i.resolved_at is not null, i.raised_at desc, i.incident_id desc;

comment on view p2p.incidents is 'What people were told of; open ones first. docs/alerts.md says of each kind what to do';
comment on column p2p.incidents.lasted is 'Of an open one: until now';
comment on column p2p.incidents.message is 'The beginning; whole, with who raised it and how it ended: ops_incidents';

grant select on p2p.incidents to p2p_reader, p2p_worker;
