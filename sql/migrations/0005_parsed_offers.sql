-- What every parser makes of the pages of a batch: the contract between an exchange's parser and load_batch.
-- Parsers only read; whether an item is an offer is decided by reject_offers.

create type p2p.parsed_offer as (
  market_id                   integer,
  page_number                 smallint,
  item_number                 integer,
  item_path                   text[],
  observed_at                 timestamptz,
  offer_external_id           text,
  asset                       text,
  fiat                        text,
  is_own_side                 boolean,
  is_promoted                 boolean,
  is_available                boolean,
  price                       numeric,
  available_amount            numeric,
  tradable_quantity           numeric,
  min_limit                   numeric,
  max_limit                   numeric,
  unreadable                  text[],
  price_float_rate            numeric,
  completion_rate             numeric,
  positive_rate               numeric,
  total_orders_count          integer,
  payment_time_limit_minutes  integer,
  terms_conditions            text,
  advertiser_id               text,
  nickname                    text,
  is_merchant                 boolean,
  user_type                   text,
  user_grade                  integer,
  user_identity               text,
  vip_level                   integer,
  registration_days           integer,
  payment_methods             jsonb
);

comment on type p2p.parsed_offer is 'One item of a page as a parser read it; NULL where the page has nothing readable';
comment on column p2p.parsed_offer.item_path is 'Where the item stands in the body of its page';
comment on column p2p.parsed_offer.asset is 'The asset the item names, to be compared with the one that was asked for';
comment on column p2p.parsed_offer.is_own_side is 'Whether the item names the side that belongs to the one asked for; NULL where it names none';
comment on column p2p.parsed_offer.unreadable is 'Numbers that are there, but are no numbers';
comment on column p2p.parsed_offer.payment_methods is '[[code, name], …] in the order of the ad, each code once';
