/** Exit codes of every command, as documented in the README (the numbers follow BSD's sysexits.h). */
export const EXIT = {
  done: 0,
  /** `doctor` and `sql diff` found something that is not as it should be. */
  findings: 1,
  usage: 64,
  unavailable: 69,
  bug: 70,
  batchIncomplete: 75,
  configuration: 78,
} as const;

/** What each means; the README's table, docs/reference.md and the man page are made of these. */
export const EXIT_MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  done: "done",
  findings: "`doctor` or `sql diff` found something that wants mending",
  usage: "the command line, or a `query`, is wrong",
  unavailable: "the database, the exchange or the output cannot be reached or used",
  bug: "a bug in this program",
  batchIncomplete: "the batch ended `partial` or `failed`, was stopped, or could not begin",
  configuration: "configuration, data folder or database schema do not fit",
};

export type ExitCode = typeof EXIT[keyof typeof EXIT];

/**
 * An error that a person can act on: one line that says what is wrong, and where there is one,
 * the `hint` that mends it. Anything that is not a `P2pError` is a bug of this program.
 */
export abstract class P2pError extends Error {
  abstract readonly exitCode: ExitCode;

  /** @param hint what to do about it, e.g. a command to run */
  constructor(message: string, readonly hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A command line that cannot be understood or run, a SQL statement of `query` included. */
export class UsageError extends P2pError {
  override readonly exitCode = EXIT.usage;
}

/** An environment variable, a data folder or a database schema that this program cannot work with. */
export class ConfigurationError extends P2pError {
  override readonly exitCode = EXIT.configuration;
}

/** Permissions that were not given are the operator's choice, not a bug. */
export function asKnown(error: unknown): unknown {
  return error instanceof Deno.errors.NotCapable
    ? new ConfigurationError(
      error.message,
      "an executable has the permissions for DATABASE_URL only; the embedded PostgreSQL is for runs from source",
    )
    : error;
}

/** The database cannot be reached, refuses us, or cannot store anything. */
export class DatabaseError extends P2pError {
  override readonly exitCode = EXIT.unavailable;
}

/** What the program has to say cannot be written, e.g. to a file on a full disk. */
export class OutputError extends P2pError {
  override readonly exitCode = EXIT.unavailable;
}

/** The exchange cannot be reached, or answers nothing that can be used. */
export class ExchangeError extends P2pError {
  override readonly exitCode = EXIT.unavailable;
}

/** The batch did not end `completed`, or could not begin. */
export class BatchError extends P2pError {
  override readonly exitCode = EXIT.batchIncomplete;
}

/** New batches are paused by the setting `paused`: nothing is wrong, and it ends when somebody ends it. */
export class PausedError extends BatchError {}

/** The text of anything that was thrown, with the causes behind it: `fetch` tells the reason only there. */
export function describe(error: unknown, depth = 5): string {
  if (!(error instanceof Error)) return typeof error === "string" ? error : Deno.inspect(error);
  const message = error.message || error.name;
  // An AggregateError has the reasons in a list and no message: connecting fails so, by IPv6 and by IPv4.
  const reasons = error instanceof AggregateError ? error.errors : [error.cause];
  const causes = reasons
    .filter((reason) => reason !== undefined && depth > 0)
    .map((reason) => describe(reason, depth - 1))
    .filter((text) => text !== "" && !message.includes(text));
  return [message, ...new Set(causes)].join(": ");
}

/** What to do about a certificate of HTTPS that Deno refuses, by a word of its message. */
const CERTIFICATE_ADVICE = {
  UnknownIssuer: "is that authority to be trusted, DENO_CERT=<file with its certificate>",
  Expired: "its owner must renew it, unless the clock of this machine is wrong",
  "not valid for name": "the URL must name the host as its certificate does",
} as const;

/** What `fetch` or a connection by TLS threw, with what to do where it is the certificate. */
export function describeRequest(error: unknown): string {
  const text = describe(error);
  const advice = Object.entries(CERTIFICATE_ADVICE).find(([word]) =>
    text.includes("invalid peer certificate") && text.includes(word)
  )?.[1];
  return advice === undefined ? text : `${text} (${advice})`;
}
