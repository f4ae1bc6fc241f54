-- Rejected offers are in quarantine until a load takes them for offers, or somebody discards them.

alter table p2p.ops_rejected_offers
add column discarded_at timestamptz,
add column discarded_by text,
add column discard_note text,
add constraint ops_rejected_offers_discarded_with_note
check (
  (discarded_at is null) = (discarded_by is null)
  and (discarded_at is null) = (discard_note is null)
);

comment on column p2p.ops_rejected_offers.discarded_at is 'When somebody decided that it needs no repair: it is kept, but no longer in quarantine; NULL while it is';
comment on column p2p.ops_rejected_offers.discarded_by is 'Login of who discarded it';
comment on column p2p.ops_rejected_offers.discard_note is 'Why it was discarded';
