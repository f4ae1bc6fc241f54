/** The suite's own statements meet what faults do to the server, too. */

/** How long the suite waits for a server that comes back. */
const PATIENCE_SECONDS = 15;

/** Whether a session of the suite was lost, or not let in. */
export function isOurLoss(error: unknown): boolean {
  if (error instanceof SuppressedError) {
    return isOurLoss(error.error) && isOurLoss(error.suppressed);
  }
  const text = String(error);
  return /CONNECTION_|CONNECT_TIMEOUT|ECONN|EPIPE|ENOENT|Connection refused|terminating connection/i
    .test(text) ||
    /the database system is|ended by the other party|lost the connection|closed the connection/i
      .test(text) ||
    /cannot be reached|did not answer|broke off/i.test(text);
}

/** Does it again while the server is away. A server that crashed for no fault is found in its log. */
export async function patiently<T>(work: () => Promise<T>): Promise<T> {
  const until = performance.now() + PATIENCE_SECONDS * 1000;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isOurLoss(error) || performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
