// deno-lint-ignore-file no-console
// `deno task bench history [--factor F] [--days D] …`: months of history on both tiers, and what it costs to keep, to
// load into (`aged` alone) and to ask (`queries` alone). Prints markdown. Rows are made by the SQL beside this file, so that a seed is always the same past.
import { parseArgs } from "node:util";
import { UsageError } from "../../../src/errors.ts";
import { timescaleServer } from "../../support/servers.ts";
import { wholeNumbers } from "../../support/options.ts";
import type { Finding } from "../finding.ts";
import { BenchDatabase, BenchServer } from "../server.ts";
import { findingsOf, report } from "./report.ts";
import { measureTier, type Parts, type TierReport, type World } from "./tier.ts";

const OFFERS_OF_THE_WORLD = 50_000;
const MARKETS_OF_THE_WORLD = 600;
const MINUTES = 10;

function worldOf(args: readonly string[]): { world: World; runs: number; url: string | undefined } {
  const { values } = parseArgs({
    args: [...args],
    options: {
      factor: { type: "string", default: "0.01" },
      days: { type: "string", default: "30" },
      runs: { type: "string", default: "20" },
      load: { type: "string", default: "5000" },
      seed: { type: "string", default: "1" },
      url: { type: "string" },
    },
  });
  const factor = Number(values.factor);
  if (!(factor >= 0.001)) throw new UsageError(`--factor ${values.factor}: at least 0.001`);
  const { days, runs, load, seed } = wholeNumbers(values, { days: 2, runs: 1, load: 1, seed: 0 });
  return {
    world: {
      factor,
      seed,
      days,
      minutes: MINUTES,
      offers: Math.round(OFFERS_OF_THE_WORLD * factor),
      markets: Math.round(Math.max(20, MARKETS_OF_THE_WORLD * Math.sqrt(Math.min(factor, 1)))),
      loadOffers: load,
    },
    runs,
    url: values.url,
  };
}

/** The whole of it; how far it is goes to stderr. */
export const benchHistory = (args: readonly string[]): Promise<Finding[]> =>
  measure(args, { isLoadedInto: true, isAsked: true });

/** How fast load_batch is at a month-old database, against one of a day. */
export const benchAged = (args: readonly string[]): Promise<Finding[]> =>
  measure(args, { isLoadedInto: true, isAsked: false });

/** How long the queries take that people ask. */
export const benchQueries = (args: readonly string[]): Promise<Finding[]> =>
  measure(args, { isLoadedInto: false, isAsked: true });

async function measure(args: readonly string[], parts: Parts): Promise<Finding[]> {
  const { world, runs, url } = worldOf(args);
  const measureOn = async (title: string, adminUrl: string, extension?: string) => {
    await using created = await BenchDatabase.create(adminUrl, extension);
    await using young = await BenchDatabase.create(adminUrl, extension);
    return await measureTier(title, created.database, young.database, world, parts, runs);
  };
  const tiers: TierReport[] = [];
  if (url === undefined) {
    await using server = await BenchServer.start();
    tiers.push(await measureOn("plain", server.cluster.url));
  } else tiers.push(await measureOn("plain", url));
  await using timescale = await timescaleServer();
  if (timescale === undefined) {
    console.error("\n*** TimescaleDB was LEFT OUT: set TEST_TIMESCALE_URL ***\n");
  } else {
    const { adminUrl, extension } = timescale;
    tiers.push(await measureOn("TimescaleDB", adminUrl, extension));
  }
  console.log(report(world, runs, tiers));
  return tiers.flatMap((tier) => findingsOf(world, tier));
}
