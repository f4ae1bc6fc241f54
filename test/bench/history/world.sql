-- A market with a past, made by set-based SQL, the same for the same seed: books of very different sizes, prices that
-- walk, ads of which most live for days and some for hours, advertisers with several ads who now and then change their
-- name. Only what happens is made up here; see moments.sql for the rows, pages.sql for batches that the real functions load.
-- Runs on a database that has never seen a batch.
create schema history;

comment on schema history is 'Makes months of history for a bench; not part of the product';

-- An even "random" number between 0 and 1 that belongs to its arguments, and a normal one.
create function history.even(p_key bigint, p_salt bigint)
returns double precision
language sql
immutable
parallel safe
return ((hashint8extended(p_key, p_salt) & 4503599627370495)::double precision + 0.5::double precision) / 4503599627370496::double precision;

create function history.normal(p_key bigint, p_salt bigint)
returns double precision
language sql
immutable
parallel safe
return sqrt(-2 * ln(history.even(p_key, p_salt))) * cos(2 * pi() * history.even(p_key, p_salt + 500000));

create table history.world (
  seed             integer     not null,
  starts_at        timestamptz not null,
  days             integer     not null,
  minutes          integer     not null,
  offers_a_batch   integer     not null,
  steps            integer     not null generated always as (days * 1440 / minutes) stored
);

comment on table history.world is 'What was asked for, in one row; a step is a batch, counted from 0';

create table history.books (
  market_id  integer primary key,
  book_key   bigint           not null,
  pair_key   bigint           not null,
  fiat_id    smallint         not null,
  crypto_id  smallint         not null,
  trade_type text             not null,
  price      double precision not null,
  digits     integer          not null,
  slots      integer          not null,
  first_slot integer          not null
);

comment on table history.books is 'Books; a slot is a place for one ad after another';

create table history.levels (
  pair_key bigint           not null,
  step     integer          not null,
  level    double precision not null,
  primary key (pair_key, step)
);

comment on table history.levels is 'How far the price of a pair has walked, as a logarithm';

create table history.advertisers (
  fiat_id       smallint not null,
  number        integer  not null,
  user_key      bigint   not null,
  advertiser_sk integer  not null,
  renamed_at    integer,
  primary key (fiat_id, number)
);

comment on table history.advertisers is 'Advertisers of a fiat, the most active first; renamed_at is the step from which advertiser_sk + 1 holds';

create table history.slots (
  slot_id        integer primary key,
  slot_key       bigint   not null,
  market_id      integer  not null,
  fiat_id        smallint not null,
  life           integer  not null,
  cycle          integer  not null,
  phase          integer  not null,
  reprice_every  integer  not null,
  amount_every   integer  not null,
  number         integer  not null,
  first_offer_id bigint   not null
);

comment on table history.slots is 'Places for ads. All lengths are steps: an ad stands for life, the next one comes after cycle';

-- Makes everything that does not belong to a moment.
create procedure history.make_world(
  p_seed integer,
  p_starts_at timestamptz,
  p_days integer,
  p_minutes integer,
  p_offers_a_batch integer,
  p_markets integer
)
language plpgsql
set search_path = history, p2p, pg_temp
set work_mem = '128MB'
as $procedure$
declare
  v_fiats constant integer := greatest(1, ceil(p_markets / 10.0)::integer);
begin
  insert into history.world (seed, starts_at, days, minutes, offers_a_batch)
  values (p_seed, p_starts_at, p_days, p_minutes, p_offers_a_batch);

  insert into p2p.dim_fiat_currencies (currency_code, country_code)
  select 'F' || lpad(n::text, 2, '0'), 'XX'
  from generate_series(1, v_fiats) n;

  insert into p2p.dim_cryptocurrencies (symbol)
  values ('USDT'), ('BTC'), ('USDC'), ('ETH'), ('BNB');

  insert into p2p.dim_markets (exchange_id, fiat_id, crypto_id, trade_type, first_listed_at, last_listed_at)
  select 1, f.fiat_id, c.crypto_id, side.name, p_starts_at, p_starts_at
  from p2p.dim_fiat_currencies f
  cross join p2p.dim_cryptocurrencies c
  cross join (values ('BUY'), ('SELL')) as side (name)
  order by f.fiat_id, c.crypto_id, side.name
  limit p_markets;

  -- USDT books are the large ones, and among them a few hold most of the market; many others are empty.
  insert into history.books
  with weighed as (
    select
      m.market_id,
      hashint8extended(m.market_id, p_seed) as book_key,
      hashint8extended(m.fiat_id * 100 + m.crypto_id, p_seed) as pair_key,
      m.fiat_id,
      m.crypto_id,
      m.trade_type,
      case m.trade_type when 'SELL' then 1.4 else 1 end
        * case m.crypto_id when 1 then 18 else 1 end
        * exp(1.3 * history.normal(hashint8extended(m.market_id, p_seed), 1)) as weight
    from p2p.dim_markets m
  ),
  priced as (
    select
      w.*,
      exp(history.even(w.pair_key, 2) * 9 - 1) as price,
      round(p_offers_a_batch / 0.87 * w.weight / sum(w.weight) over ())::integer as slots
    from weighed w
  )
  select
    p.market_id, p.book_key, p.pair_key, p.fiat_id, p.crypto_id, p.trade_type, p.price,
    case when p.price >= 5 then 2 when p.price >= 0.5 then 3 else 4 end,
    p.slots,
    sum(p.slots) over (order by p.market_id) - p.slots
  from priced p;

  insert into history.levels
  select
    p.pair_key,
    step,
    sum(0.0007 * sqrt(p_minutes / 10.0) * history.normal(p.pair_key, 1000 + step)
      * case when history.even(p.pair_key, 700000 + step) < 0.02 then 5 else 1 end)
      over (partition by p.pair_key order by step)
  from (select distinct b.pair_key from history.books b) p
  cross join generate_series(0, p_days * 1440 / p_minutes - 1) step;

  -- About 2.7 ads each. One in a hundred changes their name within a month, two in a hundred their tier.
  insert into history.advertisers
  select
    f.fiat_id,
    n,
    hashint8extended(f.fiat_id * 1000000 + n, p_seed),
    2 * row_number() over (order by f.fiat_id, n),
    case
      when history.even(hashint8extended(f.fiat_id * 1000000 + n, p_seed), 3) < 0.034 * p_days / 30.0
        then 1 + (history.even(hashint8extended(f.fiat_id * 1000000 + n, p_seed), 4) * (p_days * 1440 / p_minutes - 2))::integer
    end
  from (
    select b.fiat_id, greatest(1, round(sum(b.slots) / 2.7))::integer as advertisers
    from history.books b
    group by b.fiat_id
  ) f
  cross join generate_series(0, f.advertisers - 1) n;

  insert into p2p.dim_advertisers (
    advertiser_sk, exchange_id, advertiser_id, nickname, is_merchant, user_type, user_grade, user_identity, effective_date,
    expiration_date
  )
  overriding system value
  select
    a.advertiser_sk + identity.number,
    1,
    's' || md5(a.user_key::text),
    case when identity.number = 0 then 'Trader ' else 'New name ' end || left(md5(a.user_key::text), 6),
    merchant.is_one,
    case when merchant.is_one then 'merchant' else 'user' end,
    case when merchant.is_one then 3 else 2 end,
    case when merchant.is_one then 'MASS_MERCHANT' else '' end,
    case identity.number
      when 0 then p_starts_at
      else p_starts_at + make_interval(mins => a.renamed_at * p_minutes)
    end,
    case
      when identity.number = 0 and a.renamed_at is not null then p_starts_at + make_interval(mins => a.renamed_at * p_minutes)
      else 'infinity'
    end
  from history.advertisers a
  cross join lateral (select history.even(a.user_key, 5) < 0.5 as is_one) as merchant
  cross join generate_series(0, case when a.renamed_at is null then 0 else 1 end) as identity (number);

  perform setval(pg_get_serial_sequence('p2p.dim_advertisers', 'advertiser_sk'), (select max(advertiser_sk) from p2p.dim_advertisers));

  -- Seven of ten ads live for 3 to 20 days, the others for half an hour to half a day.
  insert into history.slots
  with placed as (
    select
      b.first_slot + n as slot_id,
      hashint8extended(b.first_slot + n, p_seed + 1) as slot_key,
      b.market_id,
      b.fiat_id
    from history.books b
    cross join generate_series(0, b.slots - 1) n
  ),
  lives as (
    select
      p.*,
      case
        when history.even(p.slot_key, 10) < 0.7 then (3 + 17 * history.even(p.slot_key, 11)) * 1440 / p_minutes
        else 30 * exp(3.2 * history.even(p.slot_key, 11)) / p_minutes
      end::integer as life
    from placed p
  ),
  cycles as (
    select
      l.*,
      l.life + greatest(1, (l.life * 0.3 * history.even(l.slot_key, 12))::integer) as cycle
    from lives l
  ),
  phases as (
    select
      c.*,
      (c.cycle * history.even(c.slot_key, 13))::integer as phase
    from cycles c
  ),
  ads as (
    select
      p.*,
      (p_days * 1440 / p_minutes + p.phase) / p.cycle + 1 as ads
    from phases p
  )
  select
    a.slot_id,
    a.slot_key,
    a.market_id,
    a.fiat_id,
    greatest(a.life, 1),
    a.cycle,
    a.phase,
    2 + floor(120 * power(history.even(a.slot_key, 14), 3))::integer,
    1 + floor(15 * power(history.even(a.slot_key, 15), 2))::integer,
    floor(power(history.even(a.slot_key, 16), 2) * (
      select count(*)
      from history.advertisers d
      where d.fiat_id = a.fiat_id
    ))::integer,
    sum(a.ads) over (order by a.slot_id) - a.ads + 1
  from ads a;

  insert into p2p.dim_offers (offer_id, exchange_id, offer_external_id, first_seen_at)
  overriding system value
  select
    s.first_offer_id + generation,
    1,
    -- 20 digits, above 2^63, in no order
    '1' || (2000 + (s.first_offer_id + generation) % 1999) || lpad(
      ((s.first_offer_id + generation) * 709882334467 % 1000000000000003)::text, 15, '0'),
    p_starts_at + make_interval(mins => greatest(0, generation * s.cycle - s.phase) * p_minutes)
  from history.slots s
  cross join lateral generate_series(0, (p_days * 1440 / p_minutes + s.phase) / s.cycle) generation;

  perform setval(pg_get_serial_sequence('p2p.dim_offers', 'offer_id'), (select max(offer_id) from p2p.dim_offers));

  insert into p2p.dim_payment_methods (exchange_id, method_code, method_name)
  select 1, 'M' || f.fiat_id || '_' || n, 'Bank ' || f.fiat_id || ' no. ' || n
  from p2p.dim_fiat_currencies f
  cross join generate_series(1, 12) n;

  -- 24 lists a fiat, of one to five methods, no two the same; list number = 24 * (fiat_id - 1) + 1 and on.
  insert into p2p.dim_payment_sets (payment_set_id, payment_method_ids)
  overriding system value
  select
    24 * (f.fiat_id - 1) + list,
    array_agg(pm.payment_method_id order by n)
  from p2p.dim_fiat_currencies f
  cross join generate_series(1, 24) list
  cross join generate_series(0, (list - 1) / 5) n
  join p2p.dim_payment_methods pm on pm.method_code = 'M' || f.fiat_id || '_' || 1 + (list * 5 + n) % 12
  group by f.fiat_id, list;

  perform setval(pg_get_serial_sequence('p2p.dim_payment_sets', 'payment_set_id'), 24 * v_fiats);
  analyze;
end
$procedure$;
