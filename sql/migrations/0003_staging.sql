-- Pages as the exchange sent them. Everything in the fact tables can be made again from here.

create table p2p.stg_responses (
  extraction_timestamp timestamptz not null,
  market_id            integer     not null,
  page_number          integer     not null,
  batch_id             uuid        not null,
  observed_at          timestamptz not null,
  attempt              smallint    not null,
  http_status          smallint    not null,
  duration_ms          integer     not null,
  body_bytes           integer     not null,
  body_sha256          bytea       not null,
  parser               text        not null,
  alteration           text,
  body_original        bytea,
  body                 jsonb       not null,
  primary key (extraction_timestamp, market_id, page_number)
);

-- Pages are read whole and once, so that a page should be one compressed value and nothing else.
do $$
begin
  alter table p2p.stg_responses alter column body set compression lz4;
exception when feature_not_supported then
  null; -- a server built without lz4 (the embedded one) keeps its default, pglz
end
$$;

comment on table p2p.stg_responses is 'Search pages as received, one row a page';
comment on column p2p.stg_responses.extraction_timestamp is 'batch_start_time of the batch';
comment on column p2p.stg_responses.observed_at is 'When the page came';
comment on column p2p.stg_responses.body_bytes is 'Size of the body after decompression';
comment on column p2p.stg_responses.body_sha256 is 'SHA-256 of the body exactly as received';
comment on column p2p.stg_responses.parser is 'Which reading of the body applies: p2p.parse_<parser>(batch_id)';
comment on column p2p.stg_responses.alteration is 'Why body is not what was received, where jsonb cannot hold that; NULL otherwise';
comment on column p2p.stg_responses.body_original is 'The bytes as received, where body had to be altered';
