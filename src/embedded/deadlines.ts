/**
 * Every time limit of the embedded PostgreSQL, in milliseconds, with the reason for its size.
 * Nothing in this folder waits without one of them or without the caller's `AbortSignal`.
 */
export const DEADLINE = {
  /** initdb takes 0.5 s here; a small VM with a slow disk and fsync may need a hundred times that. */
  initialise: 120_000,
  /** From the start of `postgres` until it is ready. Long, as it contains crash recovery of up to `max_wal_size`. */
  ready: 600_000,
  /** A fast shutdown writes one checkpoint: all of shared_buffers to a slow disk. */
  fastShutdown: 60_000,
  /** An immediate shutdown writes nothing; PostgreSQL itself kills what does not leave after 5 s. */
  immediateShutdown: 15_000,
  /** Server processes outlive a killed postmaster for as long as their current statement computes. */
  remnants: 5_000,
  /** How long a guest waits for the server of an owner that was ready already: it then is gone, not coming. */
  goneServer: 2_000,
  /** Locks that are only ever held for some milliseconds: to leave, or to look. */
  shortLock: 10_000,
  /** How long a command that wants to own insists before it says who holds the folder: rides out a mere look. */
  refuseHeld: 300,
  /** A look whether another account can enter a folder: one process that does nothing. */
  probe: 10_000,
} as const;

/** Time between two looks at something that cannot notify us: a lock, a file of the server, a process. */
const POLL_MS = 20;

/**
 * Looks again and again until `look` answers something.
 * @returns undefined when `limit` milliseconds have passed without an answer
 */
export async function poll<T>(
  limit: number,
  look: () => Promise<T | undefined> | T | undefined,
  signal?: AbortSignal,
): Promise<T | undefined> {
  const end = performance.now() + limit;
  while (true) {
    signal?.throwIfAborted();
    const answer = await look();
    if (answer !== undefined) return answer;
    if (performance.now() >= end) return undefined;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
