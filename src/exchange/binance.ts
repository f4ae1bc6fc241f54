import {
  AnswerError,
  countOf,
  idOf,
  isObject,
  type JsonObject,
  kindOf,
  objectsIn,
} from "./answer.ts";
import { discoverMarkets, discoverPaymentMethods } from "./binance_discovery.ts";
import { successful } from "./binance_envelope.ts";
import { endpointUrl } from "./endpoint.ts";
import type { Exchange, HttpRequest, Market, PageEnvelope } from "./exchange.ts";

export interface BinanceEndpoints {
  readonly baseUrl: string;
  /** A path below the base URL or a whole URL, as are the others. */
  readonly search: string;
  /** The mission's list of pairs, asked when discovery fails; the real exchange answers 404 since 2025. */
  readonly pairs: string | undefined;
}

/** The exchange answers `illegal parameter` to more. */
const ROWS_PER_PAGE = 20;

/** Binance P2P's web API, which is undocumented: all facts are from recordings of 2021 to 2026. */
export function binance(endpoints: BinanceEndpoints): Exchange {
  const post = (path: string, body: JsonObject): HttpRequest => ({
    method: "POST",
    url: endpointUrl(path, endpoints.baseUrl),
    body,
  });
  return {
    code: "binance",
    parser: "binance_search_v1",
    rowsPerPage: ROWS_PER_PAGE,
    discoverMarkets: (ask, options) => discoverMarkets(ask, post, endpoints.pairs, options),
    discoverPaymentMethods: (ask, fiats, concurrency) =>
      discoverPaymentMethods(ask, post, fiats, concurrency),
    searchRequest: (market, page) => post(endpoints.search, searchBody(market, page)),
    readPage,
  };
}

/** What the exchange's own page sends: without the filters some answers leave offers out. */
function searchBody(market: Market, page: number): JsonObject {
  return {
    fiat: market.fiat,
    asset: market.asset,
    tradeType: market.side,
    page,
    rows: ROWS_PER_PAGE,
    payTypes: [],
    countries: [],
    publisherType: null,
    proMerchantAds: false,
    shieldMerchantAds: false,
    filterType: "all",
    periods: [],
    additionalKycVerifyFilter: 0,
    classifies: ["mass", "profession", "fiat_trade"],
    tradedWith: false,
    followed: false,
  };
}

function readPage(document: unknown): PageEnvelope {
  const { data, total } = successful(document);
  // An empty page is an empty list; null was never seen, and would lose a market without a word.
  if (!Array.isArray(data)) {
    throw new AnswerError(
      "unexpected_shape",
      `data is ${kindOf(data)} instead of a list of offers`,
    );
  }
  const offerIds = objectsIn(data).flatMap(({ adv }) => {
    const id = isObject(adv) ? idOf(adv["advNo"]) : undefined;
    return id === undefined ? [] : [id];
  });
  return { items: data.length, total: countOf(total), offerIds };
}
