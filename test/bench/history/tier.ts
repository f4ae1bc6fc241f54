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

/** What one load_batch took. */
export interface Load {
  readonly seconds: number;
  readonly offers: number;
}

export interface TierReport {
  readonly title: string;
  readonly server: string;
  readonly tier: string;
  readonly offers: number;
  readonly fillSeconds: number;
  readonly firstDay: Load;
  readonly lastDay: Load;
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
/** Batches that load_batch itself loads: the last ones of the first and of the last day. The first of each numbers what is new. */
const LOADS = 4;

async function one(
  database: Database,
  statement: string,
  ...parameters: (string | number)[]
): Promise<Row> {
  const [row] = await database.run(statement, parameters, HOUR);
  return row ?? {};
}

async function load(database: Database, world: World, steps: readonly number[]): Promise<Load> {
  const loads: Load[] = [];
  for (const step of steps) {
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
    loads.push({ seconds, offers: Number(offers) });
  }
  // The first numbers ads and plans statements.
  return loads.slice(1).reduce((best, each) => each.seconds < best.seconds ? each : best);
}

/** Makes the history, loads real batches at its beginning and its end, and asks. */
export async function measureTier(
  title: string,
  database: Database,
  world: World,
  runs: number,
): Promise<TierReport> {
  const tell = (what: string): void =>
    console.error(`${new Date().toISOString().slice(11, 19)} ${title}: ${what}`);
  await migrate(database);
  await database.runScript(worldSql + moments + pages + pick, HOUR);
  const { tier, server } = await one(
    database,
    `select p2p.database_tier() as tier, 'PostgreSQL ' || current_setting('server_version') || coalesce(
       (select ', TimescaleDB ' || extversion from pg_extension where extname = 'timescaledb'), '') as server`,
  );
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
  const upkeep: Upkeep = { packSeconds: 0, packedOffers: 0, refreshSeconds: 0 };
  let offers = 0;
  let fillSeconds = 0;
  let firstDay: Load | undefined;
  let lastDay: Load | undefined;
  for (let day = 0; day < world.days; day++) {
    const isLast = day === world.days - 1;
    const isLoaded = day === 0 || isLast;
    const from = day * stepsADay;
    const until = from + stepsADay - (isLoaded ? LOADS : 0);
    const began = performance.now();
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
    fillSeconds += (performance.now() - began) / 1_000;
    for (const table of ["fact_offers", "fact_market_depth", "ops_batch_markets"]) {
      await database.run(`analyze p2p.${table}`, [], HOUR);
    }
    if (isLast) await packAndRefresh(database, tier === "timescaledb", upkeep);
    if (isLoaded) {
      const steps = Array.from({ length: LOADS }, (_, i) => until + i);
      const loaded = await load(database, world, steps);
      if (day === 0) firstDay = loaded;
      else lastDay = loaded;
      offers += LOADS * loaded.offers;
    }
    tell(`day ${day + 1} of ${world.days}, ${offers} offers`);
  }
  if (firstDay === undefined || lastDay === undefined) throw new Error("less than a day");
  await database.run("vacuum (analyze)", [], HOUR);
  const sizes = await sizesOf(database, tier === "timescaledb");
  tell("asking");
  const queries = await askAll(database, runs);
  return {
    title,
    server: String(server),
    tier: String(tier),
    offers,
    fillSeconds,
    firstDay,
    lastDay,
    upkeep,
    sizes,
    queries,
    scans: await scansOf(database),
  };
}
