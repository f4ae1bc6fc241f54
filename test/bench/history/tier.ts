// deno-lint-ignore-file no-console
import type { Database, Row } from "../../../src/database/connection.ts";
import { migrate } from "../../../src/database/migrate.ts";
import moments from "./moments.sql" with { type: "text" };
import pages from "./pages.sql" with { type: "text" };
import pick from "./pick.sql" with { type: "text" };
import { askAll, type QueryTimes } from "./queries.ts";
import { packAndRefresh, type Upkeep } from "./upkeep.ts";
import { scansOf, type Sizes, sizesOf } from "./sizes.ts";
import worldSql from "./world.sql" with { type: "text" };

/** What is made up; the same on every tier. */
export interface World {
  readonly factor: number;
  readonly seed: number;
  readonly days: number;
  readonly minutes: number;
  readonly offers: number;
  readonly markets: number;
  readonly loadOffers: number;
}

/** What is measured of the history. */
export interface Parts {
  /** How fast batches load into it, against a database that is nearly empty. */
  readonly isLoadedInto: boolean;
  readonly isAsked: boolean;
}

/** Seconds an offer that load_batch took, of loads of the same batches one after the other. */
export interface Loads {
  /** Into a database of a day. */
  readonly young: readonly number[];
  /** Into one of all days. */
  readonly aged: readonly number[];
}

export interface TierReport {
  readonly title: string;
  readonly server: string;
  readonly tier: string;
  readonly offers: number;
  readonly fillSeconds: number;
  readonly loads: Loads | undefined;
  readonly upkeep: Upkeep;
  readonly sizes: Sizes;
  readonly queries: readonly QueryTimes[];
  /** Scans of each index, loads and queries together. */
  readonly scans: ReadonlyMap<string, number>;
}

const STARTS_AT = "2026-10-01T00:00:00Z";
const HOUR = 3_600;
/** More rows than this are not made by one statement. */
const ROWS_A_STATEMENT = 1_000_000;
/** Batches that load_batch itself loads, the last ones of a database. The first numbers ads and plans statements. */
const LOADS = 6;

async function one(
  database: Database,
  statement: string,
  ...parameters: (string | number)[]
): Promise<Row> {
  const [row] = await database.run(statement, parameters, HOUR);
  return row ?? {};
}

/** Seconds an offer. */
async function load(database: Database, world: World, step: number): Promise<number> {
  const { batch } = await one(
    database,
    "select history.make_pages($1, $2) as batch",
    step,
    world.loadOffers,
  );
  await database.run("analyze p2p.stg_responses", [], HOUR);
  const began = performance.now();
  const { status, error_summary, offers } = await one(
    database,
    "select l.status, l.error_summary, l.total_offers_inserted as offers from p2p.load_batch($1) l",
    String(batch),
  );
  const seconds = (performance.now() - began) / 1_000;
  if (status !== "completed") {
    throw new Error(`the batch of step ${step} is ${status}: ${error_summary}`);
  }
  return seconds / Number(offers);
}

const stepsOf = ({ days, minutes }: World): number => days * 1_440 / minutes;

/** Makes a history but for its last batches, those that are loaded. Returns its offers. */
async function fill(
  database: Database,
  world: World,
  tell: (what: string) => void = () => {},
): Promise<number> {
  await migrate(database);
  await database.runScript(worldSql + moments + pages + pick, HOUR);
  await database.run(
    "call history.make_world($1, $2, $3, $4, $5, $6)",
    [world.seed, STARTS_AT, world.days, world.minutes, world.offers, world.markets],
    HOUR,
  );
  const stepsADay = 1_440 / world.minutes;
  const stepsAStatement = Math.max(
    1,
    Math.min(stepsADay, Math.floor(ROWS_A_STATEMENT / world.offers)),
  );
  let offers = 0;
  for (let day = 0; day < world.days; day++) {
    const from = day * stepsADay;
    const until = Math.min(from + stepsADay, stepsOf(world) - LOADS);
    for (let step = from; step < until; step += stepsAStatement) {
      const row = await one(
        database,
        "select history.make_moments($1, $2, $3) as offers",
        step,
        Math.min(step + stepsAStatement, until) - 1,
        String(day >= world.days - 7),
      );
      offers += Number(row["offers"]);
    }
    for (const table of ["fact_offers", "fact_market_depth", "ops_batch_markets"]) {
      await database.run(`analyze p2p.${table}`, [], HOUR);
    }
    tell(`day ${day + 1} of ${world.days}, ${offers} offers`);
  }
  return offers;
}

/** Loads the last batches of both, turn by turn. */
async function loadBoth(
  young: { readonly database: Database; readonly world: World },
  aged: { readonly database: Database; readonly world: World },
): Promise<Loads> {
  const loads = { young: [] as number[], aged: [] as number[] };
  for (let number = 0; number < LOADS; number++) {
    for (
      const which of number % 2 === 0 ? ["young", "aged"] as const : ["aged", "young"] as const
    ) {
      const { database, world } = which === "young" ? young : aged;
      loads[which].push(await load(database, world, stepsOf(world) - LOADS + number));
    }
  }
  return { young: loads.young.slice(1), aged: loads.aged.slice(1) };
}

/**
 * Makes the history, loads batches at its end, and asks.
 * @param young an empty database of the same server, to load the same batches into
 */
export async function measureTier(
  title: string,
  database: Database,
  young: Database,
  world: World,
  { isLoadedInto, isAsked }: Parts,
  runs: number,
): Promise<TierReport> {
  const tell = (what: string): void =>
    console.error(`${new Date().toISOString().slice(11, 19)} ${title}: ${what}`);
  const began = performance.now();
  let offers = await fill(database, world, tell);
  const fillSeconds = (performance.now() - began) / 1_000;
  const { tier, server } = await one(
    database,
    `select p2p.database_tier() as tier, 'PostgreSQL ' || current_setting('server_version') || coalesce(
       (select ', TimescaleDB ' || extversion from pg_extension where extname = 'timescaledb'), '') as server`,
  );
  const upkeep: Upkeep = { packSeconds: 0, packedOffers: 0, refreshSeconds: 0 };
  await packAndRefresh(database, tier === "timescaledb", upkeep);
  let loads: Loads | undefined;
  if (isLoadedInto) {
    const day = { ...world, days: 1 };
    await fill(young, day);
    tell("loading");
    loads = await loadBoth({ database: young, world: day }, { database, world });
    offers += LOADS * world.loadOffers;
  }
  await database.run("vacuum (analyze)", [], HOUR);
  const sizes = await sizesOf(database, tier === "timescaledb");
  if (isAsked) tell("asking");
  return {
    title,
    server: String(server),
    tier: String(tier),
    offers,
    fillSeconds,
    loads,
    upkeep,
    sizes,
    queries: isAsked ? await askAll(database, runs) : [],
    scans: await scansOf(database),
  };
}
