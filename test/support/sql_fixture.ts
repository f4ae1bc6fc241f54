import { createHash } from "node:crypto";
import { Database, type Parameter, type Row } from "../../src/database/connection.ts";
import { testDatabase, urlAs } from "./database.ts";
import type { Item } from "./sql_offer.ts";

export const WORKER = "worker-1";

const SECONDS = 60;

/** A book, e.g. `VES/USDT BUY`. */
export type MarketName = `${string}/${string} ${"BUY" | "SELL"}`;

export interface PageOptions {
  readonly page?: number;
  /** Whether the market is finished with this page. */
  readonly last?: boolean;
  readonly total?: number;
  /** Seconds after the start of the batch. */
  readonly seenAfter?: number;
  readonly worker?: string;
  readonly parser?: string;
}

export interface BatchOptions {
  readonly at?: string;
  readonly markets: readonly MarketName[];
  readonly worker?: string;
}

/** What a worker says of itself. */
export interface Beat {
  readonly worker?: string;
  readonly name?: string;
  readonly purpose?: "run" | "once";
  readonly doing?: string;
  readonly leaseSeconds?: number;
  readonly exchanges?: readonly string[];
  readonly filter?: readonly { readonly fiat: string; readonly asset: string }[];
  /** Requests a minute. */
  readonly rate?: number;
  readonly pausedSeconds?: number;
  readonly breaker?: "closed" | "open" | "half_open";
  readonly breakerReason?: string;
}

export interface Claimed {
  readonly name: string;
  readonly id: number;
  readonly nextPage: number;
  readonly offersReported: unknown;
}

export interface Join {
  readonly worker?: string;
  /** Undefined: by hand. */
  readonly due?: Date | string;
  readonly intervalSeconds?: number;
  readonly deadlineSeconds?: number;
}

/** A database of its own, and the functions of schema p2p as the worker calls them. */
export class SqlFixture implements AsyncDisposable {
  /** As a login that has the role p2p_worker and no other. */
  readonly worker: Database;

  private constructor(
    /** As the owner of schema p2p. */
    readonly database: Database,
    readonly url: string,
    readonly dispose: () => PromiseLike<void>,
  ) {
    this.worker = new Database(urlAs("worker", url), { applicationName: "test worker" });
  }

  static async create(): Promise<SqlFixture> {
    const own = await testDatabase();
    return new SqlFixture(own.database, own.url, () => own[Symbol.asyncDispose]());
  }

  /** Other sessions on the same database. */
  static connect(url: string): SqlFixture {
    const database = new Database(url, { applicationName: "test" });
    return new SqlFixture(database, url, () => database[Symbol.asyncDispose]());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker[Symbol.asyncDispose]();
    await this.dispose();
  }

  /** What the worker does, with the rights of a worker; the first row. */
  async work(statement: string, ...parameters: Parameter[]): Promise<Row> {
    return { ...(await this.worker.run(statement, parameters, SECONDS))[0] };
  }

  async rows(statement: string, ...parameters: Parameter[]): Promise<Row[]> {
    return (await this.database.run(statement, parameters, SECONDS)).map((row) => ({ ...row }));
  }

  async row(statement: string, ...parameters: Parameter[]): Promise<Row> {
    return (await this.rows(statement, ...parameters))[0] ?? {};
  }

  /** The first column of the first row. */
  async value(statement: string, ...parameters: Parameter[]): Promise<unknown> {
    return Object.values(await this.row(statement, ...parameters))[0];
  }

  /** The first column of every row. */
  async values(statement: string, ...parameters: Parameter[]): Promise<unknown[]> {
    return (await this.rows(statement, ...parameters)).map((row) => Object.values(row)[0]);
  }

  /** Whoever changes this table first keeps their transaction open until another session waits for it. */
  async holdFirst(change: "insert" | "update", table: string): Promise<void> {
    await this.database.runScript(
      `create sequence public.holders;
       create function public.hold() returns trigger language plpgsql security definer as $$
         begin
           if nextval('public.holders') = 1 then
             while not exists (
               select from pg_stat_activity
               where datname = current_database() and pg_backend_pid() = any (pg_blocking_pids(pid))
             ) loop
               perform pg_sleep(0.005), pg_stat_clear_snapshot();
             end loop;
           end if;
           return null;
         end $$;
       create trigger hold after ${change} on p2p.${table} for each statement execute function public.hold()`,
      SECONDS,
    );
  }

  /** Makes these the active markets of an exchange, and no others. */
  async listMarkets(markets: readonly MarketName[], exchange = "binance"): Promise<void> {
    const listed = markets.map(parts);
    const fiats = [...new Set(listed.map(({ fiat }) => fiat))].map((code) => ({ code }));
    await this.work(
      `select p2p.store_market_list($3, $1::text::jsonb, $2::text::jsonb,
         array(select currency_code from p2p.dim_fiat_currencies), '{}')`,
      JSON.stringify(fiats),
      JSON.stringify(listed),
      exchange,
    );
  }

  /** A sign of life of a worker, which registers it. */
  async beat(beat: Beat = {}): Promise<void> {
    const exchanges = (beat.exchanges ?? ["binance"]).map((exchange) => ({
      exchange,
      filter: beat.filter ?? [{ fiat: "*", asset: "*" }],
      rate_per_minute: beat.rate ?? 1_000_000,
      ceiling_per_minute: null,
      paused_seconds: beat.pausedSeconds ?? 0,
      breaker: beat.breaker ?? "closed",
      breaker_reason: beat.breakerReason ?? null,
      breaker_memory: null,
      requests: 0,
      refused: 0,
      retries: 0,
    }));
    const worker = beat.worker ?? WORKER;
    await this.work(
      "select p2p.beat($1, $2, '0.0.0', $3, $4, $5, $6::text::jsonb)",
      worker,
      beat.name ?? worker,
      beat.purpose ?? "run",
      beat.doing ?? "fetching",
      beat.leaseSeconds ?? 55,
      JSON.stringify(exchanges),
    );
  }

  /** Asks what the worker is to do. */
  async join(
    { worker = WORKER, due, intervalSeconds = 600, deadlineSeconds = 480 }: Join = {},
  ): Promise<Row> {
    return await this.work(
      "select * from p2p.join_batch($1, $2::timestamptz, $3, $4)",
      worker,
      due ?? null,
      due === undefined ? null : intervalSeconds,
      deadlineSeconds,
    );
  }

  /** Markets that the worker gets, with what it is told of each. */
  async claim(
    batchId: unknown,
    { worker = WORKER, exchange = "binance", count = 100_000 } = {},
  ): Promise<Claimed[]> {
    const rows = await this.rows(
      "select * from p2p.claim_markets($1, $2, $3, $4)",
      String(batchId),
      worker,
      exchange,
      count,
    );
    return rows.map((row) => ({
      name: `${row["fiat"]}/${row["asset"]} ${row["side"]}`,
      id: Number(row["market_id"]),
      nextPage: Number(row["next_page"]),
      offersReported: row["offers_reported"],
    }));
  }

  async takeLoad(batchId: unknown, worker: string = WORKER, giveUp = ""): Promise<unknown> {
    const { outcome } = await this.work(
      "select p2p.take_load($1, $2, $3) as outcome",
      String(batchId),
      worker,
      giveUp === "" ? null : giveUp,
    );
    return outcome;
  }

  /** As if the worker had died long ago. */
  async kill(worker: string): Promise<void> {
    await this.rows(
      "update p2p.ops_workers set lease_expires_at = clock_timestamp() - interval '1 day' where worker_id = $1",
      worker,
    );
  }

  /** The batch of that id, as the worker that holds these markets sees it. */
  async batch(batchId: unknown, worker = WORKER): Promise<TestBatch> {
    const rows = await this.rows(
      `select m.market_id, f.currency_code || '/' || c.symbol || ' ' || m.trade_type as name, r.batch_start_time
       from p2p.ops_batch_markets bm
       join p2p.ops_batch_runs r using (batch_id)
       join p2p.dim_markets m using (market_id)
       join p2p.dim_fiat_currencies f using (fiat_id)
       join p2p.dim_cryptocurrencies c using (crypto_id)
       where bm.batch_id = $1`,
      String(batchId),
    );
    const ids = new Map(rows.map((row) => [String(row["name"]), Number(row["market_id"])]));
    return new TestBatch(this, String(batchId), rows[0]?.["batch_start_time"] as Date, worker, ids);
  }

  /** Opens a batch over these markets, at a time of the test's choice, and claims them all. */
  async openBatch({ at, markets, worker = WORKER }: BatchOptions): Promise<TestBatch> {
    await this.listMarkets(markets);
    const isFormer = await this.value(
      "select to_regprocedure('p2p.open_batch(text,text,double precision,jsonb)') is not null",
    );
    const batchId = isFormer ? await this.#openAsFormerly(worker) : await this.#open(worker);
    if (at !== undefined) {
      await this.rows(
        "update p2p.ops_batch_runs set batch_start_time = $2::timestamptz where batch_id = $1",
        batchId,
        at,
      );
    }
    const start = await this.value(
      "select batch_start_time from p2p.ops_batch_runs where batch_id = $1",
      batchId,
    ) as Date;
    const claimed = await this.rows(
      `select * from p2p.claim_markets($1, $2, ${isFormer ? "" : "'binance', "}100000)`,
      batchId,
      worker,
    );
    const ids = new Map(claimed.map((row) => [
      `${row["fiat"]}/${row["asset"]} ${row["side"]}`,
      Number(row["market_id"]),
    ]));
    return new TestBatch(this, batchId, start, worker, ids);
  }

  async #open(worker: string): Promise<string> {
    await this.beat({ worker });
    const { outcome, batch_id } = await this.join({ worker });
    if (outcome !== "opened") throw new Error(`no batch was opened: ${outcome}`);
    return String(batch_id);
  }

  /** In a database that is still of a release up to 0.3.0. */
  async #openAsFormerly(worker: string): Promise<string> {
    const { batch_id } = await this.work(
      `select batch_id from p2p.open_batch('binance', $1, 60, '[{"fiat": "*", "asset": "*"}]')`,
      worker,
    );
    return String(batch_id);
  }

  /** A whole batch: each book one page, or several. */
  async loadBatch(
    at: string | undefined,
    books: Readonly<Record<MarketName, readonly Item[] | readonly (readonly Item[])[]>>,
  ): Promise<TestBatch> {
    const markets = Object.keys(books) as MarketName[];
    const batch = await this.openBatch({ ...(at && { at }), markets });
    for (const market of markets) await batch.book(market, books[market] ?? []);
    await batch.load();
    return batch;
  }

  /** Every row of every table of schema p2p, with the transaction that wrote it. */
  async dump(): Promise<Map<string, string[]>> {
    const tables = await this.values(
      "select c.relname from pg_class c where c.relnamespace = 'p2p'::regnamespace and c.relkind in ('r', 'p') order by 1",
    );
    const found = new Map<string, string[]>();
    for (const table of tables.map(String)) {
      const rows = await this.values(
        `select t.xmin::text || ' ' || row_to_json(t)::text from p2p.${table} t order by 1`,
      );
      found.set(table, rows.map(String));
    }
    return found;
  }
}

/** A batch in the hands of a worker. */
export class TestBatch {
  constructor(
    readonly fixture: SqlFixture,
    readonly id: string,
    readonly start: Date,
    readonly worker: string,
    readonly marketIds: ReadonlyMap<string, number>,
  ) {}

  market(name: MarketName): number {
    const id = this.marketIds.get(name);
    if (id === undefined) throw new Error(`the batch has no market ${name}`);
    return id;
  }

  /** Stores the text of a page; what became of it. */
  async body(market: MarketName, text: string, options: PageOptions = {}): Promise<string> {
    const { page = 1, last = true, total, seenAfter = page, worker = this.worker } = options;
    const { parser = "binance_search_v1" } = options;
    const sha256 = new Uint8Array(createHash("sha256").update(text).digest());
    const { outcome } = await this.fixture.work(
      "select p2p.store_page($1, $2, $3, $4, $5, $6, $11, $7, 1, 200, 250, $8, $9, null, null, $10) as outcome",
      this.id,
      worker,
      this.market(market),
      page,
      last,
      total ?? null,
      new Date(this.start.getTime() + seenAfter * 1000),
      new TextEncoder().encode(text).length,
      sha256,
      text,
      parser,
    );
    return String(outcome);
  }

  /** Stores a page of these items. */
  async page(
    market: MarketName,
    items: readonly unknown[],
    options: PageOptions = {},
  ): Promise<string> {
    return await this.body(market, searchAnswer(market, items), {
      total: items.length,
      ...options,
    });
  }

  /** Stores a whole market: one page of items, or a list of pages. */
  async book(
    market: MarketName,
    items: readonly Item[] | readonly (readonly Item[])[],
  ): Promise<void> {
    const pages = (Array.isArray(items[0]) ? items : [items]) as readonly (readonly Item[])[];
    for (const [index, page] of pages.entries()) {
      await this.page(market, page, { page: index + 1, last: index === pages.length - 1 });
    }
  }

  async lose(
    market: MarketName,
    { page = 1, last = true }: PageOptions = {},
    type = "http",
    message = "HTTP 500",
  ): Promise<void> {
    await this.fixture.work(
      "select p2p.record_lost_page($1, $2, $3, $4, $5, $6, $7, 3)",
      this.id,
      this.worker,
      this.market(market),
      page,
      last,
      type,
      message,
    );
  }

  async endFetching(reason = "the deadline came"): Promise<number> {
    const { ended } = await this.fixture.work(
      "select p2p.end_fetching($1, $2) as ended",
      this.id,
      reason,
    );
    return Number(ended);
  }

  /** Loads, or loads again; the row of ops_batch_runs. */
  async load(): Promise<Row> {
    return await this.fixture.work("select * from p2p.load_batch($1)", this.id);
  }

  /** The row of the ledger. */
  async ledger(market: MarketName): Promise<Row> {
    return await this.fixture.row(
      `select status, pages_stored, to_jsonb(lost_pages) as lost_pages, offers_reported, reason,
         finished_at is not null as finished
       from p2p.ops_batch_markets
       where batch_id = $1 and market_id = $2`,
      this.id,
      this.market(market),
    );
  }
}

function parts(
  market: MarketName,
): { fiat: string; asset: string; assetName: string; side: string } {
  const [, fiat = "", asset = "", side = ""] = /^(.+)\/(.+) (BUY|SELL)$/.exec(market) ?? [];
  return { fiat, asset, assetName: `Name of ${asset}`, side };
}

/** The text that the exchange sends; items that name no market are of this one, and of its owner's side. */
export function searchAnswer(market: MarketName, items: readonly unknown[]): string {
  const { fiat, asset, side } = parts(market);
  const data = items.map((item) => {
    if (typeof item !== "object" || item === null || !("adv" in item)) return item;
    const home = { asset, fiatUnit: fiat, tradeType: side === "BUY" ? "SELL" : "BUY" };
    return { ...item, adv: { ...home, ...item.adv as Record<string, unknown> } };
  });
  return JSON.stringify({
    code: "000000",
    message: null,
    messageDetail: null,
    data,
    total: items.length,
    success: true,
  });
}
