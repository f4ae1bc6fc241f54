-- What every market and every advertiser did, by hour and by day (UTC), on plain PostgreSQL: an hour that is over is
-- stored, so that it is read quickly, and stays when its offers are dropped. On TimescaleDB continuous aggregates do
-- this. Ids and sums only: averages and names are made by the views, with the right weights.

create table p2p.stored_market_hours (
  exchange_id           smallint    not null,
  fiat_id               smallint    not null,
  crypto_id             smallint    not null,
  trade_type            text        not null,
  hour                  timestamptz not null,
  snapshots             bigint      not null,
  snapshots_with_offers bigint      not null,
  best_open             numeric,
  best_high             numeric,
  best_low              numeric,
  best_close            numeric,
  median_open           numeric,
  median_high           numeric,
  median_low            numeric,
  median_close          numeric,
  min_price             numeric,
  max_price             numeric,
  price_volume_sum      numeric,
  volume_sum            numeric     not null,
  volume_high           numeric     not null,
  volume_low            numeric     not null,
  spread_count          bigint      not null,
  spread_sum            numeric,
  spread_open           numeric,
  spread_high           numeric,
  spread_low            numeric,
  spread_close          numeric,
  offers_sum            bigint      not null,
  offers_max            integer     not null,
  median_count          bigint      not null,
  median_sum            numeric,
  median_square_sum     numeric,
  primary key (exchange_id, fiat_id, crypto_id, trade_type, hour)
) partition by range (hour);

create index stored_market_hours_by_time
on p2p.stored_market_hours using brin (hour) with (pages_per_range = 32, autosummarize = on);

comment on table p2p.stored_market_hours is 'Markets, by hour: those that are over. Read market_hours, which has the one under way too; kept true by step summarise_hours, empty on TimescaleDB but for what it cannot make any more';
comment on index p2p.stored_market_hours_by_time is 'All of a time range: rows lie in the order of time';

create table p2p.stored_market_days (
  exchange_id           smallint    not null,
  fiat_id               smallint    not null,
  crypto_id             smallint    not null,
  trade_type            text        not null,
  day                   timestamptz not null,
  snapshots             bigint      not null,
  snapshots_with_offers bigint      not null,
  best_open             numeric,
  best_high             numeric,
  best_low              numeric,
  best_close            numeric,
  median_open           numeric,
  median_high           numeric,
  median_low            numeric,
  median_close          numeric,
  min_price             numeric,
  max_price             numeric,
  price_volume_sum      numeric,
  volume_sum            numeric     not null,
  volume_high           numeric     not null,
  volume_low            numeric     not null,
  spread_count          bigint      not null,
  spread_sum            numeric,
  spread_open           numeric,
  spread_high           numeric,
  spread_low            numeric,
  spread_close          numeric,
  offers_sum            bigint      not null,
  offers_max            integer     not null,
  median_count          bigint      not null,
  median_sum            numeric,
  median_square_sum     numeric,
  primary key (exchange_id, fiat_id, crypto_id, trade_type, day)
) partition by range (day);

create index stored_market_days_by_time
on p2p.stored_market_days using brin (day) with (pages_per_range = 32, autosummarize = on);

comment on table p2p.stored_market_days is 'Markets, by day: those that are over. Read market_days, which has the one under way too; kept true by step summarise_hours, empty on TimescaleDB but for what it cannot make any more';
comment on index p2p.stored_market_days_by_time is 'All of a time range: rows lie in the order of time';

create table p2p.stored_merchant_hours (
  exchange_id        smallint    not null,
  fiat_id            smallint    not null,
  crypto_id          smallint    not null,
  trade_type         text        not null,
  advertiser_sk      integer     not null,
  hour               timestamptz not null,
  snapshots          bigint      not null,
  offers_sum         bigint      not null,
  volume_sum         numeric     not null,
  orders_30_days_max integer,
  primary key (exchange_id, fiat_id, crypto_id, trade_type, hour, advertiser_sk)
) partition by range (hour);

create index stored_merchant_hours_by_time
on p2p.stored_merchant_hours using brin (hour) with (pages_per_range = 32, autosummarize = on);

create index stored_merchant_hours_by_advertiser
on p2p.stored_merchant_hours (advertiser_sk, hour);

comment on table p2p.stored_merchant_hours is 'Advertisers by market, by hour: those that are over. Read merchant_hours, which has the one under way too; kept true by step summarise_hours, empty on TimescaleDB but for what it cannot make any more';
comment on index p2p.stored_merchant_hours_by_time is 'All of a time range: rows lie in the order of time';
comment on index p2p.stored_merchant_hours_by_advertiser is 'One advertiser over time; store_period after their history was rewritten';

create table p2p.stored_merchant_days (
  exchange_id        smallint    not null,
  fiat_id            smallint    not null,
  crypto_id          smallint    not null,
  trade_type         text        not null,
  advertiser_sk      integer     not null,
  day                timestamptz not null,
  snapshots          bigint      not null,
  offers_sum         bigint      not null,
  volume_sum         numeric     not null,
  orders_30_days_max integer,
  primary key (exchange_id, fiat_id, crypto_id, trade_type, day, advertiser_sk)
) partition by range (day);

create index stored_merchant_days_by_time
on p2p.stored_merchant_days using brin (day) with (pages_per_range = 32, autosummarize = on);

create index stored_merchant_days_by_advertiser
on p2p.stored_merchant_days (advertiser_sk, day);

comment on table p2p.stored_merchant_days is 'Advertisers by market, by day: those that are over. Read merchant_days, which has the one under way too; kept true by step summarise_hours, empty on TimescaleDB but for what it cannot make any more';
comment on index p2p.stored_merchant_days_by_time is 'All of a time range: rows lie in the order of time';
comment on index p2p.stored_merchant_days_by_advertiser is 'One advertiser over time; store_period after their history was rewritten';

create table p2p.open_hours (
  hour timestamptz primary key check (date_trunc('hour', hour, 'UTC') = hour)
);

comment on table p2p.open_hours is 'Hours that are not stored: the views make them of the facts at each reading. One row, the hour of the newest batch';

create table p2p.open_days (
  day timestamptz primary key check (date_trunc('day', day, 'UTC') = day)
);

comment on table p2p.open_days is 'Days that are not stored: the views make them of the hours at each reading. One row, the day of the newest batch';

alter table p2p.settings disable trigger user;

insert into p2p.settings (name, value, kind, minimum, maximum, unit, comment, is_shipped)
values (
  'merchant_hours_retention_days', '400', 'number', 30, 36500, 'days',
  'Advertisers by hour on plain PostgreSQL: 60 MB a day', true
);

alter table p2p.settings enable trigger user;

-- By month: kept for years, and 3,650 partitions by day would make planning slow. Advertisers by hour are a tenth of the
-- offers; their days, which are kept as long as books, are a tenth of that.
insert into p2p.partitioned_tables (table_name, step, retention_setting)
values
  ('stored_market_hours', 'month', 'depth_retention_days'),
  ('stored_market_days', 'month', 'depth_retention_days'),
  ('stored_merchant_hours', 'month', 'merchant_hours_retention_days'),
  ('stored_merchant_days', 'month', 'depth_retention_days');

grant select, insert, delete
on
  p2p.stored_market_hours, p2p.stored_market_days, p2p.stored_merchant_hours, p2p.stored_merchant_days, p2p.open_hours,
  p2p.open_days
to p2p_worker;

-- merchant_daily is asked for a name.
create index dim_advertisers_by_nickname
on p2p.dim_advertisers (nickname)
where is_current;

comment on index p2p.dim_advertisers_by_nickname is 'merchant_daily and mv_latest_market_state: what one advertiser did, by name';

-- Of a database that has facts: day by day, so that each fits memory. 7.2 million offers (a day of 50,000 each ten
-- minutes) take about 30 seconds. The newest hour and day stay open.
do $$
declare
  v_newest constant timestamptz := (select max(d.extraction_timestamp) from p2p.fact_market_depth d);
  v_month timestamptz;
  v_day timestamptz;
  v_end timestamptz;
  v_table text;
begin
  if v_newest is null then
    return;
  end if;

  insert into p2p.open_hours (hour)
  values (date_trunc('hour', v_newest, 'UTC'));

  insert into p2p.open_days (day)
  values (date_trunc('day', v_newest, 'UTC'));

  for v_day in
    with recursive days (day) as (
      select date_trunc('day', min(d.extraction_timestamp), 'UTC')
      from p2p.fact_market_depth d
      union all
      select (
        select date_trunc('day', min(d.extraction_timestamp), 'UTC')
        from p2p.fact_market_depth d
        where d.extraction_timestamp >= days.day + interval '24 hours'
      )
      from days
      where days.day is not null
    )
    select days.day
    from days
    where days.day is not null
    order by days.day
  loop
    if v_month is distinct from date_trunc('month', v_day, 'UTC') then
      v_month := date_trunc('month', v_day, 'UTC');
      v_end := (v_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';

      foreach v_table in array array[
        'stored_market_hours', 'stored_market_days', 'stored_merchant_hours', 'stored_merchant_days'
      ] loop
        execute format(
          'create table p2p_partitions.%I partition of p2p.%I for values from (%L) to (%L)',
          v_table || to_char(v_month at time zone 'UTC', '"_"YYYYMM'),
          v_table,
          v_month,
          v_end
        );
      end loop;
    end if;

    v_end := least(v_day + interval '24 hours', date_trunc('hour', v_newest, 'UTC'));

    insert into p2p.stored_market_hours
    select
      d.exchange_id,
      d.fiat_id,
      d.crypto_id,
      d.trade_type,
      date_trunc('hour', d.extraction_timestamp, 'UTC') as hour,
      count(*) as snapshots,
      count(d.min_price) as snapshots_with_offers,
      (array_agg(best.price order by d.extraction_timestamp) filter (where best.price is not null))[1] as best_open,
      max(best.price) as best_high,
      min(best.price) as best_low,
      (array_agg(best.price order by d.extraction_timestamp desc) filter (where best.price is not null))[1] as best_close,
      (array_agg(d.median_price order by d.extraction_timestamp) filter (where d.median_price is not null))[1] as median_open,
      max(d.median_price) as median_high,
      min(d.median_price) as median_low,
      (array_agg(d.median_price order by d.extraction_timestamp desc) filter (where d.median_price is not null))[1] as median_close,
      min(d.min_price) as min_price,
      max(d.max_price) as max_price,
      sum(d.weighted_avg_price * d.total_available_volume) as price_volume_sum,
      sum(d.total_available_volume) as volume_sum,
      max(d.total_available_volume) as volume_high,
      min(d.total_available_volume) as volume_low,
      count(d.spread_percentage) as spread_count,
      sum(d.spread_percentage) as spread_sum,
      (array_agg(d.spread_percentage order by d.extraction_timestamp) filter (where d.spread_percentage is not null))[1] as spread_open,
      max(d.spread_percentage) as spread_high,
      min(d.spread_percentage) as spread_low,
      (array_agg(d.spread_percentage order by d.extraction_timestamp desc) filter (where d.spread_percentage is not null))[1] as spread_close,
      sum(d.total_offers_count) as offers_sum,
      max(d.total_offers_count) as offers_max,
      count(d.median_price) as median_count,
      sum(d.median_price) as median_sum,
      sum(d.median_price * d.median_price) as median_square_sum
    from p2p.fact_market_depth d
    cross join lateral (
      select case d.trade_type when 'BUY' then d.min_price else d.max_price end as price
    ) as best
    where d.extraction_timestamp >= v_day
      and d.extraction_timestamp < v_end
    group by d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type, hour
    order by hour, d.exchange_id, d.fiat_id, d.crypto_id, d.trade_type;

    insert into p2p.stored_merchant_hours
    select
      f.exchange_id,
      f.fiat_id,
      f.crypto_id,
      f.trade_type,
      f.advertiser_sk,
      date_trunc('hour', f.extraction_timestamp, 'UTC') as hour,
      count(distinct f.extraction_timestamp) as snapshots,
      count(*) as offers_sum,
      sum(f.available_amount) as volume_sum,
      max(f.total_orders_count) as orders_30_days_max
    from p2p.fact_offers f
    where f.extraction_timestamp >= v_day
      and f.extraction_timestamp < v_end
    group by hour, f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type, f.advertiser_sk
    order by hour, f.exchange_id, f.fiat_id, f.crypto_id, f.trade_type, f.advertiser_sk;

    continue when v_day = date_trunc('day', v_newest, 'UTC');

    insert into p2p.stored_market_days
    select
      h.exchange_id,
      h.fiat_id,
      h.crypto_id,
      h.trade_type,
      v_day,
      sum(h.snapshots)::bigint as snapshots,
      sum(h.snapshots_with_offers)::bigint as snapshots_with_offers,
      (array_agg(h.best_open order by h.hour) filter (where h.best_open is not null))[1] as best_open,
      max(h.best_high) as best_high,
      min(h.best_low) as best_low,
      (array_agg(h.best_close order by h.hour desc) filter (where h.best_close is not null))[1] as best_close,
      (array_agg(h.median_open order by h.hour) filter (where h.median_open is not null))[1] as median_open,
      max(h.median_high) as median_high,
      min(h.median_low) as median_low,
      (array_agg(h.median_close order by h.hour desc) filter (where h.median_close is not null))[1] as median_close,
      min(h.min_price) as min_price,
      max(h.max_price) as max_price,
      sum(h.price_volume_sum) as price_volume_sum,
      sum(h.volume_sum) as volume_sum,
      max(h.volume_high) as volume_high,
      min(h.volume_low) as volume_low,
      sum(h.spread_count)::bigint as spread_count,
      sum(h.spread_sum) as spread_sum,
      (array_agg(h.spread_open order by h.hour) filter (where h.spread_open is not null))[1] as spread_open,
      max(h.spread_high) as spread_high,
      min(h.spread_low) as spread_low,
      (array_agg(h.spread_close order by h.hour desc) filter (where h.spread_close is not null))[1] as spread_close,
      sum(h.offers_sum)::bigint as offers_sum,
      max(h.offers_max) as offers_max,
      sum(h.median_count)::bigint as median_count,
      sum(h.median_sum) as median_sum,
      sum(h.median_square_sum) as median_square_sum
    from p2p.stored_market_hours h
    where h.hour >= v_day
      and h.hour < v_end
    group by h.exchange_id, h.fiat_id, h.crypto_id, h.trade_type;

    insert into p2p.stored_merchant_days
    select
      h.exchange_id,
      h.fiat_id,
      h.crypto_id,
      h.trade_type,
      h.advertiser_sk,
      v_day,
      sum(h.snapshots)::bigint as snapshots,
      sum(h.offers_sum)::bigint as offers_sum,
      sum(h.volume_sum) as volume_sum,
      max(h.orders_30_days_max) as orders_30_days_max
    from p2p.stored_merchant_hours h
    where h.hour >= v_day
      and h.hour < v_end
    group by h.exchange_id, h.fiat_id, h.crypto_id, h.trade_type, h.advertiser_sk;
  end loop;
end
$$;

analyze p2p.stored_market_hours, p2p.stored_market_days, p2p.stored_merchant_hours, p2p.stored_merchant_days;

alter table p2p.pipeline_steps disable trigger user;

-- Behind load_depth and before what a DBA put there.
insert into p2p.pipeline_steps (name, position, function, is_required, comment)
select
  'summarise_hours',
  least(
    depth.position + 0.5,
    (
      select (depth.position + min(s.position)) / 2
      from p2p.pipeline_steps s
      where s.position > depth.position
    )
  ),
  'p2p.summarise_hours',
  true,
  'Stores markets and advertisers of hours and days that are over'
from (
  select coalesce(max(s.position) filter (where s.name = 'load_depth'), max(s.position)) as position
  from p2p.pipeline_steps s
) as depth;

alter table p2p.pipeline_steps enable trigger user;
