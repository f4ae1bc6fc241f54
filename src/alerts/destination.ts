import type { Alert } from "./alert.ts";

/** Who tells, and of which database. */
export interface Sender {
  /** WORKER_NAME, or the name of the machine. */
  readonly worker: string;
  /** The same for all workers of a database; see database_key.sql. */
  readonly databaseKey: string;
}

/** A service that takes alerts. */
export interface Destination {
  /** In log lines and metrics. */
  readonly name: "slack" | "pagerduty" | "webhook";
  /** Holds a secret: never printed. */
  readonly url: string;
  /** Keeps incidents open until it hears that they are over. */
  readonly keepsState: boolean;
  /** The JSON document that is sent. */
  readonly payload: (alert: Alert, sender: Sender) => unknown;
}

/** Names an incident of a database, the same for its begin and its end, by whichever worker. At most 255 characters. */
export function dedupKey({ kind, subject }: Alert, { databaseKey }: Sender): string {
  return ["p2p-ingest", databaseKey, kind, ...(subject === "" ? [] : [subject])].join("/").slice(
    0,
    255,
  );
}
