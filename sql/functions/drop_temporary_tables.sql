-- Drops this session's temporary tables but those of p_keep: what the steps of a load made, whoever wrote them. So
-- several batches can be loaded in one transaction, and the tables of a session's own survive. A second call finds none.
create or replace function p2p.drop_temporary_tables(p_keep oid[])
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
declare
  v_table name;
begin
  for v_table in
    select c.relname
    from pg_class c
    where c.oid = any (p2p.temporary_tables())
      and c.oid <> all (p_keep)
  loop
    execute format('drop table if exists pg_temp.%I cascade', v_table);
  end loop;
end
$function$;

comment on function p2p.drop_temporary_tables(oid[]) is 'Drops the temporary tables that a load made';

grant execute on function p2p.drop_temporary_tables(oid[]) to p2p_worker;
