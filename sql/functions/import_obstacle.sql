-- Why a batch of that time must not be imported, with the statement that changes it where one does; NULL where nothing
-- stands against it: facts of its day were dropped, so that making aggregates of that time anew would lose what they
-- alone still hold (on plain PostgreSQL a day that never had any is open); or the next batch would drop it. p_newest is the newest batch that the import brings: age counts
-- from the newest batch, as in apply_retention. Pages are no obstacle: they go when they are older than
-- raw_retention_days, facts stay. Changes nothing.
create or replace function p2p.import_obstacle(p_time timestamptz, p_newest timestamptz)
returns text
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with newest as (
    select least(greatest(max(r.batch_start_time), p_newest), clock_timestamp()) as batch_start_time
    from p2p.ops_batch_runs r
  )
  select
    case
      when dropped.before > p_time
        and (
          p2p.database_tier() = 'timescaledb' -- a refresh there takes more days than one
          or exists (
            select
            from p2p.ops_batch_runs r
            where r.batch_start_time >= date_trunc('day', p_time, 'UTC')
              and r.batch_start_time < date_trunc('day', p_time, 'UTC') + interval '24 hours'
              and r.status in ('completed', 'partial')
              and r.total_offers_inserted > 0
              and not exists (
                select
                from p2p.fact_offers f
                where f.extraction_timestamp = r.batch_start_time
              )
          )
        )
      then format('facts before %s were dropped here, and aggregates hold what is left of them: nothing is added there', dropped.before)
      when p_time < n.batch_start_time
        - make_interval(secs => p2p.setting_number('offers_retention_days')::double precision * 86400)
      then format(
        'offers are kept %1$s days, and this batch is %2$s days older than the newest one: the next batch would delete '
          'them; update p2p.settings set value = ''%3$s'' where name = ''offers_retention_days''',
        p2p.setting_number('offers_retention_days'),
        ceil(extract(epoch from n.batch_start_time - p_time) / 86400),
        ceil(extract(epoch from n.batch_start_time - p_time) / 86400) + 1
      )
    end
  from newest n
  cross join (
    select max(d.dropped_before) as before
    from p2p.dropped_facts d
    where d.table_name in ('fact_offers', 'fact_market_depth')
  ) as dropped
$function$;

comment on function p2p.import_obstacle(timestamptz, timestamptz) is 'Why a batch of that time must not be imported, and the statement that changes it';

grant execute on function p2p.import_obstacle(timestamptz, timestamptz) to p2p_worker;
