create or replace view p2p.setting_changes as
select
  date_trunc('second', c.changed_at) as changed_at,
  c.changed_by,
  c.table_name,
  c.row_key,
  coalesce(
    case
      when c.old_row is null then 'added'
      when c.new_row is null then 'deleted'
    end,
    left(
      (
        select string_agg(format('%s: %s → %s', n.key, o.value, n.value), ', ' order by n.key <> 'value', n.key)
        from jsonb_each_text(c.new_row) as n
        join jsonb_each_text(c.old_row) as o on o.key = n.key
        where o.value is distinct from n.value
      ),
      42
    )
  ) as change
from p2p.change_log c
order by c.change_id desc;

comment on view p2p.setting_changes is 'Who changed which setting, when, and from what to what; newest first';
comment on column p2p.setting_changes.table_name is 'Where the row stands: settings, and other tables that steer the SQL';
comment on column p2p.setting_changes.change is 'Its beginning; the rows before and after are in change_log';

grant select on p2p.setting_changes to p2p_reader, p2p_worker;
