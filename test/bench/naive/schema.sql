-- What most people would write: a normalised schema with the typed columns of p2p.fact_offers and its indexes. No raw
-- pages, no partitions, no foreign keys, no history of advertisers, no books, no ledger: less work than this project's.
create schema naive;

create table naive.fiats (
  fiat_id smallint generated always as identity primary key,
  code    text not null unique
);

create table naive.assets (
  asset_id smallint generated always as identity primary key,
  symbol   text not null unique
);

create table naive.payment_methods (
  payment_method_id integer generated always as identity primary key,
  code              text not null unique,
  name              text
);

create table naive.advertisers (
  advertiser_id integer generated always as identity primary key,
  user_no       text not null unique,
  nickname      text,
  is_merchant   boolean,
  user_type     text,
  user_grade    integer,
  user_identity text,
  vip_level     integer
);

create table naive.offers (
  extraction_timestamp       timestamptz not null,
  observed_at                timestamptz not null,
  batch_id                   uuid        not null,
  advertiser_id              integer     not null,
  total_orders_count         integer,
  payment_time_limit_minutes integer,
  asset_id                   smallint    not null,
  fiat_id                    smallint    not null,
  page_number                smallint    not null,
  is_promoted                boolean     not null,
  is_available               boolean,
  trade_type                 text        not null check (trade_type in ('BUY', 'SELL')),
  offer_external_id          text        not null,
  price                      numeric     not null check (price > 0),
  available_amount           numeric     not null check (available_amount >= 0),
  tradable_quantity          numeric,
  min_limit                  numeric,
  max_limit                  numeric,
  completion_rate            numeric,
  positive_rate              numeric,
  price_float_rate           numeric,
  terms_conditions           text,
  primary key (extraction_timestamp, offer_external_id)
);

create index on naive.offers (advertiser_id, extraction_timestamp);
create index on naive.offers (fiat_id, asset_id, trade_type, extraction_timestamp);

create table naive.offer_payment_methods (
  extraction_timestamp timestamptz not null,
  offer_external_id    text        not null,
  payment_method_id    integer     not null,
  primary key (extraction_timestamp, offer_external_id, payment_method_id)
);
