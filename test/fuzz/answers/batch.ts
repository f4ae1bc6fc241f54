/** Takes answers the way of a worker's: reader, store_pages, load_batch. Then looks for what became of each item. */
import { Alerts } from "../../../src/alerts/alerts.ts";
import { Database, type Row } from "../../../src/database/connection.ts";
import { AnswerError } from "../../../src/exchange/answer.ts";
import { binance } from "../../../src/exchange/binance.ts";
import { bybit } from "../../../src/exchange/bybit.ts";
import type { Exchange } from "../../../src/exchange/exchange.ts";
import { askOnce } from "../../../src/extract/ask_once.ts";
import { BatchStore } from "../../../src/extract/batch_store.ts";
import type { ClaimedMarket, FetchedPage, LostPage } from "../../../src/extract/batch_types.ts";
import { systemClock } from "../../../src/extract/clock.ts";
import { RequestFailure } from "../../../src/extract/failure.ts";
import { PatientDatabase } from "../../../src/extract/patient_database.ts";
import { Metrics } from "../../../src/serve/metrics.ts";
import { urlAs } from "../../support/database.ts";
import { type MarketName, SqlFixture, WORKER } from "../../support/sql_fixture.ts";
import { type ExchangeCode, EXCHANGES } from "./base.ts";
import type { Answer } from "./mutate.ts";
import type { Watchdog } from "../watchdog.ts";
import { Wire } from "./wire.ts";

/** What any single answer may take: to be read, and with nine others to be stored; and a whole batch to be loaded. */
const SLOWEST = { readSeconds: 5, storeSeconds: 20, loadSeconds: 240 } as const;

const PAGES_A_STATEMENT = 10; // as PageWriter

const READERS: Readonly<Record<ExchangeCode, Exchange>> = {
  binance: binance({ baseUrl: "http://127.0.0.1", search: "/", pairs: undefined }),
  bybit: bybit({ baseUrl: "http://127.0.0.1", search: "/" }),
};

/** What became of a batch of answers. */
export interface Outcome {
  /** Why the worker would have died of it; undefined where it did not. */
  readonly thrown: string | undefined;
  readonly status: string;
  readonly summary: string;
  readonly extracted: number;
  readonly duplicates: number;
  readonly failedSteps: readonly string[];
  /** By answer: stored, unreadable, or lost with the kind of failure. */
  readonly pages: ReadonlyMap<Answer, string>;
  readonly facts: readonly Row[];
  readonly rejected: readonly Row[];
  readonly errors: readonly Row[];
  readonly slow: readonly { readonly answers: readonly Answer[]; readonly what: string }[];
}

/** A database of its own with the markets of both exchanges. */
export class FuzzDatabase implements AsyncDisposable {
  readonly #wire = new Wire();
  readonly #database: Database;
  readonly #alerts = new Alerts([], systemClock);
  readonly #store: BatchStore;

  private constructor(readonly sql: SqlFixture, readonly watchdog: Watchdog) {
    this.#database = new Database(urlAs("worker", sql.url), { applicationName: "fuzz" });
    const patient = new PatientDatabase(
      this.#database,
      systemClock,
      this.#alerts,
      new AbortController().signal,
    );
    const worker = { id: WORKER, name: WORKER, version: "0.0.0", purpose: "run" } as const;
    this.#store = new BatchStore(patient, worker, new Metrics());
  }

  static async create(watchdog: Watchdog): Promise<FuzzDatabase> {
    return new FuzzDatabase(await SqlFixture.create(), watchdog);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#wire[Symbol.asyncDispose]();
    await this.#alerts[Symbol.asyncDispose]();
    await this.#database[Symbol.asyncDispose]();
    await this.sql[Symbol.asyncDispose]();
  }

  async run(answers: readonly Answer[]): Promise<Outcome> {
    const { sql } = this;
    for (const exchange of EXCHANGES) {
      const names = new Set(answers.filter((a) => a.exchange === exchange).map(nameOf));
      await sql.listMarkets([...names], exchange);
    }
    await sql.beat({ exchanges: EXCHANGES });
    const batchId = String((await sql.join())["batch_id"]);
    const markets = new Map<string, ClaimedMarket>();
    for (const exchange of EXCHANGES) {
      for (const claimed of await this.#store.claimMarkets(batchId, exchange, 100_000)) {
        markets.set(`${exchange} ${nameOf(claimed)}`, claimed);
      }
    }
    const slow: { answers: readonly Answer[]; what: string }[] = [];
    const pages = new Map<Answer, string>();
    let thrown: string | undefined;
    let loaded: Row = {};
    try {
      await this.#store_all(batchId, answers, markets, pages, slow);
      const began = performance.now();
      using _ = this.#watch("loading", SLOWEST.loadSeconds, answers);
      await this.#store.loadBatch(batchId);
      noteSlow(slow, answers, "loading", began, SLOWEST.loadSeconds);
    } catch (error) {
      thrown = Deno.inspect(error);
    }
    loaded = await sql.row("select * from p2p.ops_batch_runs where batch_id = $1", batchId);
    if (loaded["status"] === "running") {
      await sql.rows(
        "update p2p.ops_batch_runs set status = 'failed', batch_end_time = clock_timestamp(), execution_time_seconds = 0 where batch_id = $1",
        batchId,
      );
    }
    return {
      thrown,
      status: String(loaded["status"]),
      summary: String(loaded["error_summary"] ?? ""),
      extracted: Number(loaded["total_offers_extracted"]),
      duplicates: Number(loaded["total_offers_duplicate"]),
      pages,
      slow,
      ...await this.#written(batchId),
    };
  }

  async #store_all(
    batchId: string,
    answers: readonly Answer[],
    markets: ReadonlyMap<string, ClaimedMarket>,
    pages: Map<Answer, string>,
    slow: { answers: readonly Answer[]; what: string }[],
  ): Promise<void> {
    const last = new Map(answers.map((answer) => [`${answer.exchange} ${nameOf(answer)}`, answer]));
    // Two lanes by market, as PageWriter has them.
    const lanes: Answer[][] = [[], []];
    for (const answer of answers) {
      const { marketId } = markets.get(`${answer.exchange} ${nameOf(answer)}`) ?? { marketId: 0 };
      lanes[marketId % 2]?.push(answer);
    }
    await Promise.all(lanes.map(async (lane) => {
      for (let from = 0; from < lane.length; from += PAGES_A_STATEMENT) {
        const some = lane.slice(from, from + PAGES_A_STATEMENT);
        const read: (FetchedPage | LostPage)[] = [];
        for (const answer of some) {
          const name = `${answer.exchange} ${nameOf(answer)}`;
          const market = markets.get(name);
          if (market === undefined) throw new Error(`no market ${name}`);
          const began = performance.now();
          using _ = this.#watch("reading", SLOWEST.readSeconds, [answer]);
          read.push(await this.#read(answer, market, last.get(name) === answer));
          noteSlow(slow, [answer], "reading", began, SLOWEST.readSeconds);
        }
        const began = performance.now();
        using _ = this.#watch("storing", SLOWEST.storeSeconds, some);
        const outcomes = await this.#store.storePages(batchId, read);
        noteSlow(slow, some, "storing", began, SLOWEST.storeSeconds);
        some.forEach((answer, i) => {
          const page = read[i];
          const lost = page !== undefined && "kind" in page ? ` ${page.kind}` : "";
          pages.set(answer, `${outcomes[i]}${lost}`);
        });
      }
    }));
  }

  /** What is slow is a finding; what does not end would never be one. */
  #watch(what: string, slowestSeconds: number, answers: readonly Answer[]): Disposable {
    return this.watchdog.watch(what, 4 * slowestSeconds, () => textOfAnswers(answers));
  }

  async #read(
    answer: Answer,
    market: ClaimedMarket,
    endsMarket: boolean,
  ): Promise<FetchedPage | LostPage> {
    const reader = READERS[answer.exchange];
    const { page } = answer;
    try {
      const { document, body, status } = await askOnce(reader.searchRequest(market, page), {
        timeoutSeconds: SLOWEST.readSeconds * 2,
        send: answer.onWire ? this.#wire.send(answer) : () => Promise.resolve(responseOf(answer)),
        onAnswer: () => {},
        signal: new AbortController().signal,
      });
      const { items, total } = readPage(reader, document);
      return {
        market,
        page,
        endsMarket,
        items,
        offersReported: total,
        parser: reader.parser,
        observedAt: new Date(),
        attempt: 1,
        status,
        durationMilliseconds: 1,
        body,
        span: undefined,
      };
    } catch (error) {
      if (!(error instanceof RequestFailure)) throw error;
      const { kind, message } = error;
      return { market, page, endsMarket, kind, message, retries: 0, span: undefined };
    }
  }

  async #written(
    batchId: string,
  ): Promise<Pick<Outcome, "facts" | "rejected" | "errors" | "failedSteps">> {
    const { sql } = this;
    const market = "e.code || ' ' || fi.currency_code || '/' || c.symbol || ' ' ||";
    return {
      facts: await sql.rows(
        `select e.code as exchange, ${market} f.trade_type as market, f.page_number as page, f.offer_external_id as id,
           f.price::text, f.available_amount::text as amount, f.min_limit::text as min, f.max_limit::text as max,
           a.advertiser_id as advertiser, a.nickname, m.codes as methods
         from p2p.fact_offers f
         join p2p.ops_batch_runs r on r.batch_start_time = f.extraction_timestamp
         join p2p.dim_exchanges e using (exchange_id)
         join p2p.dim_fiat_currencies fi using (fiat_id)
         join p2p.dim_cryptocurrencies c using (crypto_id)
         join p2p.dim_advertisers a using (advertiser_sk)
         join p2p.dim_payment_sets s using (payment_set_id)
         cross join lateral (
           select coalesce(jsonb_agg(m.method_code order by place.position), '[]') as codes
           from unnest(s.payment_method_ids) with ordinality as place (id, position)
           join p2p.dim_payment_methods m on m.payment_method_id = place.id
         ) as m
         where r.batch_id = $1`,
        batchId,
      ),
      rejected: await sql.rows(
        `select ${market} m.trade_type as market, o.page_number as page, o.item_number as item, o.reason
         from p2p.ops_rejected_offers o
         join p2p.dim_markets m using (market_id)
         join p2p.dim_exchanges e using (exchange_id)
         join p2p.dim_fiat_currencies fi using (fiat_id)
         join p2p.dim_cryptocurrencies c using (crypto_id)
         where o.batch_id = $1`,
        batchId,
      ),
      errors: await sql.rows(
        `select e.code || ' ' || o.fiat_code || '/' || o.crypto_symbol || ' ' || o.trade_type as market,
           o.page_number as page, o.error_type as kind
         from p2p.ops_extraction_errors o
         join p2p.dim_exchanges e using (exchange_id)
         where o.batch_id = $1`,
        batchId,
      ),
      failedSteps: (await sql.values(
        "select step || ': ' || error from p2p.ops_batch_steps where batch_id = $1 and status = 'failed' order by position",
        batchId,
      )).map(String),
    };
  }
}

export function nameOf(
  { fiat, asset, side }: { fiat: string; asset: string; side: string },
): MarketName {
  return `${fiat}/${asset} ${side}` as MarketName;
}

/** For people: what to feed it with to see the same. */
export function textOfAnswers(answers: readonly Answer[]): string {
  return answers.map((answer) => {
    const { done, status, headers, page, exchange, body } = answer;
    return JSON.stringify({
      exchange,
      market: nameOf(answer),
      page,
      status,
      headers,
      done,
      body: new TextDecoder().decode(body),
    });
  }).join("\n");
}

/** As the fetcher does. */
function readPage(reader: Exchange, document: unknown): ReturnType<Exchange["readPage"]> {
  try {
    return reader.readPage(document);
  } catch (error) {
    if (!(error instanceof AnswerError)) throw error;
    throw new RequestFailure(error.problem, error.message);
  }
}

/** With a body that is a stream of bytes, as that of `fetch` is. */
function responseOf({ status, headers, body }: Answer): Response {
  const stream = new ReadableStream({
    type: "bytes",
    start: (controller) => {
      if (body.length > 0) controller.enqueue(body.slice());
      controller.close();
      controller.byobRequest?.respond(0);
    },
  });
  return new Response(stream, { status, headers });
}

function noteSlow(
  slow: { answers: readonly Answer[]; what: string }[],
  answers: readonly Answer[],
  what: string,
  began: number,
  seconds: number,
): void {
  const took = (performance.now() - began) / 1000;
  if (took > seconds) slow.push({ answers, what: `${what} took ${took.toFixed(1)} s` });
}
