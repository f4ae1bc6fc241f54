import { createHash } from "node:crypto";
import type { ClaimedMarket, FetchedPage } from "../../../src/extract/batch_types.ts";
import { World } from "../../../src/simulator/market.ts";

const ROWS_PER_PAGE = 20;
const encoder = new TextEncoder();

/** The simulated market without HTTP: its pages as the worker holds them before it stores them. */
export class PageSource {
  readonly #world: World;
  #seconds = Date.parse("2026-11-01T12:00:00Z") / 1000;

  constructor(offers: number) {
    const now = (): number => this.#seconds * 1000;
    this.#world = new World({ seed: 1, offers, tickSeconds: 30, now, faults: {} });
  }

  get markets(): { fiat: string; asset: string; side: string }[] {
    return this.#world.markets.map(({ fiat, asset, side }) => ({
      fiat: fiat.code,
      asset: asset.symbol,
      side,
    }));
  }

  /** The market moves by ten minutes, as between two batches. */
  move(): void {
    this.#seconds += 600;
  }

  /** All pages of these markets, in the order in which they would be fetched. */
  pages(markets: readonly ClaimedMarket[], observedAt: Date): FetchedPage[] {
    return markets.flatMap((market) => {
      const model = this.#world.market(market.fiat, market.asset, market.side);
      const pages: FetchedPage[] = [];
      for (let ends = false; model !== undefined && !ends;) {
        const page = pages.length + 1;
        const items = this.#world.countOn(model, page, ROWS_PER_PAGE);
        ends = items < ROWS_PER_PAGE;
        const text = this.#world.pageText(model, page, ROWS_PER_PAGE);
        const encoded = encoder.encode(text);
        pages.push({
          market,
          page,
          endsMarket: ends,
          items,
          offersReported: undefined,
          parser: "binance_search_v1",
          observedAt,
          attempt: 1,
          status: 200,
          durationMilliseconds: 1,
          body: {
            text,
            bytes: encoded.length,
            sha256: new Uint8Array(createHash("sha256").update(encoded).digest()),
            original: undefined,
          },
          span: undefined,
        });
      }
      return pages;
    });
  }
}
