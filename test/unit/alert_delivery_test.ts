// What the services are sent, and how: order, retries, Retry-After, time-outs, bounds, and never a secret.
import assert from "node:assert/strict";
import type { Alert } from "../../src/alerts/alert.ts";
import { Delivery, DeliveryFailure, MOST_WAITING, sendOnce } from "../../src/alerts/delivery.ts";
import { dedupKey, type Destination } from "../../src/alerts/destination.ts";
import { configuredDestinations } from "../../src/alerts/destinations.ts";
import { cleaned, secretsOf, withoutSecrets } from "../../src/alerts/text.ts";
import { loadConfig } from "../../src/config.ts";
import { type AlertReceiver, SECRETS, startAlertReceiver } from "../support/alert_receiver.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { recordLog } from "../support/log_records.ts";

const SENDER = { worker: "vm-1", databaseKey: "abc123" };

function alert(message: string, change: Partial<Alert> = {}): Alert {
  return {
    kind: "breaker_open",
    subject: "binance",
    message,
    isOver: false,
    since: new Date("2026-09-01T09:00:00Z"),
    lastedSeconds: undefined,
    ...change,
  };
}

interface Scene {
  readonly receiver: AlertReceiver;
  readonly destinations: Readonly<Record<string, Destination>>;
  readonly clock: FakeClock;
  readonly attempts: string[];
  readonly log: string[];
  deliver(
    destination: Destination | undefined,
    alerts: readonly Alert[],
    timeoutSeconds?: number,
  ): Promise<Delivery>;
}

async function withReceiver(work: (scene: Scene) => Promise<void>): Promise<void> {
  await using receiver = startAlertReceiver();
  const config = loadConfig(receiver.variables);
  const clock = new FakeClock({ skips: true });
  const attempts: string[] = [];
  await using log = await recordLog("debug");
  await work({
    receiver,
    clock,
    attempts,
    destinations: Object.fromEntries(configuredDestinations(config).map((d) => [d.name, d])),
    get log() {
      return log.records.map(({ level, message }) => `${level} ${message.join("")}`);
    },
    deliver: async (destination, alerts, timeoutSeconds = 30) => {
      assert(destination !== undefined);
      const { promise: idle, resolve } = Promise.withResolvers<void>();
      let left = alerts.length;
      const delivery: Delivery = new Delivery(destination, {
        sender: SENDER,
        clock: {
          now: () => clock.now(),
          random: () => 0.5,
          sleep: (ms, signal) => clock.sleep(ms, signal),
        },
        secrets: secretsOf(config),
        timeoutSeconds,
        onAttempt: (name, outcome) => {
          attempts.push(`${name} ${outcome}`);
          if (outcome === "delivered" && --left === delivery.lost) resolve();
        },
      });
      for (const one of alerts) delivery.add(one);
      await idle;
      return delivery;
    },
  });
}

Deno.test("each service is sent what it documents, begin and end", async () => {
  await withReceiver(async ({ receiver, destinations, deliver }) => {
    const end = alert("answers again", { isOver: true, lastedSeconds: 754 });
    for (const destination of Object.values(destinations)) {
      await deliver(destination, [alert("HTTP 403 <b>&"), end]);
    }
    assert.deepEqual(receiver.refused, []);
    assert.deepEqual(receiver.of("slack"), [
      {
        text: ":rotating_light: p2p-ingest on vm-1: breaker_open binance: HTTP 403 &lt;b&gt;&amp;",
      },
      {
        text:
          ":white_check_mark: p2p-ingest on vm-1: breaker_open binance over after 13 min: answers again",
      },
    ]);
    const [trigger, resolve] = receiver.of("pagerduty");
    assert.deepEqual(
      [trigger?.["event_action"], resolve?.["event_action"]],
      ["trigger", "resolve"],
    );
    assert.equal(trigger?.["dedup_key"], "p2p-ingest/abc123/breaker_open/binance");
    assert.equal(trigger?.["dedup_key"], resolve?.["dedup_key"]);
    assert.deepEqual(trigger?.["payload"], {
      summary: "breaker_open binance: HTTP 403 <b>&",
      severity: "error",
      source: "vm-1",
      component: "p2p-ingest",
      class: "breaker_open",
      timestamp: "2026-09-01T09:00:00.000Z",
      custom_details: { subject: "binance", database: "abc123" },
    });
    const [open, resolved] = receiver.of("webhook");
    const { program: _, ...rest } = resolved ?? {};
    assert.equal(open?.["state"], "open");
    assert.deepEqual(rest, {
      version: 1,
      state: "resolved",
      kind: "breaker_open",
      subject: "binance",
      severity: "error",
      message: "answers again",
      since: "2026-09-01T09:00:00.000Z",
      lasted_seconds: 754,
      worker: "vm-1",
      database: "abc123",
      dedup_key: "p2p-ingest/abc123/breaker_open/binance",
    });
  });
});

Deno.test("texts of any length and any characters stay within what the services take", async () => {
  const nasty = `\x00\x1b[31m\u202e${"😀<&>\n\ud800".repeat(2000)}`;
  await withReceiver(async ({ receiver, destinations, deliver }) => {
    for (const destination of Object.values(destinations)) {
      await deliver(destination, [alert(nasty, { kind: "x", subject: "s".repeat(100) })]);
    }
    assert.deepEqual(receiver.refused, []);
    assert.equal(receiver.received.length, 3);
    for (const { text } of receiver.received) {
      assert(text.length < 8000, `${text.length} characters`);
      // deno-lint-ignore no-control-regex
      assert(!/[\x00-\x1f\u202e]/.test(JSON.stringify(JSON.parse(text)).replaceAll("\\n", "")));
      assert(text.isWellFormed() && !/\\ud[89ab]/i.test(text));
    }
  });
  assert.equal(cleaned("a\n\n  b\x07"), "a b\\x07");
  assert(dedupKey(alert("", { subject: "s".repeat(500) }), SENDER).length <= 255);
});

Deno.test("trouble on the way: tried again in order, told once in the log, counted", async () => {
  await withReceiver(async (scene) => {
    const { receiver, destinations, clock, attempts } = scene;
    receiver.trouble.push({ status: 500 }, "silent", { status: 429, retryAfter: "40" });
    // One of them is a time-out; longer than a machine stalls, since no other attempt may be one.
    await scene.deliver(destinations["webhook"], [alert("first"), alert("second")], 1);
    assert.deepEqual(receiver.of("webhook").map(({ message }) => message), ["first", "second"]);
    assert.deepEqual(clock.waits, [1000, 2000, 40_000], "Retry-After is longer than 4 s");
    assert.deepEqual(attempts, [
      ...Array(3).fill("webhook failed"),
      "webhook delivered",
      "webhook delivered",
    ]);
    assert.deepEqual(scene.log, [
      "error webhook does not take alerts: HTTP 500; trying again",
      "info webhook takes alerts again",
    ]);
  });
});

Deno.test("what is refused for good is not tried again, and what comes after it is delivered", async () => {
  await withReceiver(async (scene) => {
    scene.receiver.trouble.push({ status: 404 }, { status: 302 });
    const delivery = await scene.deliver(
      scene.destinations["slack"],
      ["a", "b", "c"].map((m) => alert(m)),
    );
    assert.equal(delivery.lost, 2);
    assert.equal(scene.receiver.requests, 3);
    assert.match(scene.log[0] ?? "", /error an alert did not arrive at slack: HTTP 404/);
  });
});

Deno.test("a destination that is away for long: the oldest of too many go, and who stops waits five seconds", async () => {
  await withReceiver(async ({ receiver, destinations, log: _ }) => {
    const clock = new FakeClock();
    const destination = destinations["webhook"];
    assert(destination !== undefined);
    receiver.trouble.push(...Array(3).fill({ status: 503 }));
    const outcomes: string[] = [];
    const first = Promise.withResolvers<void>();
    const delivery = new Delivery(destination, {
      sender: SENDER,
      clock,
      secrets: [],
      onAttempt: (_, outcome) => {
        outcomes.push(outcome);
        first.resolve();
      },
    });
    for (let i = 0; i < MOST_WAITING + 11; i++) delivery.add(alert(`number ${i}`));
    assert.equal(delivery.lost, 10);
    await first.promise;
    const stopping = delivery[Symbol.asyncDispose]();
    await clock.advance(0);
    while (clock.sleeping < 2) await clock.advance(0);
    await clock.advance(5000);
    await stopping;
    assert(delivery.lost > 0 && receiver.received.length + delivery.lost === MOST_WAITING + 11);
  });
});

Deno.test("no secret is in what is sent, logged or thrown", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const closed = `http://127.0.0.1:${listener.addr.port}`;
  listener.close();
  const nowhere = loadConfig({
    DATABASE_URL: "postgres://worker:p%40ss-SECRET@db/p2p",
    SLACK_WEBHOOK_URL: `${closed}/services/${SECRETS.slackPath}`,
    ALERT_WEBHOOK_URL: `${closed}/hook?key=${SECRETS.webhookKey}`,
    PAGERDUTY_API_KEY: SECRETS.routingKey,
    PAGERDUTY_EVENTS_URL: `${closed}/v2/enqueue`,
  });
  const secrets = secretsOf(nowhere);
  const options = { sender: SENDER, clock: new FakeClock(), secrets };
  for (const destination of configuredDestinations(nowhere)) {
    const error = await sendOnce(destination, alert("x"), options).catch((e) => e);
    assert(error instanceof DeliveryFailure && error.mayRetry);
    assert.match(error.message, /refused/i);
    assert(!/SECRET|services|hook\?/.test(error.message), error.message);
  }
  const text = `cannot connect to postgres://worker:p%40ss-SECRET@db/p2p with p@ss-SECRET, ` +
    `${nowhere.SLACK_WEBHOOK_URL} ${SECRETS.webhookKey} ${SECRETS.routingKey}`;
  assert(!withoutSecrets(text, secrets).includes("SECRET"), withoutSecrets(text, secrets));
});
