// What a worker makes of a step of the pipeline that fails.
import { match, strictEqual } from "node:assert/strict";
import { startSimulator } from "../../src/simulator/server.ts";
import { rowsOf, valueOf } from "../support/batches.ts";
import { testDatabase } from "../support/database.ts";
import { FAST, runProgram } from "../support/program.ts";

Deno.test("a required step that fails: exit 75 and the reason; mended, the same pages are loaded", async () => {
  await using test = await testDatabase();
  const simulator = await startSimulator({ offers: 200, now: () => Date.UTC(2026, 8, 1, 9) });
  const environment = {
    DATABASE_URL: test.url,
    BINANCE_BASE_URL: simulator.url,
    MARKETS: "*/USDT",
    LOG_FORMAT: "text",
    ...FAST,
  };
  try {
    await test.database.runScript(
      `create function public.must(p_batch_id uuid) returns void language plpgsql as $$ begin raise 'not today'; end $$;
       insert into p2p.pipeline_steps (name, position, function, is_required, comment) values ('must', 65, 'public.must', true, '')`,
      20,
    );
    const failed = await runProgram(["once"], environment);
    strictEqual(failed.code, 75, failed.stderr);
    match(failed.stdout + failed.stderr, /why: step must failed: not today/);
    strictEqual(await valueOf(test.database, "select count(*) from p2p.fact_offers"), "0");

    await test.database.run("delete from p2p.pipeline_steps where name = 'must'", [], 20);
    const [mended] = await rowsOf(
      test.database,
      "select l.status, l.total_offers_inserted > 0 as has_offers from p2p.ops_batch_runs r, p2p.load_batch(r.batch_id) l",
    );
    strictEqual(mended?.["status"], "completed");
    strictEqual(mended?.["has_offers"], true);
    const next = await runProgram(["once"], environment);
    strictEqual(next.code, 0, next.stderr);
  } finally {
    await simulator.close();
  }
});
