-- Histories of advertisers who come and go, with every part of an identity changing, NULL among its values; loaded
-- in a shuffled order, then all of them again in another. (advertiser_histories_test.ts tries many orders, on simpler
-- identities.)

select setseed(0.77);

create table test.batches (number integer primary key, batch_id uuid not null);

do $$
declare
  v_number integer;
begin
  for v_number in select n from generate_series(1, 15) as n order by random() loop
    insert into test.batches
    values (
      v_number,
      test.load_batch(
        '2026-05-01'::timestamptz + v_number * interval '10 minutes',
        jsonb_build_object(
          'VES/USDT BUY',
          (
            select coalesce(
              jsonb_agg(
                test.offer(
                  p_number => user_number::text,
                  p_user => concat('s', user_number),
                  p_nick => (array['A', 'B', null])[1 + floor(3 * random())::integer],
                  p_advertiser => jsonb_build_object(
                    'userType', (array['user', 'merchant', null])[1 + floor(3 * random())::integer],
                    'userGrade', (array[2, 3])[1 + floor(2 * random())::integer],
                    'vipLevel', (array[1, null])[1 + floor(2 * random())::integer]
                  )
                )
              ),
              '[]'
            )
            from generate_series(1, 12) as user_number
            where random() < 0.6
          )
        )
      )
    );
  end loop;
end
$$;

do $$
begin
  assert (select count(*) from p2p.dim_advertisers) > 60, 'histories are long';

  assert not exists (
    select d.advertiser_id
    from p2p.dim_advertisers d
    group by d.advertiser_id
    having count(*) filter (where d.is_current) <> 1
  ), 'one current row each';

  assert not exists (
    select
    from (
      select
        d.*,
        lead(d.effective_date, 1, 'infinity') over history as next_begins,
        lag(row(d.nickname, d.is_merchant, d.user_type, d.user_grade, d.user_identity, d.vip_level)::text) over history as former
      from p2p.dim_advertisers d
      window history as (partition by d.advertiser_id order by d.effective_date)
    ) as d
    where d.expiration_date <> d.next_begins
      or row(d.nickname, d.is_merchant, d.user_type, d.user_grade, d.user_identity, d.vip_level)::text = d.former
  ), 'no gap, no overlap, neighbours differ';

  assert not exists (
    select
    from p2p.fact_offers f
    join p2p.stg_responses s using (extraction_timestamp)
    cross join jsonb_array_elements(s.body -> 'data') as item
    left join p2p.dim_advertisers d
      on d.advertiser_sk = f.advertiser_sk
      and d.effective_date <= f.extraction_timestamp
      and d.expiration_date > f.extraction_timestamp
    where item.value -> 'adv' ->> 'advNo' = f.offer_external_id
      and (d.nickname, d.user_type, d.user_grade, d.vip_level) is distinct from (
        item.value -> 'advertiser' ->> 'nickName',
        item.value -> 'advertiser' ->> 'userType',
        (item.value -> 'advertiser' ->> 'userGrade')::integer,
        (item.value -> 'advertiser' ->> 'vipLevel')::integer
      )
  ), 'each fact points at who its page says';
end
$$;

create table test.before as
select test.fingerprint() as fingerprint;

do $$
declare
  v_batch_id uuid;
begin
  for v_batch_id in select b.batch_id from test.batches b order by random() loop
    perform p2p.load_batch(v_batch_id);
  end loop;

  assert test.fingerprint() = (select fingerprint from test.before), 'loading again writes no row';
end
$$;
