-- Trigger of ops_batch_runs: a batch, whatever its time, finds partitions for its pages and facts.
create or replace function p2p.make_room_for_batch()
returns trigger
language plpgsql
set search_path = p2p, pg_temp
as $function$
begin
  perform p2p.make_room(new.batch_start_time);
  return null;
end
$function$;

comment on function p2p.make_room_for_batch() is 'Trigger: makes the partitions that a batch needs';

revoke execute on function p2p.make_room_for_batch() from public;

create or replace trigger make_room_for_batch
after insert or update of batch_start_time on p2p.ops_batch_runs
for each row execute function p2p.make_room_for_batch();
