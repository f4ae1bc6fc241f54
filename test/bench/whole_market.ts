/** What a worker says of one exchange that it serves whole, at any rate. */
export const WHOLE_MARKET = JSON.stringify([{
  exchange: "binance",
  filter: [{ fiat: "*", asset: "*" }],
  rate_per_minute: 1_000_000,
  ceiling_per_minute: null,
  paused_seconds: 0,
  breaker: "closed",
  breaker_reason: null,
  breaker_memory: null,
  requests: 0,
  refused: 0,
  retries: 0,
}]);
