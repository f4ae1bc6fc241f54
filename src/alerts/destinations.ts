import type { Config } from "../config.ts";
import type { Destination } from "./destination.ts";
import { pagerDuty } from "./pagerduty.ts";
import { slack } from "./slack.ts";
import { webhook } from "./webhook.ts";

/** The destinations that the configuration names; the log is always one, and not among them. */
export function configuredDestinations(config: Config): readonly Destination[] {
  const { SLACK_WEBHOOK_URL, PAGERDUTY_API_KEY, PAGERDUTY_EVENTS_URL, ALERT_WEBHOOK_URL } = config;
  return [
    ...(SLACK_WEBHOOK_URL === undefined ? [] : [slack(SLACK_WEBHOOK_URL)]),
    ...(PAGERDUTY_API_KEY === undefined
      ? []
      : [pagerDuty(PAGERDUTY_EVENTS_URL, PAGERDUTY_API_KEY)]),
    ...(ALERT_WEBHOOK_URL === undefined ? [] : [webhook(ALERT_WEBHOOK_URL)]),
  ];
}
