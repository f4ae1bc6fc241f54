import { Database, type Parameter } from "../database/connection.ts";
import { codeOf, DatabaseTimeout, isConnectionLost } from "../database/errors.ts";
import { DEADLINES } from "../deadlines.ts";
import { describe } from "../errors.ts";
import { logger } from "../log.ts";

/** Why there is no answer, in words for whoever looks at the page: without names of hosts and logins. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
}

/** Not one call, but all of them. */
const EVERYTHING = "";
/** Further questions are turned away: they would only wait. */
const MOST_QUESTIONS = 24;

/**
 * For the length of the statement it is one of p2p_reader, in a read-only transaction. Not parameters of the session: a
 * pooler refuses those, or takes them and hands on a session without. Who may not become p2p_reader gets an error, and no
 * answer with more rights.
 */
const AS_READER = `
with reader as materialized (
  select set_config('transaction_read_only', 'on', true), set_config('role', 'p2p_reader', true)
)`;

const log = logger("page");

/** A way of the page's own to the database, of one connection, so that a slow page holds up nothing else. */
export class PageReader implements AsyncDisposable {
  readonly #database: Database;
  #questions = 0;
  /** Why what is asked for was last not answered; a call that is answered in between hides no other's failure. */
  readonly #told = new Map<string, string>();

  constructor(url: string) {
    this.#database = new Database(url, {
      applicationName: "p2p-ingest page",
      connections: 1,
    });
  }

  /**
   * The JSON that a function of schema p2p returns, as text; undefined for NULL.
   * @param call of a fixed text, e.g. `page_access($1)`
   * @throws {NoAnswer}
   */
  async ask(call: string, parameters: readonly Parameter[] = []): Promise<string | undefined> {
    if (this.#questions >= MOST_QUESTIONS) throw new NoAnswer("too many questions at once");
    this.#questions++;
    try {
      const [row] = await this.#database.run(
        `${AS_READER} select p2p.${call}::text as answer from reader`,
        parameters,
        DEADLINES.pageSeconds,
      );
      for (const about of [call, EVERYTHING]) this.#told.delete(about);
      const answer = row?.["answer"];
      return typeof answer === "string" ? answer : undefined;
    } catch (error) {
      const reason = reasonOf(error);
      const about = isConnectionLost(error) ? EVERYTHING : call;
      if (reason !== this.#told.get(about)) {
        log.warning("the status page gets no answer to {call}: {reason}", {
          call,
          reason: describe(error),
        });
      }
      this.#told.set(about, reason);
      throw new NoAnswer(reason, { cause: error });
    } finally {
      this.#questions--;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]();
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof DatabaseTimeout) {
    return `The database did not answer within ${DEADLINES.pageSeconds} s`;
  }
  if (isConnectionLost(error)) return "The database cannot be reached";
  const code = codeOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
  if (code === "42501" || code === "22023") {
    return "The page may not read the database: its owner runs grant p2p_reader to p2p_worker, or to the worker's own login";
  }
  if (code === "42883") {
    return "A function that the page calls is missing: p2p-ingest migrate puts it back";
  }
  return "The database refuses to answer: the worker's log says why";
}
