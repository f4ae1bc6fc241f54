import { type Alert, headline } from "./alert.ts";
import type { Destination, Sender } from "./destination.ts";
import { cleaned } from "./text.ts";

/**
 * Slack's incoming webhooks: {"text": …} in mrkdwn, where only &, < and > need to be escaped.
 * https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
 */
export function slack(url: string): Destination {
  return { name: "slack", url, keepsState: false, payload };
}

function payload(alert: Alert, { worker }: Sender): { text: string } {
  const mark = alert.isOver ? ":white_check_mark:" : ":rotating_light:";
  return { text: `${mark} p2p-ingest on ${escaped(worker)}: ${escaped(headline(alert))}` };
}

function escaped(text: string): string {
  return cleaned(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
