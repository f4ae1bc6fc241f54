import postgres from "postgres";
import type { Database } from "../../../src/database/connection.ts";
import { BenchDatabase } from "../server.ts";
import { byPage } from "./by_page.ts";
import type { Page } from "./pages.ts";
import { listMarkets, storeAndLoad } from "./project.ts";
import { rowByRow } from "./row_by_row.ts";
import schema from "./schema.sql" with { type: "text" };

/** A way to get pages into a database of its own. */
export interface Way extends AsyncDisposable {
  readonly title: string;
  /** Stores all pages as another batch. */
  readonly store: (pages: readonly Page[]) => Promise<void>;
  /** What the newest batch has. */
  readonly stored: () => Promise<Stored>;
}

/** What every way must have stored of the same pages. */
export interface Stored {
  readonly offers: string;
  readonly prices: string;
  readonly amounts: string;
  readonly methods: string;
  readonly advertisers: string;
}

/** Title of this project's way. */
export const PROJECT = "this project: raw pages and load_batch";

const STORED_BY_PROJECT = `
  with newest as (select max(batch_start_time) as at from p2p.ops_batch_runs)
  select
    count(*)::text as offers, sum(price)::text as prices, sum(available_amount)::text as amounts,
    (select count(*)::text from p2p.fact_offer_payment_methods m where m.extraction_timestamp = (select at from newest))
      as methods,
    (select count(distinct advertiser_id)::text from p2p.dim_advertisers) as advertisers
  from p2p.fact_offers o
  where o.extraction_timestamp = (select at from newest)`;

const STORED_BY_OTHERS = `
  with newest as (select max(extraction_timestamp) as at from naive.offers)
  select
    count(*)::text as offers, sum(price)::text as prices, sum(available_amount)::text as amounts,
    (select count(*)::text from naive.offer_payment_methods m where m.extraction_timestamp = (select at from newest))
      as methods,
    (select count(*)::text from naive.advertisers) as advertisers
  from naive.offers o
  where o.extraction_timestamp = (select at from newest)`;

async function otherWay(
  adminUrl: string,
  title: string,
  store: (sql: postgres.Sql, pages: readonly Page[], connections: number) => Promise<void>,
  connections: number,
): Promise<Way> {
  const created = await BenchDatabase.create(adminUrl);
  const { database } = created;
  await database.runScript(schema, 60);
  const sql = postgres(database.url, { max: connections });
  return {
    title,
    store: (pages) => store(sql, pages, connections),
    stored: async () => await only(created, STORED_BY_OTHERS),
    [Symbol.asyncDispose]: async () => {
      await sql.end();
      await created[Symbol.asyncDispose]();
    },
  };
}

/** A database of its own. */
type Own = AsyncDisposable & { readonly database: Database };

async function projectsWay(created: Own, pages: readonly Page[]): Promise<Way> {
  await listMarkets(created.database, pages);
  return {
    title: PROJECT,
    store: (pages) => storeAndLoad(created.database, pages),
    stored: async () => await only(created, STORED_BY_PROJECT),
    [Symbol.asyncDispose]: () => created[Symbol.asyncDispose](),
  };
}

async function only({ database }: Own, statement: string): Promise<Stored> {
  const [row] = await database.run(statement, [], 60);
  return row as unknown as Stored;
}

/**
 * The ways that are compared, each with an empty database; this project's first.
 * @param migrated makes an empty database with schema p2p
 */
export async function waysOn(
  adminUrl: string,
  pages: readonly Page[],
  migrated: () => Promise<Own> = () => BenchDatabase.migrated(adminUrl),
): Promise<AsyncDisposable & { readonly ways: readonly Way[] }> {
  await using stack = new AsyncDisposableStack();
  const ways = [
    stack.use(await projectsWay(await migrated(), pages)),
    stack.use(await otherWay(adminUrl, "arrays, five statements a page, 2 connections", byPage, 2)),
    stack.use(await otherWay(adminUrl, "row by row, pool of 20", rowByRow, 20)),
    stack.use(await otherWay(adminUrl, "row by row, 1 connection", rowByRow, 1)),
  ];
  return Object.assign(stack.move(), { ways });
}

/**
 * Stores the same pages in every way, `rounds` times, in the other order every second time.
 * @returns seconds of each round by title
 * @throws where two ways stored something else: the comparison would be void
 */
export async function race(
  ways: readonly Way[],
  pages: readonly Page[],
  rounds: number,
  tell: (line: string) => void = () => {},
): Promise<{ seconds: ReadonlyMap<string, readonly number[]>; stored: Stored }> {
  const seconds = new Map<string, number[]>(ways.map(({ title }) => [title, []]));
  let expected: Stored | undefined;
  for (let round = 0; round < rounds; round++) {
    for (const { title, store, stored } of round % 2 === 0 ? ways : ways.toReversed()) {
      const began = performance.now();
      await store(pages);
      const took = (performance.now() - began) / 1000;
      seconds.get(title)?.push(took);
      tell(`round ${round + 1} of ${rounds}: ${title}: ${took.toFixed(1)} s`);
      const found = await stored();
      expected ??= found;
      if (JSON.stringify(found) !== JSON.stringify(expected)) {
        throw new Error(
          `void: ${title} stored ${JSON.stringify(found)}, others ${JSON.stringify(expected)}`,
        );
      }
    }
  }
  if (expected === undefined) throw new Error("no round");
  return { seconds, stored: expected };
}
