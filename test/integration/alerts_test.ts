// Real faults, and what arrives at Slack, PagerDuty and a webhook: each once, within a minute, and when it is over.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { startSimulator } from "../../src/simulator/server.ts";
import { type AlertReceiver, startAlertReceiver } from "../support/alert_receiver.ts";
import { rowsOf } from "../support/batches.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { eventually, FAST, runProgram } from "../support/program.ts";
import { World } from "../chaos/world.ts";

/** What arrived at the webhook since the mark, e.g. `completeness open`. */
function arrived(receiver: AlertReceiver, since = 0): string[] {
  return receiver.of("webhook").slice(since).map(({ kind, state }) => `${kind} ${state}`);
}

async function comes(receiver: AlertReceiver, since: number, ...wanted: string[]): Promise<number> {
  const began = performance.now();
  await eventually(
    `${wanted.join(", ")} (came: ${arrived(receiver, since).join(", ")})`,
    () => wanted.every((one) => arrived(receiver, since).includes(one)) ? true : undefined,
    60,
  );
  return (performance.now() - began) / 1000;
}

Deno.test("a fleet of two: each fault is told once by one of them, and its end", async () => {
  await using receiver = startAlertReceiver();
  const logFolder = await Deno.makeTempDir({ prefix: "p2p-alerts-" });
  await using world = await World.create({
    workers: 2,
    seed: 1,
    tickSeconds: 2,
    logFolder,
    markets: "CNY/*,VES/*",
    offers: 2000,
    latencyMs: 0,
    environment: { ...receiver.variables, ALERT_ON_FAILURES: "2", BATCH_DEADLINE_SECONDS: "2" },
  });
  const [first] = world.machines;
  ok(first !== undefined);
  for (const machine of world.machines) world.startWorker(machine);
  await using database = world.postgres.connect();
  const batches = async (): Promise<number> =>
    Number(
      (await rowsOf(
        database,
        "select count(*) as n from p2p.ops_batch_runs where status = 'completed'",
      ))[0]?.["n"],
    );
  await eventually("a good batch", async () => await batches() > 0 ? true : undefined);
  deepStrictEqual(arrived(receiver), [], "all is well");

  // Every page is an error: batches miss markets, then nothing is sent any more.
  for (const machine of world.machines) machine.fault = () => ({ kind: "serverError" });
  const opened = await comes(
    receiver,
    0,
    "completeness open",
    "batch_failed open",
    "breaker_open open",
  );
  // The database goes as well, while all of that is open.
  await world.restartPostgres("SIGQUIT", 1);
  for (const machine of world.machines) machine.fault = undefined;
  const resolved = await comes(
    receiver,
    0,
    "completeness resolved",
    "batch_failed resolved",
    "breaker_open resolved",
    "database_lost open",
    "database_lost resolved",
  );
  ok(opened < 60 && resolved < 60, `${opened} s, ${resolved} s`);

  deepStrictEqual(await world.stopWorkers(), [0, 0]);
  await using restarted = world.postgres.connect();
  const written = await rowsOf(
    restarted,
    `select kind, count(*)::integer as begun, count(resolved_at)::integer as ended
     from p2p.ops_incidents where kind <> 'database_lost' group by kind order by kind`,
  );
  deepStrictEqual(
    written.map(({ kind }) => kind),
    ["batch_failed", "breaker_open", "completeness"],
  );
  const times = (what: string): number => arrived(receiver).filter((one) => one === what).length;
  deepStrictEqual(
    written.map(({ kind }) => [times(`${kind} open`), times(`${kind} resolved`)]),
    written.map(({ begun, ended }) => [begun, ended]),
  );
  deepStrictEqual(receiver.refused, []);
  strictEqual(receiver.of("slack").length, receiver.of("webhook").length);
  // With those of database_lost that each worker sends when it starts.
  strictEqual(receiver.of("pagerduty").length, receiver.of("webhook").length + 2);
  for (const machine of world.machines) {
    ok(!/SECRET|services\/T0/.test(await world.logOf(machine)), "a secret is in the log");
  }
  await Deno.remove(logFolder, { recursive: true });
});

Deno.test("once: changed structure is told before it ends, and is over with the next; the service away costs nothing", async () => {
  await using test = await testDatabase();
  await using receiver = startAlertReceiver();
  const simulator = await startSimulator({ offers: 2000, now: () => Date.UTC(2026, 8, 1, 9) });
  await using _closing = { [Symbol.asyncDispose]: () => simulator.close() };
  let isChanged = true;
  await using exchange = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      const response = await fetch(simulator.url + pathname, {
        method: request.method,
        headers: { "content-type": "application/json" },
        body: await request.text() || null,
      });
      const text = await response.text();
      return new Response(isChanged ? text.replaceAll('"price"', '"unitPrice"') : text, {
        status: response.status,
        headers: { "content-type": "application/json" },
      });
    },
  );
  const variables = {
    ...receiver.variables,
    DATABASE_URL: urlAs("worker", test.url),
    BINANCE_BASE_URL: `http://127.0.0.1:${exchange.addr.port}`,
    MARKETS: "VES/*",
    LOG_FORMAT: "json",
    ...FAST,
  };
  strictEqual((await runProgram(["once"], variables)).code, 0);
  deepStrictEqual(arrived(receiver).filter((one) => /structure/.test(one)), [
    "structure_changed open",
  ]);
  match(
    String(receiver.of("slack").map(({ text }) => text).join()),
    /structure_changed: the answers have changed: .*adv\.price missing/,
  );
  isChanged = false;
  strictEqual((await runProgram(["once"], variables)).code, 0);
  deepStrictEqual(arrived(receiver).filter((one) => /structure/.test(one)), [
    "structure_changed open",
    "structure_changed resolved",
  ]);
  isChanged = true;
  receiver.trouble.push(...Array(20).fill({ status: 503 }));
  const mark = receiver.received.length;
  const began = performance.now();
  const { code, stderr } = await runProgram(["once"], variables);
  strictEqual(code, 0, stderr);
  ok(performance.now() - began < 15_000, `${performance.now() - began} ms`);
  match(stderr, /does not take alerts: \W*HTTP 503/);
  match(stderr, /an alert did not arrive at/);
  ok(!stderr.includes("SECRET"));
  ok(receiver.received.length - mark < 6);
});

Deno.test("alert test: what became of each destination, and the exit code", async (t) => {
  await using receiver = startAlertReceiver();
  await t.step("delivered", async () => {
    const { code, stdout, stderr } = await runProgram(
      ["alert", "test", "--json"],
      receiver.variables,
    );
    strictEqual(code, 0, stderr);
    deepStrictEqual(
      JSON.parse(stdout),
      ["slack", "pagerduty", "webhook"].map((destination) => ({
        destination,
        outcome: "delivered",
        reason: null,
      })),
    );
    deepStrictEqual(receiver.refused, []);
    deepStrictEqual(receiver.of("pagerduty").map(({ event_action }) => event_action), [
      "trigger",
      "resolve",
    ]);
  });
  await t.step("not delivered", async () => {
    const wrong = { ...receiver.variables, SLACK_WEBHOOK_URL: `${receiver.url}/nothing/SECRET99` };
    const { code, stdout, stderr } = await runProgram(["alert", "test"], wrong);
    strictEqual(code, 69, stderr);
    match(stdout, /^✗ slack {6}HTTP 404 \(nothing is there: is the URL right\?\)$/m);
    match(stdout, /^✓ pagerduty {2}delivered$/m);
    ok(!/SECRET/.test(stdout + stderr));
  });
  await t.step("none configured", async () => {
    const { code, stderr } = await runProgram(["alert", "test"]);
    strictEqual(code, 78);
    match(stderr, /^error: no destination for alerts is configured/);
  });
  await t.step("no such action", async () => {
    strictEqual((await runProgram(["alert", "tset"])).code, 64);
  });
});
