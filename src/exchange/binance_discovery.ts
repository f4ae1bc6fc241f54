import { mapConcurrently } from "../extract/concurrency.ts";
import { ExchangeClosed } from "../extract/access.ts";
import { RequestFailure } from "../extract/failure.ts";
import { AnswerError, codeOf, isObject, type JsonObject, objectsIn, textOf } from "./answer.ts";
import { successful } from "./binance_envelope.ts";
import {
  type Ask,
  type Discovery,
  type DiscoveryOptions,
  type DiscoveryProblem,
  type HttpRequest,
  type ListedFiat,
  type ListedMarket,
  type PaymentMethod,
  type Side,
  SIDES,
} from "./exchange.ts";

type Post = (path: string, body: JsonObject) => HttpRequest;

const FIAT_LIST = "/bapi/c2c/v1/friendly/c2c/trade-rule/fiat-list";
const PORTAL_CONFIG = "/bapi/c2c/v2/friendly/c2c/portal/config";
const FILTER_CONDITIONS = "/bapi/c2c/v2/public/c2c/adv/filter-conditions";

/** Fiats with live markets that fiat-list leaves out (seen 2025-12). */
const UNLISTED_FIATS = ["NGN", "GHS"];

/** Fiats without any answer, one after the other, after which no further one is asked: the exchange is gone. */
const SILENT_FIATS_IN_A_ROW = 20;

/**
 * fiat-list, then portal/config of each fiat. Where the list cannot be had, the fiats known from before
 * stand in for it; where no fiat can be read at all, the pairs endpoint does, if one is configured.
 */
export async function discoverMarkets(
  ask: Ask,
  post: Post,
  pairsEndpoint: string | undefined,
  options: DiscoveryOptions,
): Promise<Discovery> {
  const problems: DiscoveryProblem[] = [];
  const note = (fiat?: string) => (error: Error): undefined => {
    problems.push({ fiat, error });
    return undefined;
  };

  const listed = options.fiats === undefined
    ? await ask(post(FIAT_LIST, {}), readFiatList).catch(note())
    : undefined;
  const codes = options.fiats ?? fiatsToAsk(listed ?? [], options);
  const read = new Map<string, ListedMarket[]>();
  await askEach(codes, options.concurrency, problems, async (fiat) => {
    const config = post(PORTAL_CONFIG, { fiat });
    read.set(fiat, await ask(config, (document) => readPortalConfig(fiat, document)));
  });

  if (read.size === 0 && codes.length > 0 && pairsEndpoint !== undefined) {
    const pairs = await ask(post(pairsEndpoint, {}), readPairs).catch(note());
    for (const pair of pairs ?? []) read.set(pair.fiat, [...read.get(pair.fiat) ?? [], pair]);
  }
  return {
    fiats: listed ?? [],
    markets: [...read.values()].flat(),
    covered: [...read.keys(), ...(listed === undefined ? [] : ["*"])],
    missed: codes.filter((fiat) => !read.has(fiat)),
    problems,
  };
}

function fiatsToAsk(listed: readonly ListedFiat[], options: DiscoveryOptions): string[] {
  const all = new Set([
    ...listed.map(({ code }) => code),
    ...UNLISTED_FIATS,
    ...options.knownFiats,
  ]);
  return [...all].filter((fiat) => !options.freshFiats.includes(fiat));
}

/** filter-conditions of each fiat: the methods that portal/config lists are not trustworthy. */
export async function discoverPaymentMethods(
  ask: Ask,
  post: Post,
  fiats: readonly string[],
  concurrency: number,
): Promise<{ methods: PaymentMethod[]; problems: DiscoveryProblem[] }> {
  const problems: DiscoveryProblem[] = [];
  const byCode = new Map<string, PaymentMethod>();
  await askEach(fiats, concurrency, problems, async (fiat) => {
    for (const method of await ask(post(FILTER_CONDITIONS, { fiat }), readFilterConditions)) {
      if (method.name !== undefined || !byCode.has(method.code)) byCode.set(method.code, method);
    }
  });
  return { methods: [...byCode.values()], problems };
}

/** Asks for each fiat and notes the problems; stops asking an exchange that is gone. */
async function askEach(
  fiats: readonly string[],
  concurrency: number,
  problems: DiscoveryProblem[],
  askOne: (fiat: string) => Promise<void>,
): Promise<void> {
  let silentInARow = 0;
  let isClosed = false;
  await mapConcurrently(fiats, concurrency, async (fiat) => {
    if (isClosed || silentInARow >= SILENT_FIATS_IN_A_ROW) return;
    try {
      await askOne(fiat);
      silentInARow = 0;
    } catch (error) {
      isClosed ||= error instanceof ExchangeClosed;
      const isSilence = error instanceof RequestFailure && error.isSilence;
      silentInARow = isSilence ? silentInARow + 1 : 0;
      problems.push({ fiat, error: error instanceof Error ? error : new Error(String(error)) });
    }
  });
}

function readFiatList(document: unknown): ListedFiat[] {
  const fiats = objectsIn(successful(document)["data"]).flatMap((fiat) => {
    const code = codeOf(fiat["currencyCode"]);
    return code === undefined ? [] : [{ code, country: textOf(fiat["countryCode"]) }];
  });
  if (fiats.length === 0) {
    throw new AnswerError("unexpected_shape", "the list of fiats names no fiat");
  }
  return fiats;
}

/** The area is found by its name: its place differs from fiat to fiat. A fiat may have no P2P area. */
function readPortalConfig(fiat: string, document: unknown): ListedMarket[] {
  const { data } = successful(document);
  if (!isObject(data) || !Array.isArray(data["areas"])) {
    throw new AnswerError("unexpected_shape", `the configuration of ${fiat} lists no areas`);
  }
  const areas = objectsIn(data["areas"]);
  const names = new Map<string, string>();
  for (const asset of areas.flatMap(sidesOf).flatMap((side) => objectsIn(side["assets"]))) {
    const [symbol, name] = [textOf(asset["asset"]), textOf(asset["description"])];
    if (symbol !== undefined && name !== undefined) names.set(symbol, name);
  }
  return areas
    .filter((area) => area["area"] === "P2P")
    .flatMap(sidesOf)
    .flatMap((listed) => {
      const side = SIDES.find((known) => known === listed["side"]);
      return side === undefined ? [] : objectsIn(listed["assets"]).flatMap((item) => {
        const asset = codeOf(item["asset"]);
        return asset === undefined ? [] : [{ fiat, asset, side, assetName: names.get(asset) }];
      });
    });
}

function sidesOf(area: JsonObject): readonly JsonObject[] {
  return objectsIn(area["tradeSides"]);
}

function readFilterConditions(document: unknown): PaymentMethod[] {
  const { data } = successful(document);
  if (!isObject(data)) {
    throw new AnswerError("unexpected_shape", "the filter conditions are no object");
  }
  return objectsIn(data["tradeMethods"]).flatMap((method) => {
    const code = textOf(method["identifier"]);
    return code === undefined ? [] : [{ code, name: textOf(method["tradeMethodName"]) }];
  });
}

/** No recording of this call exists: anything that lists an asset with its fiat is taken. */
function readPairs(document: unknown): ListedMarket[] {
  const { data } = successful(document);
  const pairs = objectsIn(data).flatMap((pair) => {
    const asset = codeOf(pair["asset"]);
    const fiat = codeOf(pair["fiat"]) ?? codeOf(pair["fiatUnit"]) ?? codeOf(pair["currencyCode"]);
    if (asset === undefined || fiat === undefined) return [];
    return SIDES.map((side: Side) => ({ fiat, asset, side, assetName: textOf(pair["assetName"]) }));
  });
  if (pairs.length === 0) {
    throw new AnswerError("unexpected_shape", "the list of pairs names no pair");
  }
  return pairs;
}
