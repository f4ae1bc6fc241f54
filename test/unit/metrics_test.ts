import assert from "node:assert/strict";
import type { Database } from "../../src/database/connection.ts";
import { DatabaseTimeout } from "../../src/database/errors.ts";
import type { ClaimedMarket, FetchedPage } from "../../src/extract/batch_types.ts";
import { DatabaseFigures } from "../../src/serve/database_figures.ts";
import { Metrics, MOST_MARKETS } from "../../src/serve/metrics.ts";
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

Deno.test("many who ask at once are one question, and the answer serves for five seconds", async () => {
  const clock = new FakeClock();
  const answers: PromiseWithResolvers<Record<string, unknown>[]>[] = [];
  let opened = 0;
  const open = () => {
    opened++;
    return {
      run: () => {
        const answer = Promise.withResolvers<Record<string, unknown>[]>();
        answers.push(answer);
        return answer.promise;
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    } as unknown as Database;
  };
  await using figures = new DatabaseFigures(open, clock, 5);
  const row = { postgres: "18.4", tier: "plain", metric: "m", help: "h", labels: {}, value: 1 };
  const asked = [figures.read(), figures.read(), figures.read()];
  assert.equal(answers.length, 1);
  answers[0]?.resolve([row]);
  for (const { samples } of await Promise.all(asked)) assert.equal(samples[0]?.value, 1);
  await clock.advance(4_999);
  await figures.read();
  assert.equal(answers.length, 1);
  await clock.advance(2);
  const next = figures.read();
  answers[1]?.reject(new DatabaseTimeout("no answer"));
  const { isUp, samples, server } = await next;
  assert.deepEqual(
    [isUp, samples, server?.tier],
    [false, [], "plain"],
    "nothing old is told as new",
  );
  assert.equal(opened, 2, "on a new connection");
});
