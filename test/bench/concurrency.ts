// deno-lint-ignore-file no-console
// `deno task bench concurrency [--offers N] [--latency-ms N] [--workers 1,5,…]`: the same markets with MAX_WORKERS from
// one to a hundred, at an exchange that takes its time.
import { parseArgs } from "node:util";
import { UsageError } from "../../src/errors.ts";
import { wholeNumbers } from "../support/options.ts";
import { figure, type Finding, table } from "./finding.ts";
import { completed, once, SOME_MARKETS, startSimulator } from "./processes.ts";
import { BenchDatabase, BenchServer } from "./server.ts";

export async function benchConcurrency(args: readonly string[]): Promise<Finding[]> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      offers: { type: "string", default: "5000" },
      "latency-ms": { type: "string", default: "100" },
      workers: { type: "string", default: "1,5,20,50,100" },
    },
  });
  const { offers, "latency-ms": latency } = wholeNumbers(values, { offers: 1, "latency-ms": 0 });
  const counts = values.workers.split(",").map(Number);
  if (!counts.every((count) => Number.isInteger(count) && count >= 1 && count <= 100)) {
    throw new UsageError(`--workers ${values.workers}: whole numbers from 1 to 100`);
  }
  await using server = await BenchServer.start();
  await using created = await BenchDatabase.migrated(server.cluster.url);
  await using simulator = await startSimulator(offers, "--latency-ms", String(latency));
  const batch = async (
    workers: number,
  ): Promise<{ seconds: number; pages: number; peak: number }> => {
    console.error(`${workers} markets at once`);
    const { summary, peakBytes } = await once(created.database.url, simulator.url, {
      MAX_WORKERS: String(workers),
      MARKETS: SOME_MARKETS,
    });
    completed(summary);
    return {
      seconds: summary.stage_seconds.fetching,
      pages: summary.pages,
      peak: peakBytes / 1e6,
    };
  };
  await batch(100); // discovery, and how large the markets are: from here on the plan knows
  const rows: string[][] = [];
  const findings: Finding[] = [];
  let alone: number | undefined;
  for (const workers of counts) {
    const { seconds, pages, peak } = await batch(workers);
    alone ??= seconds * (counts[0] ?? 1);
    const faster = alone / seconds;
    rows.push([
      String(workers),
      pages.toLocaleString("en"),
      figure(seconds),
      figure(pages / seconds),
      figure(faster),
      figure(peak),
    ]);
    if (workers > 1) {
      findings.push({
        scenario: "concurrency",
        what:
          `${workers} markets at once, exchange ${latency} ms away: fetched faster than one by one`,
        value: faster,
        unit: "×",
      });
    }
  }
  console.log(table(
    ["MAX_WORKERS", "pages", "fetch and stage s", "pages/s", "× one by one", "peak RSS MB"],
    rows,
  ));
  return findings;
}
