// The switch `paused` of p2p.settings, as the commands see it.
import { match, ok, strictEqual } from "node:assert/strict";
import { rowsOf, valueOf } from "../support/batches.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { eventually, Program, runProgram } from "../support/program.ts";

Deno.test("once and run while batches are paused", async () => {
  await using test = await testDatabase();
  await rowsOf(test.database, "update p2p.settings set value = 'on' where name = 'paused'");
  // An exchange that would be noticed if it were asked: nobody listens there.
  const worker = {
    DATABASE_URL: urlAs("worker", test.url),
    BINANCE_BASE_URL: "http://127.0.0.1:1",
    LOG_FORMAT: "text",
  };
  const { code, stdout, stderr } = await runProgram(["once"], worker);
  strictEqual(code, 75);
  strictEqual(stdout, "");
  match(
    stderr,
    /^error: new batches are paused since 20[-\d]+ [\d:]+Z by \w+\nhint: update p2p\.settings set value = 'off' where name = 'paused'\n$/,
  );

  await using service = new Program(["run"], worker);
  await eventually(
    "the notice",
    () => service.stderr.includes("paused") ? true : undefined,
  );
  service.kill("SIGTERM");
  const ended = await service.ended;
  strictEqual(ended.code, 0, ended.stderr);
  match(
    ended.stderr,
    /^\S+ warning no new batch is begun {2}reason=new batches are paused since \S+ \S+ by \w+ {2}ended_by=update p2p\.settings set value = 'off' where name = 'paused'$/m,
  );
  ok(!ended.stderr.includes("next batch at"), "it waits, but promises no batch");
  strictEqual(await valueOf(test.database, "select count(*) from p2p.ops_batch_runs"), "0");
  strictEqual(
    await valueOf(test.database, "select count(*) from p2p.ops_extraction_errors"),
    "0",
    "the exchange was not asked for its markets either",
  );
});
