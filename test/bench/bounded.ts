// deno-lint-ignore-file no-console
// `deno task bench bounded`: the most memory that the worker holds during one batch, where the database or the exchange
// is slow, and where the market is four times as large as any that was seen.
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { Postgres } from "../chaos/postgres.ts";
import { figure, type Finding, table } from "./finding.ts";
import { completed, once, startSimulator } from "./processes.ts";

interface Case {
  readonly title: string;
  readonly offers: number;
  readonly exchangeLatencyMs?: number;
  readonly database?: { readonly latencyMs?: number; readonly bytesPerSecond?: number };
}

const CASES: readonly Case[] = [
  { title: "all fast", offers: 50_000 },
  { title: "database 50 ms away", offers: 50_000, database: { latencyMs: 25 } },
  { title: "database at 2 MB/s", offers: 20_000, database: { bytesPerSecond: 2e6 } },
  { title: "exchange 300 ms away", offers: 20_000, exchangeLatencyMs: 300 },
  { title: "four times the market", offers: 200_000 },
];

/** DESIGN's promise, for a market of the size of the real one; here for every case. */
const MOST_MEGABYTES = 200;
/** More than the real market: no promise. */
const REAL_OFFERS = 50_000;

export async function benchBounded(): Promise<Finding[]> {
  const rows: string[][] = [];
  const findings: Finding[] = [];
  for (const { title, offers, exchangeLatencyMs = 0, database = {} } of CASES) {
    console.error(title);
    await using postgres = await Postgres.start();
    await using proxy = await HalfOpenProxy.before(postgres.url);
    Object.assign(proxy, database);
    await using simulator = await startSimulator(offers, "--latency-ms", String(exchangeLatencyMs));
    const { summary, peakBytes } = await once(proxy.through(postgres.workerUrl), simulator.url);
    completed(summary);
    const { fetching, loading } = summary.stage_seconds;
    rows.push([
      title,
      summary.offers_inserted.toLocaleString("en"),
      summary.pages.toLocaleString("en"),
      ...[fetching, loading, peakBytes / 1e6].map(figure),
    ]);
    findings.push({
      scenario: "bounded",
      what: `${title}, ${offers.toLocaleString("en")} offers: worker's peak memory`,
      value: peakBytes / 1e6,
      unit: "MB",
      ...offers <= REAL_OFFERS && { target: { atMost: MOST_MEGABYTES } },
    });
  }
  console.log(table(["", "offers", "pages", "fetch and stage s", "load s", "peak RSS MB"], rows));
  return findings;
}
