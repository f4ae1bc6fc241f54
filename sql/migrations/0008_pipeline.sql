-- What load_batch does with a batch, as rows: a step is a function that takes the batch id. DBAs insert steps of their
-- own, switch steps off and reorder them; load_batch reads the table at each load.

create table p2p.pipeline_steps (
  name        text    primary key check (name ~ '^\S(.{0,98}\S)?$'),
  position    numeric not null check (position > 0 and position < 'infinity'),
  function    text    not null,
  is_required boolean not null default false,
  is_enabled  boolean not null default true,
  comment     text    not null,
  -- Deferrable so that one UPDATE may swap two steps; it is checked when that UPDATE ends.
  constraint pipeline_steps_one_a_position unique (position) deferrable initially immediate
);

comment on table p2p.pipeline_steps is 'What load_batch runs, in order of position: change it with INSERT, UPDATE, DELETE; the next load follows';
comment on column p2p.pipeline_steps.position is 'Lower ones run first; the shipped steps leave gaps for yours';
comment on column p2p.pipeline_steps.function is 'A function that takes the batch id (uuid); stored with its schema. Steps of one load see one another''s temporary tables';
comment on column p2p.pipeline_steps.is_required is 'A required step that fails fails the batch whole; of an optional one only its own work is undone';
comment on column p2p.pipeline_steps.is_enabled is 'false: load_batch passes it over';
comment on constraint pipeline_steps_one_a_position on p2p.pipeline_steps is 'Holds: the order is never open';

-- Numbers between are for steps to come, and for yours; checks measure what all others did, so they are far behind.
insert into p2p.pipeline_steps (name, position, function, is_required, comment)
values
  ('parse_pages', 10, 'p2p.parse_pages', true, 'Reads the stored pages, each with the parser that it names'),
  ('reject_offers', 20, 'p2p.reject_offers', true, 'Sets aside what cannot be an offer, with the reason'),
  ('choose_offers', 30, 'p2p.choose_offers', true, 'Keeps one reading of each ad'),
  ('load_dimensions', 40, 'p2p.load_dimensions', true, 'Adds payment methods, their lists, and numbers for new ads'),
  ('load_advertisers', 50, 'p2p.load_advertisers', true, 'Keeps who advertises, as SCD-2'),
  ('load_offers', 60, 'p2p.load_offers', true, 'Writes the snapshot into fact_offers'),
  ('load_depth', 70, 'p2p.load_depth', true, 'Writes one row a book into fact_market_depth'),
  ('run_quality_checks', 1000, 'p2p.run_quality_checks', false, 'Measures the batch');

create table p2p.ops_batch_steps (
  batch_id      uuid           not null references p2p.ops_batch_runs on delete cascade,
  load_number   integer        not null,
  position      numeric        not null,
  step          text           not null,
  is_required   boolean        not null,
  status        text           not null check (status in ('ok', 'failed', 'undone')),
  seconds       numeric(10, 3) not null,
  error         text,
  error_context text,
  primary key (batch_id, load_number, step),
  check ((status = 'failed') = (error is not null))
);

create index ops_batch_steps_failed
on p2p.ops_batch_steps (batch_id, load_number)
where status = 'failed';

comment on table p2p.ops_batch_steps is 'What each step of each recorded load did, and how long it took';
comment on column p2p.ops_batch_steps.load_number is 'Which load of the batch, from 1 (ops_batch_loads)';
comment on column p2p.ops_batch_steps.step is 'Its name at that time; the step may be gone since';
comment on column p2p.ops_batch_steps.status is 'failed: it raised error; undone: it ran, but a required step failed after it';
comment on column p2p.ops_batch_steps.error_context is 'Where in the SQL it was raised, as PostgreSQL tells it';
comment on index p2p.ops_batch_steps_failed is 'failed_steps, batch_overview';

grant select
on p2p.pipeline_steps
to p2p_worker;

grant select, insert
on p2p.ops_batch_steps
to p2p_worker;
