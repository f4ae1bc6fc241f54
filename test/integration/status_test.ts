// `status` as a person reads it: who works, how fast, and what was skipped.
import { match, ok, strictEqual } from "node:assert/strict";
import { rowsOf } from "../support/batches.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { runProgram } from "../support/program.ts";

Deno.test("status names the workers, what they do and what their exchanges allow; and ticks without a batch", async () => {
  await using test = await testDatabase();
  const variables = { DATABASE_URL: urlAs("worker", test.url) };
  const before = await runProgram(["status"], variables);
  strictEqual(before.code, 0, before.stderr);
  match(before.stdout, /^No worker is running\. /m);
  ok(!before.stdout.includes("Skipped"));

  const exchange = {
    exchange: "binance",
    filter: [{ fiat: "*", asset: "*" }],
    rate_per_minute: 137.4,
    ceiling_per_minute: 144,
    breaker: "open",
    breaker_reason: "time-outs",
  };
  const pausing = { ...exchange, exchange: "bybit", breaker: "closed", paused_seconds: 1800 };
  await rowsOf(
    test.database,
    "select p2p.beat('vm7:12:0123abcd', 'vm7', '0.4.0', 'run', 'waiting', 60, $1::text::jsonb)",
    JSON.stringify([exchange, pausing]),
  );
  await rowsOf(
    test.database,
    `insert into p2p.ops_skipped_batches (due_at, reason) values (now() - interval '1 hour', 'no worker was running')`,
  );
  await rowsOf(
    test.database,
    "select p2p.raise_incident('breaker_open', 'binance', 'nothing is sent: ' || repeat('refused ', 40), 'vm7')",
  );
  const { stdout } = await runProgram(["status"], variables);
  match(
    stdout,
    /^Open incidents \(view p2p\.incidents\)\n20\S+ \S+Z {2}breaker_open {2}binance\n {2}nothing is sent: refused [^\n]+\n {2}refused [^\n]+ …\n\n/m,
  );
  match(
    stdout,
    /^Workers \(view p2p\.workers\)\n *worker .*doing .*requests per minute .*ceiling .*breaker .*markets in hand/m,
  );
  match(stdout, /^ *vm7:12:0123abcd +waiting +binance +137 +144 +open +0 +\d+ s ago *$/m);
  match(stdout, /^ *vm7:12:0123abcd +waiting +bybit .* closed, paused 30 min +0 /m);
  match(
    stdout,
    /^Skipped lately \(view p2p\.schedule\)\n *due +reason *\n[^\n]*\n? *20\S+ \S+Z +no worker was running/m,
  );
  ok(stdout.split("\n").every((line) => line.length <= 120), "fits a terminal");
});
