import { AnswerError, countOf, idOf, kindOf, objectsIn } from "./answer.ts";
import { discoverMarkets, discoverPaymentMethods } from "./bybit_discovery.ts";
import { resultOf } from "./bybit_envelope.ts";
import { endpointUrl } from "./endpoint.ts";
import type { Exchange, Market, PageEnvelope } from "./exchange.ts";

export interface BybitEndpoints {
  readonly baseUrl: string;
  /** A path below the base URL or a whole URL. */
  readonly search: string;
}

/**
 * Bybit documents "default value is 10, max is 30" for the same call with a key, since 2026-03 (bybit-exchange/docs,
 * docs/p2p/ad/online-ad-list.mdx); public clients page by 20. Some took 1,000 at once in 2023: that this still
 * works is not known, and a page that is cut shorter than was asked for looks like the last one.
 */
const ROWS_PER_PAGE = 20;

/**
 * Bybit P2P's web API, which is undocumented: facts are from its documented twin (`/v5/p2p/item/online`, with a key),
 * a few recordings and a dozen public clients of 2022 to 2026. Nothing here was tried on the exchange itself.
 */
export function bybit(endpoints: BybitEndpoints): Exchange {
  const url = (path: string): string => endpointUrl(path, endpoints.baseUrl);
  return {
    code: "bybit",
    parser: "bybit_online_v1",
    rowsPerPage: ROWS_PER_PAGE,
    discoverMarkets: (ask, options) => discoverMarkets(ask, url, options),
    discoverPaymentMethods: (ask, fiats) => discoverPaymentMethods(ask, url, fiats),
    searchRequest: (market, page) => ({
      method: "POST",
      url: url(endpoints.search),
      body: searchBody(market, page),
    }),
    readPage,
  };
}

/**
 * As all public clients send it, numbers as text. `side` is the ad's: 1 sells, so the taker buys (documented; "1" = user
 * buys in the clients). Without `payment`, `amount` and with both filters off it asks for everybody.
 */
function searchBody(market: Market, page: number): Readonly<Record<string, unknown>> {
  return {
    userId: "",
    tokenId: market.asset,
    currencyId: market.fiat,
    payment: [],
    side: market.side === "BUY" ? "1" : "0",
    size: String(ROWS_PER_PAGE),
    page: String(page),
    amount: "",
    authMaker: false,
    canTrade: false,
  };
}

/** Whether an empty market has an empty list or none was not recorded: with a count of 0 either is one. */
function readPage(document: unknown): PageEnvelope {
  const result = resultOf(document);
  const total = countOf(result["count"]);
  const items = result["items"] ?? (total === 0 ? [] : undefined);
  if (!Array.isArray(items)) {
    throw new AnswerError(
      "unexpected_shape",
      `result.items is ${kindOf(result["items"])} instead of a list of offers`,
    );
  }
  const offerIds = objectsIn(items).flatMap(({ id }) => idOf(id) ?? []);
  return { items: items.length, total, offerIds };
}
