import type { Refreshed } from "../database/refresh.ts";

/** What became of the aggregates, in a line or two for a person; nothing where there was nothing to do. */
export function describeRefresh({ aggregates, seconds, left, reason }: Refreshed): string {
  const names = Object.keys(aggregates);
  const done = names.length === 0
    ? ""
    : `refreshed ${names.join(", ")} in ${seconds.toFixed(1)} s\n`;
  if (left === 0) return done;
  return done + `${left} windows of aggregates were not refreshed: ${reason}. ` +
    "Their policies refresh what is not too old (within the hour); the rest, as the owner: p2p-ingest migrate\n";
}
