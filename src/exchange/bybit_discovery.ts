import { AnswerError, codeOf, idOf, isObject, objectsIn, textOf } from "./answer.ts";
import { resultOf } from "./bybit_envelope.ts";
import {
  type Ask,
  type Discovery,
  type DiscoveryOptions,
  type DiscoveryProblem,
  type HttpRequest,
  type ListedFiat,
  type ListedMarket,
  type PaymentMethod,
  SIDES,
} from "./exchange.ts";

type Url = (path: string) => string;

/**
 * `result.symbols[] {tokenId, currencyId, …}`: every pair, in one answer, and `result.currencies[] {currencyId}`. Known
 * from four public clients of 2023 to 2025; no recording of the whole is at hand. What its `tradeSide` and `status`
 * mean is not known, so each pair counts on both sides: an empty market costs one request.
 */
const CONFIGURATION = "/fiat/p2p/config/initial";

/**
 * `result.paymentConfigVo[] {paymentType, paymentName}`, and `result.currencyPaymentIdMap`, which is JSON within a
 * string: `{"KZT":[150,203]}`. Known from eight public clients of 2023 to 2026.
 */
const PAYMENTS = "/fiat/otc/configuration/queryAllPaymentList";

/** Tokens that public clients ask for. With these it begins where the exchange's own list cannot be had. */
const USUAL_TOKENS = ["USDT", "USDC", "BTC", "ETH"];

/**
 * One call lists all markets. Where it fails, what is known from before stays; where nothing is known, the fiats that
 * the list of payment methods names are tried with the usual tokens.
 */
export async function discoverMarkets(
  ask: Ask,
  url: Url,
  options: DiscoveryOptions,
): Promise<Discovery> {
  const problems: DiscoveryProblem[] = [];
  const note = (error: Error): undefined => {
    problems.push({ fiat: undefined, error });
    return undefined;
  };
  const isWanted = (fiat: string): boolean => options.fiats?.includes(fiat) ?? true;
  const failed = {
    fiats: [],
    markets: [],
    covered: [],
    missed: options.fiats ?? [],
    problems,
  };

  const listed = await ask(get(url(CONFIGURATION)), readConfiguration).catch(note);
  if (listed !== undefined) {
    const asked = options.fiats ?? [...listed.fiats.map(({ code }) => code), ...options.knownFiats];
    return {
      fiats: listed.fiats,
      markets: listed.markets.filter(({ fiat }) => isWanted(fiat)),
      covered: [...new Set(asked), "*"],
      missed: [],
      problems,
    };
  }
  if (options.knownFiats.length > 0) return failed;

  const fiats = await ask(post(url(PAYMENTS)), readFiatsOfPayments).catch(note);
  if (fiats === undefined) return failed;
  const tried = fiats.filter(isWanted);
  return {
    ...failed,
    markets: marketsOf(tried.flatMap((fiat) => USUAL_TOKENS.map((asset) => ({ fiat, asset })))),
    covered: tried,
    missed: failed.missed.filter((fiat) => !tried.includes(fiat)),
  };
}

/** One call names the methods of all fiats: offers bear their numbers only. */
export async function discoverPaymentMethods(
  ask: Ask,
  url: Url,
  fiats: readonly string[],
): Promise<{ methods: readonly PaymentMethod[]; problems: readonly DiscoveryProblem[] }> {
  if (fiats.length === 0) return { methods: [], problems: [] };
  try {
    return { methods: await ask(post(url(PAYMENTS)), readPaymentMethods), problems: [] };
  } catch (error) {
    const problem = error instanceof Error ? error : new Error(String(error));
    return { methods: [], problems: [{ fiat: undefined, error: problem }] };
  }
}

function get(url: string): HttpRequest {
  return { method: "GET", url };
}

function post(url: string): HttpRequest {
  return { method: "POST", url, body: {} };
}

interface Pair {
  readonly fiat: string;
  readonly asset: string;
}

function marketsOf(pairs: readonly Pair[]): ListedMarket[] {
  const byName = new Map(pairs.map((pair) => [`${pair.fiat}/${pair.asset}`, pair]));
  return [...byName.values()].flatMap((pair) =>
    SIDES.map((side) => ({ ...pair, side, assetName: undefined }))
  );
}

function readConfiguration(
  document: unknown,
): { fiats: readonly ListedFiat[]; markets: readonly ListedMarket[] } {
  const { symbols, currencies } = resultOf(document);
  const pairs = objectsIn(symbols).flatMap((symbol): Pair[] => {
    const [fiat, asset] = [codeOf(symbol["currencyId"]), codeOf(symbol["tokenId"])];
    return fiat === undefined || asset === undefined ? [] : [{ fiat, asset }];
  });
  if (pairs.length === 0) {
    throw new AnswerError("unexpected_shape", "the configuration names no pair");
  }
  const codes = new Set([
    ...pairs.map(({ fiat }) => fiat),
    ...objectsIn(currencies).flatMap((currency) => codeOf(currency["currencyId"]) ?? []),
  ]);
  return {
    fiats: [...codes].map((code) => ({ code, country: undefined })),
    markets: marketsOf(pairs),
  };
}

function readPaymentMethods(document: unknown): PaymentMethod[] {
  const methods = objectsIn(resultOf(document)["paymentConfigVo"]).flatMap((method) => {
    const code = idOf(method["paymentType"]);
    return code === undefined ? [] : [{ code, name: textOf(method["paymentName"])?.trim() }];
  });
  if (methods.length === 0) {
    throw new AnswerError("unexpected_shape", "the list of payment methods names none");
  }
  return methods;
}

function readFiatsOfPayments(document: unknown): string[] {
  const fiats = Object.keys(mapIn(resultOf(document)["currencyPaymentIdMap"]))
    .flatMap((fiat) => codeOf(fiat) ?? []);
  if (fiats.length === 0) {
    throw new AnswerError("unexpected_shape", "the list of payment methods names no fiat");
  }
  return fiats;
}

function mapIn(value: unknown): Readonly<Record<string, unknown>> {
  try {
    const map: unknown = typeof value === "string" ? JSON.parse(value) : value;
    return isObject(map) ? map : {};
  } catch {
    return {};
  }
}
