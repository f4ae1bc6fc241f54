-- Which tables a dry run compares, and how. Reads the catalog, changes nothing.
-- Compared are the tables of schema p2p
--   that belong to batches: with a column extraction_timestamp or batch_id, those a DBA made among them;
--   three dimensions as wholes, because a load of one batch may rewrite any of their rows.
-- Not compared are raw pages, which a load only reads, and the bookkeeping about loads, which differs from load to
-- load (when, how long). Nor is the check sql_drift, which speaks of the database, not of a batch: a candidate is
-- always drift; of steps only failures of the newest load are. Nor are columns that say which number or which moment a row happened to get: identities,
-- and what defaults to clock_timestamp().
-- rows_statement selects the rows; its $1 are the batches, its $2 their start times. preview_key names a row before
-- and after: the primary key, else a unique index, of columns that are compared; a table that has neither is compared
-- as a bag of rows.
create or replace function p2p.compared_tables()
returns table (table_id oid, table_name text, key_columns text[], rows_statement text)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with tables as (
    select
      c.oid as table_id,
      c.relname::text as table_name,
      c.relname in ('dim_advertisers', 'dim_payment_methods', 'dim_payment_sets') as is_whole
    from pg_class c
    where c.relnamespace = 'p2p'::regnamespace
      and c.relkind in ('r', 'p')
      and not c.relispartition
      and c.relname not in ('stg_responses', 'ops_batch_loads', 'ops_batch_steps')
      and has_table_privilege(c.oid, 'select')
  ),
  columns as (
    select
      t.table_id,
      a.attnum,
      a.attname,
      a.attnotnull,
      a.attidentity = ''
        and coalesce(pg_get_expr(d.adbin, d.adrelid), '') !~ '^(clock_timestamp|nextval)\(' as is_compared,
      a.attname = 'extraction_timestamp' and a.atttypid = 'timestamptz'::regtype as is_time,
      a.attname = 'batch_id' and a.atttypid = 'uuid'::regtype as is_batch
    from tables t
    join pg_attribute a on a.attrelid = t.table_id and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
  ),
  lists as (
    select
      c.table_id,
      string_agg(format('t.%I', c.attname), ', ' order by c.attnum) filter (where c.is_compared) as compared,
      bool_or(c.is_time) as has_time,
      bool_or(c.is_batch) as has_batch
    from columns c
    group by c.table_id
  ),
  keys as (
    select distinct on (i.indrelid)
      i.indrelid as table_id,
      k.key_columns,
      k.key_list
    from pg_index i
    cross join lateral (
      select
        array_agg(c.attname::text order by key.position) as key_columns,
        string_agg(format('t.%I', c.attname), ', ' order by key.position) as key_list,
        count(*) filter (where c.is_compared and c.attnotnull) = i.indnkeyatts as is_usable
      from unnest(i.indkey::smallint[]) with ordinality as key (attnum, position)
      join columns c on c.table_id = i.indrelid and c.attnum = key.attnum
      where key.position <= i.indnkeyatts
    ) as k
    where i.indisunique
      and i.indisvalid
      and i.indpred is null
      and k.is_usable
    order by i.indrelid, i.indisprimary desc, i.indexrelid
  )
  select
    t.table_id,
    t.table_name,
    coalesce(k.key_columns, '{}'),
    format(
      'select %s as preview_key, %s from p2p.%I t where %s',
      case
        when k.key_list is not null then format('row(%s)::text', k.key_list)
        else format('concat(row_number() over (partition by row(%1$s)::text), row(%1$s)::text)', l.compared)
      end,
      l.compared,
      t.table_name,
      case
        when t.is_whole then 'true'
        when t.table_name = 'ops_data_quality' then 't.batch_id = any ($1) and t.metric_name <> ''sql_drift'''
        when l.has_time then 't.extraction_timestamp = any ($2)'
        else 't.batch_id = any ($1)'
      end
    )
  from tables t
  join lists l using (table_id)
  left join keys k using (table_id)
  where l.compared is not null
    and (t.is_whole or l.has_time or l.has_batch)
  union all
  select
    'p2p.ops_batch_steps'::regclass,
    'ops_batch_steps',
    array['batch_id', 'step'],
    $statement$
      select row(t.batch_id, t.step)::text as preview_key, t.batch_id, t.step, t.error
      from p2p.ops_batch_steps t
      where t.batch_id = any ($1)
        and t.status = 'failed'
        and t.load_number = (
          select max(l.load_number)
          from p2p.ops_batch_loads l
          where l.batch_id = t.batch_id
        )
    $statement$
$function$;

comment on function p2p.compared_tables() is 'Which tables preview_load compares, and how';

grant execute on function p2p.compared_tables() to p2p_worker;
