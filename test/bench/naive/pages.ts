import { createHash } from "node:crypto";
import type { ListedMarket } from "../../../src/exchange/exchange.ts";
import type { Body } from "../../../src/extract/body.ts";
import { World } from "../../../src/simulator/market.ts";

/** A page as the exchange would have sent it. */
export interface Page {
  readonly market: ListedMarket;
  readonly page: number;
  readonly endsMarket: boolean;
  readonly items: number;
  readonly body: Body;
}

/** What all pages of a run have in common. */
export interface Batch {
  readonly id: string;
  readonly at: Date;
}

const ROWS = 20;
/** Any moment; at one moment the market stands still, so that every reading of an ad says the same. */
const MOMENT = Date.UTC(2026, 8, 1, 9);

/** All pages of a market of about so many offers, without empty books. */
export function makePages(offers: number, seed: number): Page[] {
  const world = new World({ seed, offers, tickSeconds: 30, now: () => MOMENT, faults: {} });
  const pages: Page[] = [];
  for (const market of world.markets) {
    const { fiat, asset, side } = market;
    for (let page = 1, items = world.countOn(market, 1, ROWS); items > 0; page++) {
      const next = world.countOn(market, page + 1, ROWS);
      const text = world.pageText(market, page, ROWS);
      const bytes = new TextEncoder().encode(text);
      pages.push({
        market: { fiat: fiat.code, asset: asset.symbol, side, assetName: asset.name },
        page,
        endsMarket: next === 0,
        items,
        body: {
          text,
          bytes: bytes.byteLength,
          sha256: new Uint8Array(createHash("sha256").update(bytes).digest()),
          original: undefined,
        },
      });
      items = next;
    }
  }
  return pages;
}

/** Stores pages as another batch, so many at once. */
export async function storeEach(
  pages: readonly Page[],
  connections: number,
  store: (page: Page, batch: Batch) => Promise<void>,
): Promise<void> {
  const batch = { id: crypto.randomUUID(), at: new Date() };
  const left = pages.values();
  await Promise.all(Array.from({ length: connections }, async () => {
    for (const page of left) await store(page, batch);
  }));
}
