/**
 * Time runs ten times as fast for a worker of a chaos schedule: its clock, and every wait that does not go by its clock.
 * Imported before anything that reads them.
 */
import { DEADLINES, LEASE } from "../../src/deadlines.ts";
import type { Clock } from "../../src/extract/clock.ts";

export const FASTER = 10;

/** Below this a machine with other work would give up what is only slow. */
const LEAST_SECONDS = 1;

for (const [name, seconds] of Object.entries(DEADLINES)) {
  Object.assign(DEADLINES, { [name]: Math.max(LEAST_SECONDS, seconds / FASTER) });
}
Object.assign(DEADLINES, { disconnectSeconds: 0.5, loadSeconds: 8 });
// The database's clock judges it.
Object.assign(LEASE, { leaseSeconds: LEASE.leaseSeconds / FASTER });

/** Ten of its seconds are one. */
export function fastClock(clock: Clock): Clock {
  return {
    now: () => clock.now() * FASTER,
    random: () => clock.random(),
    sleep: (milliseconds, signal) => clock.sleep(milliseconds / FASTER, signal),
  };
}
