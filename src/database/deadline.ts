import { DatabaseTimeout } from "./errors.ts";

/** A statement under way, as the driver gives it. */
export interface RunningQuery<T> extends Promise<T> {
  cancel(): void;
}

/**
 * Waits for a statement, but no longer than this side allows: a server-side timeout never reaches a half-open
 * connection.
 * @throws {DatabaseTimeout}
 */
export async function withDeadline<T>(
  query: RunningQuery<T>,
  seconds: number,
  where: string,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new DatabaseTimeout(`the database at ${where} did not answer within ${seconds} s`));
      query.cancel();
    }, seconds * 1000);
  });
  try {
    return await Promise.race([query, deadline]);
  } finally {
    query.catch(() => {}); // what comes after the deadline is nobody's
    clearTimeout(timer);
  }
}
