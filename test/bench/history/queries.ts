import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Database, Row } from "../../../src/database/connection.ts";
import { indexName } from "./sizes.ts";

/** How long one query took, over all its questions. */
export interface QueryTimes {
  readonly name: string;
  readonly isOnAggregates: boolean;
  /** Milliseconds; first: each question for the first time; again: the same questions once more. */
  readonly first: Percentiles;
  readonly again: Percentiles;
  /** Indexes that its plan uses. */
  readonly indexes: readonly string[];
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

interface Query {
  readonly name: string;
  readonly text: string;
  readonly isOnAggregates: boolean;
}

const SECONDS = 120;
const FOLDER = join(dirname(fileURLToPath(import.meta.url)), "queries");
/** Views that are made of aggregates. */
const AGGREGATES = ["market_hourly", "market_daily", "merchant_daily", "v_price_history"];

/** The files of queries/, and every query of p2p.help as it stands there. */
async function querySet(database: Database): Promise<Query[]> {
  const queries: Query[] = [];
  for await (const { name } of Deno.readDir(FOLDER)) {
    const text = await Deno.readTextFile(join(FOLDER, name));
    const marked = /^-- aggregate: (yes|no)$/m.exec(text)?.[1];
    if (marked === undefined) throw new Error(`queries/${name} does not say: -- aggregate: yes|no`);
    queries.push({ name: name.replace(".sql", ""), text, isOnAggregates: marked === "yes" });
  }
  queries.sort((a, b) => a.name < b.name ? -1 : 1);
  const views = await database.run("select look_in, query from p2p.help", [], SECONDS);
  return [
    ...queries,
    ...views.map((row) => ({
      name: `help: ${row["look_in"]}`,
      text: String(row["query"]),
      isOnAggregates: AGGREGATES.includes(String(row["look_in"])),
    })),
  ];
}

/** psql's `:'name'` becomes a parameter, so that a file also runs in psql. */
function bind(text: string, question: Row): { statement: string; parameters: string[] } {
  const parameters: string[] = [];
  const statement = text.replaceAll(/:'(\w+)'/g, (_, name: string) => {
    const value = question[name];
    if (typeof value !== "string") throw new Error(`no parameter ${name}`);
    parameters.push(value);
    return `$${parameters.length}::text`;
  });
  return { statement, parameters };
}

export function percentiles(times: readonly number[]): Percentiles {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? NaN;
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}

/** The tables' own names of indexes: those of partitions and chunks carry the name of their part. */
function indexesOf(plan: unknown, found = new Set<string>()): Set<string> {
  if (Array.isArray(plan)) plan.forEach((each) => indexesOf(each, found));
  else if (typeof plan === "object" && plan !== null) {
    for (const [key, value] of Object.entries(plan)) {
      if (key === "Index Name") {
        found.add(indexName(String(value)));
      } else indexesOf(value, found);
    }
  }
  return found;
}

async function ask(database: Database, query: Query, questions: readonly Row[]): Promise<number[]> {
  const times: number[] = [];
  for (const question of questions) {
    const { statement, parameters } = bind(query.text, question);
    const began = performance.now();
    await database.run(statement, parameters, SECONDS);
    times.push(performance.now() - began);
  }
  return times;
}

/** Asks every query `runs` questions, all of them twice. Times include the way to the server and planning. */
export async function askAll(database: Database, runs: number): Promise<QueryTimes[]> {
  const questions: Row[] = await database.run(
    `select q.fiat, q.asset, q.side, q.moment::text as moment, q.day::text as day, q.since::text as since,
       q.newest::text as newest, q.advertiser, q.nickname, q.offer
     from generate_series(1, $1) n cross join lateral history.pick(n) q`,
    [runs],
    SECONDS,
  );
  const times: QueryTimes[] = [];
  for (const query of await querySet(database)) {
    const first = percentiles(await ask(database, query, questions));
    const again = percentiles(await ask(database, query, questions));
    const { statement, parameters } = bind(query.text, questions[0] ?? {});
    const [row] = await database.run(`explain (format json) ${statement}`, parameters, SECONDS);
    const plan: unknown = Object.values(row ?? {})[0];
    const indexes = [...indexesOf(typeof plan === "string" ? JSON.parse(plan) : plan)].sort();
    times.push({ name: query.name, isOnAggregates: query.isOnAggregates, first, again, indexes });
  }
  return times;
}
