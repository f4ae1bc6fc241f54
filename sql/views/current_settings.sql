create or replace view p2p.current_settings as
select
  s.name,
  s.value,
  case s.kind when 'number' then format('%s to %s %s', s.minimum, s.maximum, s.unit) else 'on, off' end as allowed,
  left(s.comment, 56) as comment
from p2p.settings s
order by s.name;

comment on view p2p.current_settings is 'What may be tuned, with its value and what it may be; change it in table settings';

grant select on p2p.current_settings to p2p_reader, p2p_worker;
