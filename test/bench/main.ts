// deno-lint-ignore-file no-console
// `deno task bench [offers …]`: a whole batch through the worker's own process, the simulator in another one, the
// embedded PostgreSQL as it is for users (fsync on), all on this machine. Prints one row a market size.
// `deno task bench history …`: months of history, see history/main.ts.
// `deno task bench fleet`: one worker against three. `deno task bench bounded`: memory where others are slow.
// `deno task bench rate`: how near to a hidden limit it comes, see rate/main.ts.
import { Database } from "../../src/database/connection.ts";
import { migrate } from "../../src/database/migrate.ts";
import { openCluster } from "../../src/embedded/cluster.ts";
import { configureLog } from "../../src/log.ts";
import { benchHistory } from "./history/main.ts";
import { benchLimit } from "./limit/main.ts";
import { benchRate } from "./rate/main.ts";
import { bareInsertSeconds } from "./bare_insert.ts";
import { benchBounded } from "./bounded.ts";
import { benchFleet } from "./fleet.ts";
import { once, startSimulator } from "./processes.ts";

/** A first batch numbers every advert and advertiser; the second one is what a service does all day. */
const BATCHES = 2;

function row(cells: readonly (string | number)[]): string {
  const [title = "", ...numbers] = cells.map(String);
  return title.padEnd(20) + numbers.map((cell) => cell.padStart(12)).join("");
}

await configureLog("warning", "text");
const named: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = {
  history: benchHistory,
  fleet: benchFleet,
  bounded: benchBounded,
  rate: benchRate,
  limit: benchLimit,
};
const bench = named[Deno.args[0] ?? ""];
if (bench !== undefined) {
  await bench(Deno.args.slice(1));
  Deno.exit(0);
}
const folder = await Deno.makeTempDir({ prefix: "p2p-bench-" });
await Deno.chmod(folder, 0o755);
console.log(
  `${navigator.hardwareConcurrency} cores, ${Deno.build.os} ${Deno.build.arch}, Deno ${Deno.version.deno}\n`,
);
console.log(
  row([
    "batch",
    "offers",
    "pages",
    "MB",
    "fetch s",
    "load s",
    "offers/s",
    "MB/s",
    "RSS MB",
    "load ÷ bare",
  ]),
);
try {
  await using cluster = await openCluster({ dataDir: `${folder}/data`, purpose: "bench" }).then((
    opened,
  ) => Object.assign(opened, { [Symbol.asyncDispose]: () => opened.close() }));
  for (const offers of Deno.args.length > 0 ? Deno.args.map(Number) : [1_000, 10_000, 50_000]) {
    const name = `bench_${offers}`;
    await using admin = new Database(cluster.url, { applicationName: "bench", connections: 1 });
    await admin.run(`create database ${name}`, [], 60);
    const url = new URL(cluster.url);
    url.pathname = `/${name}`;
    await using database = new Database(url.href, { applicationName: "bench", connections: 1 });
    await migrate(database);
    const simulator = await startSimulator(offers);
    for (let batch = 1; batch <= BATCHES; batch++) {
      const { summary, peakBytes } = await once(url.href, simulator.url);
      const { fetching, loading } = summary.stage_seconds;
      const seconds = fetching + loading;
      console.log(row([
        `${offers} offers, no. ${batch}`,
        summary.offers_inserted,
        summary.pages,
        (summary.page_bytes / 1e6).toFixed(0),
        fetching.toFixed(1),
        loading.toFixed(1),
        (summary.offers_inserted / seconds).toFixed(0),
        (summary.page_bytes / 1e6 / fetching).toFixed(1),
        (peakBytes / 1e6).toFixed(0),
        (loading / await bareInsertSeconds(database)).toFixed(2),
      ]));
      if (summary.status !== "completed") throw new Error(`batch ${summary.status}`);
    }
    simulator.process.kill("SIGTERM");
    await simulator.process.status;
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
