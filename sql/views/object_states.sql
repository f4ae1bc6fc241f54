create or replace view p2p.object_states as
select
  o.name,
  o.identity,
  case live.definition
    when o.definition then 'shipped'
    when o.adopted_definition then 'tuned'
    else 'drifted'
  end as state,
  live.definition is null as is_missing,
  live.definition is distinct from o.definition and o.base_definition is distinct from o.definition as has_moved_on,
  o.adopted_at,
  o.adopted_by,
  o.adopted_note,
  o.base_version,
  o.program_version as shipped_version,
  o.server_major as written_by,
  o.base_definition,
  o.definition as shipped_definition,
  live.definition as live_definition
from p2p.schema_objects o
cross join lateral (
  select p2p.live_definition(o.identity) as definition
  offset 0 -- keeps the function from being called again for each column that looks at it
) as live
where o.identity is not null;

comment on view p2p.object_states is 'Every shipped function and view: as shipped, tuned (changed live and adopted) or drifted (changed live, not adopted)';
comment on column p2p.object_states.is_missing is 'Somebody dropped it; migrate makes it again';
comment on column p2p.object_states.has_moved_on is 'The release has another text than the one the live object was changed from: see all three with p2p-ingest sql diff';
comment on column p2p.object_states.written_by is 'Version of PostgreSQL that wrote the definitions; after an upgrade of it, migrate reads them again';
comment on column p2p.object_states.base_definition is 'The shipped text that the live object was changed from';
comment on column p2p.object_states.shipped_definition is 'What the release ships now';

grant select on p2p.object_states to p2p_worker;
