-- What the market was at each batch. No foreign keys: 50,000 rows a batch would pay five look-ups each for what
-- load_batch guarantees and the check broken_references proves.

create table p2p.fact_offers (
  extraction_timestamp        timestamptz not null,
  offer_id                    bigint      not null,
  observed_at                 timestamptz not null,
  batch_id                    uuid        not null,
  advertiser_sk               integer     not null,
  payment_set_id              integer     not null,
  total_orders_count          integer,
  avg_response_time_seconds   integer,
  payment_time_limit_minutes  integer,
  exchange_id                 smallint    not null,
  crypto_id                   smallint    not null,
  fiat_id                     smallint    not null,
  page_number                 smallint    not null,
  is_promoted                 boolean     not null,
  is_available                boolean,
  trade_type                  text        not null check (trade_type in ('BUY', 'SELL')),
  offer_external_id           text        not null,
  price                       numeric     not null check (price > 0),
  available_amount            numeric     not null check (available_amount >= 0),
  tradable_quantity           numeric,
  min_limit                   numeric,
  max_limit                   numeric,
  completion_rate             numeric,
  positive_rate               numeric,
  price_float_rate            numeric,
  avg_completion_time_minutes numeric,
  terms_conditions            text,
  primary key (extraction_timestamp, offer_id)
);

create index fact_offers_by_advertiser
on p2p.fact_offers (advertiser_sk, extraction_timestamp);

create index fact_offers_by_market
on p2p.fact_offers (fiat_id, crypto_id, trade_type, extraction_timestamp);

comment on table p2p.fact_offers is 'Every offer of every batch: a snapshot of the whole market each time';
comment on column p2p.fact_offers.extraction_timestamp is 'batch_start_time of the batch';
comment on column p2p.fact_offers.offer_id is 'Our number for the ad, the same in every batch (dim_offers)';
comment on column p2p.fact_offers.observed_at is 'When the page with the offer came';
comment on column p2p.fact_offers.page_number is 'Page of stg_responses that the row was made from';
comment on column p2p.fact_offers.payment_set_id is 'List of payment methods; see fact_offer_payment_methods';
comment on column p2p.fact_offers.total_orders_count is 'Orders of the advertiser in the last 30 days';
comment on column p2p.fact_offers.is_promoted is 'Paid to be shown first';
comment on column p2p.fact_offers.is_available is 'Whether the exchange calls the ad tradable; NULL where it does not say';
comment on column p2p.fact_offers.trade_type is 'The side that was asked for, the taker''s: BUY = the taker buys crypto. The ad itself names the opposite';
comment on column p2p.fact_offers.price is 'Fiat for one unit of the asset, with the digits as sent';
comment on column p2p.fact_offers.available_amount is 'Asset that is left (surplusAmount)';
comment on column p2p.fact_offers.tradable_quantity is 'Asset that can be traded now; below available_amount where the maker''s fee is held back';
comment on column p2p.fact_offers.min_limit is 'Least fiat an order';
comment on column p2p.fact_offers.max_limit is 'Most fiat an order';
comment on column p2p.fact_offers.completion_rate is 'Percentage of orders completed in 30 days, 0 to 100';
comment on column p2p.fact_offers.positive_rate is 'Percentage of positive feedback, 0 to 100';
comment on column p2p.fact_offers.price_float_rate is 'NULL since the exchange stopped sending it (before 2026)';
comment on column p2p.fact_offers.avg_response_time_seconds is 'NULL: the exchange does not send it';
comment on column p2p.fact_offers.avg_completion_time_minutes is 'NULL: the exchange does not send it';
comment on column p2p.fact_offers.terms_conditions is 'NULL since the exchange stopped sending it (before 2026)';
comment on index p2p.fact_offers_by_market is 'mv_latest_market_state: one book at one time';
comment on index p2p.fact_offers_by_advertiser is 'One advertiser''s history; load_advertisers after a late batch';

create table p2p.fact_market_depth (
  depth_id               bigint generated always as identity primary key,
  extraction_timestamp   timestamptz not null,
  batch_id               uuid        not null,
  exchange_id            smallint    not null,
  crypto_id              smallint    not null,
  fiat_id                smallint    not null,
  trade_type             text        not null check (trade_type in ('BUY', 'SELL')),
  is_complete            boolean     not null,
  total_offers_count     integer     not null,
  total_available_volume numeric     not null,
  weighted_avg_price     numeric,
  median_price           numeric,
  min_price              numeric,
  max_price              numeric,
  price_std_dev          numeric,
  top10_total_volume     numeric,
  top10_avg_price        numeric,
  best_bid               numeric,
  best_ask               numeric,
  spread_absolute        numeric,
  spread_percentage      numeric,
  unique (exchange_id, fiat_id, crypto_id, trade_type, extraction_timestamp)
);

create index fact_market_depth_by_time
on p2p.fact_market_depth (extraction_timestamp);

comment on table p2p.fact_market_depth is 'Each book of each batch in one row; promoted copies count once. A book that was fetched and found empty has a row with 0 offers';
comment on column p2p.fact_market_depth.is_complete is 'False where pages of the book were lost: its numbers speak of what came';
comment on column p2p.fact_market_depth.weighted_avg_price is 'By available amount; NULL where none is available';
comment on column p2p.fact_market_depth.price_std_dev is 'Of the population: 0 for one offer';
comment on column p2p.fact_market_depth.top10_total_volume is 'Available in the ten offers with the best price for the taker';
comment on column p2p.fact_market_depth.top10_avg_price is 'Plain average of the ten best prices for the taker';
comment on column p2p.fact_market_depth.best_bid is 'Highest SELL price of the asset and fiat';
comment on column p2p.fact_market_depth.best_ask is 'Lowest BUY price of the asset and fiat';
comment on column p2p.fact_market_depth.spread_absolute is 'best_ask - best_bid; negative spreads are real on this market';
comment on column p2p.fact_market_depth.spread_percentage is 'spread_absolute as a percentage of the middle between best_ask and best_bid';
comment on index p2p.fact_market_depth_by_time is 'load_batch and the views: all books of a batch';
