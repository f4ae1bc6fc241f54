import type { Config } from "../config.ts";
import type { Database } from "../database/connection.ts";
import { DEADLINES } from "../deadlines.ts";
import type { Clock } from "../extract/clock.ts";
import type { Alert, AlertSink } from "./alert.ts";
import { Alerts } from "./alerts.ts";
import { Delivery, type DeliveryOptions } from "./delivery.ts";
import { configuredDestinations } from "./destinations.ts";
import { IncidentStore } from "./incident_store.ts";
import { logSink } from "./log_sink.ts";
import { secretsOf, withoutSecrets } from "./text.ts";

export interface AlertingOptions {
  readonly config: Config;
  readonly database: Database;
  readonly worker: { readonly id: string; readonly name: string; readonly purpose: string };
  readonly clock: Clock;
  readonly onAttempt?: DeliveryOptions["onAttempt"];
}

export interface Alerting extends AsyncDisposable {
  readonly alerts: Alerts;
}

/**
 * Alerts of a worker, on their way to the log and to every destination that the configuration names.
 * @throws {DatabaseError}
 */
export async function beginAlerting(options: AlertingOptions): Promise<Alerting> {
  const { config, database, worker, clock } = options;
  const [row] = await database.run(
    "select p2p.database_key() as key",
    [],
    DEADLINES.statementSeconds,
  );
  const secrets = secretsOf(config);
  await using stack = new AsyncDisposableStack();
  const deliveries = configuredDestinations(config).map((destination) =>
    new Delivery(destination, {
      sender: { worker: worker.name, databaseKey: String(row?.["key"]) },
      clock,
      secrets,
      ...(options.onAttempt === undefined ? {} : { onAttempt: options.onAttempt }),
    })
  );
  for (const delivery of deliveries) {
    if (delivery.destination.keepsState) void delivery.add(databaseIsThere());
  }
  const sinks: AlertSink[] = [logSink, ...deliveries.map((to) => (alert: Alert) => to.add(alert))];
  const send = async (alert: Alert): Promise<boolean> => {
    const message = withoutSecrets(alert.message, secrets);
    const settled = await Promise.all(sinks.map((sink) => sink({ ...alert, message })));
    return !settled.includes(false);
  };
  const alerts = new Alerts(
    [send],
    clock,
    new IncidentStore({
      database,
      workerId: worker.id,
      intervalMinutes: worker.purpose === "run" ? config.EXTRACTION_INTERVAL_MINUTES : undefined,
      alertOnFailures: config.ALERT_ON_FAILURES,
    }),
  );
  stack.defer(() => alerts.confirm());
  // All at once: what waits has so many seconds in all.
  stack.defer(async () => {
    await Promise.all(deliveries.map((delivery) => delivery[Symbol.asyncDispose]()));
  });
  stack.use(alerts);
  const owned = stack.move();
  return { alerts, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A process that ended while the database was away could not say that it is back; the database knows nothing of it. */
function databaseIsThere(): Alert {
  return {
    kind: "database_lost",
    subject: "",
    message: "the worker has started, and the database is there",
    isOver: true,
    since: new Date(),
    lastedSeconds: undefined,
  };
}
