-- The fiats of an exchange that have been seen, and whether their markets are known freshly enough.
-- Changes nothing.
create or replace function p2p.known_fiats(p_exchange text, p_fresh_seconds integer)
returns table (fiat_code text, is_fresh boolean)
language sql
stable
set search_path = p2p, pg_temp
as $function$
  with discovered as (
    select d.fiat_code, d.discovered_at
    from p2p.ops_discoveries d
    join p2p.dim_exchanges e using (exchange_id)
    where e.code = p_exchange
  ),
  everything as (
    select max(discovered_at) as discovered_at
    from discovered
    where discovered.fiat_code = '*'
  ),
  fiats as (
    select discovered.fiat_code
    from discovered
    union
    select f.currency_code
    from p2p.dim_markets m
    join p2p.dim_exchanges e using (exchange_id)
    join p2p.dim_fiat_currencies f using (fiat_id)
    where e.code = p_exchange
  )
  select
    fiats.fiat_code,
    coalesce(
      greatest(discovered.discovered_at, everything.discovered_at)
        > clock_timestamp() - make_interval(secs => p_fresh_seconds),
      false
    )
  from fiats
  cross join everything
  left join discovered using (fiat_code)
$function$;

comment on function p2p.known_fiats(text, integer) is 'Fiats seen so far (* = all of them) and whether their markets were listed within p_fresh_seconds';
