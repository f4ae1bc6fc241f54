import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { argument, command, constant } from "@optique/core/primitives";
import { choice } from "@optique/core/valueparser";
import type { Alert } from "../alerts/alert.ts";
import { DeliveryFailure, sendOnce } from "../alerts/delivery.ts";
import type { Destination } from "../alerts/destination.ts";
import { configuredDestinations } from "../alerts/destinations.ts";
import { secretsOf } from "../alerts/text.ts";
import { ConfigurationError, EXIT, type ExitCode } from "../errors.ts";
import { systemClock } from "../extract/clock.ts";
import { readEnvironment, workerName } from "./environment.ts";
import { examples, jsonFlag } from "./help.ts";
import { print, style } from "./terminal.ts";

export const alertCommand = command(
  "alert",
  object({
    command: constant("alert"),
    action: argument(choice(["test"], { metavar: "ACTION" }), {
      description: message`test: send one to every destination that is configured.`,
    }),
    json: jsonFlag(message`Print what became of each as one JSON document.`),
  }),
  {
    brief: message`Send a test alert to Slack, PagerDuty and your webhook.`,
    description:
      message`Sends the beginning and the end of an incident of kind "test" to every destination of SLACK_WEBHOOK_URL, PAGERDUTY_API_KEY and ALERT_WEBHOOK_URL, once each, and says whether it was taken. Needs no database. Ends with 69 where one does not take it, with 78 where none is configured.`,
    footer: examples(
      ["p2p-ingest alert test", "after you changed where alerts go"],
      ["SLACK_WEBHOOK_URL_FILE=/etc/p2p/slack p2p-ingest alert test --json", "for scripts"],
    ),
  },
);

interface Outcome {
  readonly destination: string;
  readonly outcome: "delivered" | "failed";
  readonly reason: string | null;
}

export async function alert(args: { json: boolean }): Promise<ExitCode> {
  const config = await readEnvironment();
  const destinations = configuredDestinations(config);
  if (destinations.length === 0) {
    throw new ConfigurationError(
      "no destination for alerts is configured: they are lines of the log only",
      "set SLACK_WEBHOOK_URL, PAGERDUTY_API_KEY or ALERT_WEBHOOK_URL",
    );
  }
  const options = {
    sender: { worker: workerName(config), databaseKey: "test" },
    clock: systemClock,
    secrets: secretsOf(config),
  };
  const since = new Date();
  const begin: Alert = {
    kind: "test",
    subject: "",
    message: "a test alert, sent by hand with p2p-ingest alert test: nothing is wrong",
    isOver: false,
    since,
    lastedSeconds: undefined,
  };
  const sendTo = async (destination: Destination): Promise<Outcome> => {
    try {
      await sendOnce(destination, begin, options);
      const lastedSeconds = (Date.now() - since.getTime()) / 1000;
      await sendOnce(destination, { ...begin, isOver: true, lastedSeconds }, options);
      return { destination: destination.name, outcome: "delivered", reason: null };
    } catch (error) {
      if (!(error instanceof DeliveryFailure)) throw error;
      return { destination: destination.name, outcome: "failed", reason: error.message };
    }
  };
  const outcomes = await Promise.all(destinations.map(sendTo));
  print(args.json ? JSON.stringify(outcomes) + "\n" : described(outcomes));
  return outcomes.some(({ outcome }) => outcome === "failed") ? EXIT.unavailable : EXIT.done;
}

function described(outcomes: readonly Outcome[]): string {
  const { green, red } = style(Deno.stdout);
  return outcomes.map(({ destination, outcome, reason }) =>
    `${outcome === "delivered" ? green("✓") : red("✗")} ${destination.padEnd(9)}  ${
      reason ?? "delivered"
    }\n`
  ).join("");
}
