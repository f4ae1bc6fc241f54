import type { Ask, DiscoveryProblem } from "../exchange/exchange.ts";
import { ExchangeError } from "../errors.ts";
import { type MarketFilter, namedFiats } from "../exchange/market_filter.ts";
import { logger } from "../log.ts";
import { PATIENCE } from "../deadlines.ts";
import { inSpan } from "../tracing.ts";
import { ExchangeClosed } from "./access.ts";
import type { KnownFiat } from "./batch_types.ts";
import type { Clock } from "./clock.ts";
import type { MarketListStore } from "./market_list_store.ts";
import type { Presence, ServedExchange } from "./presence.ts";

export interface DiscoveryRequest {
  readonly served: ServedExchange;
  readonly store: MarketListStore;
  readonly presence: Presence;
  readonly filter: MarketFilter;
  /** Calls at once. */
  readonly concurrency: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Makes sure that the database knows markets that the filter asks for. What is known, however old, will do.
 * @throws {ExchangeError} when the exchange gives no list and none is known
 */
export async function requireMarkets(request: DiscoveryRequest): Promise<void> {
  const { served: { exchange }, store, filter, clock, signal } = request;
  while (!isKnown(await store.knownFiats(exchange.code), namedFiats(filter))) {
    if (await refreshMarkets(request)) return;
    // Another worker of the fleet is asking.
    await clock.sleep(PATIENCE.pollSeconds * 1000, signal);
  }
}

/**
 * Asks the exchange for markets whose list is not fresh any more. What cannot be read stays as it was known last, and
 * is asked again at the next time.
 * @returns false where another worker is asking already
 * @throws {ExchangeError} when the exchange gives no list and none is known
 */
export function refreshMarkets(request: DiscoveryRequest): Promise<boolean> {
  const { code } = request.served.exchange;
  return inSpan("discover", { exchange: code }, () => readLists(request));
}

async function readLists(request: DiscoveryRequest): Promise<boolean> {
  const { served: { exchange, fetcher }, store, presence, filter, concurrency, signal } = request;
  const known = await store.knownFiats(exchange.code);
  const wanted = namedFiats(filter);
  const due = fiatsDue(known, wanted);
  if (due?.length === 0) return true;
  if (!await store.beginDiscovery(exchange.code)) return false;
  await presence.enter("discovering");

  log.info("asking the exchange for its markets", { exchange: exchange.code });
  const ask: Ask = async (request, read) => (await fetcher.fetch(request, read, signal)).value;
  const discovery = await exchange.discoverMarkets(ask, {
    fiats: due,
    knownFiats: codesOf(known.filter(({ fiat }) => fiat !== "*")),
    freshFiats: codesOf(known.filter(({ isFresh }) => isFresh)),
    concurrency,
  });
  signal.throwIfAborted(); // what was cut short is no problem of the exchange, and its list not whole
  await record(discovery.problems, store, exchange.code);
  if (discovery.covered.length === 0 && !isKnown(known, wanted)) {
    const reason = discovery.problems[0]?.error.message ?? "no answer";
    throw new ExchangeError(
      `${exchange.code} gives no list of markets, and none is known from before: ${reason}`,
      `check ${exchange.code.toUpperCase()}_BASE_URL and the way to it`,
    );
  }
  warnOf(discovery.problems, exchange.code); // who was told by an error needs no warning
  if (discovery.covered.length === 0) return true;
  const active = await store.storeMarketList(exchange.code, discovery);
  log.info("markets known: {active}", { active });

  const fiats = [...new Set(discovery.markets.map((market) => market.fiat))];
  const { methods, problems } = await exchange.discoverPaymentMethods(ask, fiats, concurrency);
  signal.throwIfAborted();
  warnOf(problems, exchange.code);
  await record(problems, store, exchange.code);
  await store.storePaymentMethods(exchange.code, methods);
  return true;
}

const log = logger("discovery");

function isKnown(known: readonly KnownFiat[], wanted: readonly string[] | undefined): boolean {
  return known.some(({ fiat, markets }) => markets > 0 && (wanted?.includes(fiat) ?? true));
}

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

/** What was never asked is no problem. */
function real(all: readonly DiscoveryProblem[]): readonly DiscoveryProblem[] {
  return all.filter(({ error }) => !(error instanceof ExchangeClosed));
}

/** Every problem goes to the database … */
async function record(
  all: readonly DiscoveryProblem[],
  store: MarketListStore,
  exchange: string,
): Promise<void> {
  for (const { fiat, error } of real(all)) {
    await store.recordDiscoveryProblem(exchange, fiat, error);
  }
}

/** … and the log gets one line for all of them. */
function warnOf(all: readonly DiscoveryProblem[], exchange: string): void {
  const problems = real(all);
  const [first] = problems;
  if (first === undefined) return;
  log.warning("discovery calls failed: {count}; what was known from before stays", {
    exchange,
    count: problems.length,
    fiats: problems.slice(0, 5).map(({ fiat }) => fiat ?? "all").join(" "),
    error: first.error.message,
  });
}
