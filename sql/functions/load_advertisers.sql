-- Step 5 of load_batch: who advertises, and who they were before (SCD-2).
-- An identity is (nickname, merchant status, type, grade, identity, VIP level), as sent. What counts:
--   seen with another identity      the current row ends at this batch, a new one begins
--   seen with a former identity     a row of its own: A, B, A are three rows
--   not seen                        nothing: absence is not deletion
--   two identities in one batch     the one that was read last
--   a batch loaded late or again    the history becomes what it would be had all batches come in order
-- A nickname is kept up to 500 characters: a longer one would not fit dim_advertisers_by_nickname, and its page has it.
-- Makes pg_temp.seen_advertisers: identity and advertiser_sk of everybody in the batch. A second call changes nothing.
create or replace function p2p.load_advertisers(p_batch_id uuid)
returns void
language plpgsql
set search_path = p2p, pg_temp
set default_statistics_target = 10
as $function$
declare
  v_now timestamptz := (select batch_start_time from p2p.ops_batch_runs where batch_id = p_batch_id);
  v_is_late boolean := exists (
    select
    from p2p.ops_batch_runs
    where batch_start_time > v_now
      and status in ('completed', 'partial')
  );
begin
  create temp table seen_advertisers on commit drop as
  select distinct on (c.exchange_id, c.advertiser_id)
    c.exchange_id,
    c.advertiser_id,
    left(c.nickname, 500) as nickname,
    c.is_merchant,
    c.user_type,
    c.user_grade,
    c.user_identity,
    c.vip_level,
    c.registration_days,
    null::integer as advertiser_sk
  from pg_temp.chosen_offers c
  order by
    c.exchange_id,
    c.advertiser_id,
    c.observed_at desc,
    c.page_number desc,
    c.item_number desc,
    c.market_id; -- any of them, but the same each time

  create temp table changed_advertisers on commit drop as
  select
    seen.*,
    -- The plain case is a first sight, or a change after everything that is known. All else is history.
    v_is_late or coalesce(known.effective_date >= v_now, false) as changes_history
  from pg_temp.seen_advertisers seen
  left join p2p.dim_advertisers known
    on known.exchange_id = seen.exchange_id
    and known.advertiser_id = seen.advertiser_id
    and known.effective_date <= v_now
    and known.expiration_date > v_now
  where known.advertiser_sk is null
    or (known.nickname, known.is_merchant, known.user_type, known.user_grade, known.user_identity, known.vip_level)
      is distinct from
      (seen.nickname, seen.is_merchant, seen.user_type, seen.user_grade, seen.user_identity, seen.vip_level);

  -- Two statements: one that closes and opens at once would meet the old row under dim_advertisers_one_current_row.
  update p2p.dim_advertisers d
  set expiration_date = v_now
  from pg_temp.changed_advertisers changed
  where d.exchange_id = changed.exchange_id
    and d.advertiser_id = changed.advertiser_id
    and d.is_current
    and not changed.changes_history;

  insert into p2p.dim_advertisers (
    exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, effective_date
  )
  select
    exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, vip_level,
    registration_days, v_now
  from pg_temp.changed_advertisers
  where not changes_history;

  if exists (select from pg_temp.changed_advertisers where changes_history) then
    perform p2p.rewrite_advertiser_history(v_now);
  end if;

  update pg_temp.seen_advertisers seen
  set advertiser_sk = d.advertiser_sk
  from p2p.dim_advertisers d
  where d.exchange_id = seen.exchange_id
    and d.advertiser_id = seen.advertiser_id
    and d.effective_date <= v_now
    and d.expiration_date > v_now;

  analyze pg_temp.seen_advertisers;
  drop table pg_temp.changed_advertisers;
end
$function$;

comment on function p2p.load_advertisers(uuid) is 'Step of load_batch: advertisers and their former identities (SCD-2)';

grant execute on function p2p.load_advertisers(uuid) to p2p_worker;
