import type { Database } from "../../../src/database/connection.ts";
import { Alerts } from "../../../src/alerts/alerts.ts";
import { BatchStore } from "../../../src/extract/batch_store.ts";
import { systemClock } from "../../../src/extract/clock.ts";
import { PageWriter } from "../../../src/extract/page_writer.ts";
import { PatientDatabase } from "../../../src/extract/patient_database.ts";
import { workerIdentity } from "../../../src/extract/presence.ts";
import { Metrics } from "../../../src/serve/metrics.ts";
import { WHOLE_MARKET } from "../whole_market.ts";
import type { Page } from "./pages.ts";

const EXCHANGE = "binance";
const PARSER = "binance_search_v1";

/** What this project does with pages once they came: the worker's own code stages them, `load_batch` does the rest. */
export async function storeAndLoad(database: Database, pages: readonly Page[]): Promise<void> {
  await using alerts = new Alerts([], systemClock);
  const never = new AbortController().signal;
  const store = new BatchStore(
    new PatientDatabase(database, systemClock, alerts, never),
    workerIdentity("bench", "0.0.0", "once"),
    new Metrics(),
  );
  await store.register("fetching", WHOLE_MARKET);
  const batch = await store.joinBatch(undefined, 480);
  if (batch.outcome !== "opened") throw new Error(`no batch was opened: ${batch.outcome}`);
  const { batchId } = batch;
  const claimed = await store.claimMarkets(batchId, EXCHANGE, pages.length);
  const markets = new Map(claimed.map((market) => [nameOf(market), market]));
  const writer = new PageWriter(store, batchId, () => {});
  for (const { market, page, endsMarket, items, body } of pages) {
    const ours = markets.get(nameOf(market));
    if (ours === undefined) throw new Error(`${nameOf(market)} was not planned`);
    await writer.add({
      market: ours,
      page,
      endsMarket,
      items,
      offersReported: undefined,
      parser: PARSER,
      observedAt: new Date(),
      attempt: 1,
      status: 200,
      durationMilliseconds: 0,
      body,
      span: undefined,
    });
  }
  await writer.drain();
  const next = await store.takeLoad(batchId, undefined);
  if (next !== "load") throw new Error(`after the last page: ${next}`);
  const loaded = await store.loadBatch(batchId);
  if (loaded.status !== "completed") {
    throw new Error(`the batch is ${loaded.status}: ${loaded.errorSummary}`);
  }
  await store.leave();
}

/** Tells the database of the markets, as discovery does. */
export async function listMarkets(database: Database, pages: readonly Page[]): Promise<void> {
  const markets = [...new Map(pages.map(({ market }) => [nameOf(market), market])).values()];
  const fiats = [...new Set(markets.map(({ fiat }) => fiat))].map((code) => ({ code }));
  await database.run(
    `select p2p.store_market_list('${EXCHANGE}', $1::text::jsonb, $2::text::jsonb, '{}', '{}')`,
    [JSON.stringify(fiats), JSON.stringify(markets)],
    60,
  );
}

function nameOf({ fiat, asset, side }: Pick<Page["market"], "fiat" | "asset" | "side">): string {
  return `${fiat}/${asset} ${side}`;
}
