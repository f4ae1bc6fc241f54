-- One row while new batches are paused (setting `paused`), with who paused them and when, as far as the log knows.
-- No row otherwise. Changes nothing.
create or replace function p2p.pause_state()
returns table (paused_since timestamptz, paused_by text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  select last_switch.changed_at, last_switch.changed_by
  from (select p2p.setting_switch('paused') as is_on) as paused
  left join lateral (
    select c.changed_at, c.changed_by
    from p2p.change_log c
    where c.table_name = 'settings'
      and c.row_key = 'paused'
      and c.old_row ->> 'value' is distinct from c.new_row ->> 'value'
    order by c.change_id desc
    limit 1
  ) as last_switch on true
  where paused.is_on
$function$;

comment on function p2p.pause_state() is 'Since when and by whom new batches are paused; no row while they are not';

grant execute on function p2p.pause_state() to p2p_worker;
