-- The fiats of an exchange that were asked for, whether their markets were read within discovery_every_hours, and how
-- many of those are active. fiat_code '*' stands for the list of all fiats. Changes nothing.
create or replace function p2p.known_fiats(p_exchange text)
returns table (fiat_code text, is_fresh boolean, active_markets bigint)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with markets as (
    select f.currency_code as fiat_code, count(*) filter (where m.is_active) as active_markets
    from p2p.dim_markets m
    join p2p.dim_exchanges e using (exchange_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    where e.code = p_exchange
    group by f.currency_code
  ),
  discoveries as (
    select d.fiat_code, d.discovered_at
    from p2p.ops_discoveries d
    join p2p.dim_exchanges e using (exchange_id)
    where e.code = p_exchange
  )
  select
    fiat_code,
    coalesce(d.discovered_at > clock_timestamp() - make_interval(secs => p2p.setting_number('discovery_every_hours')::double precision * 3600), false),
    coalesce(m.active_markets, 0)
  from discoveries d
  full join markets m using (fiat_code)
  where d.fiat_code is not null
    or m.active_markets > 0 -- a fiat that only an import knows is not asked for
$function$;

comment on function p2p.known_fiats(text) is 'Fiats seen so far (* = the list of them) and whether their markets were read lately enough (discovery_every_hours)';

grant execute on function p2p.known_fiats(text) to p2p_worker;
