-- Quality rules are rows: a function that measures, and the limits that judge. Takes the place of quality_thresholds.

create type p2p.rule_finding as (
  metric         numeric,
  offending_rows jsonb
);

comment on type p2p.rule_finding is 'What a quality rule found in a batch';
comment on column p2p.rule_finding.metric is 'One finite number, compared with the thresholds of the rule; NULL = there is nothing to judge (yet), which passes';
comment on column p2p.rule_finding.offending_rows is 'JSON array of the rows at fault, the worst first; NULL is an empty one';

revoke usage on type p2p.rule_finding from public;

grant usage on type p2p.rule_finding to p2p_worker;

create table p2p.quality_rules (
  name              text    primary key check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  function          text    not null,
  severity          text    not null check (severity in ('warning', 'error')),
  is_bad_when       text    not null check (is_bad_when in ('above', 'below')),
  warning_threshold numeric,
  error_threshold   numeric,
  is_enabled        boolean not null default true,
  comment           text    not null check (comment <> ''),
  constraint a_threshold_is_a_finite_number check (
    coalesce(warning_threshold, 0) not in ('NaN', 'Infinity', '-Infinity')
    and coalesce(error_threshold, 0) not in ('NaN', 'Infinity', '-Infinity')
  ),
  constraint a_rule_has_the_threshold_of_its_severity check (
    error_threshold is not null
    or (severity = 'warning' and warning_threshold is not null)
  ),
  constraint a_warning_comes_before_an_error check (
    case is_bad_when
      when 'above' then warning_threshold <= error_threshold
      else warning_threshold >= error_threshold
    end
  )
);

comment on table p2p.quality_rules is 'What every loaded batch is measured by: change limits with UPDATE, add a rule with a function and INSERT';
comment on column p2p.quality_rules.name is 'Also metric_name in ops_data_quality';
comment on column p2p.quality_rules.function is 'A function (uuid) returning p2p.rule_finding; only reads. Unqualified names are looked for in p2p';
comment on column p2p.quality_rules.severity is 'The most that the rule can become: warning keeps it from being an error, whatever it measures';
comment on column p2p.quality_rules.is_bad_when is 'On which side of a threshold the metric is bad; the threshold itself is still good';
comment on column p2p.quality_rules.warning_threshold is 'In the unit of the metric; NULL = no warning before the error';

insert into p2p.quality_rules
  (name, function, severity, is_bad_when, warning_threshold, error_threshold, comment)
values
  (
    'completeness', 'p2p.rule_completeness', 'error', 'below', 0.995, 0.99,
    'Share of the planned markets that were fetched whole'
  ),
  (
    'duplicate_offers', 'p2p.rule_duplicate_offers', 'error', 'above', null, 0,
    'Offers that stand more than once in the snapshot'
  ),
  (
    'broken_references', 'p2p.rule_broken_references', 'error', 'above', null, 0,
    'Facts that point at a dimension row that is not there'
  ),
  (
    'rejected_share', 'p2p.rule_rejected_share', 'error', 'above', 0.03, 0.05,
    'Share of the items on the pages that could not be offers'
  ),
  (
    'price_anomaly', 'p2p.rule_price_anomaly', 'error', 'above', 15, 20,
    'Percent by which the median of a book lies off the median of its last 3 hours, the greatest of all books'
  ),
  (
    'volume_drop', 'p2p.rule_volume_drop', 'error', 'above', 40, 50,
    'Percent of its available amount that an asset lost since the same time of the day before, the greatest of all assets'
  ),
  (
    'temporal_consistency', 'p2p.rule_temporal_consistency', 'error', 'above', null, 0,
    'Facts read more than a minute before their batch began, or whose advertiser row does not hold at that time'
  ),
  (
    'stale_timestamps', 'p2p.rule_stale_timestamps', 'error', 'above', null, 0,
    'Pages read more than an hour after their batch began, or dated after they were loaded'
  ),
  (
    'promoted_share', 'p2p.rule_promoted_share', 'error', 'above', 0.1, 0.3,
    'Share of promoted offers in books of 20 or more; the exchange puts at most one on a page'
  ),
  (
    'crossed_median', 'p2p.rule_crossed_median', 'error', 'above', 0.1, 0.5,
    'Share of the pairs of books (20 or more offers each) whose BUY median lies below the SELL median'
  );

-- What a DBA had changed holds on, and brings no new warning. A row that was deleted, or set to infinity, had
-- switched its check off.
with carried as (
  select
    shipped.metric_name,
    t.threshold_value,
    coalesce(t.threshold_value not in ('NaN', 'Infinity', '-Infinity'), false) as judges
  from (
    values ('completeness', 0.99), ('duplicate_offers', 0), ('broken_references', 0), ('rejected_share', 0.05)
  ) as shipped (metric_name, threshold_value)
  left join p2p.quality_thresholds t using (metric_name)
  where t.threshold_value is distinct from shipped.threshold_value
)
update p2p.quality_rules q
set
  is_enabled = carried.judges,
  error_threshold = case when carried.judges then carried.threshold_value else q.error_threshold end,
  warning_threshold = case when not carried.judges then q.warning_threshold end
from carried
where q.name = carried.metric_name;

drop table p2p.quality_thresholds;

alter table p2p.ops_data_quality
add column result text check (result in ('ok', 'warning', 'error', 'broken')),
add column severity text check (severity in ('warning', 'error'));

update p2p.ops_data_quality
set
  result = case when passed then 'ok' else 'error' end,
  severity = 'error';

alter table p2p.ops_data_quality
alter column result set not null,
alter column severity set not null,
add constraint only_ok_passes check (passed = (result = 'ok'));

comment on table p2p.ops_data_quality is 'What the quality rules found, one row a batch and rule: the rules that were enabled when the batch was last checked';
comment on column p2p.ops_data_quality.metric_value is 'NULL where there was nothing to judge, or the rule is broken: details say which';
comment on column p2p.ops_data_quality.threshold_value is 'The threshold that was crossed; where none was, the first that would be';
comment on column p2p.ops_data_quality.result is 'broken: the rule itself failed (it raised, or returned nonsense); details.message says how';
comment on column p2p.ops_data_quality.severity is 'The most that the rule could become when it ran';
comment on column p2p.ops_data_quality.details is 'offenders: number of offending rows; samples: at most 10 of them; note or message in words';

grant select
on p2p.quality_rules
to p2p_worker;

-- A result of a rule that is no longer there goes when its batch is checked again.
grant delete
on p2p.ops_data_quality
to p2p_worker;
