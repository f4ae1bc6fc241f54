import { VERSION } from "../version.ts";
import { type Alert, severityOf } from "./alert.ts";
import { dedupKey, type Destination, type Sender } from "./destination.ts";
import { cleaned } from "./text.ts";

/** PagerDuty refuses a longer summary. */
const MOST_OF_SUMMARY = 1024;

/**
 * PagerDuty's Events API v2: `trigger` and `resolve` with the same dedup_key.
 * https://developer.pagerduty.com/docs/send-alert-event
 * @param routingKey the integration key of a service
 */
export function pagerDuty(url: string, routingKey: string): Destination {
  const payload = (alert: Alert, sender: Sender): unknown => {
    const { kind, subject, message, isOver, since } = alert;
    return {
      routing_key: routingKey,
      event_action: isOver ? "resolve" : "trigger",
      dedup_key: dedupKey(alert, sender),
      client: `p2p-ingest ${VERSION}`,
      payload: {
        summary: cleaned(
          `${kind}${subject === "" ? "" : ` ${subject}`}: ${message}`,
          MOST_OF_SUMMARY,
        ),
        severity: severityOf(kind),
        source: sender.worker,
        component: "p2p-ingest",
        class: kind,
        timestamp: since.toISOString(),
        custom_details: { subject, database: sender.databaseKey },
      },
    };
  };
  return { name: "pagerduty", url, keepsState: true, payload };
}
