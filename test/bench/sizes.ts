// deno-lint-ignore-file no-console
// `deno task bench sizes [--offers 1000,10000,…]`: whole batches through the worker's own process, the simulator in
// another one, the embedded PostgreSQL as users have it, all on this machine; how time and memory grow with the market.
import { parseArgs } from "node:util";
import { UsageError } from "../../src/errors.ts";
import { figure, type Finding, table } from "./finding.ts";
import { completed, once, startSimulator } from "./processes.ts";
import { BenchDatabase, BenchServer } from "./server.ts";

/** A first batch numbers every ad and advertiser; the second one is what a service does all day. */
const BATCHES = 2;
/** What DESIGN promises for a market of the size of the real one. */
const REAL = { offers: 50_000, seconds: 30, megabytes: 200 } as const;

/** The second batch of a market. */
export interface Size {
  readonly offers: number;
  readonly seconds: number;
  readonly peakBytes: number;
}

export function sizesOf(args: readonly string[]): number[] {
  const { values } = parseArgs({
    args: [...args],
    options: { offers: { type: "string", default: "1000,10000,50000,200000" } },
  });
  const sizes = values.offers.split(",").map(Number);
  if (!sizes.every((size) => Number.isInteger(size) && size > 0)) {
    throw new UsageError(`--offers ${values.offers}: numbers of offers, e.g. 1000,10000`);
  }
  return sizes;
}

/** How much more time and memory each market takes than the one before, beside how much larger it is. */
export function growthOf(sizes: readonly Size[]): Finding[] {
  return sizes.slice(1).flatMap((size, i) => {
    const before = sizes[i] ?? size;
    const what = `${figure(before.offers)} → ${figure(size.offers)} offers`;
    const larger = size.offers / before.offers;
    return [
      {
        scenario: "sizes",
        what: `${what}, ${figure(larger)} times as many: seconds`,
        value: size.seconds / before.seconds,
        unit: "×",
      },
      {
        scenario: "sizes",
        what: `${what}: worker's peak memory`,
        value: size.peakBytes / before.peakBytes,
        unit: "×",
      },
    ];
  });
}

export async function benchSizes(args: readonly string[]): Promise<Finding[]> {
  await using server = await BenchServer.start();
  const sizes: Size[] = [];
  const rows: string[][] = [];
  for (const offers of sizesOf(args)) {
    await using created = await BenchDatabase.migrated(server.cluster.url);
    const simulator = await startSimulator(offers);
    for (let batch = 1; batch <= BATCHES; batch++) {
      console.error(`${offers} offers, batch ${batch}`);
      const { summary, peakBytes } = await once(created.database.url, simulator.url);
      completed(summary);
      const { fetching, loading } = summary.stage_seconds;
      const seconds = fetching + loading;
      rows.push([
        `${offers.toLocaleString("en")} offers, ${batch === 1 ? "the first" : "the next"}`,
        ...[summary.offers_inserted, summary.pages].map((count) => count.toLocaleString("en")),
        ...[
          summary.page_bytes / 1e6,
          fetching,
          loading,
          summary.offers_inserted / seconds,
          summary.page_bytes / 1e6 / fetching,
          peakBytes / 1e6,
        ].map(figure),
      ]);
      if (batch === BATCHES) sizes.push({ offers: summary.offers_inserted, seconds, peakBytes });
    }
    await simulator[Symbol.asyncDispose]();
  }
  console.log(table(
    [
      "batch",
      "offers",
      "pages",
      "MB",
      "fetch and stage s",
      "load s",
      "offers/s",
      "MB/s",
      "peak RSS MB",
    ],
    rows,
  ));
  return [...sizes.flatMap(ofReality), ...growthOf(sizes)];
}

function ofReality({ offers, seconds, peakBytes }: Size): Finding[] {
  const isReal = Math.abs(offers / REAL.offers - 1) < 0.05;
  const of = `${offers.toLocaleString("en")} offers`;
  return [
    {
      scenario: "sizes",
      what: `${of}: whole batch, exchange without latency`,
      value: seconds,
      unit: "s",
      ...isReal && { target: { atMost: REAL.seconds } },
    },
    {
      scenario: "sizes",
      what: `${of}: fetched, staged and loaded`,
      value: offers / seconds,
      unit: "offers/s",
    },
    {
      scenario: "sizes",
      what: `${of}: worker's peak memory`,
      value: peakBytes / 1e6,
      unit: "MB",
      ...isReal && { target: { atMost: REAL.megabytes } },
    },
  ];
}
