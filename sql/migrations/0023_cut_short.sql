-- A stop of the whole fleet in the middle of a batch is no fault of the exchange: nobody is woken for what it left out.

alter table p2p.ops_batch_runs
add column is_cut_short boolean not null default false;

comment on column p2p.ops_batch_runs.is_cut_short is 'Its workers were told to stop before all was fetched: how complete it is says nothing of the exchange, and tells nobody';
