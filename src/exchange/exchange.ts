/** Which side the taker asks for: `BUY` = the taker buys crypto. */
export type Side = "BUY" | "SELL";

export const SIDES: readonly Side[] = ["BUY", "SELL"];

export interface Market {
  readonly fiat: string;
  readonly asset: string;
  readonly side: Side;
}

export interface ListedFiat {
  readonly code: string;
  readonly country: string | undefined;
}

/** A market as discovery lists it. */
export interface ListedMarket extends Market {
  readonly assetName: string | undefined;
}

export interface PaymentMethod {
  readonly code: string;
  readonly name: string | undefined;
}

export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly url: string;
  /** Sent as JSON. */
  readonly body?: unknown;
}

/** What paging needs to know of a page. Its offers are read by SQL, not here. */
export interface PageEnvelope {
  readonly items: number;
  /** How many offers the exchange says the market has; it moves while one pages. */
  readonly total: number | undefined;
  /** Ids of the offers, as far as they can be read: to notice that paging goes round in circles. */
  readonly offerIds: readonly string[];
}

/** Sends a request under the shared rate limit, with retries, and reads the answer with `read`. */
export type Ask = <T>(request: HttpRequest, read: (document: unknown) => T) => Promise<T>;

export interface Discovery {
  readonly fiats: readonly ListedFiat[];
  readonly markets: readonly ListedMarket[];
  /** Fiats whose markets are all in `markets`; `*` among them when the list of fiats was read. */
  readonly covered: readonly string[];
  /** Fiats whose markets could not be read. */
  readonly missed: readonly string[];
  /** Calls that failed after all retries; their fiats keep what was known of them. */
  readonly problems: readonly DiscoveryProblem[];
}

export interface DiscoveryProblem {
  readonly fiat: string | undefined;
  readonly error: Error;
}

export interface DiscoveryOptions {
  /** Only these fiats; all that can be found, but for the fresh ones, where undefined. */
  readonly fiats: readonly string[] | undefined;
  /** Fiats that earlier discoveries saw: the exchange's own list leaves some out. */
  readonly knownFiats: readonly string[];
  /** Those of them that were read lately and need not be asked again. */
  readonly freshFiats: readonly string[];
  /** Calls at once. */
  readonly concurrency: number;
}

/**
 * What another exchange has to bring to be extracted. Its pages are parsed by the SQL function
 * `p2p.parse_<parser>(batch_id)`.
 */
export interface Exchange {
  /** Row of `dim_exchanges`. */
  readonly code: string;
  readonly parser: string;
  /** Offers on a full page. */
  readonly rowsPerPage: number;
  discoverMarkets(ask: Ask, options: DiscoveryOptions): Promise<Discovery>;
  discoverPaymentMethods(
    ask: Ask,
    fiats: readonly string[],
    concurrency: number,
  ): Promise<{ methods: readonly PaymentMethod[]; problems: readonly DiscoveryProblem[] }>;
  /** @param page from 1 */
  searchRequest(market: Market, page: number): HttpRequest;
  /**
   * Reads the envelope of a search answer.
   * @throws {AnswerError} when the exchange refuses, or the answer has another shape than a page
   */
  readPage(document: unknown): PageEnvelope;
}
