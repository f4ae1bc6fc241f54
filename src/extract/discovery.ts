import type { Ask, DiscoveryProblem, Exchange } from "../exchange/exchange.ts";
import { ExchangeError } from "../errors.ts";
import { type MarketFilter, namedFiats } from "../exchange/market_filter.ts";
import { logger } from "../log.ts";
import type { BatchStore } from "./batch_store.ts";
import type { KnownFiat } from "./batch_types.ts";
import type { Fetcher } from "./fetcher.ts";

/** Markets come and go by the week; a discovery costs 240 requests. */
const FRESH_SECONDS = 24 * 3600;

/**
 * Makes sure the database knows the markets that the filter asks for. What was read within a day is not asked again;
 * what cannot be read stays as it was known last, and is asked again at the next batch.
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
  const known = await store.knownFiats(FRESH_SECONDS);
  const wanted = namedFiats(filter);
  const due = fiatsDue(known, wanted);
  if (due?.length === 0) return;

  log.info("asking the exchange for its markets");
  const ask: Ask = async (request, read) => (await fetcher.fetch(request, read, signal)).value;
  const discovery = await exchange.discoverMarkets(ask, {
    fiats: due,
    knownFiats: codesOf(known.filter(({ fiat }) => fiat !== "*")),
    freshFiats: codesOf(known.filter(({ isFresh }) => isFresh)),
    concurrency,
  });
  signal.throwIfAborted(); // what was cut short is no problem of the exchange, and its list not whole
  await report(discovery.problems, store);
  const isKnown = known.some(({ fiat, markets }) =>
    markets > 0 && (wanted?.includes(fiat) ?? true)
  );
  if (discovery.covered.length === 0) {
    if (isKnown) return;
    const reason = discovery.problems[0]?.error.message ?? "no answer";
    throw new ExchangeError(
      `the exchange gives no list of markets, and none is known from before: ${reason}`,
      "check BINANCE_BASE_URL and the way to it",
    );
  }
  const active = await store.storeMarketList(discovery);
  log.info("markets known: {active}", { active });

  const fiats = [...new Set(discovery.markets.map((market) => market.fiat))];
  const { methods, problems } = await exchange.discoverPaymentMethods(ask, fiats, concurrency);
  signal.throwIfAborted();
  await report(problems, store);
  await store.storePaymentMethods(methods);
}

const log = logger("discovery");

function codesOf(fiats: readonly KnownFiat[]): string[] {
  return fiats.map(({ fiat }) => fiat);
}

/** Fiats to ask for by name; undefined where the list of fiats itself is due. */
function fiatsDue(
  known: readonly KnownFiat[],
  wanted: readonly string[] | undefined,
): readonly string[] | undefined {
  const fresh = codesOf(known.filter(({ isFresh }) => isFresh));
  if (wanted !== undefined) return wanted.filter((fiat) => !fresh.includes(fiat));
  return fresh.includes("*") ? codesOf(known.filter(({ isFresh }) => !isFresh)) : undefined;
}

/** Every problem goes to the database; the log gets one line for all of them. */
async function report(problems: readonly DiscoveryProblem[], store: BatchStore): Promise<void> {
  const [first] = problems;
  if (first === undefined) return;
  log.warning("discovery calls failed: {count}; what was known from before stays", {
    count: problems.length,
    fiats: problems.slice(0, 5).map(({ fiat }) => fiat ?? "all").join(" "),
    error: first.error.message,
  });
  for (const { fiat, error } of problems) await store.recordDiscoveryProblem(fiat, error);
}
