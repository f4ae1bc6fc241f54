import type { Ask, Exchange } from "../exchange/exchange.ts";
import { ExchangeError } from "../errors.ts";
import { type MarketFilter, namedFiats } from "../exchange/market_filter.ts";
import { logger } from "../log.ts";
import type { BatchStore } from "./batch_store.ts";
import type { Fetcher } from "./fetcher.ts";

/** Markets come and go by the week; a discovery costs 240 requests. */
const FRESH_SECONDS = 24 * 3600;

/**
 * Makes sure the database knows the markets that the filter asks for: from a list at most a day old, else by asking
 * the exchange, else, when that fails, as they were known last.
 * @throws {ExchangeError} when the exchange gives no list and none is known
 */
export async function refreshMarkets(
  exchange: Exchange,
  fetcher: Fetcher,
  store: BatchStore,
  filter: MarketFilter,
  concurrency: number,
  signal: AbortSignal,
): Promise<void> {
  const log = logger("discovery");
  const known = await store.knownFiats(FRESH_SECONDS);
  const fresh = new Set(known.filter(({ isFresh }) => isFresh).map(({ fiat }) => fiat));
  const wanted = namedFiats(filter);
  const due = wanted?.filter((fiat) => !fresh.has(fiat));
  if (due === undefined ? fresh.has("*") : due.length === 0) return;

  log.info("asking the exchange for its markets");
  const ask: Ask = async (request, read) => (await fetcher.fetch(request, read, signal)).value;
  const knownFiats = known.map(({ fiat }) => fiat).filter((fiat) => fiat !== "*");
  const discovery = await exchange.discoverMarkets(ask, { fiats: due, knownFiats, concurrency });
  signal.throwIfAborted(); // what was cut short is no problem of the exchange, and its list not whole
  for (const { fiat, error } of discovery.problems) {
    log.warning("discovery call failed", { fiat, error: error.message });
    await store.recordDiscoveryProblem(fiat, error);
  }
  if (discovery.covered.length === 0) {
    const reason = discovery.problems[0]?.error.message ?? "no answer";
    if (!known.some(({ fiat }) => fiat !== "*" && (wanted?.includes(fiat) ?? true))) {
      throw new ExchangeError(
        `the exchange gives no list of markets, and none is known from before: ${reason}`,
        "check BINANCE_BASE_URL and the way to it",
      );
    }
    log.warning("discovery failed, going on with the markets known from before", { reason });
    return;
  }
  const active = await store.storeMarketList(discovery);
  log.info("markets known: {active}", { active });

  const fiats = [...new Set(discovery.markets.map((market) => market.fiat))];
  const { methods, problems } = await exchange.discoverPaymentMethods(ask, fiats, concurrency);
  signal.throwIfAborted();
  for (const { fiat, error } of problems) await store.recordDiscoveryProblem(fiat, error);
  await store.storePaymentMethods(methods);
}
