// deno-lint-ignore-file no-console
// `deno task bench bounded`: the most memory that the worker holds during one batch, where the database or the exchange
// is slow, and where the market is four times as large as any that was seen.
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { Postgres } from "../chaos/postgres.ts";
import { once, startSimulator } from "./processes.ts";

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
  { title: "200,000 offers", offers: 200_000 },
];

export async function benchBounded(): Promise<void> {
  console.log(`${"".padEnd(32)}   offers    pages  fetch s   load s  peak RSS MB`);
  for (const { title, offers, exchangeLatencyMs = 0, database = {} } of CASES) {
    await using postgres = await Postgres.start();
    await using proxy = await HalfOpenProxy.before(postgres.url);
    Object.assign(proxy, database);
    const simulator = await startSimulator(offers, "--latency-ms", String(exchangeLatencyMs));
    const { summary, peakBytes } = await once(proxy.through(postgres.workerUrl), simulator.url);
    simulator.process.kill("SIGTERM");
    await simulator.process.status;
    const numbers = [
      summary.offers_inserted,
      summary.pages,
      summary.stage_seconds.fetching.toFixed(1),
      summary.stage_seconds.loading.toFixed(1),
      (peakBytes / 1e6).toFixed(0),
    ];
    console.log(title.padEnd(32) + numbers.map((number) => String(number).padStart(9)).join(""));
    if (summary.status !== "completed") throw new Error(`batch ${summary.status}`);
  }
}
