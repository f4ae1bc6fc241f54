-- Rows that this transaction wrote so far in the tables that a dry run compares. The server counts where rows are kept:
-- in the partitions of a table, or its chunks. Changes nothing.
create or replace function p2p.rows_written()
returns bigint
language sql
set search_path = p2p, pg_temp
as $function$
  with kept_in (table_id) as (
    select t.table_id
    from p2p.compared_tables() t
    where t.table_name <> 'ops_batch_steps' -- bookkeeping
    union
    select i.inhrelid
    from p2p.compared_tables() t
    join pg_inherits i on i.inhparent = t.table_id
  )
  select coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::bigint
  from kept_in k
  join pg_stat_xact_user_tables s on s.relid = k.table_id
$function$;

comment on function p2p.rows_written() is 'Rows that this transaction wrote so far in tables of batches';

grant execute on function p2p.rows_written() to p2p_worker;
