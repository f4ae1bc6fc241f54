// deno-lint-ignore-file no-console
/**
 * `deno task bench limit`: stage and load of this project against the bare cost of inserting the same pages as jsonb and
 * the same typed rows. One run, one server with fsync on, the two by turns, each after a checkpoint.
 */
import { parseArgs } from "node:util";
import { Alerts } from "../../../src/alerts/alerts.ts";
import { Database } from "../../../src/database/connection.ts";
import { migrate } from "../../../src/database/migrate.ts";
import { BatchStore } from "../../../src/extract/batch_store.ts";
import type { FetchedPage } from "../../../src/extract/batch_types.ts";
import { MarketListStore } from "../../../src/extract/market_list_store.ts";
import { systemClock } from "../../../src/extract/clock.ts";
import { PatientDatabase } from "../../../src/extract/patient_database.ts";
import { Metrics } from "../../../src/serve/metrics.ts";
import { wholeNumbers } from "../../support/options.ts";
import { figure, type Finding, repeated, table } from "../finding.ts";
import { BenchServer } from "../server.ts";
import { WHOLE_MARKET } from "../whole_market.ts";
import { insertPages, makeBareTables, prepareRows } from "./bare.ts";
import { PageSource } from "./pages.ts";
import { ServerTime } from "./server_time.ts";

/** As the worker's PageWriter has them. */
const LANES = 2;
const PAGES_A_STATEMENT = 10;
const MINUTES = 600;

/** Wall and server CPU seconds. */
interface Cost {
  readonly seconds: number;
  readonly cpu: number;
}

interface Round {
  readonly pages: number;
  readonly bytes: number;
  readonly offers: number;
  readonly rows: number;
  readonly stage: Cost;
  readonly load: Cost;
  readonly barePages: Cost;
  readonly bareRows: Cost;
  readonly steps: readonly { readonly step: string; readonly seconds: number }[];
}

/** @returns the ratio of the next batches, by the clock and by the server's processors, and that of the first one */
export async function benchLimit(args: readonly string[]): Promise<Finding[]> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      offers: { type: "string", default: "50000" },
      rounds: { type: "string", default: "3" },
    },
  });
  const { offers, rounds } = wholeNumbers(values, { offers: 1, rounds: 1 });
  await using server = await BenchServer.start();
  const measured = new LimitBench(server.cluster.url, new PageSource(offers));
  const results: Round[] = [];
  for (let round = 0; round <= rounds; round++) results.push(await measured.round(round));
  await measured.close();
  report(results);
  const [first, ...next] = results;
  const finding = (what: string, values: readonly number[]): Finding => ({
    scenario: "limit",
    what,
    ...repeated(values),
    unit: "×",
    target: { atMost: 1.5 },
  });
  return [
    finding("next batches: stage and load ÷ bare inserts, seconds", next.map(whole("seconds"))),
    finding("next batches: the same, server's CPU seconds", next.map(whole("cpu"))),
    finding(
      "first batch, seconds",
      [first].flatMap((round) => round ? [whole("seconds")(round)] : []),
    ),
  ];
}

class LimitBench {
  readonly #database: Database;
  readonly #store: BatchStore;
  readonly #lists: MarketListStore;
  #time: ServerTime | undefined;

  constructor(url: string, private readonly source: PageSource) {
    this.#database = new Database(url, { applicationName: "bench", connections: LANES });
    const never = new AbortController().signal;
    const patient = new PatientDatabase(
      this.#database,
      systemClock,
      new Alerts([], systemClock),
      never,
    );
    const metrics = new Metrics();
    const worker = { id: "bench", name: "bench", version: "0", purpose: "run" } as const;
    this.#store = new BatchStore(patient, worker, metrics);
    this.#lists = new MarketListStore(patient, worker.id, metrics);
  }

  async close(): Promise<void> {
    await this.#database[Symbol.asyncDispose]();
  }

  /** One batch of this project and the same inserted bare; which of the two stages first changes with the round. */
  async round(number: number): Promise<Round> {
    if (number === 0) await this.#begin();
    this.source.move();
    await this.#store.beat("fetching", WHOLE_MARKET);
    const batch = await this.#store.joinBatch(undefined, MINUTES);
    if (batch.outcome !== "opened") throw new Error(`no batch: ${batch.outcome}`);
    const markets = await this.#store.claimMarkets(batch.batchId, "binance", 100_000);
    const pages = this.source.pages(markets, new Date());

    const stages = [
      () => this.#inLanes(pages, (some) => this.#store.storePages(batch.batchId, some)),
      () => this.#inLanes(pages, (some) => insertPages(this.#database, batch, some)),
    ];
    const costs: Cost[] = [];
    for (const which of number % 2 === 0 ? [0, 1] : [1, 0]) {
      costs[which] = await this.#cost(stages[which] ?? (() => Promise.resolve()));
    }
    const [stage, barePages] = costs;
    if (stage === undefined || barePages === undefined) throw new Error("not staged");
    const load = await this.#cost(() => this.#store.loadBatch(batch.batchId));
    const { rows, script } = await prepareRows(this.#database, batch.batchId);
    const bareRows = await this.#cost(() => this.#database.runScript(script, MINUTES));
    const ended = await this.#store.endedBatch(batch.batchId);
    if (ended?.status !== "completed") throw new Error(`batch ${ended?.status}`);
    const steps = await this.#store.loadSteps(batch.batchId);
    const bytes = pages.reduce((sum, { body }) => sum + body.bytes, 0);
    return {
      pages: pages.length,
      bytes,
      offers: ended.offersInserted,
      rows,
      stage,
      load,
      barePages,
      bareRows,
      steps,
    };
  }

  async #begin(): Promise<void> {
    await migrate(this.#database);
    await makeBareTables(this.#database);
    const [backend] = await this.#database.run("select pg_backend_pid() as pid", [], MINUTES);
    this.#time = await ServerTime.ofBackend(Number(backend?.["pid"]));
    const markets = this.source.markets;
    await this.#lists.storeMarketList(
      "binance",
      {
        fiats: [...new Set(markets.map(({ fiat }) => fiat))].map((code) => ({ code })),
        markets,
        covered: [],
        missed: [],
      } as unknown as Parameters<MarketListStore["storeMarketList"]>[1],
    );
  }

  /** Pages of a market always go the same way, one statement after the other. */
  async #inLanes(
    pages: readonly FetchedPage[],
    store: (pages: FetchedPage[]) => Promise<unknown>,
  ): Promise<void> {
    await Promise.all(Array.from({ length: LANES }, async (_, lane) => {
      const own = pages.filter(({ market }) => market.marketId % LANES === lane);
      for (let i = 0; i < own.length; i += PAGES_A_STATEMENT) {
        await store(own.slice(i, i + PAGES_A_STATEMENT));
      }
    }));
  }

  async #cost(what: () => Promise<unknown>): Promise<Cost> {
    await this.#database.run("checkpoint", [], MINUTES);
    const cpu = await this.#time?.seconds() ?? NaN;
    const began = performance.now();
    await what();
    const seconds = (performance.now() - began) / 1000;
    return { seconds, cpu: (await this.#time?.seconds() ?? NaN) - cpu };
  }
}

function whole(unit: keyof Cost): (round: Round) => number {
  return ({ stage, load, barePages, bareRows }) =>
    (stage[unit] + load[unit]) / (barePages[unit] + bareRows[unit]);
}

function report(rounds: readonly Round[]): void {
  const [first] = rounds;
  console.log(
    `${navigator.hardwareConcurrency} cores, ${Deno.build.os} ${Deno.build.arch}, Deno ${Deno.version.deno}; ` +
      `${first?.offers} offers, ${first?.pages} pages, ${
        ((first?.bytes ?? 0) / 1e6).toFixed(0)
      } MB\n`,
  );
  const row = (name: string, of: (round: Round) => number): string[] => {
    const all = rounds.map(of);
    const warm = all.slice(1);
    return [name, ...[...all, repeated(warm).value, Math.min(...warm)].map(figure)];
  };
  const costs = ([["seconds", "s"], ["cpu", "server CPU s"]] as const).flatMap(([unit, words]) => [
    row(`limit: pages, ${words}`, (round) => round.barePages[unit]),
    row(`limit: typed rows, ${words}`, (round) => round.bareRows[unit]),
    row(`stage, ${words}`, (round) => round.stage[unit]),
    row(`load, ${words}`, (round) => round.load[unit]),
    row(`(stage + load) ÷ limit, ${words}`, whole(unit)),
  ]);
  const steps = (first?.steps ?? []).map(({ step }) =>
    row(
      `load: ${step}, s`,
      ({ steps }) => steps.find((one) => one.step === step)?.seconds ?? NaN,
    )
  );
  console.log(table(
    ["", ...rounds.map((_, i) => i === 0 ? "first" : `next ${i}`), "median", "least"],
    [...costs, row("typed rows", (round) => round.rows), ...steps],
  ));
}
