-- Part of load_advertisers, for those of pg_temp.changed_advertisers who were seen with another identity at p_time
-- although later or equal times are known already. Their history is made anew from every time they were seen
-- (facts, and the beginning of each row they have), so that it is the same as if all batches had come in order.
-- Rows keep their advertiser_sk where the identity they stand for stays; facts that now belong to another row
-- are pointed at it, and noted in pg_temp.repointed_offers: what was summed up by row has to follow. The facts of p_time
-- itself are left to load_offers.
create or replace function p2p.rewrite_advertiser_history(p_time timestamptz)
returns void
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  create temp table new_history on commit drop as
  with former_rows as (
    select d.*
    from p2p.dim_advertisers d
    join pg_temp.changed_advertisers c using (exchange_id, advertiser_id)
    where c.changes_history
  ),
  times_seen as (
    select f.advertiser_sk, f.effective_date as seen_at
    from former_rows f
    union
    select f.advertiser_sk, o.extraction_timestamp
    from former_rows f
    join p2p.fact_offers o on o.advertiser_sk = f.advertiser_sk
  ),
  sightings as (
    select
      f.exchange_id, f.advertiser_id, t.seen_at, f.advertiser_sk, f.registration_days,
      row(f.nickname, f.is_merchant, f.user_type, f.user_grade, f.user_identity, f.vip_level)::text as identity,
      f.nickname, f.is_merchant, f.user_type, f.user_grade, f.user_identity, f.vip_level
    from times_seen t
    join former_rows f using (advertiser_sk)
    where t.seen_at <> p_time
    union all
    select
      c.exchange_id, c.advertiser_id, p_time, null, c.registration_days,
      row(c.nickname, c.is_merchant, c.user_type, c.user_grade, c.user_identity, c.vip_level)::text,
      c.nickname, c.is_merchant, c.user_type, c.user_grade, c.user_identity, c.vip_level
    from pg_temp.changed_advertisers c
    where c.changes_history
  ),
  marked as (
    select
      s.*,
      s.identity is distinct from lag(s.identity) over advertiser as begins
    from sightings s
    window advertiser as (partition by s.exchange_id, s.advertiser_id order by s.seen_at)
  ),
  numbered as (
    select
      m.*,
      count(*) filter (where m.begins) over (
        partition by m.exchange_id, m.advertiser_id
        order by m.seen_at
      ) as stretch
    from marked m
  ),
  stretches as (
    select
      n.exchange_id, n.advertiser_id, n.stretch,
      min(n.seen_at) as effective_date,
      max(n.seen_at) as last_seen_at,
      array_agg(distinct n.advertiser_sk) filter (where n.advertiser_sk is not null) as former_sks,
      max(n.registration_days) as registration_days,
      n.nickname, n.is_merchant, n.user_type, n.user_grade, n.user_identity, n.vip_level
    from numbered n
    group by
      n.exchange_id, n.advertiser_id, n.stretch,
      n.nickname, n.is_merchant, n.user_type, n.user_grade, n.user_identity, n.vip_level
  ),
  claims as (
    -- A former row may have been cut into several stretches: the first one keeps its number.
    select distinct on (sk.advertiser_sk) s.exchange_id, s.advertiser_id, s.stretch, sk.advertiser_sk
    from stretches s
    cross join unnest(s.former_sks) as sk (advertiser_sk)
    order by sk.advertiser_sk, s.stretch
  ),
  kept as (
    select c.exchange_id, c.advertiser_id, c.stretch, min(c.advertiser_sk) as advertiser_sk
    from claims c
    group by c.exchange_id, c.advertiser_id, c.stretch
  )
  select
    coalesce(
      kept.advertiser_sk,
      nextval(pg_get_serial_sequence('p2p.dim_advertisers', 'advertiser_sk'))::integer
    ) as advertiser_sk,
    s.exchange_id, s.advertiser_id, s.nickname, s.is_merchant, s.user_type, s.user_grade, s.user_identity, s.vip_level,
    s.registration_days,
    s.effective_date,
    coalesce(
      lead(s.effective_date) over (partition by s.exchange_id, s.advertiser_id order by s.effective_date),
      'infinity'
    ) as expiration_date,
    s.former_sks
  from stretches s
  left join kept using (exchange_id, advertiser_id, stretch);

  create temp table if not exists repointed_offers (
    extraction_timestamp timestamptz,
    advertiser_sks integer[]
  ) on commit drop;

  with repointed as (
    update p2p.fact_offers o
    set advertiser_sk = h.advertiser_sk
    from pg_temp.new_history h
    where o.advertiser_sk = any (h.former_sks)
      and o.advertiser_sk <> h.advertiser_sk
      and o.extraction_timestamp >= h.effective_date
      and o.extraction_timestamp < h.expiration_date
      and o.extraction_timestamp <> p_time
    returning o.extraction_timestamp, h.former_sks || h.advertiser_sk as advertiser_sks
  )
  insert into pg_temp.repointed_offers (extraction_timestamp, advertiser_sks)
  select distinct r.extraction_timestamp, r.advertiser_sks
  from repointed r;

  delete from p2p.dim_advertisers d
  using pg_temp.changed_advertisers c
  where c.changes_history
    and d.exchange_id = c.exchange_id
    and d.advertiser_id = c.advertiser_id;

  insert into p2p.dim_advertisers (
    advertiser_sk, exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, effective_date, expiration_date
  )
  overriding system value
  select
    advertiser_sk, exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, effective_date, expiration_date
  from pg_temp.new_history;

  drop table pg_temp.new_history;
end
$function$;

comment on function p2p.rewrite_advertiser_history(timestamptz) is 'Part of load_advertisers: history after a batch that was loaded late or again';

grant execute on function p2p.rewrite_advertiser_history(timestamptz) to p2p_worker;
