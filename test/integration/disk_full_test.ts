// The disk of the embedded database fills up while a batch is written, and is made larger afterwards.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { startSimulator } from "../../src/simulator/server.ts";
import { onDisk } from "../support/embedded.ts";
import { FAST, runProgram } from "../support/program.ts";

Deno.test("a disk that fills up: one clear line and 69; with more room nothing is missing", async () => {
  const simulator = await startSimulator({ offers: 40_000, now: () => 1_770_000_000_000 });
  try {
    // The server's own files take about 110 MB.
    await onDisk("150m", async (folder) => {
      const variables = { DATA_DIR: `${folder}/data`, BINANCE_BASE_URL: simulator.url, ...FAST };
      const full = await runProgram(["once", "--json"], { ...variables, LOG_LEVEL: "error" });
      strictEqual(full.code, 69, full.stderr);
      strictEqual(full.stdout, "");
      match(full.stderr, /^error: [^\n]*(no space left|No space left)[^\n]*\n$/m);
      ok(!full.stderr.includes("    at "), "no stack");

      await new Deno.Command("mount", { args: ["-o", "remount,size=600m", folder] }).output();
      const again = await runProgram(["once", "--json"], { ...variables, LOG_LEVEL: "error" });
      strictEqual(again.code, 0, again.stderr);
      const batches = await runProgram(
        [
          "query",
          "--json",
          "select status, total_offers_inserted > 0 as has_offers from p2p.ops_batch_runs order by batch_start_time",
        ],
        variables,
      );
      deepStrictEqual(
        JSON.parse(batches.stdout),
        [{ status: "completed", has_offers: true }],
        "the batch that broke was gone on with",
      );
    });
  } finally {
    await simulator.close();
  }
});
