import assert from "node:assert/strict";
import type { Database } from "../../src/database/connection.ts";
import { DatabaseTimeout } from "../../src/database/errors.ts";
import type { ClaimedMarket, FetchedPage } from "../../src/extract/batch_types.ts";
import { DatabaseFigures } from "../../src/serve/database_figures.ts";
import { Metrics, MOST_MARKETS } from "../../src/serve/metrics.ts";
import { eventually } from "../support/program.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { parseScrape, sumOf } from "../support/scrape.ts";

function page(fiat: string): FetchedPage {
  const market = { exchange: "binance", fiat, asset: "USDT", side: "BUY" } as ClaimedMarket;
  return { market, items: 2, body: {} } as FetchedPage;
}

Deno.test("fiats without end take no memory without end: those beyond a limit count as other", async () => {
  const metrics = new Metrics();
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 10_000; i++) {
      metrics.pageEnded(page(`F${i}`), "stored");
      metrics.pageEnded(page(`F${i}`), "unreadable");
    }
  }
  const found = parseScrape(await metrics.registry.metrics());
  const series = (name: string) => [...found.keys()].filter((key) => key.startsWith(`${name}{`));
  for (const name of ["p2p_offers_extracted_total", "p2p_extraction_errors_total"]) {
    assert.equal(series(name).length, MOST_MARKETS + 1);
  }
  assert.equal(sumOf(found, "p2p_offers_extracted_total"), 40_000, "all are counted");
  assert.equal(sumOf(found, "p2p_offers_extracted_total", 'fiat="other",crypto="other"'), 20_000);
  assert.equal(
    sumOf(found, "p2p_offers_extracted_total", 'fiat="F4999"'),
    4,
    "known ones as before",
  );
});

const ROW = { postgres: "18.4", tier: "plain", metric: "m", help: "h", labels: {}, value: 1 };

/** What is asked, answered by hand. */
function askedByHand(): {
  database: Database;
  of(part: string): PromiseWithResolvers<Record<string, unknown>[]>[];
} {
  const questions: {
    readonly text: string;
    readonly answer: PromiseWithResolvers<Record<string, unknown>[]>;
  }[] = [];
  const database = {
    run: (text: string) => {
      const answer = Promise.withResolvers<Record<string, unknown>[]>();
      questions.push({ text, answer });
      return answer.promise;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  } as unknown as Database;
  const of = (part: string) =>
    questions.filter(({ text }) => text.includes(part)).map(({ answer }) => answer);
  return { database, of };
}

Deno.test("many who ask at once are one question, and the answer serves for five seconds", async () => {
  const clock = new FakeClock();
  const { database, of } = askedByHand();
  await using figures = new DatabaseFigures(database, clock, 5);
  const asked = [figures.read(), figures.read(), figures.read()];
  assert.equal(of("database_metrics").length, 1);
  of("database_metrics")[0]?.resolve([ROW]);
  for (const { samples } of await Promise.all(asked)) assert.equal(samples[0]?.value, 1);
  of("audit_metrics")[0]?.resolve([]);
  await clock.advance(4_999);
  await figures.read();
  assert.equal(of("database_metrics").length, 1);
  await clock.advance(2);
  const next = figures.read();
  of("database_metrics")[1]?.reject(new DatabaseTimeout("no answer"));
  await eventually("a last question", () => of("select 1")[0]);
  of("select 1")[0]?.reject(new DatabaseTimeout("no answer"));
  const { isUp, samples, server } = await next;
  assert.deepEqual(
    [isUp, samples, server?.tier],
    [false, [], "plain"],
    "nothing old is told as new",
  );
});

Deno.test("a busy database is up; its audit is asked once a minute, and nobody waits for it", async () => {
  const clock = new FakeClock();
  const { database, of } = askedByHand();
  await using figures = new DatabaseFigures(database, clock, 5);
  const first = figures.read();
  of("database_metrics")[0]?.resolve([ROW]);
  assert.deepEqual((await first).samples.map(({ metric }) => metric), ["m"]);
  of("audit_metrics")[0]?.resolve([{ ...ROW, metric: "audit" }]);
  await eventually(
    "the audit",
    async () => (await figures.read()).samples.length === 2 || undefined,
  );
  await clock.advance(30_000);
  const second = figures.read();
  of("database_metrics")[1]?.reject(new DatabaseTimeout("no answer"));
  await eventually("a last question", () => of("select 1")[0]);
  of("select 1")[0]?.resolve([{}]);
  const { isUp, problem, samples } = await second;
  assert.deepEqual([isUp, problem], [true, "no answer"]);
  assert.deepEqual(samples.map(({ metric }) => metric), ["audit"]);
  assert.equal(of("audit_metrics").length, 1);
  await clock.advance(30_000);
  const third = figures.read();
  of("database_metrics")[2]?.resolve([ROW]);
  await third;
  assert.equal(of("audit_metrics").length, 2);
  of("audit_metrics")[1]?.reject(new Error("division by zero"));
  await eventually(
    "it is gone",
    async () => (await figures.read()).samples.length === 1 || undefined,
  );
});
