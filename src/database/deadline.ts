import { DatabaseTimeout } from "./errors.ts";

/** A statement under way, as the driver gives it. */
export type RunningQuery<T> = Promise<T>;

/**
 * Waits for a statement, but no longer than this side allows: a server-side timeout never reaches a half-open
 * connection. A signal ends the wait and cancels the statement.
 * @throws {DatabaseTimeout} or the reason of the signal
 */
export async function withDeadline<T>(
  query: RunningQuery<T>,
  seconds: number,
  where: string,
  signal?: AbortSignal,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new DatabaseTimeout(`the database at ${where} did not answer within ${seconds} s`));
      cancel(query);
    }, seconds * 1000);
  });
  let stop: () => void = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = () => {
      reject(signal?.reason);
      cancel(query);
    };
  });
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  try {
    return await Promise.race([query, deadline, stopped]);
  } finally {
    signal?.removeEventListener("abort", stop);
    query.catch(() => {}); // what comes after the deadline is nobody's
    clearTimeout(timer);
  }
}

/**
 * Asks the server to end a statement, over a connection of its own. The driver's `cancel` drops the promise of that, and
 * a server that cannot be reached would end this process.
 */
function cancel(query: RunningQuery<unknown>): void {
  const { canceller } = query as { canceller?: (query: RunningQuery<unknown>) => Promise<void> };
  canceller?.(query).catch(() => {});
}
