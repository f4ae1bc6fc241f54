import { VERSION } from "../version.ts";
import { type Alert, severityOf } from "./alert.ts";
import { dedupKey, type Destination, type Sender } from "./destination.ts";
import { cleaned } from "./text.ts";

/** Of the document; fields may be added without a new one. */
const FORMAT_VERSION = 1;

/** A service of your own: one POST a begin or end, as docs/alerts.md describes. Any 2xx is delivered. */
export function webhook(url: string): Destination {
  return { name: "webhook", url, keepsState: false, payload };
}

function payload(alert: Alert, sender: Sender): unknown {
  const { kind, subject, message, isOver, since, lastedSeconds } = alert;
  return {
    version: FORMAT_VERSION,
    program: `p2p-ingest ${VERSION}`,
    state: isOver ? "resolved" : "open",
    kind,
    subject,
    severity: severityOf(kind),
    message: cleaned(message),
    since: since.toISOString(),
    lasted_seconds: lastedSeconds === undefined ? null : Math.round(lastedSeconds),
    worker: sender.worker,
    database: sender.databaseKey,
    dedup_key: dedupKey(alert, sender),
  };
}
