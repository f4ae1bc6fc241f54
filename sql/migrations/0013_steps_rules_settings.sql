-- A step, a rule and settings that need what several migrations before made.

alter table p2p.pipeline_steps disable trigger user;

insert into p2p.pipeline_steps (name, position, function, comment)
values (
  'apply_retention', 1100, 'p2p.apply_retention',
  'Deletes what is older than the settings allow, a few batches a load'
);

alter table p2p.pipeline_steps enable trigger user;

alter table p2p.quality_rules disable trigger user;

insert into p2p.quality_rules (name, function, severity, is_bad_when, warning_threshold, comment)
values (
  'sql_drift', 'p2p.rule_sql_drift', 'warning', 'above', 0,
  'Functions and views that were changed live, or dropped, and not adopted'
);

alter table p2p.quality_rules enable trigger user;

insert into p2p.settings (name, value, kind, minimum, maximum, unit, comment, is_shipped)
values
  ('price_history_hours', '3', 'number', 1, 720, 'hours',
    'How far back price_anomaly looks for what is usual', true),
  ('volume_history_hours', '24', 'number', 1, 720, 'hours',
    'volume_drop compares with so long ago; take whole days', true),
  ('shape_pages_per_batch', '25', 'number', 1, 1000000, 'pages',
    'Pages of a batch whose keys watch_shapes looks at', true);
