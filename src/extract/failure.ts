/** Every way in which a request can fail; the `error_type` of ops_extraction_errors. */
export type FailureKind =
  | "rate_limited" // HTTP 429, from the CDN
  | "forbidden" // HTTP 403: a block or a country that is not served
  | "challenge" // HTML instead of JSON, whatever the status
  | "server_error" // HTTP 5xx
  | "http_error" // any other status but 2xx
  | "connection" // refused, reset, or cut in the middle of the body
  | "timeout" // no whole answer within REQUEST_TIMEOUT_SECONDS
  | "invalid_json"
  | "refused" // HTTP 200 with success:false
  | "unexpected_shape" // JSON, but no page
  | "too_large"
  | "page_loop" // paging does not come to an end
  | "unreadable"; // JSON that jsonb cannot hold; the bytes are kept

/** How often a kind is worth asking again, at most; MAX_RETRIES limits it further. */
const RETRIES: Readonly<Record<FailureKind, number>> = {
  rate_limited: Infinity,
  forbidden: Infinity,
  challenge: Infinity,
  server_error: Infinity,
  connection: Infinity,
  timeout: Infinity,
  invalid_json: Infinity,
  refused: 1, // mostly final, e.g. illegal parameter; now and then a passing fault
  unexpected_shape: 1,
  http_error: 0,
  too_large: 1,
  page_loop: 0,
  unreadable: 0,
};

const REFUSALS: ReadonlySet<FailureKind> = new Set(["rate_limited", "forbidden", "challenge"]);

const OF_ONE_MARKET: ReadonlySet<FailureKind> = new Set([
  "refused",
  "unexpected_shape",
  "http_error",
  "too_large",
  "page_loop",
  "unreadable",
]);

/** A request that failed, after all attempts when it leaves the fetcher. */
export class RequestFailure extends Error {
  override readonly name = "RequestFailure";
  /** Attempts that were made. */
  attempts = 1;
  /** Of the answer, where there was one. */
  status: number | undefined;

  /** @param retryAfterSeconds what the server asked for in `Retry-After` */
  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly retryAfterSeconds?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** @param retries how many there were already of a failure of this kind */
  mayRetry(retries: number): boolean {
    return retries < RETRIES[this.kind];
  }

  /** Refused for the rate, or for what the exchange thinks of us. */
  get isRefusal(): boolean {
    return REFUSALS.has(this.kind);
  }

  /** Whether another market would most likely have failed the same way. */
  get isOfExchange(): boolean {
    return !OF_ONE_MARKET.has(this.kind);
  }

  /** Whether the exchange was not heard at all. */
  get isSilence(): boolean {
    return this.kind === "connection" || this.kind === "timeout";
  }
}
