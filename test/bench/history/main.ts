// deno-lint-ignore-file no-console
// `deno task bench history [--factor F] [--days D] …`: months of history on both tiers, and what it costs to keep, to
// load into and to ask. Prints markdown. Rows are made by the SQL beside this file, so that a seed is always the same past.
import { parseArgs } from "node:util";
import { Database } from "../../../src/database/connection.ts";
import { openCluster } from "../../../src/embedded/cluster.ts";
import { timescaleServer } from "../../support/servers.ts";
import { report } from "./report.ts";
import { measureTier, type TierReport, type World } from "./tier.ts";

const USAGE = `deno task bench history [options]
  --factor F   offers a batch ÷ 50,000 (default 0.02); markets go by its root
  --days D     days of history (default 30)
  --runs N     questions asked of each query (default 20)
  --load N     offers of the batches that are loaded to see how fast that is (default 5000)
  --seed N     the same seed is the same past (default 1)
  --url URL    a server to use for the plain tier instead of the embedded one
TimescaleDB is measured where TEST_TIMESCALE_URL names a server.`;

const OFFERS_OF_THE_WORLD = 50_000;
const MARKETS_OF_THE_WORLD = 600;
const MINUTES = 10;

function worldOf(args: readonly string[]): { world: World; runs: number; url: string | undefined } {
  const { values } = parseArgs({
    args: [...args],
    options: {
      factor: { type: "string", default: "0.02" },
      days: { type: "string", default: "30" },
      runs: { type: "string", default: "20" },
      load: { type: "string", default: "5000" },
      seed: { type: "string", default: "1" },
      url: { type: "string" },
    },
  });
  const number = (name: "factor" | "days" | "runs" | "load" | "seed", least: number): number => {
    const value = Number(values[name]);
    if (!(value >= least)) {
      throw new Error(`--${name} ${values[name]}: at least ${least}\n${USAGE}`);
    }
    return value;
  };
  const factor = number("factor", 0.001);
  return {
    world: {
      factor,
      seed: number("seed", 0),
      days: number("days", 2),
      minutes: MINUTES,
      offers: Math.round(OFFERS_OF_THE_WORLD * factor),
      markets: Math.round(Math.max(20, MARKETS_OF_THE_WORLD * Math.sqrt(Math.min(factor, 1)))),
      loadOffers: number("load", 1),
    },
    runs: number("runs", 1),
    url: values.url,
  };
}

/** Measures one tier in a database of its own, which is gone afterwards. */
async function measureOn(
  title: string,
  adminUrl: string,
  world: World,
  runs: number,
  extension?: string,
): Promise<TierReport> {
  const name = `history_${crypto.randomUUID().slice(0, 8)}`;
  await using admin = new Database(adminUrl, { applicationName: "bench", connections: 1 });
  await admin.run(`create database ${name}`, [], 60);
  try {
    const url = new URL(adminUrl);
    url.pathname = `/${name}`;
    await using database = new Database(url.href, { applicationName: "bench", connections: 1 });
    if (extension !== undefined) await database.run(`create extension ${extension}`, [], 60);
    return await measureTier(title, database, world, runs);
  } finally {
    await admin.run(`drop database ${name} with (force)`, [], 300);
  }
}

async function measurePlain(
  url: string | undefined,
  world: World,
  runs: number,
): Promise<TierReport> {
  if (url !== undefined) return await measureOn("plain", url, world, runs);
  const folder = await Deno.makeTempDir({ prefix: "p2p-history-" });
  await Deno.chmod(folder, 0o755);
  try {
    const cluster = await openCluster({ dataDir: `${folder}/data`, purpose: "bench" });
    try {
      return await measureOn("plain", cluster.url, world, runs);
    } finally {
      await cluster.close();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The whole bench; its tables go to stdout, how far it is to stderr. */
export async function benchHistory(args: readonly string[]): Promise<void> {
  const { world, runs, url } = worldOf(args);
  const tiers = [await measurePlain(url, world, runs)];
  await using timescale = await timescaleServer();
  if (timescale === undefined) {
    console.error("\n*** TimescaleDB was LEFT OUT: set TEST_TIMESCALE_URL ***\n");
  } else {
    const { adminUrl, extension } = timescale;
    console.error(`so far:\n\n${report(world, runs, tiers)}\n`); // in case that the second takes too long for somebody
    tiers.push(await measureOn("TimescaleDB", adminUrl, world, runs, extension));
  }
  console.log(report(world, runs, tiers));
}
